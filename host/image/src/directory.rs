//! Takes the files of a host directory.
//!
//! Every step starts at an open directory and follows no symlink, so that whoever may change the
//! directory meanwhile cannot make the image hold files from outside it.

use crate::attributes::{Attributes, Device, Timestamp, Xattr};
use crate::builder::ImageBuilder;
use crate::error::{ImageError, Refusal, Result};
use crate::file_data::FileWriter;
use crate::tree::{Contents, NodeId, Tree, check_target, refused};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, SeekFrom, Stat, fgetxattr, flistxattr,
    fstat, fstatfs, lgetxattr, llistxattr, openat, openat2, readlinkat, seek, statat,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// File systems whose files are made up by the kernel: proc, sysfs, cgroup, cgroup2, devpts,
/// debugfs, tracefs, securityfs, bpf, mqueue.
const PSEUDO_FILE_SYSTEMS: [i64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x1980_0202,
];

/// Attributes that say something of this machine, not of the files.
const LOCAL_XATTRS: [&[u8]; 3] = [b"security.selinux", b"security.evm", b"security.ima"];

/// The longest list of attribute names, and the longest value, that Linux has.
const XATTR_BYTES_MAX: usize = 65_536;

struct Walk<'w, 'a, W: Write + Seek> {
    builder: &'w mut ImageBuilder<'a, W>,
    top: &'w Path,
    root: OwnedFd,
    /// Files with several names, by device and inode.
    linked: HashMap<(u64, u64), NodeId>,
    /// Directories to visit: the node, the path below the root, the device above.
    pending: Vec<(NodeId, PathBuf, u64)>,
}

pub(crate) fn add<W: Write + Seek>(builder: &mut ImageBuilder<'_, W>, top: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fail = |error: Errno| read_error(top, error);
    let root = openat(CWD, top, flags, Mode::empty()).map_err(fail)?;
    let stat = fstat(&root).map_err(fail)?;
    let attributes = attributes(&stat, file_xattrs(&root).map_err(fail)?);
    let attributes = builder.prepare(b"/", attributes)?;
    builder.tree.set_attributes(Tree::ROOT, attributes)?;
    let mut walk = Walk {
        builder,
        top,
        root,
        linked: HashMap::new(),
        pending: vec![(Tree::ROOT, PathBuf::new(), stat.st_dev)],
    };
    while let Some((node, path, device)) = walk.pending.pop() {
        walk.visit(node, &path, device)?;
    }
    Ok(())
}

