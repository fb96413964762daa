//! Leases of files: fcntl(2) `F_SETLEASE`, `F_GETLEASE`.

use crate::call::{Call, CallResult};
use crate::files::{AsyncSignals, SignalOwner};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::leases::{self, LeaseKind};
use capsid_core::fs::{FileKind, OpenFile, Path};
use capsid_core::wait::{Events, Wake};
use linux_raw_sys::general as raw;

/// Tells the holder of a lease that it is to let go.
struct Teller {
    signals: Arc<AsyncSignals>,
    fd: i32,
}

impl Wake for Teller {
    fn wake(&self, _events: Events) {
        self.signals.tell_of_lease(self.fd);
    }
}

/// The lease as a lock type, `F_GETLEASE`.
pub fn do_get_lease(file: &OpenFile) -> CallResult {
    Ok(match leases::get(file) {
        None => raw::F_UNLCK,
        Some(LeaseKind::Read) => raw::F_RDLCK,
        Some(LeaseKind::Write) => raw::F_WRLCK,
    }
    .into())
}

/// Takes or lets go of a lease, `F_SETLEASE`: `EACCES` for others than the owner, `EAGAIN` if the
/// file is open in a way that does not go with it.
pub fn do_set_lease(call: &Call<'_>, file: &Arc<OpenFile>, fd: i32, kind: u32) -> CallResult {
    let kind = match kind {
        raw::F_UNLCK => None,
        raw::F_RDLCK => Some(LeaseKind::Read),
        raw::F_WRLCK => Some(LeaseKind::Write),
        _ => return Err(Errno::EINVAL),
    };
    let path = file.path().ok_or(Errno::EINVAL)?;
    let credentials = call.thread.credentials();
    let owner = path.inode().permissions()?.0.user;
    if owner != credentials.user.file_system && !credentials.has(Capabilities::LEASE) {
        return Err(Errno::EACCES);
    }
    if path.kind() != FileKind::Regular {
        return Err(Errno::EINVAL);
    }
    check_open(call, file, path, kind)?;
    let signals = AsyncSignals::of(file, call.kernel())?;
    if kind.is_some() && signals.owner() == SignalOwner::Nobody {
        signals.set_owner(SignalOwner::Process(call.process().id), &credentials)?;
    }
    let teller = Arc::new(Teller {
        signals: signals.clone(),
        fd,
    });
    leases::set(file, kind, teller)?;
    if kind.is_none() {
        // Linux forgets with the lease who was to be told, and how.
        signals.set_owner(SignalOwner::Nobody, &credentials)?;
        signals.set_signal(None);
    }
    Ok(0)
}

/// `EAGAIN` if a descriptor of another description has the file open in the way.
fn check_open(
    call: &Call<'_>,
    file: &Arc<OpenFile>,
    path: &Path,
    kind: Option<LeaseKind>,
) -> Result<(), Errno> {
    let writable = || {
        let access = path.inode().write_access();
        access.is_some_and(|access| access.is_writable())
    };
    let busy = match kind {
        None => false,
        Some(LeaseKind::Read) => writable(),
        Some(LeaseKind::Write) => is_open_elsewhere(call, file, path),
    };
    if busy { Err(Errno::EAGAIN) } else { Ok(()) }
}

fn is_open_elsewhere(call: &Call<'_>, file: &Arc<OpenFile>, path: &Path) -> bool {
    let other = |open: Arc<OpenFile>| {
        let same_inode = open
            .path()
            .is_some_and(|open| Arc::ptr_eq(open.inode(), path.inode()));
        same_inode && !Arc::ptr_eq(&open, file)
    };
    let processes = call.kernel().processes();
    let threads = processes.iter().flat_map(|process| process.threads());
    threads.map(|thread| thread.files()).any(|files| {
        let numbers = files.numbers();
        let mut open = numbers
            .into_iter()
            .filter_map(|number| files.get(number).ok());
        open.any(other)
    })
}
