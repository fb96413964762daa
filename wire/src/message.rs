//! Requests and replies.

/// What a sandbox asks for.
///
/// Paths are relative to an export's root, without a leading slash, `.`, `..` or empty components;
/// the empty path is the root. They travel in the request's data, and no symlink in them is ever
/// followed: the library OS walks symlinks itself. "handle" is a number that an earlier
/// [`Operation::Open`] returned.
///
/// Nothing blocks for longer than the host's storage takes, but [`Operation::WaitEvents`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// Attributes of the components of a path, in one round trip. `args`: export, flags of
    /// `LOOKUP_*`, number of leading components whose attributes are not wanted. Reply: see
    /// [`LookupReply`]; data: one [`HostStat`] for each component looked at (the root itself for
    /// the empty path), then the target if the last is a symlink.
    Lookup = 1,
    /// Opens a path. `args`: export, open flags (the access mode and `O_CREAT`, `O_EXCL`,
    /// `O_TRUNC`, `O_APPEND`, `O_DIRECTORY`), mode, flags of `OPEN_*`. Reply: `value` = handle, or
    /// 0 with `OPEN_NO_HANDLE`; data: [`HostStat`]; a descriptor is donated for a regular file,
    /// unless `OPEN_NO_DONATION`. Anything else but a directory is refused with `ENXIO`.
    Open = 2,
    /// Closes handles. `args`: one handle; data: more of them, 8 bytes each. Those that are none are
    /// `EBADF`, and the others are closed.
    Close = 3,
    /// Reads directory entries. `args`: handle, cookie (0 first). Reply: `value` = number of
    /// entries, with [`DIRECTORY_END`] if none follow; data: entries of `ino u64, next cookie u64,
    /// type u8, length u8, name`.
    ReadDirectory = 4,
    /// Reads a symlink. `args`: export. Reply: `value` = length; data: target.
    ReadLink = 5,
    /// Makes a directory. `args`: export, mode. Reply data: [`HostStat`].
    MakeDirectory = 6,
    /// Removes a name. `args`: export, 1 to remove a directory.
    Unlink = 7,
    /// Renames. `args`: export, length of the first path, rename flags. Data: both paths, joined.
    Rename = 8,
    /// Makes a hard link. `args`: export, length of the first path. Data: existing, new.
    Link = 9,
    /// Makes a symlink. `args`: export, length of the target. Data: target, path. Reply data:
    /// [`HostStat`].
    Symlink = 10,
    /// Attributes of an open handle. `args`: handle. Reply data: [`HostStat`].
    StatHandle = 11,
    /// Sets attributes of a path. `args`: export, mask of `SET_*`, permission bits | size << 12,
    /// uid | gid << 32, atime ns, mtime ns. Reply data: [`HostStat`].
    SetAttributes = 12,
    /// As [`Operation::SetAttributes`], with a handle for the export.
    SetHandleAttributes = 13,
    /// Flushes a handle to storage. `args`: handle, 1 for data only.
    Sync = 14,
    /// Allocates or punches space. `args`: handle, fallocate mode, offset, length.
    Allocate = 15,
    /// File-system statistics. `args`: export. Reply data: 8 u64: type, block size, blocks, free,
    /// available, files, free files, name length.
    FileSystemStat = 16,
    /// Makes a FIFO, socket or regular node. `args`: export, mode with type. Reply data:
    /// [`HostStat`].
    MakeNode = 17,
    /// Reads from a stream. `args`: length, stream: 0, or 1 or 2 where that is a terminal. Reply:
    /// `value` = bytes, 0 at end; data. `EAGAIN` if there is nothing yet.
    ReadInput = 32,
    /// Writes to a stream. `args`: stream: 1 or 2, or 0 where that is a terminal; length. Reply:
    /// `value` = bytes written, which may be fewer. `EAGAIN` if the stream takes nothing now.
    WriteOutput = 33,
    /// What a standard stream is ready for. `args`: stream, poll events, 1 to watch: unless one of
    /// the events is there, an [`Operation::WaitEvents`] names the stream once one is. Reply:
    /// `value` = events.
    PollStream = 34,
    /// Attributes of a standard stream. `args`: stream. Reply data: [`HostStat`].
    StatStream = 35,
    /// Terminal attributes of a stream. `args`: stream, 0 get, 1 set now, 2 set drained, 3 set
    /// flushed. Data: `struct termios` of the kernel, 36 bytes. Without `ICANON`, `VMIN` and `VTIME`
    /// of the host's terminal become 1 and 0 whatever is asked for.
    TerminalAttributes = 36,
    /// Window size of a terminal stream. `args`: stream. Reply: `value` = rows | columns << 16 |
    /// width << 32 | height << 48, the latter in pixels.
    WindowSize = 37,
    /// Waits for something that the broker announces. Blocks, and is interruptible; one at a
    /// time. `args`: 1 to only say that somebody will wait soon, from when on signals are kept for
    /// it. Reply: `value` = bits of [`EVENT_STREAM`], bit n for signal n that arrived for the
    /// first guest process, and [`EVENT_TERMINAL`].
    WaitEvents = 38,
    /// Sends the kick signal. `args`: host process, host thread.
    Kick = 48,
    /// Lines for people. `args`: 0 log, 1 trace, 2 statistics, 3 a message that is always shown,
    /// such as why the program could not be started.
    Log = 49,
    /// The sandbox has ended. `args`: wait status (as wait(2) has it) of the first guest process.
    Exit = 50,
    /// The first guest process stopped. `args`: the signal. With job control
    /// ([`BootConfig::job_control`](crate::BootConfig::job_control)) capsid stops too; once it is
    /// continued, signal 18 (`SIGCONT`) is announced. Else `EPERM`.
    Stopped = 51,
}

