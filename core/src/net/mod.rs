//! Sockets.

pub mod unix;

use bitflags::bitflags;

/// The type of a socket, socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketKind {
    /// Bytes in order (`SOCK_STREAM`).
    Stream,
    /// Messages (`SOCK_DGRAM`).
    Datagram,
    /// Messages in order, of a connection (`SOCK_SEQPACKET`).
    SequencedPacket,
}

impl SocketKind {
    /// Whether it is connected before it transfers.
    #[must_use]
    pub fn is_connected(self) -> bool {
        self != SocketKind::Datagram
    }
}

bitflags! {
    /// Directions that are shut, shutdown(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Shutdown: u8 {
        /// Nothing more is received.
        const RECEIVE = 1;
        /// Nothing more is sent.
        const SEND = 2;
    }
}

/// Who is at an end of a socket, `SO_PEERCRED` and `SCM_CREDENTIALS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketCredentials {
    /// The process; 0 if unknown.
    pub process: u32,
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl SocketCredentials {
    /// What is shown where nobody said who they are: the overflow ids.
    pub const UNKNOWN: SocketCredentials = SocketCredentials {
        process: 0,
        user: 65_534,
        group: 65_534,
    };
}
