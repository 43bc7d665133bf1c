use crate::Json;

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Runs SQL as the caller, in a transaction of its own. The answer has `columns`,
/// `rows` and `row_count`, or `error` with `code`, `message` and `sqlstate`.
pub fn query(sql: &str, params: &[Json]) -> Json {
    let params = Json::Array(params.to_vec()).to_string();
    answer(imports::db_query(sql, &params))
}

/// Sends an HTTP request: an object with `method`, `url`, `headers`, `body` and
/// `is_base64`. The answer has `status`, `headers` and `body`, or `error`.
pub fn fetch(request: &Json) -> Json {
    answer(imports::http_fetch(&request.to_string()))
}

/// A value of the environment.
pub fn env(key: &str) -> Option<String> {
    imports::env(key)
}

/// Writes a line to the invocation's log.
pub fn log(level: Level, message: &str) {
    imports::log(level as i32, message)
}

fn answer(text: String) -> Json {
    Json::parse(&text).unwrap_or(Json::Null)
}

#[cfg(target_arch = "wasm32")]
mod imports {
    mod raw {
        #[link(wasm_import_module = "runnel")]
        extern "C" {
            pub fn db_query(sql: *const u8, sql_len: usize, params: *const u8, params_len: usize) -> i32;
            pub fn http_fetch(request: *const u8, len: usize) -> i32;
            pub fn env(key: *const u8, len: usize) -> i32;
            pub fn log(level: i32, message: *const u8, len: usize);
            pub fn result_read(ptr: *mut u8, room: usize) -> i32;
        }
    }

    fn read(n: i32) -> String {
        let mut b = vec![0u8; n.max(0) as usize];
        let copied = unsafe { raw::result_read(b.as_mut_ptr(), b.len()) };
        b.truncate(copied.max(0) as usize);
        String::from_utf8_lossy(&b).into_owned()
    }

    pub fn db_query(sql: &str, params: &str) -> String {
        read(unsafe { raw::db_query(sql.as_ptr(), sql.len(), params.as_ptr(), params.len()) })
    }

    pub fn http_fetch(request: &str) -> String {
        read(unsafe { raw::http_fetch(request.as_ptr(), request.len()) })
    }

    pub fn env(key: &str) -> Option<String> {
        let n = unsafe { raw::env(key.as_ptr(), key.len()) };
        if n < 0 {
            return None;
        }
        Some(read(n))
    }

    pub fn log(level: i32, message: &str) {
        unsafe { raw::log(level, message.as_ptr(), message.len()) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imports {
    pub fn db_query(_: &str, _: &str) -> String {
        r#"{"error":{"code":"RlsUnavailable","message":"there is no host outside of Runnel"}}"#.into()
    }

    pub fn http_fetch(_: &str) -> String {
        r#"{"error":{"code":"HostNotAllowed","message":"there is no host outside of Runnel"}}"#.into()
    }

    pub fn env(key: &str) -> Option<String> {
        std::env::var(key).ok()
    }

    pub fn log(level: i32, message: &str) {
        eprintln!("{} {}", ["debug", "info", "warn", "error"][level as usize], message)
    }
}
