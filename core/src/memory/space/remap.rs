//! Moving and resizing mappings, mremap(2).

use super::vma::{Object, PAGE, Removed, Vma};
use super::{AddressSpace, Map, MemoryLimits, VmaFlags, host, page_range, round_up};
use bitflags::bitflags;
use capsid_platform::{Errno, GuestAddr, GuestRange, PAGE_SIZE, Protection, Sharing, platform};

bitflags! {
    /// Flags of mremap(2), with Linux's bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RemapFlags: u32 {
        /// The mapping may move.
        const MAY_MOVE = 1;
        /// It goes to the address given, replacing what is there.
        const FIXED = 2;
        /// The old addresses stay mapped, empty.
        const DONT_UNMAP = 4;
    }
}

/// What mremap(2) is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RemapRequest {
    /// The old address.
    pub address: GuestAddr,
    /// The old length, in bytes.
    pub old_length: u64,
    /// The new length, in bytes.
    pub new_length: u64,
    /// Flags.
    pub flags: RemapFlags,
    /// Where to, with [`RemapFlags::FIXED`]; a hint with [`RemapFlags::DONT_UNMAP`].
    pub new_address: u64,
}

impl AddressSpace {
    /// Moves or resizes a mapping and returns its address: `EINVAL`, `EFAULT`, `ENOMEM`, `EAGAIN`.
    pub fn remap(&self, request: RemapRequest, limits: &MemoryLimits) -> Result<u64, Errno> {
        let flags = request.flags;
        let moving = RemapFlags::FIXED | RemapFlags::DONT_UNMAP;
        if flags.intersects(moving) && !flags.contains(RemapFlags::MAY_MOVE) {
            return Err(Errno::EINVAL);
        }
        let old = page_range(request.address, request.old_length).ok_or(Errno::EINVAL)?;
        let new_length = round_up(request.new_length).ok_or(Errno::EINVAL)?;
        if new_length == 0 || (flags.contains(RemapFlags::DONT_UNMAP) && old.len() != new_length) {
            return Err(Errno::EINVAL);
        }
        let target = if flags.contains(RemapFlags::FIXED) {
            let range = page_range(GuestAddr(request.new_address), new_length);
            let range = range.ok_or(Errno::EINVAL)?;
            if range.overlaps(old) || !platform().info().guest_range.encloses(range) {
                return Err(Errno::EINVAL);
            }
            Some(range)
        } else {
            None
        };
        let mut map = self.map.lock();
        let mut removed = Removed::default();
        let result = map.remap(old, new_length, flags, target, limits, &mut removed);
        drop(map);
        drop(removed);
        result
    }
}

impl Map {
    fn remap(
        &mut self,
        mut old: GuestRange,
        new_length: u64,
        flags: RemapFlags,
        target: Option<GuestRange>,
        limits: &MemoryLimits,
        removed: &mut Removed,
    ) -> Result<u64, Errno> {
        let (_, first) = self.tree.find(old.start()).ok_or(Errno::EFAULT)?;
        if old.is_empty() && first.sharing != Sharing::Shared {
            return Err(Errno::EINVAL);
        }
        let moves = target.is_some() || flags.contains(RemapFlags::DONT_UNMAP);
        if new_length < old.len() {
            if self.tree.mapped_prefix(old) < old.end() {
                return Err(Errno::EFAULT);
            }
            let tail = GuestRange::between(old.start() + new_length, old.end());
            let taken = self.unmap(tail.ok_or(Errno::EINVAL)?)?;
            absorb(removed, taken);
            old =
                GuestRange::between(old.start(), old.start() + new_length).ok_or(Errno::EINVAL)?;
            if !moves {
                return Ok(old.start());
            }
        }
        let (start, vma) = self.tree.find(old.start()).ok_or(Errno::EFAULT)?;
        if old.end() > vma.end {
            return Err(Errno::EFAULT);
        }
        if !moves && new_length == old.len() {
            return Ok(old.start());
        }
        let mut template = vma.clone();
        if let Object::File { offset, .. } = &mut template.object {
            *offset += old.start() - start;
        }
        let ends_vma = vma.end == old.end();
        if !moves && !old.is_empty() && ends_vma {
            let growth = GuestRange::between(old.end(), old.start() + new_length);
            if let Some(growth) = growth
                && platform().info().guest_range.encloses(growth)
                && self.tree.is_free(growth)
            {
                let mut added = template.clone();
                if let Object::File { offset, .. } = &mut added.object {
                    *offset += old.len();
                }
                added.populated = 0;
                self.locked_growth(&added, growth.len(), limits)?;
                absorb(removed, self.map_at(growth, added, limits)?.0);
                return Ok(old.start());
            }
        }
        if !flags.contains(RemapFlags::MAY_MOVE) {
            return Err(Errno::ENOMEM);
        }
        self.locked_growth(&template, new_length - old.len(), limits)?;
        let keeps_old = old.is_empty() || flags.contains(RemapFlags::DONT_UNMAP);
        let added = if keeps_old {
            new_length
        } else {
            new_length - old.len()
        };
        if self.tree.total.saturating_add(added) > limits.address_space {
            return Err(Errno::ENOMEM);
        }
        let new = match target {
            Some(range) => range,
            None => {
                let start = self.find_free(new_length, PAGE).ok_or(Errno::ENOMEM)?;
                page_range(GuestAddr(start), new_length).ok_or(Errno::ENOMEM)?
            }
        };
        if old.is_empty() {
            template.populated = 0;
            absorb(removed, self.map_at(new, template, &MemoryLimits::NONE)?.0);
            return Ok(new.start());
        }
        self.move_pages(old, new, template, removed)?;
        if flags.contains(RemapFlags::DONT_UNMAP) {
            self.map_empty(old)?;
        }
        Ok(new.start())
    }

