//! One member of an archive, from its header and extended headers.

use super::fields::{number, unsigned};
use super::pax::{Records, SparseRecords};
use crate::attributes::{Attributes, Device, Timestamp};
use crate::error::Refusal;
use tar::{EntryType, Header};

/// The type of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    Regular,
    HardLink,
    Symlink,
    CharacterDevice(Device),
    BlockDevice(Device),
    Directory,
    Fifo,
}

/// How the map of a sparse member is found.
#[derive(Clone, Debug)]
pub(super) enum Sparseness {
    /// There is none.
    None,
    /// In the header and blocks after it (GNU's old format).
    Header(Box<Header>),
    /// In the extended header.
    Records(SparseRecords),
    /// In front of the data; the size is that with holes.
    Prefix(u64),
}

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub path: Vec<u8>,
    pub target: Vec<u8>,
    pub kind: MemberKind,
    pub attributes: Attributes,
    /// Bytes that follow in the archive.
    pub stored: u64,
    pub sparseness: Sparseness,
}

impl Member {
    /// The path that a header and extended headers give.
    pub fn path_of(header: &Header, records: &Records) -> Vec<u8> {
        let named = records.sparse.name.as_ref().or(records.path.as_ref());
        named.map_or_else(|| header.path_bytes().into_owned(), Clone::clone)
    }

    pub fn new(header: &Header, records: Records) -> Result<Member, Refusal> {
        let path = Member::path_of(header, &records);
        let target = match &records.target {
            Some(target) => target.clone(),
            None => header.link_name_bytes().unwrap_or_default().into_owned(),
        };
        let old = header.as_old();
        let stored = match records.size {
            Some(size) => size,
            None => unsigned(&old.size).ok_or(Refusal::BadNumber)?,
        };
        let kind = kind_of(header, &path)?;
        // Directories and devices have no bytes, whatever their headers say: directories of some
        // writers carry a size that means something else.
        let stored = match kind {
            MemberKind::Regular | MemberKind::HardLink => stored,
            _ => 0,
        };
        Ok(Member {
            attributes: attributes(header, &records)?,
            sparseness: sparseness(header, records.sparse),
            path,
            target,
            kind,
            stored,
        })
    }
}

fn kind_of(header: &Header, path: &[u8]) -> Result<MemberKind, Refusal> {
    Ok(match header.entry_type() {
        EntryType::Link => MemberKind::HardLink,
        EntryType::Symlink => MemberKind::Symlink,
        EntryType::Char => MemberKind::CharacterDevice(device(header)?),
        EntryType::Block => MemberKind::BlockDevice(device(header)?),
        EntryType::Directory => MemberKind::Directory,
        EntryType::Fifo => MemberKind::Fifo,
        kind => match kind.as_byte() {
            // GNU's directories of incremental archives hold a list of names.
            b'D' => MemberKind::Directory,
            b'M' => return Err(Refusal::MultiVolume),
            // Archives older than POSIX mark directories so.
            0 | b'0' if path.ends_with(b"/") => MemberKind::Directory,
            // Unknown types are regular files, as POSIX has it.
            _ => MemberKind::Regular,
        },
    })
}

fn device(header: &Header) -> Result<Device, Refusal> {
    let fields = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (ustar.dev_major, ustar.dev_minor),
        (_, Some(gnu)) => (gnu.dev_major, gnu.dev_minor),
        _ => return Err(Refusal::DeviceNumber),
    };
    let part = |field: &[u8]| {
        let part = unsigned(field).and_then(|part| u32::try_from(part).ok());
        part.ok_or(Refusal::DeviceNumber)
    };
    Ok(Device {
        major: part(&fields.0)?,
        minor: part(&fields.1)?,
    })
}

fn attributes(header: &Header, records: &Records) -> Result<Attributes, Refusal> {
    let old = header.as_old();
    let id = |record: Option<u32>, field: &[u8]| match record {
        Some(id) => Ok(id),
        None => {
            let id = number(field).and_then(|id| u32::try_from(id).ok());
            id.ok_or(Refusal::BadNumber)
        }
    };
    let mode = unsigned(&old.mode).ok_or(Refusal::BadNumber)? & 0o7777;
    let mtime = match records.mtime {
        Some(mtime) => mtime,
        None => Timestamp {
            seconds: number(&old.mtime).ok_or(Refusal::BadNumber)?,
            nanoseconds: 0,
        },
    };
    Ok(Attributes {
        permissions: u16::try_from(mode).unwrap_or(0),
        user: id(records.user, &old.uid)?,
        group: id(records.group, &old.gid)?,
        mtime,
        xattrs: records.xattrs.clone(),
    })
}

fn sparseness(header: &Header, records: SparseRecords) -> Sparseness {
    if header.entry_type() == EntryType::GNUSparse {
        return Sparseness::Header(Box::new(header.clone()));
    }
    match (records.major, records.size) {
        (Some(1), Some(size)) => Sparseness::Prefix(size),
        _ if records.map.is_some() => Sparseness::Records(records),
        _ => Sparseness::None,
    }
}
