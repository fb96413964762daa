//! Sending and receiving.

use super::inbox::{Packet, Take};
use super::names::Name;
use super::rights::Rights;
use super::{Role, UnixSocket};
use crate::io::{Destination, Source};
use crate::net::{Shutdown, SocketCredentials, SocketKind};
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::Errno;

/// What goes along with bytes. Rights leave with the first of them.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Descriptions.
    pub rights: Rights,
    /// Who sends, by its own word, which was checked (`SCM_CREDENTIALS`).
    pub credentials: Option<SocketCredentials>,
    /// Who sends.
    pub sender: Option<SocketCredentials>,
}

bitflags! {
    /// How to receive, recv(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ReceiveFlags: u32 {
        /// Leave everything where it is.
        const PEEK = 1;
    }
}

/// What was received.
#[derive(Debug, Default)]
pub struct Received {
    /// How many bytes.
    pub bytes: usize,
    /// How many the message had.
    pub full_bytes: usize,
    /// Descriptions.
    pub rights: Rights,
    /// Who sent it, if that was recorded.
    pub credentials: Option<SocketCredentials>,
    /// The sender's name, of messages.
    pub from: Name,
}

impl UnixSocket {
    /// Sends to `target`, or to the peer: `EAGAIN` if there is no room, `EPIPE`, `ENOTCONN`,
    /// `ECONNREFUSED`, `EMSGSIZE`.
    pub fn send(
        &self,
        source: &mut Source<'_>,
        outgoing: &mut Outgoing,
        target: Option<&Arc<UnixSocket>>,
    ) -> Result<usize, Errno> {
        if self.kind.is_connected() {
            if target.is_some() {
                let connected = self.peer().is_some();
                return Err(match self.kind {
                    SocketKind::Stream if !connected => Errno::EOPNOTSUPP,
                    _ => Errno::EISCONN,
                });
            }
            return self.send_connected(source, outgoing);
        }
        self.send_datagram(source, outgoing, target)
    }