    fn locked_growth(&self, vma: &Vma, bytes: u64, limits: &MemoryLimits) -> Result<(), Errno> {
        let locked = vma.flags.contains(VmaFlags::LOCKED);
        if locked && self.tree.locked.saturating_add(bytes) > limits.locked {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Moves the pages of `old`, in one mapping, to `new`, which is no shorter. `vma` describes
    /// the mapping from the start of `old` on.
    fn move_pages(
        &mut self,
        old: GuestRange,
        new: GuestRange,
        mut vma: Vma,
        removed: &mut Removed,
    ) -> Result<(), Errno> {
        self.room_for_splits(3)?;
        self.revert_all_texts(old)?;
        self.revert_texts(new)?;
        vma.end = new.end();
        let old_populated = self
            .tree
            .find(old.start())
            .map_or(0, |(start, vma)| vma.populated_end(start))
            .clamp(old.start(), old.end())
            - old.start();
        vma.hold(new.start());
        if !self.tree.is_free(new) {
            platform().unmap(new)?;
            self.forget_texts(new);
            absorb(removed, self.tree.remove(new));
        }
        let from = GuestRange::new(GuestAddr(old.start()), old_populated);
        let to = GuestRange::new(GuestAddr(new.start()), old_populated);
        let moved = match (from, to) {
            (Some(from), Some(to)) if old_populated > 0 => platform()
                .remap(from, to)
                .or_else(|_| copy_pages(from, to, &vma)),
            _ => Ok(()),
        };
        // Pages that the file has and the old mapping did not, or anonymous ones.
        let populated = moved.and_then(|()| {
            if old_populated == old.len() && old_populated < new.len() {
                host::populate(new.start(), &vma, old_populated)
            } else {
                Ok(old_populated)
            }
        });
        match populated {
            Ok(populated) => vma.populated = populated,
            Err(error) => {
                drop(Removed(alloc::vec![(new.start(), vma)]));
                let _ = platform().unmap(new);
                return Err(error);
            }
        }
        // The host may have left something where it moved only part.
        let _ = platform().unmap(old);
        absorb(removed, self.tree.remove_with_gap(old));
        self.tree.insert(new.start(), vma);
        Ok(())
    }

    /// Maps empty pages where a mapping was moved away, `MREMAP_DONTUNMAP`.
    fn map_empty(&mut self, range: GuestRange) -> Result<(), Errno> {
        let all = Protection::READ | Protection::WRITE | Protection::EXECUTE;
        let vma = Vma {
            end: range.end(),
            protection: Protection::READ | Protection::WRITE,
            allowed: all,
            sharing: Sharing::Private,
            flags: VmaFlags::empty(),
            object: Object::Anonymous,
            populated: 0,
        };
        let (removed, _) = self.map_at(range, vma, &MemoryLimits::NONE)?;
        drop(removed);
        Ok(())
    }
}

fn absorb(into: &mut Removed, mut more: Removed) {
    into.0.append(&mut more.0);
}

/// Maps anew and copies what a host that has `from` in several pieces did not want to move.
fn copy_pages(from: GuestRange, to: GuestRange, vma: &Vma) -> Result<(), Errno> {
    let mut wide = vma.clone();
    wide.end = to.end();
    wide.protection = Protection::READ | Protection::WRITE;
    if vma.sharing == Sharing::Shared {
        wide.protection = vma.protection;
    }
    if host::populate(to.start(), &wide, 0)? < to.len() {
        return Err(Errno::ENOMEM);
    }
    if vma.sharing == Sharing::Private {
        let mut buffer = [0; PAGE_SIZE];
        platform().protect(from, Protection::READ)?;
        for offset in (0..from.len()).step_by(PAGE_SIZE) {
            GuestAddr(from.start() + offset).read(&mut buffer)?;
            GuestAddr(to.start() + offset).write(&buffer)?;
        }
        platform().protect(to, vma.protection)?;
    }
    debug_assert!(from.len().is_multiple_of(PAGE));
    Ok(())
}
