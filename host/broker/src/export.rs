//! Exports: the host directories and files that a sandbox may reach, and what may be done there.

use crate::attributes::{IdMap, allowed_mode, append, file_type, stat, to_wire};
use crate::paths::ExportPath;
use crate::reopen::Reopener;
use capsid_wire::layout::DATA_BYTES;
use capsid_wire::message::{LOOKUP_COMPONENTS, LOOKUP_CONTENTS, LOOKUP_OPEN};
use capsid_wire::{HostStat, LookupReply};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What of a directory is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Everything,
    /// These paths and what lies below them; of the directories on the way, nothing else.
    Listed(Vec<Vec<u8>>),
}

impl Scope {
    /// Whether `path` may be looked at: it lies below a listed path, or on the way to one.
    fn allows(&self, path: &[u8]) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Listed(listed) => listed
                .iter()
                .any(|entry| lies_below(path, entry) || lies_below(entry, path)),
        }
    }
}

/// Whether `path` is `directory` or below it.
fn lies_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Which files of an export may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Those that the broker can open.
    Broker,
    /// Those that everyone on the host can open: a broker that runs as root must not hand out
    /// what is private to root just because it lies beside programs.
    Everyone,
}

/// One export.
#[derive(Debug)]
pub struct Export {
    /// `O_PATH`: names the place and allows nothing.
    root: OwnedFd,
    writable: bool,
    directory: bool,
    scope: Scope,
    readers: Readers,
}

/// How every path is resolved. Beneath the root and without symlinks, so that neither `..` nor a
/// link made during the walk leads out; without magic links, which jump anywhere.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS);

/// How often a walk is repeated that lost a race with a rename.
const RESOLVE_ATTEMPTS: usize = 8;

