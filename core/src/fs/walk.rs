//! Walking paths, path_resolution(7), openat2(2).

use crate::fs::dentry::Dentry;
use crate::fs::permission::{self, Access};
use crate::fs::view::{Place, View};
use crate::fs::{FileKind, MountFlags, NAME_MAX, PATH_MAX, Path};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::Errno;

/// Symlinks followed in one walk.
const LINKS_MAX: u32 = 40;

bitflags! {
    /// How a path is walked.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct LookupFlags: u32 {
        /// Follow a symlink at the end.
        const FOLLOW = 1;
        /// The end must be a directory.
        const DIRECTORY = 2;
        /// An empty path is the starting place (`AT_EMPTY_PATH`).
        const EMPTY_PATH = 4;
        /// Do not cross mounts (`RESOLVE_NO_XDEV`).
        const NO_MOUNTS = 8;
        /// Follow no magic links (`RESOLVE_NO_MAGICLINKS`).
        const NO_MAGIC_LINKS = 16;
        /// Follow no symlinks at all (`RESOLVE_NO_SYMLINKS`).
        const NO_SYMLINKS = 32;
        /// Stay below the starting place, else `EXDEV` (`RESOLVE_BENEATH`).
        const BENEATH = 64;
        /// The starting place is the root (`RESOLVE_IN_ROOT`).
        const IN_ROOT = 128;
    }
}

/// The last component of a path.
#[derive(Debug)]
pub(super) struct Last<'a> {
    /// What kind of name it is.
    pub(super) kind: LastKind<'a>,
    /// Slashes follow it: it must be a directory.
    pub(super) slashes: bool,
}

/// A component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastKind<'a> {
    /// A name.
    Name(&'a [u8]),
    /// `.`.
    Dot,
    /// `..`.
    DotDot,
    /// There is none: the path is all slashes.
    Root,
}

/// One walk under way.
pub(super) struct Walk<'a> {
    view: &'a View<'a>,
    flags: LookupFlags,
    root: &'a Path,
    /// Where it has come to.
    pub(super) at: Path,
    links: u32,
}

