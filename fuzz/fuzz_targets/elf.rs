//! Programs: execve(2) of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: capsid_fuzz::plant("elf"), |data: &[u8]| capsid_fuzz::elf::run(data));
