//! Look-ups: merging what the layers have under a name.

use super::inode::{OverlayInode, Parts, UpperPlace};
use super::{Key, LowerLinks, Overlay, is_whiteout};
use crate::fs::{FileKind, Inode};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::sync::atomic::AtomicU32;

impl OverlayInode {
    /// Finds `name` in this directory: `ENOENT`.
    pub(super) fn find(&self, name: &[u8], rest: &[u8]) -> Result<Arc<OverlayInode>, Errno> {
        self.check_directory()?;
        let overlay = self.overlay()?;
        let place = || {
            Ok(UpperPlace {
                directory: self.itself()?,
                name: name.into(),
            })
        };
        let upper = self.upper_child(name)?;
        let Some(upper) = upper else {
            let lowers = self.lower_children(name, rest)?;
            return overlay.of_lowers(lowers, place()?);
        };
        if is_whiteout(&*upper)? {
            return Err(Errno::ENOENT);
        }
        if upper.kind() != FileKind::Directory {
            return overlay.of_upper(upper, None);
        }
        overlay.of_upper(upper, Some((self, name)))
    }

    /// What the upper layer has under the name.
    pub(super) fn upper_child(&self, name: &[u8]) -> Result<Option<Arc<dyn Inode>>, Errno> {
        let Some(upper) = self.upper() else {
            return Ok(None);
        };
        match upper.lookup(name) {
            Ok(child) => Ok(Some(child)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the lower layers have under the name, as far as it shows: one inode that is not a
    /// directory, or directories to merge. Empty if there is nothing.
    pub(super) fn lower_children(
        &self,
        name: &[u8],
        rest: &[u8],
    ) -> Result<Vec<Arc<dyn Inode>>, Errno> {
        let mut found: Vec<Arc<dyn Inode>> = Vec::new();
        for lower in &self.lowers {
            let child = match lower.lookup_ahead(name, rest) {
                Ok(child) => child,
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(error),
            };
            let is_directory = child.kind() == FileKind::Directory;
            if is_whiteout(&*child)? || (!is_directory && !found.is_empty()) {
                break;
            }
            found.push(child);
            if !is_directory {
                break;
            }
        }
        Ok(found)
    }

    /// Whether a lower layer shows something under the name, so that removing it takes a whiteout.
    pub(super) fn is_in_lower(&self, name: &[u8]) -> Result<bool, Errno> {
        Ok(!self.lower_children(name, b"")?.is_empty())
    }
}

impl Overlay {
    /// The inode over an upper one. A directory also gets its lower parts: `place` is where it
    /// was found.
    pub(super) fn of_upper(
        &self,
        upper: Arc<dyn Inode>,
        place: Option<(&OverlayInode, &[u8])>,
    ) -> Result<Arc<OverlayInode>, Errno> {
        let number = upper.metadata()?.inode;
        let records = self.records.lock();
        let origin = records.origins.get(&number).copied();
        let key = origin.unwrap_or(Key::Upper(number));
        if let Some(inode) = records.live.get(&key).and_then(Weak::upgrade) {
            return Ok(inode);
        }
        let parts = records.lower_parts.get(&number).cloned();
        let links = records.links.get(&key).cloned();
        drop(records);
        let lowers = match (parts, place) {
            (Some(parts), _) => parts,
            (None, Some((directory, name))) => {
                let mut lowers = directory.lower_children(name, b"")?;
                lowers.retain(|lower| lower.kind() == FileKind::Directory);
                lowers
            }
            (None, None) => Vec::new(),
        };
        let parts = Parts {
            kind: upper.kind(),
            upper: Some(upper),
            lowers,
            place: None,
            links,
        };
        Ok(self.remember(key, parts))
    }

    /// The inode over lower ones: `ENOENT` if there are none.
    fn of_lowers(
        &self,
        lowers: Vec<Arc<dyn Inode>>,
        place: UpperPlace,
    ) -> Result<Arc<OverlayInode>, Errno> {
        let first = lowers.first().ok_or(Errno::ENOENT)?;
        let kind = first.kind();
        let metadata = first.metadata()?;
        let key = Key::of_lower(&metadata);
        let mut records = self.records.lock();
        if let Some(inode) = records.live.get(&key).and_then(Weak::upgrade) {
            return Ok(inode);
        }
        let links = (kind != FileKind::Directory && metadata.links > 1).then(|| {
            let fresh = || Arc::new(LowerLinks::new(metadata.links));
            records.links.entry(key).or_insert_with(fresh).clone()
        });
        drop(records);
        // Another link of the file may have been copied up.
        let copy = links.as_ref().and_then(|links| links.copy.get());
        let parts = match copy {
            Some(upper) => Parts {
                kind,
                upper: Some(upper.clone()),
                lowers: Vec::new(),
                place: None,
                links,
            },
            None => Parts {
                kind,
                upper: None,
                lowers,
                place: Some(place),
                links,
            },
        };
        Ok(self.remember(key, parts))
    }
}

impl LowerLinks {
    fn new(count: u32) -> LowerLinks {
        LowerLinks {
            count,
            hidden: AtomicU32::new(0),
            copy: spin::Once::new(),
        }
    }
}
