//! User and group ids, credentials(7): getuid(2) to setfsgid(2), getgroups(2), setgroups(2).

use crate::call::{Call, CallResult};
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::{Capabilities, Credentials, Ids};

/// Most supplementary groups (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;
/// What a call takes for "leave it".
const UNCHANGED: u32 = u32::MAX;

fn credentials(call: &Call<'_>) -> Credentials {
    (*call.thread.credentials()).clone()
}

/// getuid(2).
pub fn sys_getuid(call: &mut Call<'_>) -> CallResult {
    Ok(call.thread.credentials().user.real.into())
}

/// geteuid(2).
pub fn sys_geteuid(call: &mut Call<'_>) -> CallResult {
    Ok(call.thread.credentials().user.effective.into())
}

/// getgid(2).
pub fn sys_getgid(call: &mut Call<'_>) -> CallResult {
    Ok(call.thread.credentials().group.real.into())
}

/// getegid(2).
pub fn sys_getegid(call: &mut Call<'_>) -> CallResult {
    Ok(call.thread.credentials().group.effective.into())
}

fn write_ids(call: &Call<'_>, ids: Ids) -> CallResult {
    for (index, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
        call.pointer(index).write_u32(id)?;
    }
    Ok(0)
}

/// getresuid(2).
pub fn sys_getresuid(call: &mut Call<'_>) -> CallResult {
    write_ids(call, call.thread.credentials().user)
}

/// getresgid(2).
pub fn sys_getresgid(call: &mut Call<'_>) -> CallResult {
    write_ids(call, call.thread.credentials().group)
}

/// What setuid(2) and setgid(2) make of some ids: `EPERM`.
fn set_one(ids: Ids, id: u32, privileged: bool) -> Result<Ids, Errno> {
    if id == UNCHANGED {
        return Err(Errno::EINVAL);
    }
    if privileged {
        return Ok(Ids::all(id));
    }
    if id != ids.real && id != ids.saved {
        return Err(Errno::EPERM);
    }
    Ok(Ids {
        effective: id,
        file_system: id,
        ..ids
    })
}

/// What setreuid(2) and setregid(2) make of some ids: `EPERM`.
fn set_two(ids: Ids, real: u32, effective: u32, privileged: bool) -> Result<Ids, Errno> {
    let mut new = ids;
    if real != UNCHANGED {
        if !privileged && real != ids.real && real != ids.effective {
            return Err(Errno::EPERM);
        }
        new.real = real;
    }
    if effective != UNCHANGED {
        if !privileged && ![ids.real, ids.effective, ids.saved].contains(&effective) {
            return Err(Errno::EPERM);
        }
        new.effective = effective;
    }
    if real != UNCHANGED || (effective != UNCHANGED && effective != ids.real) {
        new.saved = new.effective;
    }
    new.file_system = new.effective;
    Ok(new)
}

/// What setresuid(2) and setresgid(2) make of some ids: `EPERM`.
fn set_three(ids: Ids, wanted: [u32; 3], privileged: bool) -> Result<Ids, Errno> {
    let held = [ids.real, ids.effective, ids.saved];
    let allowed = |id: &u32| *id == UNCHANGED || privileged || held.contains(id);
    if !wanted.iter().all(allowed) {
        return Err(Errno::EPERM);
    }
    let choose = |id: u32, old: u32| if id == UNCHANGED { old } else { id };
    let effective = choose(wanted[1], ids.effective);
    Ok(Ids {
        real: choose(wanted[0], ids.real),
        effective,
        saved: choose(wanted[2], ids.saved),
        file_system: effective,
    })
}

/// Takes on user ids, with what that does to capabilities (capabilities(7), "Effect of user ID
/// changes on capabilities").
fn take_users(call: &Call<'_>, mut new: Credentials, users: Ids) -> CallResult {
    let old = core::mem::replace(&mut new.user, users);
    let had_root = [old.real, old.effective, old.saved].contains(&0);
    let has_root = [users.real, users.effective, users.saved].contains(&0);
    if had_root && !has_root {
        if !call.thread.own.lock().keep_capabilities {
            new.permitted = Capabilities::empty();
            new.effective = Capabilities::empty();
        }
        new.ambient = Capabilities::empty();
    }
    if old.effective == 0 && users.effective != 0 {
        new.effective = Capabilities::empty();
    }
    if old.effective != 0 && users.effective == 0 {
        new.effective = new.permitted;
    }
    adjust_file_capabilities(&mut new, old.file_system);
    call.thread.set_credentials(new);
    Ok(0)
}

/// The capabilities about files follow the file-system user id.
fn adjust_file_capabilities(new: &mut Credentials, old_file_system: u32) {
    let about_files = Capabilities::CHOWN
        | Capabilities::DAC_OVERRIDE
        | Capabilities::DAC_READ_SEARCH
        | Capabilities::FOWNER
        | Capabilities::FSETID
        | Capabilities::LINUX_IMMUTABLE
        | Capabilities::MKNOD
        | Capabilities::MAC_OVERRIDE;
    if old_file_system == 0 && new.user.file_system != 0 {
        new.effective -= about_files;
    }
    if old_file_system != 0 && new.user.file_system == 0 {
        new.effective |= new.permitted & about_files;
    }
}

