//! A hostile broker's replies about files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("hostfs"), |data: &[u8]| capsid_fuzz::hostfs::run(data));
