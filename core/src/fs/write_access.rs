//! Who may write a file that is executed, or execute one that is written: `ETXTBSY`.

use crate::fs::Inode;
use alloc::sync::Arc;
use capsid_platform::Errno;
use core::sync::atomic::{AtomicI32, Ordering};

/// How many descriptions may write a file, or, negated, how many programs are executed from it.
#[derive(Debug, Default)]
pub struct WriteAccess(AtomicI32);

impl WriteAccess {
    /// One more on the side that `step` points to, if nobody is on the other: `ETXTBSY`.
    fn take(&self, step: i32) -> Result<(), Errno> {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                (count.signum() != -step).then(|| count.saturating_add(step))
            })
            .map_err(|_| Errno::ETXTBSY)?;
        Ok(())
    }

    /// Whether a description may write the file.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    fn give_back(&self, step: i32) {
        self.0.fetch_sub(step, Ordering::SeqCst);
    }
}

/// A side taken, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    inode: Arc<dyn Inode>,
    step: i32,
}

impl Hold {
    fn take(inode: &Arc<dyn Inode>, step: i32) -> Result<Option<Hold>, Errno> {
        let Some(access) = inode.write_access() else {
            return Ok(None);
        };
        access.take(step)?;
        let inode = inode.clone();
        Ok(Some(Hold { inode, step }))
    }

    /// Keeps the file from being executed: `ETXTBSY` if it is. `None` for files that nothing
    /// executes.
    pub fn to_write(inode: &Arc<dyn Inode>) -> Result<Option<Hold>, Errno> {
        Hold::take(inode, 1)
    }

    /// Keeps the file from being written: `ETXTBSY` if somebody can. `None` for files that nobody
    /// can write.
    pub fn to_execute(inode: &Arc<dyn Inode>) -> Result<Option<Hold>, Errno> {
        Hold::take(inode, -1)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(access) = self.inode.write_access() {
            access.give_back(self.step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WriteAccess;
    use capsid_platform::Errno;

    #[test]
    fn writing_and_executing_exclude_each_other() {
        let access = WriteAccess::default();
        access.take(1).unwrap();
        access.take(1).unwrap();
        assert_eq!(access.take(-1), Err(Errno::ETXTBSY));
        access.give_back(1);
        access.give_back(1);
        access.take(-1).unwrap();
        assert_eq!(access.take(1), Err(Errno::ETXTBSY));
        access.give_back(-1);
        assert_eq!(access.take(1), Ok(()));
    }
}