impl<W: Write + Seek> Walk<'_, '_, W> {
    fn visit(&mut self, node: NodeId, path: &Path, device_above: u64) -> Result<()> {
        let full = self.top.join(path);
        let fail = |error: Errno| read_error(&full, error);
        let directory = self.open_directory(path).map_err(fail)?;
        let device = fstat(&directory).map_err(fail)?.st_dev;
        if device != device_above {
            let kind = fstatfs(&directory).map_err(fail)?.f_type;
            if PSEUDO_FILE_SYSTEMS.contains(&kind) {
                return Ok(());
            }
        }
        let mut names: Vec<OsString> = Vec::new();
        for entry in Dir::read_from(&directory).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_bytes().to_vec();
            if !matches!(&*name, b"." | b"..") {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort_unstable();
        let first_new = self.pending.len();
        for name in names {
            self.take(node, &directory, path, &name, device)?;
        }
        // The last one pushed is visited next: keep the order of names.
        self.pending[first_new..].reverse();
        Ok(())
    }

    fn open_directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.root, path, flags, Mode::empty(), beneath) {
            // Old kernels lack it, and some seccomp profiles forbid it.
            Err(Errno::NOSYS | Errno::PERM) => openat(&self.root, path, flags, Mode::empty()),
            outcome => outcome,
        }
    }

    /// Takes one entry of a directory.
    fn take(
        &mut self,
        parent: NodeId,
        directory: &OwnedFd,
        path: &Path,
        name: &OsStr,
        device: u64,
    ) -> Result<()> {
        let path = path.join(name);
        let bytes = path.as_os_str().as_bytes();
        let full = self.top.join(&path);
        let fail = |error: Errno| read_error(&full, error);
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        let identity = (stat.st_dev, stat.st_ino);
        if self.builder.excluded.contains(&identity) {
            return Ok(());
        }
        let slot = Some((parent, name.as_bytes().into()));
        if let Some(first) = self.linked.get(&identity) {
            let linked = self.builder.tree.link(slot, *first)?;
            self.builder.count_file();
            return linked.map_err(|reason| refused(bytes, reason));
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let device_number = || {
            let (major, minor) = (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            );
            let device = Device { major, minor };
            device.encode().map_err(|reason| refused(bytes, reason))
        };
        let mut xattrs = None;
        let contents = match kind {
            FileType::RegularFile => {
                let (data, found) = self.take_file(directory, &path, name, &stat)?;
                xattrs = Some(found);
                data
            }
            FileType::Directory => Contents::Directory(BTreeMap::new()),
            FileType::Symlink => {
                let target = readlinkat(directory, name, Vec::new()).map_err(fail)?;
                check_target(target.as_bytes()).map_err(|reason| refused(bytes, reason))?;
                Contents::Symlink(target.into_bytes().into())
            }
            FileType::CharacterDevice => Contents::CharacterDevice(device_number()?),
            FileType::BlockDevice => Contents::BlockDevice(device_number()?),
            FileType::Fifo => Contents::Fifo,
            FileType::Socket => Contents::Socket,
            FileType::Unknown => return Err(refused(bytes, Refusal::Changed)),
        };
        let xattrs = match xattrs {
            Some(xattrs) => xattrs,
            None => path_xattrs(directory, name).map_err(fail)?,
        };
        let is_directory = kind == FileType::Directory;
        let node = self
            .builder
            .insert(bytes, slot, attributes(&stat, xattrs), contents)?;
        if is_directory {
            self.pending.push((node, path, device));
        } else if stat.st_nlink > 1 {
            self.linked.insert(identity, node);
        }
        Ok(())
    }

    fn take_file(
        &mut self,
        directory: &OwnedFd,
        path: &Path,
        name: &OsStr,
        stat: &Stat,
    ) -> Result<(Contents, Vec<Xattr>)> {
        let full = self.top.join(path);
        let fail = |error: Errno| read_error(&full, error);
        // It may have become a FIFO, which must not block us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(directory, name, flags, Mode::empty()).map_err(fail)?;
        let opened = fstat(&file).map_err(fail)?;
        if (opened.st_dev, opened.st_ino) != (stat.st_dev, stat.st_ino) {
            return Err(refused(path.as_os_str().as_bytes(), Refusal::Changed));
        }
        let size = u64::try_from(opened.st_size).unwrap_or(0);
        let blocks = u64::try_from(opened.st_blocks).unwrap_or(0);
        let xattrs = file_xattrs(&file).map_err(fail)?;
        let mut writer = self.builder.begin_file(size);
        let mut file = File::from(file);
        if blocks.saturating_mul(512) < size {
            self.copy_sparse(&mut writer, &mut file, size, &full)?;
        } else {
            self.copy(&mut writer, &mut file, size, &full)?;
        }
        let data = writer.finish(&mut self.builder.output)?;
        Ok((Contents::Regular(data), xattrs))
    }

    /// Copies a file with holes, and leaves them holes.
    fn copy_sparse(
        &mut self,
        writer: &mut FileWriter,
        file: &mut File,
        size: u64,
        full: &Path,
    ) -> Result<()> {
        let mut position = 0;
        while position < size {
            let start = match seek(&*file, SeekFrom::Data(position)) {
                Ok(start) => start.min(size),
                Err(Errno::NXIO) => size,
                // The file system does not know.
                Err(Errno::INVAL) => {
                    return self.copy(writer, file, size - position, full).map(drop);
                }
                Err(error) => return Err(read_error(full, error)),
            };
            writer.skip(&mut self.builder.output, start - position)?;
            if start == size {
                break;
            }
            let end = match seek(&*file, SeekFrom::Hole(start)) {
                Ok(end) => end.min(size),
                Err(error) => return Err(read_error(full, error)),
            };
            seek(&*file, SeekFrom::Start(start)).map_err(|error| read_error(full, error))?;
            let copied = self.copy(writer, file, end - start, full)?;
            if copied < end - start {
                break;
            }
            position = end;
        }
        Ok(())
    }

    fn copy(
        &mut self,
        writer: &mut FileWriter,
        file: &mut File,
        length: u64,
        full: &Path,
    ) -> Result<u64> {
        self.builder
            .copy(writer, file, length, |source| ImageError::Read {
                path: full.to_owned(),
                source,
            })
    }
}

fn attributes(stat: &Stat, xattrs: Vec<Xattr>) -> Attributes {
    Attributes {
        permissions: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        user: stat.st_uid,
        group: stat.st_gid,
        mtime: Timestamp {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
        xattrs,
    }
}

fn read_error(path: &Path, error: Errno) -> ImageError {
    ImageError::Read {
        path: path.to_owned(),
        source: error.into(),
    }
}

fn file_xattrs(file: impl AsFd) -> rustix::io::Result<Vec<Xattr>> {
    let file = file.as_fd();
    let list = |buffer: &mut [u8]| flistxattr(file, buffer);
    collect(list, |name, buffer| fgetxattr(file, name, buffer))
}

/// Attributes of what cannot be opened for reading, through the directory's magic link.
fn path_xattrs(directory: &OwnedFd, name: &OsStr) -> rustix::io::Result<Vec<Xattr>> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    let list = |buffer: &mut [u8]| llistxattr(&path, buffer);
    match collect(list, |name, buffer| lgetxattr(&path, name, buffer)) {
        // Without procfs there is no way to them.
        Err(Errno::NOENT) => Ok(Vec::new()),
        outcome => outcome,
    }
}

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&OsStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<Xattr>> {
    let mut buffer = [0; 512];
    let names = match list(&mut buffer) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => buffer[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut buffer = vec![0; XATTR_BYTES_MAX];
            let length = list(&mut buffer)?;
            buffer.truncate(length);
            buffer
        }
        Err(error) => return Err(error),
    };
    let mut value = vec![0; XATTR_BYTES_MAX];
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0) {
        if name.is_empty() || LOCAL_XATTRS.contains(&name) {
            continue;
        }
        match get(OsStr::from_bytes(name), &mut value) {
            Ok(length) => xattrs.push(Xattr {
                name: name.to_vec(),
                value: value[..length].to_vec(),
            }),
            // Removed meanwhile, or hidden from this user.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(xattrs)
}
