//! Calls that are refused on purpose, with the errno that a container under a strict seccomp
//! profile gives.

use crate::call::{Call, CallResult};
use capsid_core::Errno;

/// Calls that look into other processes or into the kernel, or change the machine:
/// process_vm_readv(2), bpf(2), perf_event_open(2), keyctl(2), userfaultfd(2), modules, reboot(2),
/// quotactl(2), swapon(2), setns(2). The sandbox has nothing of the kind, whoever asks.
pub fn sys_not_permitted(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::EPERM)
}

/// Calls that programs try and do without: io_uring_setup(2), rseq(2), seccomp(2). `ENOSYS` is
/// what they take for an older kernel.
pub fn sys_not_there(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::ENOSYS)
}
