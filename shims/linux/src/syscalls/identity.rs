//! Who a task is: getpid(2), gettid(2), getppid(2).

use crate::call::{Call, CallResult};

/// getpid(2).
pub fn sys_getpid(call: &mut Call<'_>) -> CallResult {
    Ok(call.process().id.into())
}

/// gettid(2).
pub fn sys_gettid(call: &mut Call<'_>) -> CallResult {
    Ok(call.thread.id().into())
}

/// getppid(2).
pub fn sys_getppid(call: &mut Call<'_>) -> CallResult {
    Ok(call.process().parent_id().into())
}
