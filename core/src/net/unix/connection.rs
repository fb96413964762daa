//! Connections: listen(2), accept(2), connect(2), shutdown(2), and the end.

use super::inbox::Inbox;
use super::{Name, Role, UnixSocket};
use crate::fs::Owner;
use crate::net::{Shutdown, SocketCredentials, SocketKind};
use crate::wait::Events;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use capsid_platform::Errno;
use core::sync::atomic::Ordering;

impl UnixSocket {
    /// Lets others connect, listen(2): `EOPNOTSUPP`, `EINVAL`.
    pub fn listen(&self, backlog: usize, credentials: SocketCredentials) -> Result<(), Errno> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.name == Name::Unnamed {
            return Err(Errno::EINVAL);
        }
        let grown = match &mut state.role {
            Role::Connected(_) => return Err(Errno::EINVAL),
            Role::Listening { backlog: old, .. } => {
                let grown = backlog > *old;
                *old = backlog;
                grown
            }
            role @ Role::Idle => {
                *role = Role::Listening {
                    backlog,
                    pending: VecDeque::new(),
                    credentials,
                };
                false
            }
        };
        drop(state);
        if grown {
            self.queue.wake(Events::WRITABLE);
        }
        Ok(())
    }

    /// Takes the next connection, accept(2): `EAGAIN`, `EINVAL`, `EOPNOTSUPP`.
    pub fn accept(&self) -> Result<Arc<UnixSocket>, Errno> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let Role::Listening { pending, .. } = &mut state.role else {
            return Err(Errno::EINVAL);
        };
        let Some(accepted) = pending.pop_front() else {
            return if self.shut().contains(Shutdown::RECEIVE) {
                Err(Errno::EINVAL)
            } else {
                Err(Errno::EAGAIN)
            };
        };
        drop(state);
        // Those who wait to connect.
        self.queue.wake(Events::WRITABLE);
        Ok(accepted)
    }

    /// Connects to a socket that listens, or names the socket that datagrams go to: `EAGAIN` if
    /// its backlog is full, `ECONNREFUSED`, `EISCONN`, `EPROTOTYPE`, `EINVAL`.
    pub fn connect(
        &self,
        target: &Arc<UnixSocket>,
        owner: Owner,
        credentials: SocketCredentials,
    ) -> Result<(), Errno> {
        if target.kind != self.kind {
            return Err(Errno::EPROTOTYPE);
        }
        if self.kind == SocketKind::Datagram {
            target.check_accepts_from(self)?;
            return self.set_peer(Some(target.clone()));
        }
        let me = self.me.upgrade().ok_or(Errno::ECONNREFUSED)?;
        // Linux looks at the target first.
        let (name, listener) = target.admit(None)?;
        let server = UnixSocket::new(self.kind, owner);
        {
            let mut state = server.state.lock();
            state.name = name;
            state.role = Role::Connected(me);
            state.peer_credentials = credentials;
        }
        let pass_credentials = target.options.pass_credentials();
        server.options.set_pass_credentials(pass_credentials);
        {
            let mut state = self.state.lock();
            match state.role {
                Role::Idle if self.shut().is_empty() => {}
                Role::Idle | Role::Connected(_) => return Err(Errno::EISCONN),
                Role::Listening { .. } => return Err(Errno::EINVAL),
            }
            state.role = Role::Connected(server.clone());
            state.peer_credentials = listener;
        }
        if let Err(error) = target.admit(Some(&server)) {
            let before = core::mem::replace(&mut self.state.lock().role, Role::Idle);
            drop(before);
            return Err(error);
        }
        target.queue.wake(Events::READABLE);
        self.queue.wake(Events::WRITABLE);
        Ok(())
    }

    /// Lets `server`, the near end of a connection, wait to be accepted; or, without it, says
    /// whether one could. Returns the name that it gets and who listens.
    fn admit(&self, server: Option<&Arc<UnixSocket>>) -> Result<(Name, SocketCredentials), Errno> {
        let mut state = self.state.lock();
        let name = state.name.clone();
        let Role::Listening {
            backlog,
            pending,
            credentials,
        } = &mut state.role
        else {
            return Err(Errno::ECONNREFUSED);
        };
        if self.shut().contains(Shutdown::RECEIVE) {
            return Err(Errno::ECONNREFUSED);
        }
        if pending.len() > *backlog {
            return Err(Errno::EAGAIN);
        }
        pending.extend(server.cloned());
        Ok((name, *credentials))
    }

    /// Forgets the socket that datagrams go to, connect(2) with `AF_UNSPEC`.
    pub fn disconnect(&self) -> Result<(), Errno> {
        if self.kind.is_connected() {
            return Err(Errno::EINVAL);
        }
        self.set_peer(None)
    }

    fn set_peer(&self, peer: Option<Arc<UnixSocket>>) -> Result<(), Errno> {
        let role = peer.map_or(Role::Idle, Role::Connected);
        let before = core::mem::replace(&mut self.state.lock().role, role);
        drop(before);
        self.queue.wake(Events::WRITABLE);
        Ok(())
    }

    /// Checks that a datagram socket takes from `sender`: one that has a peer takes only its
    /// datagrams.
    pub(super) fn check_accepts_from(&self, sender: &UnixSocket) -> Result<(), Errno> {
        match self.peer() {
            Some(peer) if !core::ptr::eq(Arc::as_ptr(&peer), sender) => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    /// Shuts directions, shutdown(2).
    pub fn shut_down(&self, how: Shutdown) {
        self.add_shutdown(how);
        if !self.kind.is_connected() {
            return;
        }
        if let Some(peer) = self.peer() {
            let mut mirrored = Shutdown::empty();
            mirrored.set(Shutdown::RECEIVE, how.contains(Shutdown::SEND));
            mirrored.set(Shutdown::SEND, how.contains(Shutdown::RECEIVE));
            peer.add_shutdown(mirrored);
        }
    }

    fn add_shutdown(&self, how: Shutdown) {
        self.shutdown.fetch_or(how.bits(), Ordering::SeqCst);
        self.queue.wake(Events::all());
    }

    /// Ends the socket: its last descriptor is closed.
    pub(super) fn close(&self) {
        if self.dead.swap(true, Ordering::SeqCst) {
            return;
        }
        self.release_name();
        self.shutdown
            .store(Shutdown::all().bits(), Ordering::SeqCst);
        let (role, senders) = {
            let mut state = self.state.lock();
            let role = core::mem::replace(&mut state.role, Role::Idle);
            (role, core::mem::take(&mut state.blocked_senders))
        };
        let unread = core::mem::take(&mut *self.inbox.lock());
        match role {
            Role::Idle => {}
            Role::Connected(peer) => {
                if self.kind.is_connected() {
                    if !unread.is_empty() {
                        peer.set_error(Errno::ECONNRESET);
                    }
                    peer.add_shutdown(Shutdown::all());
                }
            }
            Role::Listening { pending, .. } => {
                for embryo in pending {
                    if let Some(client) = embryo.peer() {
                        client.set_error(Errno::ECONNRESET);
                    }
                    embryo.close();
                }
            }
        }
        drop::<Inbox>(unread);
        for sender in senders {
            if let Some(sender) = sender.upgrade() {
                sender.queue.wake(Events::WRITABLE);
            }
        }
        self.queue.wake(Events::all());
    }

    pub(super) fn set_error(&self, error: Errno) {
        self.error.store(error.number(), Ordering::SeqCst);
    }
}
