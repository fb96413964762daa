//! Capabilities: capget(2), capset(2), capabilities(7).

use crate::call::{Call, CallResult};
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// Checks the header: how many 32-bit halves the data has, and whom it is about.
fn header(call: &Call<'_>) -> Result<(usize, i32), Errno> {
    let halves = match call.pointer(0).read_u32()? {
        VERSION_1 => 1,
        VERSION_2 | VERSION_3 => 2,
        _ => {
            call.pointer(0).write_u32(VERSION_3)?;
            return Err(Errno::EINVAL);
        }
    };
    let id = call.pointer(0).offset(4)?.read_u32()?.cast_signed();
    Ok((halves, id))
}

/// capget(2).
pub fn sys_capget(call: &mut Call<'_>) -> CallResult {
    let (halves, id) = match header(call) {
        // Asking for the version only.
        Err(Errno::EINVAL) if call.pointer(1).is_null() => return Ok(0),
        result => result?,
    };
    let thread = match id {
        id if id < 0 => return Err(Errno::EINVAL),
        0 => call.thread.clone(),
        id => call
            .kernel()
            .thread(id.unsigned_abs())
            .ok_or(Errno::ESRCH)?,
    };
    if call.pointer(1).is_null() {
        return Ok(0);
    }
    let held = thread.credentials();
    let sets = [held.effective, held.permitted, held.inheritable];
    let mut bytes = alloc::vec::Vec::new();
    for half in 0..halves {
        for set in sets {
            let word = set.bits() >> (32 * half) & 0xffff_ffff;
            bytes.extend_from_slice(&word.to_le_bytes()[..4]);
        }
    }
    call.pointer(1).write(&bytes)?;
    Ok(0)
}

/// capset(2).
pub fn sys_capset(call: &mut Call<'_>) -> CallResult {
    let (halves, id) = header(call)?;
    if id != 0 && id.unsigned_abs() != call.thread.id() {
        return Err(Errno::EPERM);
    }
    let mut sets = [0u64; 3];
    for half in 0..halves {
        for (index, set) in sets.iter_mut().enumerate() {
            let at = (half * 3 + index) as u64 * 4;
            let word = call.pointer(1).offset(at)?.read_u32()?;
            *set |= u64::from(word) << (32 * half);
        }
    }
    let [effective, permitted, inheritable] = sets.map(Capabilities::from_bits_truncate);
    let mut new = (*call.thread.credentials()).clone();
    let may_inherit = new.has(Capabilities::SETPCAP);
    if !new.permitted.contains(permitted)
        || !permitted.contains(effective)
        || !(new.inheritable | new.bounding).contains(inheritable)
        || (!may_inherit && !(new.inheritable | new.permitted).contains(inheritable))
    {
        return Err(Errno::EPERM);
    }
    new.effective = effective;
    new.permitted = permitted;
    new.inheritable = inheritable;
    new.ambient &= permitted & inheritable;
    call.thread.set_credentials(new);
    Ok(0)
}
