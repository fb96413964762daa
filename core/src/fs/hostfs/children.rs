//! What a directory of an export knows of its names, and looking names up.

use super::descriptors::{Descriptor, Use, take_credit};
use super::file_system::Moment;
use super::inode::HostInode;
use super::listing::Listing;
use super::protocol::{self, Keep};
use crate::fs::{FileKind, PATH_MAX};
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use capsid_wire::HostStat;
use hashbrown::HashMap;

/// Names of a directory. Inodes are owned by whoever uses them.
#[derive(Debug, Default)]
pub(super) struct Children(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    inodes: HashMap<Arc<[u8]>, Weak<HostInode>>,
    /// When the map has this many names, those without an inode are dropped.
    prune_at: usize,
    /// A name that does not exist.
    missing: Option<(Arc<[u8]>, Moment)>,
    /// All names, of a stable export.
    listing: Option<Arc<Listing>>,
}

impl Children {
    /// The inode of a name, if one is in use.
    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<HostInode>> {
        self.0.lock().inodes.get(name)?.upgrade()
    }

    /// Remembers the inode of a name.
    pub(super) fn put(&self, name: &[u8], inode: &Arc<HostInode>) {
        let mut state = self.0.lock();
        state.inodes.insert(name.into(), Arc::downgrade(inode));
        if state.inodes.len() > state.prune_at.max(64) {
            state.inodes.retain(|_, inode| inode.strong_count() > 0);
            state.prune_at = state.inodes.len() * 2;
        }
    }

    /// Forgets a name, and returns its inode if one is in use.
    pub(super) fn take(&self, name: &[u8]) -> Option<Arc<HostInode>> {
        self.0.lock().inodes.remove(name)?.upgrade()
    }

    fn set_missing(&self, name: &[u8], moment: Moment) {
        let before = self.0.lock().missing.replace((name.into(), moment));
        drop(before);
    }

    /// The listing of a stable directory, if it was read.
    pub(super) fn listing(&self) -> Option<Arc<Listing>> {
        self.0.lock().listing.clone()
    }

    /// Keeps the listing of a stable directory.
    pub(super) fn set_listing(&self, listing: Arc<Listing>) {
        self.0.lock().listing = Some(listing);
    }
}

impl HostInode {
    /// Finds a name, and fetches what a walk along `rest` will ask for next.
    pub(super) fn find(&self, name: &[u8], rest: &[u8]) -> Result<Arc<HostInode>, Errno> {
        if self.kind_is_directory() {
            if let Some(known) = self.known(name) {
                return known;
            }
            return self.fetch(name, rest);
        }
        Err(Errno::ENOTDIR)
    }

    fn kind_is_directory(&self) -> bool {
        crate::fs::Inode::kind(self) == FileKind::Directory
    }

    /// What is known of a name without asking.
    fn known(&self, name: &[u8]) -> Option<Result<Arc<HostInode>, Errno>> {
        if let Some(child) = self.children.get(name)
            && child.is_fresh()
        {
            return Some(Ok(child));
        }
        let state = self.children.0.lock();
        let missing = state
            .missing
            .as_ref()
            .is_some_and(|(known, moment)| **known == *name && self.host().is_fresh(*moment));
        let unlisted = state
            .listing
            .as_ref()
            .is_some_and(|listing| !listing.contains(name));
        (missing || unlisted).then_some(Err(Errno::ENOENT))
    }

    fn fetch(&self, name: &[u8], rest: &[u8]) -> Result<Arc<HostInode>, Errno> {
        let moment = self.host().moment();
        let above = self.path()?;
        let depth = above
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
            .count();
        let mut path = self.path_of(name)?;
        for component in plain_components(rest) {
            if path.len() + 1 + component.len() < PATH_MAX {
                path.push(b'/');
                path.extend_from_slice(component);
            }
        }
        let keep = if self.host().is_stable() {
            Keep::Descriptor
        } else {
            Keep::Both
        };
        let open = take_credit().then_some(keep);
        let looked = protocol::lookup(self.host().export(), &path, depth, open)?;
        let opened = looked.opened.map(Descriptor::opened_ahead);
        let mut names = path.split(|&byte| byte == b'/').skip(depth);
        let mut found: Vec<Arc<HostInode>> = Vec::with_capacity(looked.components.len());
        for stat in &looked.components {
            let Some(name) = names.next() else {
                return Err(Errno::EIO);
            };
            let child = match found.last() {
                Some(parent) => parent.adopt(name, *stat, moment)?,
                None => self.adopt(name, *stat, moment)?,
            };
            found.push(child);
        }
        if let Some(last) = found.last()
            && crate::fs::Inode::kind(&**last) == FileKind::Symlink
        {
            last.learn_target(&looked.target, moment);
        }
        if let (Some(last), Some(opened)) = (found.last(), opened)
            && crate::fs::Inode::kind(&**last) == FileKind::Regular
        {
            last.descriptors().put(Use::Read, opened);
        }
        if looked.error == Some(Errno::ENOENT)
            && let Some(name) = names.next()
        {
            match found.last() {
                Some(parent) => parent.children.set_missing(name, moment),
                None => self.children.set_missing(name, moment),
            }
        }
        let first = found.first().cloned();
        self.host().keep_ahead(found);
        first.ok_or(looked.error.unwrap_or(Errno::EIO))
    }

    /// The inode of a name that the broker described: the one in use, if it is still that object.
    pub(super) fn adopt(
        &self,
        name: &[u8],
        stat: HostStat,
        moment: Moment,
    ) -> Result<Arc<HostInode>, Errno> {
        if let Some(child) = self.children.get(name) {
            if child.is_described_by(&stat) {
                child.learn(stat, moment);
                return Ok(child);
            }
            child.set_removed();
        }
        let child = HostInode::new(&self.me()?, name, stat, moment)?;
        self.children.put(name, &child);
        Ok(child)
    }
}

/// The leading components that name something below: `..` leads elsewhere, and ends them.
fn plain_components(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|&byte| byte == b'/')
        .filter(|component| !matches!(*component, b"" | b"."))
        .take_while(|component| *component != b".." && component.len() <= crate::fs::NAME_MAX)
}

#[cfg(test)]
mod tests {
    use super::plain_components;
    use alloc::vec::Vec;

    #[test]
    fn only_what_lies_below_is_fetched() {
        let components = |rest: &'static [u8]| plain_components(rest).collect::<Vec<_>>();
        assert_eq!(components(b"a/./b//c/"), [b"a", b"b", b"c"]);
        assert_eq!(components(b"a/../b"), [b"a"]);
        assert!(components(b"").is_empty());
        assert!(components(b"..").is_empty());
    }
}
