//! Opening, open(2), openat2(2), creat(2).

use crate::credentials::Capabilities;
use crate::fs::attributes::size_change;
use crate::fs::dentry::Dentry;
use crate::fs::leases::{self, Breaker};
use crate::fs::notify::{self, FileEvents, file_event, name_event};
use crate::fs::permission::{self, Access, SET_GROUP};
use crate::fs::view::{Place, View};
use crate::fs::walk::{LastKind, Walk};
use crate::fs::write_access::Hold;
use crate::fs::{
    DirectoryFile, FileKind, Inode, LookupFlags, MountFlags, NewNode, OpenFile, Path, PathFile,
    StatusFlags, special,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::Errno;

bitflags! {
    /// The flags of open(2) that act once, with Linux's x86-64 bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CreationFlags: u32 {
        /// Make the file if it does not exist.
        const CREATE = 0o100;
        /// Fail if it exists.
        const EXCLUSIVE = 0o200;
        /// Do not make a terminal the controlling one.
        const NO_CONTROLLING_TERMINAL = 0o400;
        /// Cut the file to nothing.
        const TRUNCATE = 0o1000;
        /// Make a file without a name in the directory that is named.
        const UNNAMED = 0o20_000_000;
    }
}

/// How to open.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Access mode and status flags; with [`StatusFlags::PATH`] only `DIRECTORY` and `NOFOLLOW`
    /// count.
    pub flags: StatusFlags,
    /// What to do once.
    pub creation: CreationFlags,
    /// Permission bits of a new file, before the umask.
    pub mode: u32,
    /// Limits on the walk (`RESOLVE_*`).
    pub resolve: LookupFlags,
}

impl OpenOptions {
    /// Plain opening with these flags.
    #[must_use]
    pub fn new(flags: StatusFlags) -> OpenOptions {
        OpenOptions {
            flags,
            creation: CreationFlags::empty(),
            mode: 0,
            resolve: LookupFlags::empty(),
        }
    }

    /// What the file must allow.
    fn access(&self) -> Access {
        let mut access = Access::empty();
        access.set(Access::READ, self.flags.readable());
        access.set(
            Access::WRITE,
            self.flags.writable() || self.creation.contains(CreationFlags::TRUNCATE),
        );
        access
    }
}

/// What the walk of an open that may create came to.
enum Target {
    Existing(Path),
    Created(Path),
}

