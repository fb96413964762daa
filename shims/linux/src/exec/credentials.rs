//! Who a program acts as: set-id bits and capabilities over execve, capabilities(7).

use crate::task::Thread;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::{Capabilities, Credentials};
use capsid_core::fs::permission::{SET_GROUP, SET_USER};
use capsid_core::fs::{MountFlags, OpenFile};
use core::sync::atomic::Ordering;

/// Who the new program acts as.
#[derive(Clone, Debug)]
pub struct NewCredentials {
    /// The credentials.
    pub credentials: Credentials,
    /// Rights were gained: the C library must not trust the environment (`AT_SECURE`).
    pub secure: bool,
}

/// Execute permission for the group: without it, the set-group-id bit means something else.
const GROUP_EXECUTE: u32 = 0o010;

/// Works out the credentials after execution of `file`.
pub fn after(thread: &Thread, file: &Arc<OpenFile>) -> Result<NewCredentials, Errno> {
    let old = thread.credentials();
    let mut new = (*old).clone();
    let honoured = !thread.no_new_privileges.load(Ordering::Relaxed)
        && file
            .path()
            .is_some_and(|path| !path.mount().flags().contains(MountFlags::NO_SET_ID));
    if honoured {
        let metadata = file.file.metadata()?;
        if metadata.permissions & SET_USER != 0 {
            new.user.effective = metadata.owner.user;
        }
        if metadata.permissions & (SET_GROUP | GROUP_EXECUTE) == SET_GROUP | GROUP_EXECUTE {
            new.group.effective = metadata.owner.group;
        }
    }
    new.user.saved = new.user.effective;
    new.user.file_system = new.user.effective;
    new.group.saved = new.group.effective;
    new.group.file_system = new.group.effective;
    let changed =
        new.user.effective != old.user.effective || new.group.effective != old.group.effective;
    if changed {
        new.ambient = Capabilities::empty();
    }
    // Files carry no capabilities here; only root's implied ones.
    let root = new.user.effective == 0 || new.user.real == 0;
    new.permitted = if root {
        new.bounding | new.inheritable
    } else {
        new.ambient
    };
    new.effective = if new.user.effective == 0 {
        new.permitted
    } else {
        new.ambient
    };
    let secure = new.user.effective != new.user.real
        || new.group.effective != new.group.real
        || (changed && !new.permitted.is_empty());
    Ok(NewCredentials {
        credentials: new,
        secure,
    })
}
