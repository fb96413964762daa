//! What all objects have: a key, an id, and who may use it.

use super::{Layout, now_s};
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::{Capabilities, Credentials};
use capsid_core::fs::Owner;
use capsid_core::sync::Mutex;

/// The key of objects that no key finds (`IPC_PRIVATE`).
pub const PRIVATE: i32 = 0;

/// What is asked for, with the permission bits of a mode: those of any class count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted(pub u32);

impl Wanted {
    /// Reading.
    pub const READ: Wanted = Wanted(0o444);
    /// Changing.
    pub const WRITE: Wanted = Wanted(0o222);
}

/// An object's key, id and permissions, `struct ipc_perm`.
#[derive(Debug)]
pub struct Header {
    /// The id.
    pub id: i32,
    sequence: u16,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    key: i32,
    owner: Owner,
    creator: Owner,
    mode: u32,
    changed_s: u64,
}

impl Header {
    /// Makes the header of an object that `credentials` make.
    #[must_use]
    pub(super) fn new(
        key: i32,
        id: i32,
        sequence: u16,
        mode: u32,
        credentials: &Credentials,
    ) -> Header {
        let owner = Owner {
            user: credentials.user.effective,
            group: credentials.group.effective,
        };
        Header {
            id,
            sequence,
            state: Mutex::new(State {
                key,
                owner,
                creator: owner,
                mode: mode & 0o777,
                changed_s: now_s(),
            }),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> i32 {
        self.state.lock().key
    }

    /// Permission bits, and flags of the kind.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.state.lock().mode
    }

    /// Owner and creator.
    #[must_use]
    pub fn owners(&self) -> [Owner; 2] {
        let state = self.state.lock();
        [state.owner, state.creator]
    }

    /// When it was made or last changed by a control call, in seconds.
    #[must_use]
    pub fn changed_s(&self) -> u64 {
        self.state.lock().changed_s
    }

    /// Notes a change by a control call.
    pub fn changed(&self) {
        self.state.lock().changed_s = now_s();
    }

    /// Takes the key away and adds `flags` to the mode, for an object that goes when its last user
    /// does.
    pub(super) fn hide(&self, flags: u32) {
        let mut state = self.state.lock();
        state.key = PRIVATE;
        state.mode |= flags;
    }

    /// Checks permissions: `EACCES`.
    pub fn check(&self, credentials: &Credentials, wanted: Wanted) -> Result<(), Errno> {
        let state = *self.state.lock();
        let wanted = wanted.0 >> 6 | wanted.0 >> 3 | wanted.0;
        let user = credentials.user.effective;
        let in_group = |group| {
            credentials.group.effective == group || credentials.groups.binary_search(&group).is_ok()
        };
        let shift = if user == state.creator.user || user == state.owner.user {
            6
        } else if in_group(state.creator.group) || in_group(state.owner.group) {
            3
        } else {
            0
        };
        if wanted & !(state.mode >> shift) & 7 != 0 && !credentials.has(Capabilities::IPC_OWNER) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// Checks that the object may be changed or removed: `EPERM`.
    pub fn check_owner(&self, credentials: &Credentials) -> Result<(), Errno> {
        let state = *self.state.lock();
        let user = credentials.user.effective;
        if user == state.creator.user
            || user == state.owner.user
            || credentials.has(Capabilities::SYS_ADMIN)
        {
            return Ok(());
        }
        Err(Errno::EPERM)
    }

    /// Takes owner and permission bits from a guest's structure, `IPC_SET`.
    pub fn set(&self, bytes: &[u8; Header::BYTES]) {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let mut state = self.state.lock();
        state.owner = Owner {
            user: word(4),
            group: word(8),
        };
        state.mode = state.mode & !0o777 | word(20) & 0o777;
        state.changed_s = now_s();
    }

    /// Length of `struct ipc64_perm`.
    pub const BYTES: usize = 48;

    /// The header as `struct ipc64_perm`.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let state = *self.state.lock();
        let layout = Layout::default()
            .int(state.key.cast_unsigned())
            .int(state.owner.user)
            .int(state.owner.group)
            .int(state.creator.user)
            .int(state.creator.group)
            .int(state.mode)
            .int(self.sequence.into())
            .int(0);
        layout.long(0).long(0).0
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Wanted};
    use capsid_core::Errno;
    use capsid_core::credentials::Credentials;

    #[test]
    fn classes_are_told_apart() {
        capsid_platform_threads::install();
        let header = Header::new(1, 0, 0, 0o640, &Credentials::new(10, 20));
        let check = |user, group, wanted| header.check(&Credentials::new(user, group), wanted);
        assert_eq!(check(10, 99, Wanted::WRITE), Ok(()));
        assert_eq!(check(11, 20, Wanted::READ), Ok(()));
        assert_eq!(check(11, 20, Wanted::WRITE), Err(Errno::EACCES));
        assert_eq!(check(11, 21, Wanted::READ), Err(Errno::EACCES));
        assert_eq!(check(0, 0, Wanted::WRITE), Ok(()));
        assert_eq!(
            header.check_owner(&Credentials::new(11, 20)),
            Err(Errno::EPERM)
        );
        assert_eq!(header.bytes().len(), Header::BYTES);
    }
}
