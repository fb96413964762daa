//! Extended attributes: those beside the inode, and those that many inodes share.

use super::format::{RawXattrEntry, RawXattrHeader, XATTR_PREFIXES};
use super::node::Node;
use super::superblock::Image;
use alloc::vec::Vec;
use capsid_platform::Errno;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// One extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The name's first part, such as `user.`.
    pub prefix: &'static [u8],
    /// The rest of the name.
    pub suffix: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl Attribute<'_> {
    /// Whether this is the attribute of that name.
    #[must_use]
    pub fn is_named(&self, name: &[u8]) -> bool {
        name.strip_prefix(self.prefix) == Some(self.suffix)
    }

    /// The whole name.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        [self.prefix, self.suffix].concat()
    }
}

impl Node {
    /// Calls `each` for every attribute, until it returns `Some`, which is returned. Attributes
    /// whose prefix is not known are passed over.
    pub fn each_attribute<'a, T>(
        &self,
        image: &Image<'a>,
        mut each: impl FnMut(Attribute<'a>) -> Option<T>,
    ) -> Result<Option<T>, Errno> {
        let body = self.xattr_body(image)?;
        if body.is_empty() {
            return Ok(None);
        }
        let (header, body) = RawXattrHeader::read_from_prefix(body).map_err(|_| Errno::EUCLEAN)?;
        let ids = usize::from(header.shared_count) * size_of::<U32>();
        let (ids, mut entries) = body.split_at_checked(ids).ok_or(Errno::EUCLEAN)?;
        while !entries.is_empty() {
            let (attribute, length) = parse(entries)?;
            if let Some(found) = attribute.and_then(&mut each) {
                return Ok(Some(found));
            }
            // The last one need not be padded.
            let length = length.next_multiple_of(4).min(entries.len());
            entries = &entries[length..];
        }
        for id in ids.chunks_exact(size_of::<U32>()) {
            let id = U32::read_from_bytes(id).map_err(|_| Errno::EUCLEAN)?.get();
            let offset = image.shared_xattr_offset(id);
            let entry: RawXattrEntry = image.read(offset)?;
            let (attribute, _) = parse(image.bytes(offset, length_of(&entry) as u64)?)?;
            if let Some(found) = attribute.and_then(&mut each) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Parses the attribute at the start of `bytes`, and says how many bytes it has. `None` for one
/// with an unknown prefix.
fn parse(bytes: &[u8]) -> Result<(Option<Attribute<'_>>, usize), Errno> {
    let (entry, _) = RawXattrEntry::read_from_prefix(bytes).map_err(|_| Errno::EUCLEAN)?;
    let head = size_of::<RawXattrEntry>();
    let value = head + usize::from(entry.name_length);
    let end = length_of(&entry);
    let suffix = bytes.get(head..value).ok_or(Errno::EUCLEAN)?;
    let value = bytes.get(value..end).ok_or(Errno::EUCLEAN)?;
    let known = XATTR_PREFIXES.iter();
    let mut known = known.filter(|(index, _)| *index == entry.name_index);
    let attribute = known.next().map(|(_, prefix)| Attribute {
        prefix,
        suffix,
        value,
    });
    Ok((attribute, end))
}

fn length_of(entry: &RawXattrEntry) -> usize {
    size_of::<RawXattrEntry>()
        + usize::from(entry.name_length)
        + usize::from(entry.value_size.get())
}
