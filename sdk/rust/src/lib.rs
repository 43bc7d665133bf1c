//! Functions in Rust on Runnel, without dependencies.
//!
//! ```no_run
//! use runnel::Json;
//!
//! fn handle(event: &Json) -> Result<Json, String> {
//!     let name = event.get("query").get("name").text().unwrap_or("world");
//!     Ok(Json::object([("hello", name.into())]))
//! }
//!
//! fn main() {
//!     runnel::handle(handle)
//! }
//! ```
//!
//! Build it as a WASI command: `cargo build --release --target wasm32-wasip1`
//! (`wasm32-wasi` before Rust 1.78). As a handler reactor: `crate-type = ["cdylib"]`
//! and [`reactor!`].
//!
//! What a function returns is the result; an `Err` is FunctionError with its text.
//! Off WebAssembly, [`handle`] reads an event from standard input, the environment is
//! the process's, and queries and requests fail.

mod host;
mod json;

pub use host::{env, fetch, log, query, Level};
pub use json::Json;

use std::io::{Read, Write};

/// Runs the function. `main` of a WASI command calls it and nothing after it.
pub fn handle(f: fn(&Json) -> Result<Json, String>) {
    let mut event = String::new();
    let result = match std::io::stdin().read_to_string(&mut event) {
        Ok(_) => invoke(f, &event),
        Err(e) => Err(e.to_string()),
    };
    match result {
        Ok(out) => {
            let _ = std::io::stdout().write_all(out.as_bytes());
        }
        Err(message) => fail(&message),
    }
}

/// Calls a function with an event's JSON and returns the result's.
pub fn invoke(f: fn(&Json) -> Result<Json, String>, event: &str) -> Result<String, String> {
    f(&Json::parse(event)?).map(|result| result.to_string())
}

/// Ends the function with this message: Runnel takes the last line of stderr.
#[doc(hidden)]
pub fn fail(message: &str) -> ! {
    eprintln!("{}", message);
    std::process::exit(1)
}

/// Exports a function as a handler reactor: `runnel::reactor!(handle);`
#[macro_export]
macro_rules! reactor {
    ($f:path) => {
        #[no_mangle]
        pub extern "C" fn runnel_alloc(size: usize) -> *mut u8 {
            Box::leak(vec![0u8; size].into_boxed_slice()).as_mut_ptr()
        }
        /// # Safety
        /// The host passes what `runnel_alloc` returned.
        #[no_mangle]
        pub unsafe extern "C" fn handler(ptr: *const u8, len: usize) -> u64 {
            let event = String::from_utf8_lossy(std::slice::from_raw_parts(ptr, len));
            match $crate::invoke($f, &event) {
                Ok(out) => {
                    let out = Box::leak(out.into_boxed_str());
                    (out.as_ptr() as u64) << 32 | out.len() as u64
                }
                Err(message) => $crate::fail(&message),
            }
        }
    };
}
