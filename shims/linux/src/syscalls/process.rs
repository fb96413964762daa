//! Making and ending tasks: clone(2), clone3(2), fork(2), vfork(2), exit(2), exit_group(2),
//! wait4(2), waitid(2).

use crate::call::{After, Call, CallResult};
use crate::task::{ExitStatus, begin_group_exit};

/// exit(2).
pub fn sys_exit(call: &mut Call<'_>) -> CallResult {
    let code = ExitStatus::exited(call.uint(0));
    call.then(After::End(code));
    Ok(0)
}

/// exit_group(2).
pub fn sys_exit_group(call: &mut Call<'_>) -> CallResult {
    let code = ExitStatus::exited(call.uint(0));
    begin_group_exit(call.process(), code);
    call.then(After::End(code));
    Ok(0)
}