impl View<'_> {
    /// Opens what a path names, or makes it.
    pub fn open(&self, place: Place<'_>, options: &OpenOptions) -> Result<OpenFile, Errno> {
        let creation = options.creation;
        if options.flags.contains(StatusFlags::PATH)
            || !creation.intersects(CreationFlags::CREATE | CreationFlags::UNNAMED)
        {
            let mut flags = options.resolve;
            flags.set(
                LookupFlags::FOLLOW,
                !options.flags.contains(StatusFlags::NOFOLLOW),
            );
            let path = self.resolve(place, flags)?;
            return self.open_path(path, options);
        }
        if creation.contains(CreationFlags::UNNAMED) {
            return self.open_unnamed(place, options);
        }
        match self.find_or_create(place, options)? {
            Target::Existing(path) if path.is_directory() => Err(Errno::EISDIR),
            Target::Existing(path) => self.open_path(path, options),
            Target::Created(path) => {
                let flags = self.effective_flags(&path, options.flags);
                let hold = writing(path.inode(), options.flags)?;
                let file = path.inode().clone().open(flags)?;
                Ok(opened(
                    OpenFile::at(file, options.flags, path).holding(hold),
                ))
            }
        }
    }

    /// Opens a place that was found, with all checks.
    pub fn open_path(&self, path: Path, options: &OpenOptions) -> Result<OpenFile, Errno> {
        let flags = options.flags;
        let kind = path.kind();
        if flags.contains(StatusFlags::DIRECTORY) && kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(StatusFlags::PATH) {
            let file = Arc::new(PathFile::new(path.inode().clone()));
            return Ok(OpenFile::at(file, flags, path));
        }
        let access = options.access();
        match kind {
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Directory if access.contains(Access::WRITE) => return Err(Errno::EISDIR),
            FileKind::CharacterDevice | FileKind::BlockDevice
                if path.mount().flags().contains(MountFlags::NO_DEVICES) =>
            {
                return Err(Errno::EACCES);
            }
            _ => {}
        }
        permission::check(&path, access, self.credentials)?;
        if flags.contains(StatusFlags::NOATIME)
            && !permission::owns(&**path.inode(), self.credentials)?
        {
            return Err(Errno::EPERM);
        }
        let truncates =
            kind == FileKind::Regular && options.creation.contains(CreationFlags::TRUNCATE);
        if kind == FileKind::Regular {
            let breaker = if access.contains(Access::WRITE) {
                Breaker::Writes
            } else {
                Breaker::Reads
            };
            leases::check(path.inode(), breaker)?;
        }
        let hold = if kind == FileKind::Regular {
            writing(path.inode(), flags)?
        } else {
            None
        };
        let change = if truncates {
            let _briefly = Hold::to_write(path.inode())?;
            let change = size_change(&**path.inode(), 0, self.credentials)?;
            path.inode().set_attributes(&change)?;
            Some(change)
        } else {
            None
        };
        let inode = path.inode().clone();
        let effective = self.effective_flags(&path, flags);
        let file = match kind {
            FileKind::Directory => Arc::new(DirectoryFile::new(inode)),
            FileKind::Fifo => special::open_fifo(&inode, flags)?,
            FileKind::Socket => return Err(Errno::ENXIO),
            FileKind::CharacterDevice | FileKind::BlockDevice => {
                special::open_device(&inode, effective)?
            }
            _ => inode.open(effective)?,
        };
        let file = opened(OpenFile::at(file, flags, path).holding(hold));
        if let Some(change) = change {
            // Linux opens before it cuts.
            notify::attributes_changed(&file, &change);
        }
        Ok(file)
    }

    /// Walks like open with `O_CREAT`: a dangling symlink at the end is created through.
    fn find_or_create(&self, place: Place<'_>, options: &OpenOptions) -> Result<Target, Errno> {
        let exclusive = options.creation.contains(CreationFlags::EXCLUSIVE);
        let follow = !exclusive && !options.flags.contains(StatusFlags::NOFOLLOW);
        let mut walk = Walk::start(self, place, options.resolve)?;
        let mut link_text: Vec<u8>;
        let mut text = place.path;
        loop {
            let last = walk.walk_to_parent(text)?;
            let LastKind::Name(name) = last.kind else {
                return Err(if exclusive {
                    Errno::EEXIST
                } else {
                    Errno::EISDIR
                });
            };
            if last.slashes {
                return Err(Errno::EISDIR);
            }
            let child = match walk.child(name, b"") {
                Ok(child) => child,
                Err(Errno::ENOENT) => match self.create_regular(&walk.at, name, options)? {
                    Created::New(path) => return Ok(Target::Created(path)),
                    Created::Found(child) => child,
                },
                Err(error) => return Err(error),
            };
            if exclusive {
                return Err(Errno::EEXIST);
            }
            if child.inode().kind() != FileKind::Symlink || !follow {
                walk.enter(child, false)?;
                return Ok(Target::Existing(walk.at));
            }
            walk.check_follow()?;
            let Some(target) = walk.link_target(&child)? else {
                return Ok(Target::Existing(walk.at));
            };
            walk.take_root(&target)?;
            link_text = target;
            text = &link_text;
        }
    }

    fn create_regular(
        &self,
        directory: &Path,
        name: &[u8],
        options: &OpenOptions,
    ) -> Result<Created, Errno> {
        let dentry = directory.dentry();
        let names = dentry.lock_names();
        match names.child(name) {
            Ok(child) => return Ok(Created::Found(child)),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        if dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        permission::check(directory, Access::CHANGE_NAMES, self.credentials)?;
        let (owner, inherits) = self.new_owner(directory)?;
        let mode = self.new_mode(options.mode & 0o7777, owner.group, inherits);
        let inode = dentry.inode().create(name, NewNode::Regular, mode, owner)?;
        let child = names.found(name, inode);
        name_event(dentry, name, FileEvents::CREATE, FileKind::Regular);
        Ok(Created::New(Path::new(directory.mount().clone(), child)))
    }

    /// The flags that the file system sees: those of the mount and of the opener added.
    fn effective_flags(&self, path: &Path, mut flags: StatusFlags) -> StatusFlags {
        let mount = path.mount().flags();
        if mount.intersects(MountFlags::NO_ACCESS_TIME | MountFlags::READ_ONLY) {
            flags |= StatusFlags::NOATIME;
        }
        let keeps = self.credentials.has(Capabilities::FSETID);
        flags.set(StatusFlags::KEEPS_SET_ID, keeps);
        flags
    }

    /// The permission bits of a new file: without the umask's, and without set-group-id if that
    /// would hand out a group that the maker is not in.
    pub(super) fn new_mode(&self, mode: u32, group: u32, inherits: bool) -> u32 {
        let mode = mode & !self.umask;
        let grants = inherits
            && mode & (SET_GROUP | 0o010) == SET_GROUP | 0o010
            && !self.credentials.in_group(group)
            && !self.credentials.has(Capabilities::FSETID);
        if grants { mode & !SET_GROUP } else { mode }
    }

    fn open_unnamed(&self, place: Place<'_>, options: &OpenOptions) -> Result<OpenFile, Errno> {
        if !options.flags.writable() {
            return Err(Errno::EINVAL);
        }
        let flags = options.resolve | LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
        let directory = self.resolve(place, flags)?;
        permission::check(&directory, Access::CHANGE_NAMES, self.credentials)?;
        let (owner, inherits) = self.new_owner(&directory)?;
        let mode = self.new_mode(options.mode & 0o7777, owner.group, inherits);
        let inode = directory.inode().create_unnamed(mode, owner)?;
        let number = inode.metadata()?.inode;
        let label = alloc::format!("#{number}");
        let dentry = Dentry::unnamed(directory.dentry(), inode.clone(), label.as_bytes());
        let path = Path::new(directory.mount().clone(), dentry);
        let hold = writing(&inode, options.flags)?;
        let file = inode.open(self.effective_flags(&path, options.flags))?;
        let flags = options.flags - StatusFlags::DIRECTORY;
        Ok(opened(OpenFile::at(file, flags, path).holding(hold)))
    }
}

/// What a description that can write holds: `ETXTBSY` for a program that is executed.
fn writing(inode: &Arc<dyn Inode>, flags: StatusFlags) -> Result<Option<Hold>, Errno> {
    if flags.writable() {
        Hold::to_write(inode)
    } else {
        Ok(None)
    }
}

/// Tells those who watch that a file was opened.
fn opened(file: OpenFile) -> OpenFile {
    file_event(&file, FileEvents::OPEN);
    file
}

/// What creating found under its lock.
enum Created {
    New(Path),
    Found(Arc<Dentry>),
}
