//! Unix sockets, unix(7).
//!
//! What is sent lies in the receiver's [`Inbox`] until it is received. The locks of two sockets
//! are never held together.

mod connection;
mod inbox;
mod names;
mod options;
mod rights;
mod transfer;

#[cfg(test)]
mod tests;

use crate::fs::{DetachedInode, File, FileKind, Inode, Metadata, Owner, WriteAt};
use crate::io::{Destination, Source};
use crate::net::{Shutdown, SocketCredentials, SocketKind};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};
use inbox::Inbox;
pub use names::{Name, bind_inode, find_abstract, find_inode};
pub use options::SocketOptions;
pub use rights::{RIGHTS_MAX, Rights};
pub use transfer::{Outgoing, ReceiveFlags, Received};

/// A Unix socket.
#[derive(Debug)]
pub struct UnixSocket {
    kind: SocketKind,
    node: Arc<DetachedInode>,
    me: Weak<UnixSocket>,
    queue: WaitQueue,
    state: Mutex<State>,
    inbox: Mutex<Inbox>,
    /// Bits of [`Shutdown`].
    shutdown: AtomicU8,
    /// No descriptor refers to it.
    dead: AtomicBool,
    /// The pending error, `SO_ERROR`; 0 for none.
    error: AtomicU16,
    /// What setsockopt(2) sets.
    pub options: SocketOptions,
}

#[derive(Debug)]
struct State {
    name: Name,
    role: Role,
    /// Who connected, or listened, at the other end.
    peer_credentials: SocketCredentials,
    /// Datagram sockets that wait for room here.
    blocked_senders: Vec<Weak<UnixSocket>>,
}

#[derive(Debug)]
enum Role {
    /// Nothing yet, or no longer.
    Idle,
    /// It accepts connections.
    Listening {
        backlog: usize,
        pending: VecDeque<Arc<UnixSocket>>,
        credentials: SocketCredentials,
    },
    /// It has a peer. The two own each other until one is closed.
    Connected(Arc<UnixSocket>),
}

impl UnixSocket {
    /// Makes a socket that is not connected.
    #[must_use]
    pub fn new(kind: SocketKind, owner: Owner) -> Arc<UnixSocket> {
        let node = DetachedInode::new(FileKind::Socket, 0o777, owner, "socket");
        Arc::new_cyclic(|me| UnixSocket {
            kind,
            node,
            me: me.clone(),
            queue: WaitQueue::new(),
            state: Mutex::new(State {
                name: Name::Unnamed,
                role: Role::Idle,
                peer_credentials: SocketCredentials::UNKNOWN,
                blocked_senders: Vec::new(),
            }),
            inbox: Mutex::new(Inbox::default()),
            shutdown: AtomicU8::new(0),
            dead: AtomicBool::new(false),
            error: AtomicU16::new(0),
            options: SocketOptions::default(),
        })
    }

    /// Makes two sockets that are connected to each other, socketpair(2).
    #[must_use]
    pub fn pair(
        kind: SocketKind,
        owner: Owner,
        credentials: SocketCredentials,
    ) -> [Arc<UnixSocket>; 2] {
        let sockets = [UnixSocket::new(kind, owner), UnixSocket::new(kind, owner)];
        for (socket, peer) in [(0, 1), (1, 0)] {
            let mut state = sockets[socket].state.lock();
            state.role = Role::Connected(sockets[peer].clone());
            state.peer_credentials = credentials;
        }
        sockets
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// The name, getsockname(2).
    #[must_use]
    pub fn name(&self) -> Name {
        self.state.lock().name.clone()
    }

    /// The peer's name, getpeername(2): `ENOTCONN`.
    pub fn peer_name(&self) -> Result<Name, Errno> {
        let peer = self.peer().ok_or(Errno::ENOTCONN)?;
        Ok(peer.name())
    }

    /// Who is at the other end, `SO_PEERCRED`.
    #[must_use]
    pub fn peer_credentials(&self) -> SocketCredentials {
        self.state.lock().peer_credentials
    }

    /// Whether it accepts connections.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening { .. })
    }

    /// Takes the pending error, `SO_ERROR`; 0 for none.
    pub fn take_error(&self) -> u16 {
        self.error.swap(0, Ordering::SeqCst)
    }

    fn peer(&self) -> Option<Arc<UnixSocket>> {
        match &self.state.lock().role {
            Role::Connected(peer) => Some(peer.clone()),
            _ => None,
        }
    }

    fn shut(&self) -> Shutdown {
        Shutdown::from_bits_truncate(self.shutdown.load(Ordering::SeqCst))
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether what was sent leaves room for more: a quarter of the buffer is in use at most, so
    /// that writers are not woken for every few bytes.
    fn is_writable(&self, peer: Option<&Arc<UnixSocket>>) -> bool {
        let Some(peer) = peer else { return true };
        let inbox = peer.inbox.lock();
        let room = self.options.send_bytes();
        let has_room = inbox.bytes() <= room / 4 && !inbox.is_crowded();
        drop(inbox);
        if !has_room && self.kind == SocketKind::Datagram {
            peer.remember_sender(&self.me);
        }
        has_room
    }

    fn remember_sender(&self, sender: &Weak<UnixSocket>) {
        let mut state = self.state.lock();
        let senders = &mut state.blocked_senders;
        if !senders.iter().any(|other| Weak::ptr_eq(other, sender)) {
            senders.push(sender.clone());
        }
    }
}

impl File for UnixSocket {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if destination.remaining() == 0 && self.kind == SocketKind::Stream {
            return Ok(0);
        }
        let received = self.receive(destination, ReceiveFlags::empty())?;
        Ok(received.bytes)
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let count = self.send(source, &mut Outgoing::default(), None)?;
        Ok((count, 0))
    }

    fn readiness(&self) -> Events {
        let mut events = Events::empty();
        let (listening, pending, peer) = {
            let state = self.state.lock();
            match &state.role {
                Role::Listening { pending, .. } => (true, !pending.is_empty(), None),
                Role::Connected(peer) => (false, false, Some(peer.clone())),
                Role::Idle => (false, false, None),
            }
        };
        let shut = self.shut();
        if self.error.load(Ordering::SeqCst) != 0 {
            events |= Events::ERR;
        }
        if shut.is_all() {
            events |= Events::HUP;
        }
        if shut.contains(Shutdown::RECEIVE) {
            events |= Events::RDHUP | Events::READABLE;
        }
        if pending || !self.inbox.lock().is_empty() {
            events |= Events::READABLE;
        }
        if self.kind.is_connected() && peer.is_none() && !listening {
            events |= Events::HUP;
        }
        if !listening && self.is_writable(peer.as_ref()) {
            events |= Events::WRITABLE | Events::WRBAND;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.metadata()
    }

    fn label(&self) -> Option<String> {
        Some(self.node.label())
    }

    fn bytes_ready(&self) -> Result<usize, Errno> {
        if self.is_listening() {
            return Err(Errno::EINVAL);
        }
        Ok(self.inbox.lock().next_bytes())
    }

    fn bytes_unsent(&self) -> Result<usize, Errno> {
        Ok(self.peer().map_or(0, |peer| peer.inbox.lock().bytes()))
    }

    fn closed(&self, last: bool) {
        if last {
            self.close();
        }
    }
}
