//! Where memory comes from, on a machine with one node: set_mempolicy(2), get_mempolicy(2),
//! mbind(2).

use crate::call::{Call, CallResult};
use capsid_core::Errno;

const MPOL_MODE_MAX: u32 = 6;
const MPOL_MODE_FLAGS: u32 = 0xe000;
const MPOL_F_NODE: u64 = 1;
const MPOL_F_ADDR: u64 = 2;
const MPOL_F_MEMS_ALLOWED: u64 = 4;

fn check_mode(mode: u32) -> CallResult {
    if mode & !MPOL_MODE_FLAGS > MPOL_MODE_MAX {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// set_mempolicy(2): every policy comes to the same.
pub fn sys_set_mempolicy(call: &mut Call<'_>) -> CallResult {
    check_mode(call.uint(0))
}

/// mbind(2).
pub fn sys_mbind(call: &mut Call<'_>) -> CallResult {
    if !call.pointer(0).is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    check_mode(call.uint(2))
}

/// get_mempolicy(2): the default policy, and node 0.
pub fn sys_get_mempolicy(call: &mut Call<'_>) -> CallResult {
    let (policy, nodes) = (call.pointer(0), call.pointer(1));
    let flags = call.raw(4);
    if flags & !(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_F_ADDR != 0 {
        let address = call.raw(3);
        let memory = call.process().memory();
        memory.space.region_at(address).ok_or(Errno::EFAULT)?;
    }
    if !policy.is_null() {
        policy.write_u32(0)?;
    }
    if !nodes.is_null() {
        if call.raw(2) == 0 {
            return Err(Errno::EINVAL);
        }
        let allowed = flags & MPOL_F_MEMS_ALLOWED != 0;
        nodes.write_u64(u64::from(allowed))?;
    }
    Ok(0)
}
