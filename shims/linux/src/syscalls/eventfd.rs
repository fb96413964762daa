//! Event counters: eventfd(2), eventfd2(2).

use crate::call::{Call, CallResult};
use crate::files::DescriptorFlags;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{File, OpenFile, StatusFlags};
use capsid_core::ipc::{EventCounter, EventMode};
use linux_raw_sys::general as raw;

const EFD_SEMAPHORE: u32 = 1;

/// eventfd(2).
pub fn sys_eventfd(call: &mut Call<'_>) -> CallResult {
    do_eventfd(call, 0)
}

/// eventfd2(2).
pub fn sys_eventfd2(call: &mut Call<'_>) -> CallResult {
    do_eventfd(call, call.uint(1))
}

fn do_eventfd(call: &Call<'_>, flags: u32) -> CallResult {
    if flags & !(EFD_SEMAPHORE | raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mode = if flags & EFD_SEMAPHORE == 0 {
        EventMode::Counter
    } else {
        EventMode::Semaphore
    };
    let counter = EventCounter::new(call.uint(0), mode);
    install_object(call, Arc::new(counter), flags)
}

/// Gives an object a descriptor; of the flags `O_CLOEXEC` and `O_NONBLOCK` count.
pub fn install_object(call: &Call<'_>, object: Arc<dyn File>, flags: u32) -> CallResult {
    let status = StatusFlags::READ_WRITE | StatusFlags::from_bits_truncate(flags & raw::O_NONBLOCK);
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(DescriptorFlags::CLOSE_ON_EXEC, flags & raw::O_CLOEXEC != 0);
    call.install(OpenFile::new(object, status), descriptor_flags)
}
