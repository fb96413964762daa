//! Archives, made into images and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("tar"), |data: &[u8]| capsid_fuzz::tar::run(data));