/// setuid(2).
pub fn sys_setuid(call: &mut Call<'_>) -> CallResult {
    let new = credentials(call);
    let users = set_one(new.user, call.uint(0), new.has(Capabilities::SETUID))?;
    take_users(call, new, users)
}

/// setreuid(2).
pub fn sys_setreuid(call: &mut Call<'_>) -> CallResult {
    let new = credentials(call);
    let privileged = new.has(Capabilities::SETUID);
    let users = set_two(new.user, call.uint(0), call.uint(1), privileged)?;
    take_users(call, new, users)
}

/// setresuid(2).
pub fn sys_setresuid(call: &mut Call<'_>) -> CallResult {
    let new = credentials(call);
    let wanted = [0, 1, 2].map(|index| call.uint(index));
    let users = set_three(new.user, wanted, new.has(Capabilities::SETUID))?;
    take_users(call, new, users)
}

/// setfsuid(2).
pub fn sys_setfsuid(call: &mut Call<'_>) -> CallResult {
    let mut new = credentials(call);
    let id = call.uint(0);
    let old = new.user.file_system;
    let ids = [new.user.real, new.user.effective, new.user.saved, old];
    if id != UNCHANGED && (ids.contains(&id) || new.has(Capabilities::SETUID)) {
        new.user.file_system = id;
        adjust_file_capabilities(&mut new, old);
        call.thread.set_credentials(new);
    }
    Ok(old.into())
}

fn take_groups(call: &Call<'_>, mut new: Credentials, groups: Ids) -> CallResult {
    new.group = groups;
    call.thread.set_credentials(new);
    Ok(0)
}

/// setgid(2).
pub fn sys_setgid(call: &mut Call<'_>) -> CallResult {
    let new = credentials(call);
    let groups = set_one(new.group, call.uint(0), new.has(Capabilities::SETGID))?;
    take_groups(call, new, groups)
}

/// setregid(2).
pub fn sys_setregid(call: &mut Call<'_>) -> CallResult {
    let new = credentials(call);
    let privileged = new.has(Capabilities::SETGID);
    let groups = set_two(new.group, call.uint(0), call.uint(1), privileged)?;
    take_groups(call, new, groups)
}

/// setresgid(2).
pub fn sys_setresgid(call: &mut Call<'_>) -> CallResult {
    let new = credentials(call);
    let wanted = [0, 1, 2].map(|index| call.uint(index));
    let groups = set_three(new.group, wanted, new.has(Capabilities::SETGID))?;
    take_groups(call, new, groups)
}

/// setfsgid(2).
pub fn sys_setfsgid(call: &mut Call<'_>) -> CallResult {
    let mut new = credentials(call);
    let id = call.uint(0);
    let old = new.group.file_system;
    let ids = [new.group.real, new.group.effective, new.group.saved, old];
    if id != UNCHANGED && (ids.contains(&id) || new.has(Capabilities::SETGID)) {
        new.group.file_system = id;
        call.thread.set_credentials(new);
    }
    Ok(old.into())
}

/// getgroups(2).
pub fn sys_getgroups(call: &mut Call<'_>) -> CallResult {
    let groups = call.thread.credentials().groups.clone();
    let room = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    if room > 0 {
        if room < groups.len() {
            return Err(Errno::EINVAL);
        }
        let bytes: Vec<u8> = groups.iter().flat_map(|id| id.to_le_bytes()).collect();
        call.pointer(1).write(&bytes)?;
    }
    Ok(groups.len() as u64)
}

/// setgroups(2).
pub fn sys_setgroups(call: &mut Call<'_>) -> CallResult {
    let mut new = credentials(call);
    if !new.has(Capabilities::SETGID) {
        return Err(Errno::EPERM);
    }
    let count = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    if count > GROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0; count * 4];
    call.pointer(1).read(&mut bytes)?;
    let ids = bytes.as_chunks::<4>().0.iter();
    new.set_groups(ids.map(|id| u32::from_le_bytes(*id)).collect());
    call.thread.set_credentials(new);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{UNCHANGED, set_one, set_three, set_two};
    use capsid_core::Errno;
    use capsid_core::credentials::Ids;

    const MIXED: Ids = Ids {
        real: 1,
        effective: 2,
        saved: 3,
        file_system: 2,
    };

    #[test]
    fn ids_change_as_setuid_says() {
        assert_eq!(set_one(MIXED, 9, true), Ok(Ids::all(9)));
        assert_eq!(set_one(MIXED, 3, false).unwrap().effective, 3);
        assert_eq!(set_one(MIXED, 2, false), Err(Errno::EPERM));
        assert_eq!(set_one(MIXED, UNCHANGED, true), Err(Errno::EINVAL));
    }

    #[test]
    fn pairs_and_triples_keep_what_is_left_out() {
        let new = set_two(MIXED, UNCHANGED, 1, false).unwrap();
        assert_eq!((new.real, new.effective, new.saved), (1, 1, 3));
        let new = set_two(MIXED, 2, UNCHANGED, false).unwrap();
        assert_eq!((new.real, new.effective, new.saved), (2, 2, 2));
        let new = set_three(MIXED, [UNCHANGED, 3, 1], false).unwrap();
        assert_eq!((new.real, new.effective, new.saved), (1, 3, 1));
        assert_eq!(set_three(MIXED, [7, 2, 3], false), Err(Errno::EPERM));
    }
}
