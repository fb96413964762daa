//! What an address space does when its text traps, and when it maps text.

use crate::fs::File;
use crate::memory::text::{
    MappedTexts, Outcome, PatchedText, TextCache, TextKey, Urgency, text_cache,
};
use alloc::sync::Arc;
use capsid_platform::{Errno, GuestAddr, GuestRange, Protection};

/// A private mapping of a file that is executable and was never writable.
#[derive(Clone, Copy, Debug)]
pub struct TextMapping<'a> {
    /// The file.
    pub file: &'a dyn File,
    /// Which of its bytes; [`TextKey::length`] is that of the mapping.
    pub key: TextKey,
    /// The address of the first byte.
    pub start: u64,
    /// What the guest may do with it.
    pub protection: Protection,
}

/// The free addresses of an address space.
pub trait TrampolineRoom {
    /// Whether nothing is mapped in `range`.
    fn is_free(&self, range: GuestRange) -> bool;

    /// Finds `bytes` of free addresses, best right behind the image that the text at `start` is
    /// part of, in any case less than 2 GiB from all of the text.
    fn find(&self, start: u64, bytes: u64) -> Option<u64>;

    /// Records that `range`, which was free, holds trampolines now: readable, executable, and no
    /// other mapping may take it unless the guest insists.
    fn take(&mut self, range: GuestRange);
}

impl MappedTexts {
    /// Handles a trap of the `syscall` at the address `site`, in `mapping`, or in trampolines if
    /// there is none. Maps the text's patched copy if there is one now, and patches the site if it
    /// can be done.
    ///
    /// Returns where the thread goes on after the call. To be asked again
    /// ([`MappedTexts::resume_address`]) after a call that took its time.
    pub fn trapped(
        &mut self,
        mapping: Option<&TextMapping<'_>>,
        site: GuestAddr,
        urgency: Urgency,
        room: &mut dyn TrampolineRoom,
    ) -> u64 {
        if let Some(mapping) = mapping {
            // A failure leaves the site as it is.
            let _ = self.patch(text_cache(), mapping, site, urgency, room);
        }
        self.resume_address(site.0.saturating_add(2))
    }

    fn patch(
        &mut self,
        cache: &TextCache,
        mapping: &TextMapping<'_>,
        site: GuestAddr,
        urgency: Urgency,
        room: &mut dyn TrampolineRoom,
    ) -> Result<(), Errno> {
        let offset = site.0.checked_sub(mapping.start).ok_or(Errno::EINVAL)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let text = match self.at(site.0) {
            Some(mapped) if mapped.start == mapping.start && *mapped.text.key() == mapping.key => {
                Arc::clone(&mapped.text)
            }
            Some(_) => return Err(Errno::EINVAL),
            None => {
                let text = match find(cache, mapping, room) {
                    Some(text) => text,
                    None if cache.is_worth_a_copy(&mapping.key, urgency) => {
                        cache.make(mapping.file, &mapping.key, offset, |bytes| {
                            let area = room.find(mapping.start, bytes)?;
                            Some(area.cast_signed() - mapping.start.cast_signed())
                        })?
                    }
                    None => return Ok(()),
                };
                self.map_copy(mapping, Arc::clone(&text), room)?;
                text
            }
        };
        if text.patch(mapping.file, offset) == Outcome::Patched {
            self.map_added(mapping.start, mapping.protection)?;
        }
        Ok(())
    }

    /// Maps the patched copy over `mapping`, which was just made and has not been executed, if
    /// there is one whose trampolines find room.
    pub fn map_if_patched(&mut self, mapping: &TextMapping<'_>, room: &mut dyn TrampolineRoom) {
        if let Some(text) = find(text_cache(), mapping, room) {
            // A failure leaves text that traps.
            let _ = self.map_copy(mapping, text, room);
        }
    }

    fn map_copy(
        &mut self,
        mapping: &TextMapping<'_>,
        text: Arc<PatchedText>,
        room: &mut dyn TrampolineRoom,
    ) -> Result<(), Errno> {
        let area = text.trampoline_range(mapping.start).ok_or(Errno::ENOMEM)?;
        room.take(area);
        self.map(mapping.start, mapping.protection, text)
    }
}

fn find(
    cache: &TextCache,
    mapping: &TextMapping<'_>,
    room: &dyn TrampolineRoom,
) -> Option<Arc<PatchedText>> {
    cache.find(&mapping.key, |text| {
        let area = text.trampoline_range(mapping.start);
        area.is_some_and(|area| room.is_free(area))
    })
}