impl Operation {
    /// Decodes a number from the ring; `None` for an unknown one.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Operation> {
        use Operation::*;
        const ALL: [Operation; 28] = [
            Lookup,
            Open,
            Close,
            ReadDirectory,
            ReadLink,
            MakeDirectory,
            Unlink,
            Rename,
            Link,
            Symlink,
            StatHandle,
            SetAttributes,
            SetHandleAttributes,
            Sync,
            Allocate,
            FileSystemStat,
            MakeNode,
            ReadInput,
            WriteOutput,
            PollStream,
            StatStream,
            TerminalAttributes,
            WindowSize,
            WaitEvents,
            Kick,
            Log,
            Exit,
            Stopped,
        ];
        ALL.into_iter()
            .find(|operation| *operation as u32 == number)
    }

    /// Whether a wait for the reply may be cancelled by
    /// [`STATE_CANCEL`](crate::layout::STATE_CANCEL).
    #[must_use]
    pub fn is_interruptible(self) -> bool {
        self == Operation::WaitEvents
    }
}

/// [`Operation::Lookup`]: if the path ends at a regular file that may be read, donate a descriptor
/// to read it.
pub const LOOKUP_OPEN: u64 = 1;
/// [`Operation::Lookup`]: with a donated descriptor, keep a handle, 8 bytes at the end of the data; 0
/// if there is no room for one.
pub const LOOKUP_HANDLE: u64 = 2;
/// [`Operation::ReadDirectory`]: these entries are the last.
pub const DIRECTORY_END: u64 = 1 << 32;
/// The most components that one [`Operation::Lookup`] looks at.
pub const LOOKUP_COMPONENTS: u32 = 128;
/// [`Operation::WaitEvents`]: bit of standard input; output and error have the next two.
pub const EVENT_STREAM: u64 = 1 << 32;
/// [`Operation::WaitEvents`]: the signals come from the terminal, whose foreground process group
/// they are for.
pub const EVENT_TERMINAL: u64 = 1 << 40;
/// [`Operation::Open`]: keep no handle: the donated descriptor is all that is wanted.
pub const OPEN_NO_HANDLE: u64 = 2;
/// [`Operation::Open`]: do not donate a descriptor (directories, permission probes).
pub const OPEN_NO_DONATION: u64 = 1;
/// [`Operation::SetAttributes`]: set the permission bits.
pub const SET_MODE: u64 = 1;
/// Set the size.
pub const SET_SIZE: u64 = 2;
/// Set the owner; an id of `u32::MAX` stays.
pub const SET_OWNER: u64 = 4;
/// Set the access time; `u64::MAX` means now.
pub const SET_ATIME: u64 = 8;
/// Set the modification time; `u64::MAX` means now.
pub const SET_MTIME: u64 = 16;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// Its arguments; unused ones are 0.
    pub args: [u64; 6],
    /// How many bytes of data go along.
    pub data_len: u32,
}

