//! Attributes of files, inode(7).

use core::sync::atomic::{AtomicU32, Ordering};

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the file types of inode(7)")]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Fifo,
    Socket,
    /// No file type: an object that was never in a file system, such as an eventfd.
    Anonymous,
}

impl FileKind {
    /// The type bits of `st_mode`.
    #[must_use]
    pub fn mode_bits(self) -> u32 {
        match self {
            FileKind::Fifo => 0o010_000,
            FileKind::CharacterDevice => 0o020_000,
            FileKind::Directory => 0o040_000,
            FileKind::BlockDevice => 0o060_000,
            FileKind::Regular => 0o100_000,
            FileKind::Symlink => 0o120_000,
            FileKind::Socket => 0o140_000,
            FileKind::Anonymous => 0,
        }
    }

    /// The type from `st_mode`; `None` for bits that no type has.
    #[must_use]
    pub fn from_mode(mode: u32) -> Option<FileKind> {
        Some(match mode & 0o170_000 {
            0o010_000 => FileKind::Fifo,
            0o020_000 => FileKind::CharacterDevice,
            0o040_000 => FileKind::Directory,
            0o060_000 => FileKind::BlockDevice,
            0o100_000 => FileKind::Regular,
            0o120_000 => FileKind::Symlink,
            0o140_000 => FileKind::Socket,
            _ => return None,
        })
    }

    /// The `d_type` of readdir(3).
    #[must_use]
    pub fn directory_type(self) -> u8 {
        // DT_* are the type bits of st_mode, shifted.
        u8::try_from(self.mode_bits() >> 12).unwrap_or(0)
    }
}

/// A device number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceId {
    /// The driver.
    pub major: u32,
    /// The device of the driver.
    pub minor: u32,
}

impl DeviceId {
    /// The number as glibc's makedev(3) encodes it.
    #[must_use]
    pub fn encode(self) -> u64 {
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
    }

    /// Decodes what [`DeviceId::encode`] made.
    #[must_use]
    pub fn decode(number: u64) -> DeviceId {
        let major = ((number >> 8) & 0xfff) | ((number >> 32) & 0xffff_f000);
        let minor = (number & 0xff) | ((number >> 12) & 0xffff_ff00);
        let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
        DeviceId {
            major: low(major),
            minor: low(minor),
        }
    }
}

/// Makes the number of a file system that lies on no device (`st_dev`).
pub fn anonymous_device() -> DeviceId {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    DeviceId {
        major: 0,
        minor: NEXT.fetch_add(1, Ordering::Relaxed),
    }
}

/// Who owns a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

/// The attributes of a file, stat(2). Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Number of the file system the file lies in (`st_dev`).
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Type.
    pub kind: FileKind,
    /// Permission bits, with set-id and sticky (07777).
    pub permissions: u32,
    /// Hard links.
    pub links: u32,
    /// Owner.
    pub owner: Owner,
    /// Which device a device node means.
    pub special_device: DeviceId,
    /// Size in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of a transfer, in bytes.
    pub block_size: u32,
    /// Last access.
    pub atime: u64,
    /// Last change of the contents.
    pub mtime: u64,
    /// Last change of the attributes.
    pub ctime: u64,
    /// Birth.
    pub btime: u64,
}

impl Metadata {
    /// `st_mode`: type and permissions.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.kind.mode_bits() | self.permissions
    }
}

/// What a time becomes, utimensat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// The present.
    Now,
    /// These nanoseconds since the Unix epoch.
    To(u64),
}

/// Attributes to set; `None` leaves one alone. Permission to do so was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// New permission bits (07777).
    pub permissions: Option<u32>,
    /// New user.
    pub user: Option<u32>,
    /// New group.
    pub group: Option<u32>,
    /// New size in bytes: truncate(2).
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<TimeChange>,
    /// New modification time.
    pub mtime: Option<TimeChange>,
}
