//! Attributes of host files as the sandbox sees them: statx(2), chmod(2), chown(2), utimensat(2).

use crate::reopen::Reopener;
use capsid_wire::HostStat;
use capsid_wire::message::{SET_ATIME, SET_MODE, SET_MTIME, SET_OWNER, SET_SIZE};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Statx, StatxFlags, StatxTimestamp, Timespec, Timestamps,
    UTIME_NOW, UTIME_OMIT, Uid,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// Whose files are the sandbox user's own.
///
/// A broker that runs as an ordinary user can give files to nobody else, so that its own ids stand
/// for the ids that the program starts with: the guest sees its files as its own, and a chown to
/// itself succeeds. A broker that runs as root changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct IdMap {
    host: (u32, u32),
    guest: (u32, u32),
}

impl IdMap {
    /// The map for a program that starts as `user` and `group`.
    pub fn for_guest(user: u32, group: u32) -> IdMap {
        let host = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let guest = if host.0 == 0 { host } else { (user, group) };
        IdMap { host, guest }
    }

    fn to_guest(self, user: u32, group: u32) -> (u32, u32) {
        (
            if user == self.host.0 {
                self.guest.0
            } else {
                user
            },
            if group == self.host.1 {
                self.guest.1
            } else {
                group
            },
        )
    }

    fn to_host(self, user: u32, group: u32) -> (Option<Uid>, Option<Gid>) {
        let user = if user == self.guest.0 {
            self.host.0
        } else {
            user
        };
        let group = if group == self.guest.1 {
            self.host.1
        } else {
            group
        };
        (
            (user != u32::MAX).then(|| Uid::from_raw(user)),
            (group != u32::MAX).then(|| Gid::from_raw(group)),
        )
    }
}

/// Reads the attributes of an open file; an `O_PATH` descriptor will do.
pub fn stat(file: BorrowedFd<'_>) -> Result<Statx, Errno> {
    read_attributes(file, c"".to_bytes(), AtFlags::EMPTY_PATH)
}

/// Reads the attributes of one name in a directory. A symlink is not followed.
pub fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    read_attributes(directory, name, flags)
}

fn read_attributes(file: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<Statx, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    rustix::fs::statx(file, name, flags | AtFlags::STATX_DONT_SYNC, wanted)
}

/// `EISDIR`, `ELOOP` or `ENXIO` unless the file is a regular one.
pub fn check_regular(stat: &Statx) -> Result<(), Errno> {
    match file_type(stat) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR),
        FileType::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::NXIO),
    }
}

/// The type of a file.
pub fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// Translates attributes for the wire.
pub fn to_wire(stat: &Statx, ids: IdMap) -> HostStat {
    let (user, group) = ids.to_guest(stat.stx_uid, stat.stx_gid);
    HostStat {
        device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        mode: stat.stx_mode.into(),
        links: stat.stx_nlink,
        user,
        group,
        special_device: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        atime_ns: nanoseconds(&stat.stx_atime),
        mtime_ns: nanoseconds(&stat.stx_mtime),
        ctime_ns: nanoseconds(&stat.stx_ctime),
        btime_ns: nanoseconds(&stat.stx_btime),
    }
}

/// Nanoseconds since the epoch; 0 for times before it.
fn nanoseconds(time: &StatxTimestamp) -> u64 {
    u64::try_from(time.tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec.into())
}

/// The permission bits that a sandbox may give a file: a set-user-id program would carry the
/// broker's rights to whoever runs it on the host.
pub fn allowed_mode(mode: u64, directory: bool) -> Mode {
    let mask = if directory { 0o3777 } else { 0o1777 };
    Mode::from_raw_mode(u32::try_from(mode & mask).unwrap_or(0))
}

/// What to set, as the request has it: mask, permission bits | size << 12, owner, atime, mtime.
#[derive(Clone, Copy, Debug)]
pub struct Change(pub [u64; 5]);

impl Change {
    fn has(&self, bit: u64) -> bool {
        self.0[0] & bit != 0
    }

    /// Applies the change to an open file; an `O_PATH` descriptor will do.
    pub fn apply(
        &self,
        file: BorrowedFd<'_>,
        reopener: &Reopener,
        ids: IdMap,
    ) -> Result<(), Errno> {
        let [_, mode_and_size, owner, atime, mtime] = self.0;
        let kind = file_type(&stat(file)?);
        if self.has(SET_SIZE) {
            if kind == FileType::Directory {
                return Err(Errno::ISDIR);
            }
            let writable = reopener.regular(file, OFlags::WRONLY)?;
            rustix::fs::ftruncate(writable, mode_and_size >> 12)?;
        }
        if self.has(SET_OWNER) {
            let [user, group] =
                [owner & 0xffff_ffff, owner >> 32].map(|id| u32::try_from(id).unwrap_or(u32::MAX));
            let (user, group) = ids.to_host(user, group);
            rustix::fs::chownat(file, c"", user, group, AtFlags::EMPTY_PATH)?;
        }
        if self.has(SET_MODE) {
            if kind == FileType::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            let mode = allowed_mode(mode_and_size, kind == FileType::Directory);
            reopener.set_mode(file, mode)?;
        }
        if self.has(SET_ATIME) || self.has(SET_MTIME) {
            let times = Timestamps {
                last_access: timespec(self.has(SET_ATIME).then_some(atime)),
                last_modification: timespec(self.has(SET_MTIME).then_some(mtime)),
            };
            rustix::fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }
}

fn timespec(ns: Option<u64>) -> Timespec {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match ns {
        None => special(UTIME_OMIT),
        Some(u64::MAX) => special(UTIME_NOW),
        Some(ns) => Timespec {
            tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(0),
            tv_nsec: i64::try_from(ns % 1_000_000_000).unwrap_or(0),
        },
    }
}

/// Appends the attributes of `file` to a reply.
pub fn append(reply: &mut Vec<u8>, file: impl AsFd, ids: IdMap) -> Result<(), Errno> {
    reply.extend_from_slice(&to_wire(&stat(file.as_fd())?, ids).to_bytes());
    Ok(())
}
