//! The boot configuration, and the start of a kernel from it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("boot"), |data: &[u8]| capsid_fuzz::boot::run(data));