/// One reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The value, as the operation defines it.
    pub value: u64,
    /// How many bytes of data came back.
    pub data_len: u32,
    /// The descriptor that came along, as the sandbox's own number.
    pub donated: Option<u32>,
}

/// How far an [`Operation::Lookup`] came, packed into the reply's value.
///
/// The walk ends at the last component, at a symlink or another non-directory (which is the last
/// one looked at), or before a component that could not be looked at, for the reason `error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupReply {
    /// How many [`HostStat`] came back.
    pub components: u32,
    /// The errno that stopped the walk; 0 if none did.
    pub error: u16,
}

impl LookupReply {
    /// Packs into a reply's value.
    #[must_use]
    pub fn to_value(self) -> u64 {
        u64::from(self.components) | u64::from(self.error) << 32
    }

    /// Unpacks a reply's value; a wild error number becomes `u16::MAX`.
    #[must_use]
    pub fn from_value(value: u64) -> LookupReply {
        LookupReply {
            components: u32::try_from(value & 0xffff_ffff).unwrap_or(0),
            error: u16::try_from(value >> 32).unwrap_or(u16::MAX),
        }
    }
}

/// Attributes of a host file, as 13 little-endian `u64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of stat(2)")]
pub struct HostStat {
    pub device: u64,
    pub inode: u64,
    pub mode: u32,
    pub links: u32,
    pub user: u32,
    pub group: u32,
    pub special_device: u64,
    pub size: u64,
    pub blocks: u64,
    pub atime_ns: u64,
    pub mtime_ns: u64,
    pub ctime_ns: u64,
    pub btime_ns: u64,
}

impl HostStat {
    /// Encoded size, in bytes.
    pub const BYTES: usize = 13 * 8;

    /// Encodes to bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let words = [
            self.device,
            self.inode,
            self.mode.into(),
            self.links.into(),
            self.user.into(),
            self.group.into(),
            self.special_device,
            self.size,
            self.blocks,
            self.atime_ns,
            self.mtime_ns,
            self.ctime_ns,
            self.btime_ns,
        ];
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Decodes from bytes; `None` if there are too few, or a 32-bit field does not fit.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<HostStat> {
        let mut words = [0u64; 13];
        for (word, chunk) in words
            .iter_mut()
            .zip(bytes.get(..Self::BYTES)?.chunks_exact(8))
        {
            *word = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        let small = |word: u64| u32::try_from(word).ok();
        Some(HostStat {
            device: words[0],
            inode: words[1],
            mode: small(words[2])?,
            links: small(words[3])?,
            user: small(words[4])?,
            group: small(words[5])?,
            special_device: words[6],
            size: words[7],
            blocks: words[8],
            atime_ns: words[9],
            mtime_ns: words[10],
            ctime_ns: words[11],
            btime_ns: words[12],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HostStat, LookupReply, Operation};

    #[test]
    fn operations_keep_their_numbers() {
        for number in 0..1000 {
            if let Some(operation) = Operation::from_number(number) {
                assert_eq!(operation as u32, number);
            }
        }
        assert_eq!(Operation::from_number(38), Some(Operation::WaitEvents));
        assert_eq!(Operation::from_number(0), None);
    }

    #[test]
    fn attributes_survive_the_wire() {
        let stat = HostStat {
            device: 1,
            inode: u64::MAX,
            mode: 0o100_644,
            size: 1 << 40,
            btime_ns: 7,
            ..HostStat::default()
        };
        assert_eq!(HostStat::from_bytes(&stat.to_bytes()), Some(stat));
        assert_eq!(HostStat::from_bytes(&[0; HostStat::BYTES - 1]), None);
        let reply = LookupReply {
            components: 3,
            error: 2,
        };
        assert_eq!(LookupReply::from_value(reply.to_value()), reply);
    }
}