fn open_beneath(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for _ in 0..RESOLVE_ATTEMPTS {
        match rustix::fs::openat2(directory, path, flags, mode, RESOLVE) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A crossing of the root is not there as far as the sandbox can see.
            Err(Errno::XDEV) => return Err(Errno::NOENT),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

impl Export {
    /// Makes an export of an open directory or file (an `O_PATH` descriptor will do).
    pub fn new(
        root: OwnedFd,
        writable: bool,
        scope: Scope,
        readers: Readers,
    ) -> Result<Export, Errno> {
        let directory = match file_type(&stat(root.as_fd())?) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return Err(Errno::INVAL),
        };
        Ok(Export {
            root,
            writable: writable && scope == Scope::Everything,
            directory,
            scope,
            readers,
        })
    }

    /// Whether it is a directory, and not a single file.
    pub fn is_directory(&self) -> bool {
        self.directory
    }

    /// `EROFS` unless the export is writable.
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.writable {
            Ok(())
        } else {
            Err(Errno::ROFS)
        }
    }

    /// Whether a directory entry may be shown.
    pub fn shows(&self, directory: &[u8], name: &[u8]) -> bool {
        match &self.scope {
            Scope::Everything => true,
            Scope::Listed(_) if directory.is_empty() => self.scope.allows(name),
            Scope::Listed(_) => self.scope.allows(&[directory, b"/", name].concat()),
        }
    }

    /// Names a path, without opening what is there: an `O_PATH` descriptor.
    pub fn resolve(&self, path: ExportPath<'_>) -> Result<OwnedFd, Errno> {
        self.check_scope(path)?;
        if !self.directory {
            return Ok(rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?);
        }
        open_beneath(
            self.root.as_fd(),
            path.as_bytes(),
            OFlags::PATH,
            Mode::empty(),
        )
    }

    fn check_scope(&self, path: ExportPath<'_>) -> Result<(), Errno> {
        if !self.directory && !path.is_root() {
            return Err(Errno::NOTDIR);
        }
        if self.scope.allows(path.as_bytes()) {
            Ok(())
        } else {
            Err(Errno::NOENT)
        }
    }

    /// Names the directory in which a name is to be changed, and the name.
    fn parent<'a>(&self, path: ExportPath<'a>) -> Result<(OwnedFd, &'a [u8]), Errno> {
        self.check_writable()?;
        let (parent, name) = path.split_last().ok_or(Errno::BUSY)?;
        Ok((self.resolve(parent)?, name))
    }

    /// `EACCES` if the file is one that this export does not hand out.
    fn check_readable(&self, stat: &HostStat) -> Result<(), Errno> {
        if self.readers == Readers::Everyone && stat.mode & 0o004 == 0 {
            return Err(Errno::ACCESS);
        }
        Ok(())
    }

    /// Looks at the components of `path` after the first `skip`, appending to `reply` as
    /// [`capsid_wire::Operation::Lookup`] says. Returns a descriptor to donate if one was wanted.
    pub fn lookup(
        &self,
        path: ExportPath<'_>,
        flags: u64,
        skip: usize,
        tools: &Tools,
        reply: &mut Vec<u8>,
    ) -> (LookupReply, Option<OwnedFd>) {
        let mut outcome = LookupReply::default();
        let donated = self.walk(path, flags, skip, tools, reply, &mut outcome.components);
        let donated = donated.unwrap_or_else(|error| {
            outcome.error = u16::try_from(error.raw_os_error()).unwrap_or(u16::MAX);
            None
        });
        (outcome, donated)
    }

    fn walk(
        &self,
        path: ExportPath<'_>,
        flags: u64,
        skip: usize,
        tools: &Tools,
        reply: &mut Vec<u8>,
        looked_at: &mut u32,
    ) -> Result<Option<OwnedFd>, Errno> {
        let mut current = self.resolve(path.leading(skip))?;
        let mut rest = path.components().skip(skip).peekable();
        let mut depth = skip;
        if path.is_root() {
            append(reply, &current, tools.ids)?;
            *looked_at = 1;
            return Ok(None);
        }
        while let Some(name) = rest.next() {
            depth = depth.saturating_add(1);
            self.check_scope(path.leading(depth))?;
            current = open_beneath(current.as_fd(), name, OFlags::PATH, Mode::empty())?;
            let attributes = stat(current.as_fd())?;
            let kind = file_type(&attributes);
            let attributes = to_wire(&attributes, tools.ids);
            reply.extend_from_slice(&attributes.to_bytes());
            *looked_at = looked_at.saturating_add(1);
            match kind {
                FileType::Directory if *looked_at < LOOKUP_COMPONENTS as u32 => {}
                FileType::Symlink => {
                    reply.extend_from_slice(&read_link(current.as_fd())?);
                    break;
                }
                FileType::RegularFile
                    if rest.peek().is_none() && flags & (LOOKUP_OPEN | LOOKUP_CONTENTS) != 0 =>
                {
                    // Whoever cannot read the file can still look at it.
                    return Ok(self
                        .contents(current.as_fd(), &attributes, flags, tools, reply)
                        .unwrap_or(None));
                }
                _ => break,
            }
        }
        Ok(None)
    }

    /// Appends the contents of a small file to the reply, or opens the file for donation.
    fn contents(
        &self,
        file: BorrowedFd<'_>,
        attributes: &HostStat,
        flags: u64,
        tools: &Tools,
        reply: &mut Vec<u8>,
    ) -> Result<Option<OwnedFd>, Errno> {
        self.check_readable(attributes)?;
        let room = DATA_BYTES.saturating_sub(reply.len());
        let size = usize::try_from(attributes.size).unwrap_or(usize::MAX);
        // A file of size 0 may be one of procfs, whose size says nothing.
        let fits = flags & LOOKUP_CONTENTS != 0 && size <= room && size > 0;
        if !fits && flags & LOOKUP_OPEN == 0 {
            return Ok(None);
        }
        let opened = tools.reopener.regular(file, OFlags::RDONLY)?;
        if !fits {
            return Ok(Some(opened));
        }
        let start = reply.len();
        reply.resize(start + size, 0);
        if rustix::io::pread(&opened, &mut reply[start..], 0) == Ok(size) {
            return Ok(None);
        }
        reply.truncate(start);
        Ok((flags & LOOKUP_OPEN != 0).then_some(opened))
    }

    /// Opens a path: a directory for reading, or a regular file as `flags` say, which is created
    /// with `mode` if they say so.
    pub fn open(
        &self,
        path: ExportPath<'_>,
        flags: OFlags,
        mode: u64,
        tools: &Tools,
    ) -> Result<OwnedFd, Errno> {
        let access = flags & (OFlags::ACCMODE | OFlags::APPEND | OFlags::TRUNC);
        if access != OFlags::RDONLY || flags.contains(OFlags::CREATE) {
            self.check_writable()?;
        }
        if flags.contains(OFlags::CREATE | OFlags::EXCL) {
            return self.create(path, access, mode);
        }
        for _ in 0..RESOLVE_ATTEMPTS {
            match self.open_existing(path, access, flags, tools) {
                Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
                other => return other,
            }
            match self.create(path, access, mode) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn open_existing(
        &self,
        path: ExportPath<'_>,
        access: OFlags,
        flags: OFlags,
        tools: &Tools,
    ) -> Result<OwnedFd, Errno> {
        let file = self.resolve(path)?;
        let attributes = stat(file.as_fd())?;
        let kind = file_type(&attributes);
        self.check_readable(&to_wire(&attributes, tools.ids))?;
        if kind == FileType::Directory {
            if access != OFlags::RDONLY {
                return Err(Errno::ISDIR);
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            return open_beneath(file.as_fd(), b"", flags, Mode::empty());
        }
        if flags.contains(OFlags::DIRECTORY) {
            return Err(Errno::NOTDIR);
        }
        tools.reopener.regular(file.as_fd(), access)
    }

    fn create(&self, path: ExportPath<'_>, access: OFlags, mode: u64) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(path)?;
        // Exclusive: what is opened is what was made, a regular file.
        let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOCTTY | OFlags::NONBLOCK;
        open_beneath(parent.as_fd(), name, flags, allowed_mode(mode, false))
    }

    /// Reads a symlink.
    pub fn read_link(&self, path: ExportPath<'_>) -> Result<Vec<u8>, Errno> {
        read_link(self.resolve(path)?.as_fd())
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: ExportPath<'_>, mode: u64) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::mkdirat(&parent, name, allowed_mode(mode, true))?;
        open_beneath(parent.as_fd(), name, OFlags::PATH, Mode::empty())
    }

    /// Makes a FIFO, a socket's name or an empty file. `EPERM` for a device: a device node would
    /// reach the host's hardware.
    pub fn make_node(&self, path: ExportPath<'_>, mode: u64) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(path)?;
        let kind = FileType::from_raw_mode(u32::try_from(mode & 0o170_000).unwrap_or(0));
        let kind = match kind {
            FileType::Unknown | FileType::RegularFile => FileType::RegularFile,
            FileType::Fifo | FileType::Socket => kind,
            FileType::CharacterDevice | FileType::BlockDevice => return Err(Errno::PERM),
            _ => return Err(Errno::INVAL),
        };
        rustix::fs::mknodat(&parent, name, kind, allowed_mode(mode, false), 0)?;
        open_beneath(parent.as_fd(), name, OFlags::PATH, Mode::empty())
    }

    /// Makes a symlink that says `target`.
    pub fn symlink(&self, path: ExportPath<'_>, target: &[u8]) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::symlinkat(target, &parent, name)?;
        open_beneath(parent.as_fd(), name, OFlags::PATH, Mode::empty())
    }

    /// Removes a name, a directory's or another's.
    pub fn unlink(&self, path: ExportPath<'_>, directory: bool) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        let flags = if directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        rustix::fs::unlinkat(&parent, name, flags)
    }

    /// Renames.
    pub fn rename(
        &self,
        old: ExportPath<'_>,
        new: ExportPath<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        let flags = u32::try_from(flags)
            .ok()
            .and_then(RenameFlags::from_bits)
            .filter(|flags| (RenameFlags::NOREPLACE | RenameFlags::EXCHANGE).contains(*flags))
            .ok_or(Errno::INVAL)?;
        let (old_parent, old_name) = self.parent(old)?;
        let (new_parent, new_name) = self.parent(new)?;
        rustix::fs::renameat_with(&old_parent, old_name, &new_parent, new_name, flags)
    }

    /// Makes a hard link. A symlink is linked, not followed.
    pub fn link(&self, existing: ExportPath<'_>, new: ExportPath<'_>) -> Result<(), Errno> {
        let (old_parent, old_name) = self.parent(existing)?;
        let (new_parent, new_name) = self.parent(new)?;
        rustix::fs::linkat(
            &old_parent,
            old_name,
            &new_parent,
            new_name,
            AtFlags::empty(),
        )
    }
}

/// What every file operation needs of the broker.
#[derive(Debug)]
pub struct Tools {
    /// Opens what was checked.
    pub reopener: Reopener,
    /// Whose files are the guest's.
    pub ids: IdMap,
}

fn read_link(link: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    match rustix::fs::readlinkat(link, c"", Vec::new()) {
        Ok(target) => Ok(target.into_bytes()),
        // For a descriptor of something else the kernel says that the empty path is missing.
        Err(Errno::NOENT) => Err(Errno::INVAL),
        Err(error) => Err(error),
    }
}