    fn send_connected(
        &self,
        source: &mut Source<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Errno> {
        let error = self.take_error();
        if error != 0 {
            return Err(Errno::from_raw(error.into()));
        }
        let Some(peer) = self.peer() else {
            return Err(Errno::ENOTCONN);
        };
        if self.shut().contains(Shutdown::SEND)
            || peer.is_dead()
            || peer.shut().contains(Shutdown::RECEIVE)
        {
            return Err(Errno::EPIPE);
        }
        if self.kind == SocketKind::SequencedPacket {
            return self.send_packet(&peer, source, outgoing);
        }
        let wanted = source.remaining();
        if wanted == 0 {
            return Ok(0);
        }
        let credentials = self.recorded(&peer, outgoing);
        let mut inbox = peer.inbox.lock();
        let room = self.options.send_bytes().saturating_sub(inbox.bytes());
        if room == 0 {
            return Err(Errno::EAGAIN);
        }
        let moved = inbox.put_bytes(source, room, &mut outgoing.rights, credentials)?;
        drop(inbox);
        peer.queue.wake(Events::READABLE);
        Ok(moved)
    }

    /// Who sends, if one of the two wants that recorded.
    fn recorded(&self, peer: &UnixSocket, outgoing: &Outgoing) -> Option<SocketCredentials> {
        if outgoing.credentials.is_some() {
            return outgoing.credentials;
        }
        let wanted = self.options.pass_credentials() || peer.options.pass_credentials();
        outgoing.sender.filter(|_| wanted)
    }

    fn send_packet(
        &self,
        target: &Arc<UnixSocket>,
        source: &mut Source<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Errno> {
        let length = source.remaining();
        let limit = self.options.send_bytes();
        if length > limit.saturating_sub(32) {
            return Err(Errno::EMSGSIZE);
        }
        {
            let inbox = target.inbox.lock();
            let full = inbox.bytes() > 0 && inbox.bytes() + length > limit;
            if full || inbox.is_crowded() {
                drop(inbox);
                if self.kind == SocketKind::Datagram {
                    target.remember_sender(&self.me);
                }
                return Err(Errno::EAGAIN);
            }
        }
        // Outside the lock: the copy may fault, and the message then is not sent at all.
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(length, 0);
        if source.take(&mut bytes)? < length {
            return Err(Errno::EFAULT);
        }
        let packet = Packet {
            bytes,
            rights: core::mem::take(&mut outgoing.rights),
            credentials: self.recorded(target, outgoing),
            from: self.name(),
        };
        target.inbox.lock().put_packet(packet);
        target.queue.wake(Events::READABLE);
        Ok(length)
    }

    fn send_datagram(
        &self,
        source: &mut Source<'_>,
        outgoing: &mut Outgoing,
        target: Option<&Arc<UnixSocket>>,
    ) -> Result<usize, Errno> {
        let peer = match target {
            Some(target) => target.clone(),
            None => self.peer().ok_or(Errno::ENOTCONN)?,
        };
        if peer.kind != SocketKind::Datagram {
            return Err(Errno::EPROTOTYPE);
        }
        if self.shut().contains(Shutdown::SEND) {
            return Err(Errno::EPIPE);
        }
        if peer.is_dead() {
            if target.is_none() {
                let before = core::mem::replace(&mut self.state.lock().role, Role::Idle);
                drop(before);
            }
            return Err(Errno::ECONNREFUSED);
        }
        if target.is_some() {
            peer.check_accepts_from(self)?;
        }
        if peer.shut().contains(Shutdown::RECEIVE) {
            return Err(Errno::EPIPE);
        }
        self.send_packet(&peer, source, outgoing)
    }

    /// Receives bytes or one message: `EAGAIN` if there is nothing, 0 bytes at the end.
    pub fn receive(
        &self,
        destination: &mut Destination<'_>,
        flags: ReceiveFlags,
    ) -> Result<Received, Errno> {
        let take = if flags.contains(ReceiveFlags::PEEK) {
            Take::Peek
        } else {
            Take::Out
        };
        if self.kind == SocketKind::Stream {
            return self.receive_bytes(destination, take);
        }
        self.receive_packet(destination, take)
    }

    fn receive_bytes(
        &self,
        destination: &mut Destination<'_>,
        take: Take,
    ) -> Result<Received, Errno> {
        let mut inbox = self.inbox.lock();
        if inbox.is_empty() {
            drop(inbox);
            if self.peer().is_none() && !self.is_dead() && self.shut().is_empty() {
                return Err(Errno::EINVAL);
            }
            return self.nothing_left();
        }
        let by_sender = self.options.pass_credentials();
        let (bytes, ancillary) = inbox.take_bytes(destination, 0, take, by_sender)?;
        let left = inbox.bytes();
        drop(inbox);
        if take == Take::Out {
            self.wake_sender(left);
        }
        Ok(Received {
            bytes,
            full_bytes: bytes,
            rights: ancillary.rights,
            credentials: ancillary.credentials,
            from: Name::Unnamed,
        })
    }

    /// What receiving says when nothing is there.
    fn nothing_left(&self) -> Result<Received, Errno> {
        let error = self.take_error();
        if error != 0 {
            return Err(Errno::from_raw(error.into()));
        }
        if self.shut().contains(Shutdown::RECEIVE) {
            // What came before the end, and after the look.
            if !self.inbox.lock().is_empty() {
                return Err(Errno::EAGAIN);
            }
            return Ok(Received::default());
        }
        Err(Errno::EAGAIN)
    }

    fn receive_packet(
        &self,
        destination: &mut Destination<'_>,
        take: Take,
    ) -> Result<Received, Errno> {
        let mut inbox = self.inbox.lock();
        if take == Take::Peek
            && let Some(packet) = inbox.front_packet()
        {
            let bytes = destination.put(&packet.bytes)?;
            return Ok(Received {
                bytes,
                full_bytes: packet.bytes.len(),
                rights: packet.rights.copy(),
                credentials: packet.credentials,
                from: packet.from.clone(),
            });
        }
        let packet = inbox.take_packet();
        let left = inbox.bytes();
        drop(inbox);
        let Some(packet) = packet else {
            if self.kind == SocketKind::SequencedPacket
                && self.peer().is_none()
                && self.shut().is_empty()
            {
                return Err(Errno::ENOTCONN);
            }
            return self.nothing_left();
        };
        self.wake_sender(left);
        let bytes = destination.put(&packet.bytes)?;
        Ok(Received {
            bytes,
            full_bytes: packet.bytes.len(),
            rights: packet.rights,
            credentials: packet.credentials,
            from: packet.from,
        })
    }

    /// Tells senders of room, once much of it is free.
    fn wake_sender(&self, left: usize) {
        if self.kind == SocketKind::Datagram {
            let senders = core::mem::take(&mut self.state.lock().blocked_senders);
            for sender in senders {
                if let Some(sender) = sender.upgrade() {
                    sender.queue.wake(Events::WRITABLE);
                }
            }
            return;
        }
        if let Some(peer) = self.peer()
            && left <= peer.options.send_bytes() / 4
        {
            peer.queue.wake(Events::WRITABLE);
        }
    }
}
