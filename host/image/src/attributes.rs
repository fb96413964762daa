//! What an image keeps of a file besides its name and bytes.

use crate::error::Refusal;
use capsid_core::fs::erofs::format::{RawXattrEntry, RawXattrHeader, XATTR_PREFIXES};
use zerocopy::IntoBytes;

/// A time, since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// And nanoseconds, less than a second.
    pub nanoseconds: u32,
}

/// A device number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The driver, below 2^12.
    pub major: u32,
    /// The device of the driver, below 2^20.
    pub minor: u32,
}

impl Device {
    /// The number as inodes hold it, in 32 bits.
    pub(crate) fn encode(self) -> Result<u32, Refusal> {
        if self.major >= 1 << 12 || self.minor >= 1 << 20 {
            return Err(Refusal::DeviceNumber);
        }
        Ok((self.minor & 0xff) | self.major << 8 | (self.minor & !0xff) << 12)
    }
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// The whole name, such as `user.comment`.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Attributes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits (07777).
    pub permissions: u16,
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Extended attributes. Those whose names the format has no prefix for are left out.
    pub xattrs: Vec<Xattr>,
}

impl Attributes {
    /// Those of a directory that the source implies but does not list.
    pub(crate) fn of_implied_directory() -> Attributes {
        Attributes {
            permissions: 0o755,
            ..Attributes::default()
        }
    }

    /// How much memory they take, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let xattrs = self.xattrs.iter();
        let xattrs = xattrs.map(|xattr| xattr.name.len() + xattr.value.len());
        xattrs.map(|length| length + size_of::<Xattr>()).sum()
    }

    /// Sorts the extended attributes, drops those that cannot be stored, and keeps the last of
    /// each name.
    pub(crate) fn normalise(&mut self) -> Result<(), Refusal> {
        self.permissions &= 0o7777;
        self.xattrs
            .retain(|xattr| split_name(&xattr.name).is_some());
        self.xattrs.reverse();
        self.xattrs.sort_by(|one, two| one.name.cmp(&two.name));
        self.xattrs.dedup_by(|one, two| one.name == two.name);
        self.xattr_body().map(drop)
    }

    /// The bytes that follow the inode; none if there are no attributes.
    pub(crate) fn xattr_body(&self) -> Result<Vec<u8>, Refusal> {
        if self.xattrs.is_empty() {
            return Ok(Vec::new());
        }
        let header = RawXattrHeader {
            reserved: 0.into(),
            shared_count: 0,
            reserved2: [0; 7],
        };
        let mut body = header.as_bytes().to_vec();
        for xattr in &self.xattrs {
            let Some((name_index, suffix)) = split_name(&xattr.name) else {
                continue;
            };
            let too_large = |_| Refusal::XattrsTooLarge;
            let entry = RawXattrEntry {
                name_length: u8::try_from(suffix.len()).map_err(too_large)?,
                name_index,
                value_size: u16::try_from(xattr.value.len()).map_err(too_large)?.into(),
            };
            body.extend_from_slice(entry.as_bytes());
            body.extend_from_slice(suffix);
            body.extend_from_slice(&xattr.value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        xattr_count(&body)?;
        Ok(body)
    }
}

/// The number that stands in the inode for attributes of this many bytes.
pub(crate) fn xattr_count(body: &[u8]) -> Result<u16, Refusal> {
    if body.is_empty() {
        return Ok(0);
    }
    let units = (body.len() - size_of::<RawXattrHeader>()) / 4 + 1;
    u16::try_from(units).map_err(|_| Refusal::XattrsTooLarge)
}

/// The index of the name's prefix, and what follows it.
fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    let mut found = XATTR_PREFIXES.iter().filter_map(|(index, prefix)| {
        let suffix = name.strip_prefix(*prefix)?;
        // Those of ACLs are whole names, the others must go on.
        (prefix.ends_with(b".") != suffix.is_empty()).then_some((*index, suffix))
    });
    found.next()
}
