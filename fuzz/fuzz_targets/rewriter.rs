//! Code that is searched for system calls and patched.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("rewriter"), |data: &[u8]| capsid_fuzz::rewriter::run(data));
