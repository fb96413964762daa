//! The objects of one kind, by key and by id.

use super::{Header, PRIVATE, Wanted};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::Credentials;
use capsid_core::sync::Mutex;

/// Ids are an index below this and a sequence number above.
const INDEX_LIMIT: u32 = 1 << 15;
/// Sequence numbers wrap here, so that ids stay positive.
const SEQUENCE_LIMIT: u16 = 1 << 15;

const CREATE: u32 = 0o1000;
const EXCLUSIVE: u32 = 0o2000;

/// Something that is found by an id.
pub trait Object {
    /// Its key, id and permissions.
    fn header(&self) -> &Header;
}

/// Objects of one kind.
#[derive(Debug)]
pub struct Registry<T> {
    table: Mutex<Table<T>>,
    limit: usize,
}

#[derive(Debug)]
struct Table<T> {
    by_index: BTreeMap<u32, Arc<T>>,
    /// The index given out last: the next is the one after it, so that ids are not used again
    /// soon.
    last: Option<u32>,
    sequence: u16,
}

/// What the get calls ask for.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// The key.
    pub key: i32,
    /// `IPC_CREAT`, `IPC_EXCL` and permission bits.
    pub flags: u32,
    /// Who asks.
    pub credentials: &'a Credentials,
}

impl<T: Object> Registry<T> {
    /// Makes an empty registry for at most `limit` objects.
    pub(super) fn new(limit: usize) -> Registry<T> {
        Registry {
            table: Mutex::new(Table {
                by_index: BTreeMap::new(),
                last: None,
                sequence: 0,
            }),
            limit,
        }
    }

    /// Finds the object of a key, or makes it, and returns its id: `ENOENT`, `EEXIST`, `EACCES`,
    /// `ENOSPC`, and what `fits` says of one that exists and `make` of a new one.
    pub fn get(
        &self,
        request: &Get<'_>,
        fits: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce(Header) -> Result<T, Errno>,
    ) -> Result<i32, Errno> {
        let mut table = self.table.lock();
        let flags = request.flags;
        if request.key != PRIVATE {
            let found = table
                .by_index
                .values()
                .find(|object| object.header().key() == request.key);
            if let Some(found) = found {
                if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
                    return Err(Errno::EEXIST);
                }
                fits(found)?;
                let header = found.header();
                header.check(request.credentials, Wanted(flags & 0o777))?;
                return Ok(header.id);
            }
            if flags & CREATE == 0 {
                return Err(Errno::ENOENT);
            }
        }
        if table.by_index.len() >= self.limit {
            return Err(Errno::ENOSPC);
        }
        let (index, sequence) = table.next_place();
        let id = index.cast_signed() + i32::from(sequence) * INDEX_LIMIT.cast_signed();
        let header = Header::new(request.key, id, sequence, flags, request.credentials);
        let object = Arc::new(make(header)?);
        table.last = Some(index);
        table.sequence = sequence;
        table.by_index.insert(index, object);
        Ok(id)
    }

    /// The object of an id: `EINVAL`.
    pub fn find(&self, id: i32) -> Result<Arc<T>, Errno> {
        let number = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
        let object = self.at(number % INDEX_LIMIT)?;
        if object.header().id != id {
            return Err(Errno::EINVAL);
        }
        Ok(object)
    }

    /// The object at an index, as the `STAT` commands want it: `EINVAL`.
    pub fn at(&self, index: u32) -> Result<Arc<T>, Errno> {
        let table = self.table.lock();
        table.by_index.get(&index).cloned().ok_or(Errno::EINVAL)
    }

    /// Takes an object out.
    pub fn remove(&self, object: &T) {
        let id = object.header().id;
        let index = id.cast_unsigned() % INDEX_LIMIT;
        let mut table = self.table.lock();
        let same = table
            .by_index
            .get(&index)
            .is_some_and(|found| found.header().id == id);
        let gone = same.then(|| table.by_index.remove(&index)).flatten();
        drop(table);
        drop(gone);
    }

    /// All objects, by index.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.table.lock().by_index.values().cloned().collect()
    }

    /// The highest index in use; 0 if none is.
    #[must_use]
    pub fn highest_index(&self) -> u32 {
        let table = self.table.lock();
        table.by_index.keys().next_back().copied().unwrap_or(0)
    }
}

impl<T> Table<T> {
    /// A free index, and the sequence number that goes with it.
    fn next_place(&self) -> (u32, u16) {
        let start = self.last.map_or(0, |last| (last + 1) % INDEX_LIMIT);
        let free = |index: &u32| !self.by_index.contains_key(index);
        let index = (start..INDEX_LIMIT).chain(0..start).find(free).unwrap_or(0);
        let wrapped = self.last.is_some_and(|last| index <= last);
        let sequence = (self.sequence + u16::from(wrapped)) % SEQUENCE_LIMIT;
        (index, sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::{Get, Object, Registry};
    use crate::sysv::Header;
    use capsid_core::Errno;
    use capsid_core::credentials::Credentials;

    #[derive(Debug)]
    struct Thing(Header);

    impl Object for Thing {
        fn header(&self) -> &Header {
            &self.0
        }
    }

    #[test]
    fn keys_and_ids_find_objects() {
        capsid_platform_threads::install();
        let registry: Registry<Thing> = Registry::new(2);
        let credentials = Credentials::new(0, 0);
        let get = |key, flags| {
            let request = Get {
                key,
                flags,
                credentials: &credentials,
            };
            registry.get(&request, |_| Ok(()), |header| Ok(Thing(header)))
        };
        assert_eq!(get(5, 0), Err(Errno::ENOENT));
        let first = get(5, 0o1600).unwrap();
        assert_eq!(get(5, 0), Ok(first));
        assert_eq!(get(5, 0o3600), Err(Errno::EEXIST));
        let second = get(0, 0).unwrap();
        assert_ne!(first, second);
        assert_eq!(get(0, 0), Err(Errno::ENOSPC));
        let object = registry.find(first).unwrap();
        registry.remove(&object);
        assert_eq!(registry.find(first).unwrap_err(), Errno::EINVAL);
        assert_eq!(registry.find(-1).unwrap_err(), Errno::EINVAL);
        assert_ne!(get(5, 0o1600), Ok(first));
    }
}
