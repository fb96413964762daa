//! A hostile sandbox's requests to the broker.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("ring"), |data: &[u8]| capsid_fuzz::ring::run(data));
