//! The program that holds one sandbox: the Linux ABI over a Linux host.
#![no_std]
#![no_main]

extern crate alloc;

capsid_runtime_linux::sandbox!(capsid_linux::boot);
