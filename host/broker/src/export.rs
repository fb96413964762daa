//! Exports: the host directories and files that a sandbox may reach, and what may be done there.

use crate::attributes::{IdMap, allowed_mode, check_regular, file_type, stat, stat_at, to_wire};
use crate::paths::ExportPath;
use crate::reopen::Reopener;
use capsid_wire::HostStat;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Statx};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    root: Arc<OwnedFd>,
    writable: bool,
    directory: bool,
    scope: Scope,
    readers: Readers,
    walked: Walked,
}

/// Directories that were walked through lately, by path.
#[derive(Debug)]
enum Walked {
    /// Of a stable export.
    Stable(Mutex<HashMap<Vec<u8>, Arc<OwnedFd>>>),
    /// Of one that may change: the latest, and until when it is believed to be there.
    Changing(Mutex<Option<Latest>>),
}

/// The directory that was used last.
#[derive(Debug)]
struct Latest {
    path: Vec<u8>,
    directory: Arc<OwnedFd>,
    until: Instant,
}

/// Whether the contents of an export may change during the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// They do not: what was seen once holds.
    Stable,
    /// They may.
    Changing,
}

/// How long the latest directory of a changing export is used again: for a look and an open, or for
/// the files of a directory one after the other. The library OS believes attributes as long.
const LATEST_LIFETIME: Duration = Duration::from_millis(1);
/// How many directories are kept open for walks through them.
const WALKED_DIRECTORIES: usize = 128;

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
        stability: Stability,
    ) -> Result<Export, Errno> {
        let directory = match file_type(&stat(root.as_fd())?) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return Err(Errno::INVAL),
        };
        Ok(Export {
            root: Arc::new(root),
            writable: writable && scope == Scope::Everything,
            directory,
            scope,
            readers,
            walked: match stability {
                Stability::Stable => Walked::Stable(Mutex::default()),
                Stability::Changing => Walked::Changing(Mutex::default()),
            },
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
            return rustix::io::fcntl_dupfd_cloexec(&self.root, 0);
        }
        open_beneath(
            self.root.as_fd(),
            path.as_bytes(),
            OFlags::PATH,
            Mode::empty(),
        )
    }

    /// Names a directory to walk on from, or to find a name in.
    pub(crate) fn directory_at(&self, path: ExportPath<'_>) -> Result<Arc<OwnedFd>, Errno> {
        if path.is_root() {
            return Ok(self.root.clone());
        }
        self.check_scope(path)?;
        let walked = match &self.walked {
            Walked::Stable(walked) => walked,
            Walked::Changing(latest) => return self.latest_at(path, latest),
        };
        let mut walked = walked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = walked.get(path.as_bytes()) {
            return Ok(directory.clone());
        }
        let directory = Arc::new(self.resolve(path)?);
        if walked.len() >= WALKED_DIRECTORIES {
            walked.clear();
        }
        walked.insert(path.as_bytes().to_vec(), directory.clone());
        Ok(directory)
    }

    fn latest_at(
        &self,
        path: ExportPath<'_>,
        latest: &Mutex<Option<Latest>>,
    ) -> Result<Arc<OwnedFd>, Errno> {
        let now = Instant::now();
        let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*latest
            && known.path == path.as_bytes()
            && now < known.until
        {
            return Ok(known.directory.clone());
        }
        let directory = Arc::new(self.resolve(path)?);
        *latest = Some(Latest {
            path: path.as_bytes().to_vec(),
            directory: directory.clone(),
            until: now + LATEST_LIFETIME,
        });
        Ok(directory)
    }

    /// Forgets what a change of directories' names makes untrue.
    fn forget_walked(&self) {
        if let Walked::Changing(latest) = &self.walked {
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) fn check_scope(&self, path: ExportPath<'_>) -> Result<(), Errno> {
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
    fn parent<'a>(&self, path: ExportPath<'a>) -> Result<(Arc<OwnedFd>, &'a [u8]), Errno> {
        self.check_writable()?;
        let (parent, name) = path.split_last().ok_or(Errno::BUSY)?;
        Ok((self.directory_at(parent)?, name))
    }

    /// `EACCES` if the file is one that this export does not hand out.
    pub(crate) fn check_readable(&self, stat: &HostStat) -> Result<(), Errno> {
        if self.readers == Readers::Everyone && stat.mode & 0o004 == 0 {
            return Err(Errno::ACCESS);
        }
        Ok(())
    }

    /// Opens a name that was just seen to be a regular file's, and nothing else in its place: see
    /// [`Reopener::regular`]. Returns what was opened with its attributes.
    ///
    /// In an export that the sandbox can change, the name could come to stand for a device between
    /// the look and the open, so that the file is opened by what was looked at. Elsewhere the name
    /// is opened, which is faster.
    pub(crate) fn open_regular(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        flags: OFlags,
        tools: &Tools,
    ) -> Result<(OwnedFd, Statx), Errno> {
        if self.writable {
            let file = open_beneath(directory, name, OFlags::PATH, Mode::empty())?;
            return described(tools.reopener.regular(file.as_fd(), flags)?);
        }
        let flags = flags | OFlags::NOCTTY | OFlags::NONBLOCK;
        let opened = described(open_beneath(directory, name, flags, Mode::empty())?)?;
        check_regular(&opened.1)?;
        Ok(opened)
    }

    /// Opens a path: a directory for reading, or a regular file as `flags` say, which is created
    /// with `mode` if they say so. Returns it with its attributes.
    pub fn open(
        &self,
        path: ExportPath<'_>,
        flags: OFlags,
        mode: u64,
        tools: &Tools,
    ) -> Result<(OwnedFd, Statx), Errno> {
        let access = flags & (OFlags::ACCMODE | OFlags::APPEND | OFlags::TRUNC);
        if access != OFlags::RDONLY || flags.contains(OFlags::CREATE) {
            self.check_writable()?;
        }
        if flags.contains(OFlags::CREATE | OFlags::EXCL) {
            return described(self.create(path, access, mode)?);
        }
        for _ in 0..RESOLVE_ATTEMPTS {
            match self.open_existing(path, access, flags, tools) {
                Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
                other => return other,
            }
            match self.create(path, access, mode) {
                Err(Errno::EXIST) => {}
                other => return described(other?),
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
    ) -> Result<(OwnedFd, Statx), Errno> {
        let Some((parent, name)) = path.split_last() else {
            return described(self.open_root(access, tools)?);
        };
        self.check_scope(path)?;
        let parent = self.directory_at(parent)?;
        let attributes = stat_at(parent.as_fd(), name)?;
        let is_directory = file_type(&attributes).is_dir();
        self.check_readable(&to_wire(&attributes, tools.ids))?;
        if is_directory {
            if access != OFlags::RDONLY {
                return Err(Errno::ISDIR);
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let directory = open_beneath(parent.as_fd(), name, flags, Mode::empty())?;
            return described(directory);
        }
        if flags.contains(OFlags::DIRECTORY) {
            return Err(Errno::NOTDIR);
        }
        check_regular(&attributes)?;
        self.open_regular(parent.as_fd(), name, access, tools)
    }

    fn open_root(&self, access: OFlags, tools: &Tools) -> Result<OwnedFd, Errno> {
        if !self.directory {
            return tools.reopener.regular(self.root.as_fd(), access);
        }
        if access != OFlags::RDONLY {
            return Err(Errno::ISDIR);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        open_beneath(self.root.as_fd(), b"", flags, Mode::empty())
    }

    fn create(&self, path: ExportPath<'_>, access: OFlags, mode: u64) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.parent(path)?;
        // Exclusive: what is opened is what was made, a regular file.
        let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOCTTY | OFlags::NONBLOCK;
        open_beneath(parent.as_fd(), name, flags, allowed_mode(mode, false))
    }

    /// Reads a symlink.
    pub fn read_link(&self, path: ExportPath<'_>) -> Result<Vec<u8>, Errno> {
        self.check_scope(path)?;
        let (parent, name) = path.split_last().ok_or(Errno::INVAL)?;
        read_link(self.directory_at(parent)?.as_fd(), name)
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
            self.forget_walked();
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
        self.forget_walked();
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

fn described(file: OwnedFd) -> Result<(OwnedFd, Statx), Errno> {
    let attributes = stat(file.as_fd())?;
    Ok((file, attributes))
}

/// What every file operation needs of the broker.
#[derive(Debug)]
pub struct Tools {
    /// Opens what was checked.
    pub reopener: Reopener,
    /// Whose files are the guest's.
    pub ids: IdMap,
}

/// Reads a symlink in a directory.
pub(crate) fn read_link(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    rustix::fs::readlinkat(directory, name, Vec::new()).map(CString::into_bytes)
}
