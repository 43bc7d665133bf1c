//! The handler reactor, a cdylib.

mod mailing;

runnel::reactor!(mailing::handle);