impl<'a> Walk<'a> {
    /// Starts a walk and takes the leading slashes: `ENOENT` for an empty path (unless allowed),
    /// `ENAMETOOLONG`.
    pub(super) fn start(
        view: &'a View<'a>,
        place: Place<'a>,
        flags: LookupFlags,
    ) -> Result<Walk<'a>, Errno> {
        if place.path.is_empty() && !flags.contains(LookupFlags::EMPTY_PATH) {
            return Err(Errno::ENOENT);
        }
        if place.path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let scoped = flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT);
        let root = if scoped { place.start } else { view.root };
        let from_root = place.path.first() == Some(&b'/');
        if from_root && flags.contains(LookupFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let mut walk = Walk {
            view,
            flags,
            root,
            at: place.start.clone(),
            links: 0,
        };
        if from_root {
            walk.check_crossing(root)?;
            walk.at = root.clone();
        }
        Ok(walk)
    }

    /// Walks all of `path` and leaves `at` at its end.
    pub(super) fn walk_to_end(&mut self, path: &[u8], flags: LookupFlags) -> Result<(), Errno> {
        let last = self.walk_to_parent(path)?;
        let follow = flags.contains(LookupFlags::FOLLOW) || last.slashes;
        match last.kind {
            LastKind::Name(name) => {
                let child = self.child(name, b"")?;
                self.enter(child, follow)?;
            }
            LastKind::DotDot => self.up()?,
            LastKind::Dot | LastKind::Root => {}
        }
        if last.slashes || flags.contains(LookupFlags::DIRECTORY) {
            self.check_directory()?;
        }
        Ok(())
    }

    /// Walks to the directory of the last component, and returns that component. Each directory
    /// on the way, the last one too, must allow searching.
    pub(super) fn walk_to_parent<'p>(&mut self, path: &'p [u8]) -> Result<Last<'p>, Errno> {
        let mut rest = skip_slashes(path);
        if rest.is_empty() {
            return Ok(Last {
                kind: LastKind::Root,
                slashes: !path.is_empty(),
            });
        }
        loop {
            let end = rest.iter().position(|&byte| byte == b'/');
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            let next = skip_slashes(after);
            let kind = match name {
                b"." => LastKind::Dot,
                b".." => LastKind::DotDot,
                _ => LastKind::Name(name),
            };
            self.check_search()?;
            if next.is_empty() {
                let slashes = !after.is_empty();
                return Ok(Last { kind, slashes });
            }
            match kind {
                LastKind::Name(name) => {
                    let child = self.child(name, next)?;
                    self.enter(child, true)?;
                }
                LastKind::DotDot => self.up()?,
                LastKind::Dot | LastKind::Root => {}
            }
            rest = next;
        }
    }

    fn check_directory(&self) -> Result<(), Errno> {
        if self.at.is_directory() {
            Ok(())
        } else {
            Err(Errno::ENOTDIR)
        }
    }

    /// Checks that names may be looked up here.
    fn check_search(&self) -> Result<(), Errno> {
        self.check_directory()?;
        permission::check_inode(&**self.at.inode(), Access::EXECUTE, self.view.credentials)
    }

    /// Looks a name up here; `rest` is what the walk wants after it.
    pub(super) fn child(&self, name: &[u8], rest: &[u8]) -> Result<Arc<Dentry>, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.at.dentry().child(name, rest)
    }

    /// Goes up one directory.
    fn up(&mut self) -> Result<(), Errno> {
        if self.at.is_same(self.root) && self.flags.contains(LookupFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let above = self.view.namespace.covering(self.at.parent(self.root));
        self.check_crossing(&above)?;
        self.at = above;
        Ok(())
    }

    fn check_crossing(&self, to: &Path) -> Result<(), Errno> {
        let crosses = !Arc::ptr_eq(self.at.mount(), to.mount());
        if crosses && self.flags.contains(LookupFlags::NO_MOUNTS) {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// Goes to a child of this directory: across mounts, and along a symlink if `follow`.
    pub(super) fn enter(&mut self, child: Arc<Dentry>, follow: bool) -> Result<(), Errno> {
        let kind = child.inode().kind();
        if kind == FileKind::Symlink && follow {
            return self.follow(&child);
        }
        let mounted = child.is_mount_point();
        self.at.set_dentry(child);
        if mounted {
            let inner = self.view.namespace.covering(self.at.clone());
            self.check_crossing(&inner)?;
            self.at = inner;
        }
        Ok(())
    }

    /// Counts one more followed symlink and checks that it may be followed.
    pub(super) fn check_follow(&mut self) -> Result<(), Errno> {
        self.links += 1;
        let forbidden = self.flags.contains(LookupFlags::NO_SYMLINKS)
            || self.at.mount().flags().contains(MountFlags::NO_SYMLINKS);
        if self.links > LINKS_MAX || forbidden {
            return Err(Errno::ELOOP);
        }
        Ok(())
    }

    fn follow(&mut self, link: &Arc<Dentry>) -> Result<(), Errno> {
        self.check_follow()?;
        match self.link_target(link)? {
            None => Ok(()),
            Some(target) => {
                self.take_root(&target)?;
                self.walk_to_end(&target, LookupFlags::FOLLOW)
            }
        }
    }

    /// Reads a link; a magic one is followed at once, and gives `None`.
    pub(super) fn link_target(&mut self, link: &Arc<Dentry>) -> Result<Option<Vec<u8>>, Errno> {
        if let Some(path) = link.inode().follow()? {
            if self.flags.contains(LookupFlags::NO_MAGIC_LINKS) {
                return Err(Errno::ELOOP);
            }
            if self
                .flags
                .intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT)
            {
                return Err(Errno::EXDEV);
            }
            self.check_crossing(&path)?;
            self.at = path;
            return Ok(None);
        }
        let target = link.inode().read_link()?;
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        Ok(Some(target))
    }

    /// Goes to the root if a link's target begins there.
    pub(super) fn take_root(&mut self, target: &[u8]) -> Result<(), Errno> {
        if target.first() == Some(&b'/') {
            if self.flags.contains(LookupFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            self.check_crossing(self.root)?;
            self.at = self.root.clone();
        }
        Ok(())
    }
}

fn skip_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&byte| byte != b'/');
    path.get(start.unwrap_or(path.len())..).unwrap_or_default()
}
