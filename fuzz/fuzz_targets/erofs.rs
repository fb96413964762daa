//! Images, as the sandbox reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("erofs"), |data: &[u8]| capsid_fuzz::erofs::run(data));
