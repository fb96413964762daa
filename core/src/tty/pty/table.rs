//! The numbers of pseudo-terminals.

use super::Pty;
use crate::fs::Owner;
use crate::sync::Mutex;
use crate::tty::host;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// Most pseudo-terminals at once, as `/proc/sys/kernel/pty/max` says on Linux.
const MOST: u32 = 4096;

/// Those whose master is open.
static TABLE: Mutex<BTreeMap<u32, Arc<Pty>>> = Mutex::new(BTreeMap::new());

/// Makes a pseudo-terminal with the lowest free number: `ENOSPC`.
pub(super) fn allocate(owner: Owner) -> Result<Arc<Pty>, Errno> {
    let mut table = TABLE.lock();
    let number = (0..MOST)
        .find(|number| !table.contains_key(number) && !host::is_number(*number))
        .ok_or(Errno::ENOSPC)?;
    let pty = Arc::new(Pty::new(number, owner));
    table.insert(number, pty.clone());
    Ok(pty)
}

/// Gives a number back.
pub(super) fn release(number: u32) {
    let pty = TABLE.lock().remove(&number);
    drop(pty);
}

/// The pseudo-terminal with a number.
#[must_use]
pub fn find(number: u32) -> Option<Arc<Pty>> {
    TABLE.lock().get(&number).cloned()
}

/// The numbers that there are, in order.
#[must_use]
pub fn numbers() -> Vec<u32> {
    TABLE.lock().keys().copied().collect()
}
