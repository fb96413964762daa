//! Handles: the open files and directories that a sandbox names by number.

use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The most handles of one sandbox. Each is a descriptor of the broker, which must not run out.
pub const MOST_HANDLES: usize = 16 * 1024;

/// Bits of a handle that hold its place in the table; the rest tells reuses of a place apart.
const INDEX_BITS: u32 = 16;

/// An open file or directory.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The descriptor; shared with a worker that flushes it.
    pub file: Arc<OwnedFd>,
    /// The export it was opened in.
    pub export: usize,
    /// The path it was opened by, if it is a directory.
    pub directory: Option<Vec<u8>>,
}

/// The table of handles.
#[derive(Debug)]
pub struct Handles {
    places: Vec<Place>,
    free: Vec<usize>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Place {
    /// Counts uses; never 0 in a valid handle.
    generation: u32,
    handle: Option<Handle>,
}

impl Handles {
    /// Makes a table of up to `limit` handles.
    pub fn new(limit: usize) -> Handles {
        Handles {
            places: Vec::new(),
            free: Vec::new(),
            limit: limit.min(MOST_HANDLES),
        }
    }

    /// Adds a handle and returns its number: `ENFILE` when there are too many.
    pub fn add(&mut self, handle: Handle) -> Result<u64, Errno> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.places.len() < self.limit => {
                self.places.push(Place::default());
                self.places.len() - 1
            }
            None => return Err(Errno::NFILE),
        };
        let place = self.places.get_mut(index).ok_or(Errno::NFILE)?;
        place.generation = place.generation.wrapping_add(1).max(1);
        place.handle = Some(handle);
        Ok(u64::from(place.generation) << INDEX_BITS | index as u64)
    }

    /// Finds a handle: `EBADF`.
    pub fn get(&self, number: u64) -> Result<&Handle, Errno> {
        let index = Handles::index(number);
        let place = self.places.get(index).ok_or(Errno::BADF)?;
        match &place.handle {
            Some(handle) if u64::from(place.generation) == number >> INDEX_BITS => Ok(handle),
            _ => Err(Errno::BADF),
        }
    }

    /// Removes a handle: `EBADF`.
    pub fn remove(&mut self, number: u64) -> Result<(), Errno> {
        self.get(number)?;
        let index = Handles::index(number);
        if let Some(place) = self.places.get_mut(index) {
            place.handle = None;
            self.free.push(index);
        }
        Ok(())
    }

    fn index(number: u64) -> usize {
        usize::try_from(number & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Handle, Handles};
    use rustix::io::Errno;
    use std::sync::Arc;

    fn handle() -> Handle {
        Handle {
            file: Arc::new(std::fs::File::open("/dev/null").expect("a file").into()),
            export: 0,
            directory: None,
        }
    }

    #[test]
    fn numbers_are_not_reused_and_the_table_is_bounded() {
        let mut handles = Handles::new(2);
        let first = handles.add(handle()).expect("room");
        let second = handles.add(handle()).expect("room");
        assert_eq!(handles.add(handle()), Err(Errno::NFILE));
        assert!(handles.get(first).is_ok());
        handles.remove(first).expect("it is there");
        assert_eq!(handles.remove(first), Err(Errno::BADF));
        let third = handles.add(handle()).expect("room");
        assert_ne!(first, third);
        assert_eq!(handles.get(first).err(), Some(Errno::BADF));
        assert!(handles.get(second).is_ok());
        for wild in [0, u64::MAX, 1 << 63, 7] {
            assert_eq!(handles.get(wild).err(), Some(Errno::BADF));
        }
    }
}
