//! Listing directories of an export.

use super::descriptors::Use;
use super::inode::HostInode;
use super::protocol;
use crate::fs::{DirectoryEntry, FileKind};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::ops::{ControlFlow, Range};
use hashbrown::HashSet;

/// All entries of a directory that does not change.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    names: HashSet<Arc<[u8]>>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<[u8]>,
    inode: u64,
    kind: FileKind,
}

impl Listing {
    /// Whether the directory has the name.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }
}

/// One entry as it came over the wire.
struct WireEntry<'a> {
    inode: u64,
    next: u64,
    kind: FileKind,
    name: &'a [u8],
}

/// Bytes of an entry before its name: inode, cookie, type, length.
const FIXED: usize = 18;

/// Takes the first entry off `bytes`; `EIO` if it makes no sense.
fn take_entry<'a>(bytes: &mut &'a [u8]) -> Result<WireEntry<'a>, Errno> {
    let word = |range: Range<usize>| {
        let bytes = bytes.get(range)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let parse = || {
        let inode = word(0..8)?;
        let next = word(8..16)?;
        let kind = FileKind::from_mode(u32::from(*bytes.get(16)?) << 12);
        let end = FIXED + usize::from(*bytes.get(17)?);
        let name = bytes.get(FIXED..end).filter(|name| is_name(name))?;
        let entry = WireEntry {
            inode,
            next,
            // A host file system that does not say lets the library OS look at each.
            kind: kind.unwrap_or(FileKind::Anonymous),
            name,
        };
        Some((entry, bytes.get(end..)?))
    };
    let (entry, rest) = parse().ok_or(Errno::EIO)?;
    *bytes = rest;
    Ok(entry)
}

/// A hostile broker must not plant `..` or a slash into what programs read.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}

impl HostInode {
    /// Lists this directory from `position`.
    pub(super) fn list(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        if !self.host().is_stable() {
            return self.each_entry(position, &mut |entry| {
                emit(DirectoryEntry {
                    name: entry.name,
                    inode: entry.inode,
                    kind: entry.kind,
                    next: entry.next,
                })
            });
        }
        let listing = match self.children.listing() {
            Some(listing) => listing,
            None => self.read_listing()?,
        };
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        for (next, entry) in (1..).zip(&listing.entries).skip(start) {
            let entry = DirectoryEntry {
                name: &entry.name,
                inode: entry.inode,
                kind: entry.kind,
                next,
            };
            if emit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_listing(&self) -> Result<Arc<Listing>, Errno> {
        let mut listing = Listing::default();
        self.each_entry(0, &mut |entry| {
            let name: Arc<[u8]> = entry.name.into();
            listing.names.insert(name.clone());
            listing.entries.push(Entry {
                name,
                inode: entry.inode,
                kind: entry.kind,
            });
            ControlFlow::Continue(())
        })?;
        let listing = Arc::new(listing);
        self.children.set_listing(listing.clone());
        Ok(listing)
    }

    /// Asks the broker for the entries after `position`.
    fn each_entry(
        &self,
        position: u64,
        each: &mut dyn FnMut(WireEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let directory = self.descriptor(Use::List)?;
        let mut cookie = position;
        loop {
            let (data, more) = protocol::read_directory(directory.handle(), cookie)?;
            let mut rest = &data[..];
            while !rest.is_empty() {
                let entry = take_entry(&mut rest)?;
                cookie = entry.next;
                if each(entry).is_break() {
                    return Ok(());
                }
            }
            // A broker that sends nothing and promises more would keep us here.
            if !more || data.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::take_entry;
    use crate::fs::FileKind;
    use alloc::vec::Vec;
    use capsid_platform::Errno;

    fn entry(name: &[u8], kind: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(7u64.to_le_bytes());
        bytes.extend(9u64.to_le_bytes());
        bytes.extend([kind, u8::try_from(name.len()).unwrap()]);
        bytes.extend(name);
        bytes
    }

    #[test]
    fn entries_are_checked() {
        let bytes = [entry(b"a", 8), entry(b"dir", 4)].concat();
        let mut rest = &bytes[..];
        let first = take_entry(&mut rest).unwrap();
        assert_eq!((first.inode, first.next, first.name), (7, 9, &b"a"[..]));
        assert_eq!(first.kind, FileKind::Regular);
        assert_eq!(take_entry(&mut rest).unwrap().kind, FileKind::Directory);
        assert!(rest.is_empty());
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            let bytes = entry(bad, 8);
            assert_eq!(take_entry(&mut &bytes[..]).err(), Some(Errno::EIO));
        }
        let whole = entry(b"name", 8);
        for length in 0..whole.len() {
            assert!(take_entry(&mut &whole[..length]).is_err());
        }
    }
}
