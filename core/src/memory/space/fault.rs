//! Page faults that the host could not resolve.

use super::vma::{Object, PAGE};
use super::{AddressSpace, MemoryLimits, VmaFlags, host};
use capsid_platform::{GuestRange, Protection};

/// What came of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The access will work now: another thread changed the mapping, the file grew, or the stack
    /// did.
    Resolved,
    /// Nothing is mapped there (`SIGSEGV`, `SEGV_MAPERR`).
    NotMapped,
    /// The mapping does not allow it (`SIGSEGV`, `SEGV_ACCERR`).
    NotPermitted,
    /// The page lies past the end of the file (`SIGBUS`, `BUS_ADRERR`).
    BeyondFile,
}

impl AddressSpace {
    /// Looks after a fault at `address` by an access of this kind (a read, a write, or an
    /// instruction fetch).
    pub fn fault(&self, address: u64, access: Protection, limits: &MemoryLimits) -> Fault {
        let mut map = self.map.lock();
        let Some((start, vma)) = map.tree.find_mut(address) else {
            return if map.grow_stack(address, limits) {
                Fault::Resolved
            } else {
                Fault::NotMapped
            };
        };
        if !vma.permits(access) {
            return Fault::NotPermitted;
        }
        if address < vma.populated_end(start) || !matches!(vma.object, Object::File { .. }) {
            return Fault::Resolved;
        }
        match host::populate(start, vma, vma.populated) {
            Ok(populated) => vma.populated = populated,
            // What was mapped of it is mapped again at the next fault.
            Err(_) => return Fault::BeyondFile,
        }
        if address < vma.populated_end(start) {
            Fault::Resolved
        } else {
            Fault::BeyondFile
        }
    }
}

impl super::Map {
    /// Lets a stack grow down to `address`, if one lies above it.
    fn grow_stack(&mut self, address: u64, limits: &MemoryLimits) -> bool {
        let page = address / PAGE * PAGE;
        let Some((start, vma)) = self.tree.next_above(address) else {
            return false;
        };
        if !vma.flags.contains(VmaFlags::GROWS_DOWN) || vma.end - page > limits.stack {
            return false;
        }
        let Some(range) = GuestRange::between(page, start) else {
            return false;
        };
        let guard_start = page.saturating_sub(super::tree::STACK_GUARD_BYTES);
        if self
            .tree
            .last_below(page)
            .is_some_and(|(_, below)| below.end > guard_start && !below.protection.is_empty())
        {
            return false;
        }
        let mut grown = vma.clone();
        grown.populated = 0;
        self.map_at(range, grown, limits).is_ok()
    }
}
