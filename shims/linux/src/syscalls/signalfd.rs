//! Signals as a file: signalfd(2), signalfd4(2).

use super::eventfd::install_object;
use crate::call::{Call, CallResult};
use crate::files::SignalFile;
use crate::signal::SignalSet;
use alloc::sync::Arc;
use capsid_core::Errno;
use core::any::Any;
use linux_raw_sys::general as raw;

/// signalfd(2).
pub fn sys_signalfd(call: &mut Call<'_>) -> CallResult {
    do_signalfd(call, 0)
}

/// signalfd4(2).
pub fn sys_signalfd4(call: &mut Call<'_>) -> CallResult {
    do_signalfd(call, call.uint(3))
}

fn do_signalfd(call: &Call<'_>, flags: u32) -> CallResult {
    if call.size(2) != size_of::<u64>() || flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mask = SignalSet(call.pointer(1).read_u64()?);
    let fd = call.int(0);
    if fd == -1 {
        let file = SignalFile::new(call.kernel().clone(), mask);
        return install_object(call, Arc::new(file), flags);
    }
    let file = call.file(fd)?;
    let signals = (&*file.file as &dyn Any).downcast_ref::<SignalFile>();
    signals.ok_or(Errno::EINVAL)?.set_mask(mask);
    Ok(u64::from(fd.cast_unsigned()))
}
