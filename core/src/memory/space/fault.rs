//! Page faults that the host could not resolve.

use super::vma::{Object, PAGE, Vma};
use super::{AddressSpace, MemoryLimits, VmaFlags, host};
use alloc::vec::Vec;
use capsid_platform::{GuestRange, Protection, Sharing, platform};
use core::sync::atomic::Ordering;

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

impl AddressSpace {
    /// Whether a mapping shows the bytes of this identity.
    #[must_use]
    pub fn shows(&self, identity: (u64, u64)) -> bool {
        self.any_showing(identity, |_| true)
    }

    /// Whether a shared mapping of these bytes may ever be written through.
    #[must_use]
    pub fn may_write(&self, identity: (u64, u64)) -> bool {
        self.any_showing(identity, |vma| {
            vma.sharing == Sharing::Shared && vma.allowed.contains(Protection::WRITE)
        })
    }

    fn any_showing(&self, identity: (u64, u64), accept: impl Fn(&Vma) -> bool) -> bool {
        let map = self.map.lock();
        map.tree.iter().any(|(_, vma)| match &vma.object {
            Object::File { file, .. } => {
                accept(vma)
                    && file
                        .file
                        .mappable()
                        .is_ok_and(|mappable| mappable.identity() == identity)
            }
            _ => false,
        })
    }

    /// Notes that a file became shorter: [`AddressSpace::cut_shrunk`] has to be called in the
    /// process of the address space before it runs guest code again.
    pub fn note_shrunk(&self, identity: (u64, u64)) {
        let mut map = self.map.lock();
        if !map.shrunk.contains(&identity) {
            map.shrunk.push(identity);
        }
        self.any_shrunk.store(true, Ordering::SeqCst);
    }

    /// Whether [`AddressSpace::cut_shrunk`] has something to do.
    #[must_use]
    pub fn has_shrunk(&self) -> bool {
        self.any_shrunk.load(Ordering::SeqCst)
    }

    /// Unmaps what [`AddressSpace::note_shrunk`] said. Called in the address space's process.
    pub fn cut_shrunk(&self) {
        if !self.any_shrunk.load(Ordering::SeqCst) {
            return;
        }
        let mut map = self.map.lock();
        for identity in core::mem::take(&mut map.shrunk) {
            map.cut(identity);
        }
        // Last: another thread must not run on before it is done.
        self.any_shrunk.store(false, Ordering::SeqCst);
    }

    /// Unmaps the pages past the end of a file that became shorter, so that they fault from now on.
    /// Called in the address space's process.
    pub fn file_shrank(&self, identity: (u64, u64)) {
        self.map.lock().cut(identity);
    }
}

impl super::Map {
    fn cut(&mut self, identity: (u64, u64)) {
        let cut: Vec<_> = self
            .tree
            .iter()
            .filter_map(|(start, vma)| {
                let Object::File { file, offset } = &vma.object else {
                    return None;
                };
                let mappable = file.file.mappable().ok()?;
                if mappable.identity() != identity {
                    return None;
                }
                let end_of_file = super::round_up(mappable.size())?;
                let left = end_of_file.saturating_sub(*offset);
                (left < vma.populated).then_some((start, left))
            })
            .collect();
        for (start, left) in cut {
            if let Some((_, vma)) = self.tree.find_mut(start)
                && let Some(range) = GuestRange::between(start + left, vma.populated_end(start))
                && platform().unmap(range).is_ok()
            {
                vma.populated = left;
            }
        }
    }
}
