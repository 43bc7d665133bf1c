//! The WASI command.

mod mailing;

fn main() {
    runnel::handle(mailing::handle)
}
