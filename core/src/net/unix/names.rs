//! Names of Unix sockets: paths, and the abstract ones that no file system knows.

use super::UnixSocket;
use crate::fs::Inode;
use crate::net::SocketKind;
use crate::sync::Mutex;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use capsid_platform::Errno;
use core::sync::atomic::{AtomicU32, Ordering};

/// What a socket is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// Nothing.
    #[default]
    Unnamed,
    /// A path, as it was given.
    Path(Arc<[u8]>),
    /// Bytes, without the NUL in front.
    Abstract(Arc<[u8]>),
}

/// Sockets by type and abstract name: each type has names of its own.
static ABSTRACT: Mutex<BTreeMap<Key, Weak<UnixSocket>>> = Mutex::new(BTreeMap::new());

type Key = (SocketKind, Arc<[u8]>);

/// What hangs on the inode of a bound path.
struct Binding(Weak<UnixSocket>);

/// Hangs a socket on the inode that bind(2) made: `EOPNOTSUPP` for file systems that cannot hold
/// sockets.
pub fn bind_inode(inode: &Arc<dyn Inode>, socket: &UnixSocket) -> Result<(), Errno> {
    let attachment = inode.attachment().ok_or(Errno::EOPNOTSUPP)?;
    attachment.set(Some(Arc::new(Binding(socket.me.clone()))));
    Ok(())
}

/// The socket bound to an inode: `ECONNREFUSED` if it is gone.
pub fn find_inode(inode: &Arc<dyn Inode>) -> Result<Arc<UnixSocket>, Errno> {
    let binding = inode.attachment().and_then(|place| place.get::<Binding>());
    let socket = binding.and_then(|binding| binding.0.upgrade());
    socket
        .filter(|socket| !socket.is_dead())
        .ok_or(Errno::ECONNREFUSED)
}

/// The socket of a type with an abstract name: `ECONNREFUSED`.
pub fn find_abstract(kind: SocketKind, name: &[u8]) -> Result<Arc<UnixSocket>, Errno> {
    let key = (kind, name.into());
    let socket = ABSTRACT.lock().get(&key).and_then(Weak::upgrade);
    socket
        .filter(|socket| !socket.is_dead())
        .ok_or(Errno::ECONNREFUSED)
}

impl UnixSocket {
    /// Checks that the socket has no name yet: `EINVAL`.
    pub fn check_unnamed(&self) -> Result<(), Errno> {
        match self.state.lock().name {
            Name::Unnamed => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Notes the path it was bound to.
    pub fn set_path(&self, path: &[u8]) {
        self.state.lock().name = Name::Path(path.into());
    }

    /// Binds it to an abstract name: `EADDRINUSE`, `EINVAL`.
    pub fn bind_abstract(&self, name: &[u8]) -> Result<(), Errno> {
        let name: Arc<[u8]> = name.into();
        let mut state = self.state.lock();
        if state.name != Name::Unnamed {
            return Err(Errno::EINVAL);
        }
        let key = (self.kind, name.clone());
        let mut names = ABSTRACT.lock();
        if names
            .get(&key)
            .is_some_and(|other| other.strong_count() > 0)
        {
            return Err(Errno::EADDRINUSE);
        }
        names.insert(key, self.me.clone());
        state.name = Name::Abstract(name);
        Ok(())
    }

    /// Binds it to a free abstract name, unless it has a name.
    pub fn bind_automatically(&self) -> Result<(), Errno> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        const NAMES: u32 = 1 << 20;
        for _ in 0..NAMES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % NAMES;
            match self.bind_abstract(format!("{number:05x}").as_bytes()) {
                Err(Errno::EADDRINUSE) => {}
                // It has a name.
                Err(Errno::EINVAL) => return Ok(()),
                result => return result,
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Gives an abstract name back.
    pub(super) fn release_name(&self) {
        let name = self.state.lock().name.clone();
        if let Name::Abstract(name) = name {
            let key = (self.kind, name);
            let mut names = ABSTRACT.lock();
            if names
                .get(&key)
                .is_some_and(|holder| Weak::ptr_eq(holder, &self.me))
            {
                names.remove(&key);
            }
        }
    }
}
