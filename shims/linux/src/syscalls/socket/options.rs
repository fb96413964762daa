//! Socket options: getsockopt(2), setsockopt(2), socket(7).

use super::{socket_of, write_sized};
use crate::call::{Call, CallResult};
use capsid_core::Errno;
use capsid_core::net::SocketKind;
use capsid_core::net::unix::UnixSocket;
use capsid_platform::GuestAddr;
use linux_raw_sys::net;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1000;

/// getsockopt(2).
pub fn sys_getsockopt(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let socket = socket_of(&file)?;
    if call.uint(1) != net::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let (address, length) = (call.pointer(3), call.pointer(4));
    let number =
        match call.uint(2) {
            net::SO_TYPE => match socket.kind() {
                SocketKind::Stream => super::SOCK_STREAM,
                SocketKind::Datagram => super::SOCK_DGRAM,
                SocketKind::SequencedPacket => super::SOCK_SEQPACKET,
            },
            net::SO_DOMAIN => net::AF_UNIX,
            net::SO_ERROR => socket.take_error().into(),
            net::SO_ACCEPTCONN => socket.is_listening().into(),
            net::SO_SNDBUF => size(socket.options.send_bytes()),
            net::SO_RCVBUF => size(socket.options.receive_bytes()),
            net::SO_PASSCRED => socket.options.pass_credentials().into(),
            net::SO_RCVLOWAT => 1,
            net::SO_PROTOCOL | net::SO_DEBUG | net::SO_REUSEADDR | net::SO_REUSEPORT => 0,
            net::SO_KEEPALIVE | net::SO_BROADCAST | net::SO_PRIORITY | net::SO_DONTROUTE => 0,
            net::SO_OOBINLINE | net::SO_TIMESTAMP_OLD | net::SO_PASSSEC | net::SO_PEEK_OFF => 0,
            net::SO_LINGER => {
                write_sized(&[0; 8], address, length)?;
                return Ok(0);
            }
            net::SO_RCVTIMEO_OLD => {
                return write_time(socket.options.receive_timeout(), address, length);
            }
            net::SO_SNDTIMEO_OLD => {
                return write_time(socket.options.send_timeout(), address, length);
            }
            net::SO_PEERCRED => {
                let peer = socket.peer_credentials();
                let mut bytes = [0; 12];
                for (chunk, id) in bytes.as_chunks_mut::<4>().0.iter_mut().zip([
                    peer.process,
                    peer.user,
                    peer.group,
                ]) {
                    *chunk = id.to_ne_bytes();
                }
                write_sized(&bytes, address, length)?;
                return Ok(0);
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
    write_sized(&number.to_ne_bytes(), address, length)?;
    Ok(0)
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn write_time(time: u64, address: GuestAddr, length: GuestAddr) -> CallResult {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(time / NS_PER_S).to_ne_bytes());
    bytes[8..].copy_from_slice(&(time % NS_PER_S / NS_PER_US).to_ne_bytes());
    write_sized(&bytes, address, length)?;
    Ok(0)
}

/// setsockopt(2).
pub fn sys_setsockopt(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let socket = socket_of(&file)?;
    if call.int(4) < 0 {
        return Err(Errno::EINVAL);
    }
    if call.uint(1) != net::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let option = call.uint(2);
    if matches!(option, net::SO_RCVTIMEO_OLD | net::SO_SNDTIMEO_OLD) {
        return set_timeout(call, socket, option);
    }
    if call.uint(4) < 4 {
        return Err(Errno::EINVAL);
    }
    let value = call.pointer(3).read_u32()?;
    match option {
        net::SO_SNDBUF | net::SO_SNDBUFFORCE => socket.options.set_send_bytes(value),
        net::SO_RCVBUF | net::SO_RCVBUFFORCE => socket.options.set_receive_bytes(value),
        net::SO_PASSCRED => socket.options.set_pass_credentials(value != 0),
        // Without a meaning for Unix sockets.
        net::SO_REUSEADDR | net::SO_REUSEPORT | net::SO_KEEPALIVE | net::SO_BROADCAST => {}
        net::SO_LINGER | net::SO_DONTROUTE | net::SO_OOBINLINE | net::SO_PRIORITY => {}
        net::SO_RCVLOWAT | net::SO_TIMESTAMP_OLD | net::SO_PASSSEC => {}
        net::SO_TYPE | net::SO_DOMAIN | net::SO_ERROR | net::SO_ACCEPTCONN => {
            return Err(Errno::ENOPROTOOPT);
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(0)
}

fn set_timeout(call: &Call<'_>, socket: &UnixSocket, option: u32) -> CallResult {
    if call.uint(4) < 16 {
        return Err(Errno::EINVAL);
    }
    let seconds = call.pointer(3).read_u64()?;
    let microseconds = call.pointer(3).offset(8)?.read_u64()?;
    if microseconds >= 1_000_000 {
        return Err(Errno::EDOM);
    }
    // A negative time has passed already.
    let timeout = if seconds.cast_signed() < 0 {
        1
    } else {
        let fraction = microseconds * NS_PER_US;
        seconds.saturating_mul(NS_PER_S).saturating_add(fraction)
    };
    match option {
        net::SO_RCVTIMEO_OLD => socket.options.set_receive_timeout(timeout),
        _ => socket.options.set_send_timeout(timeout),
    }
    Ok(0)
}
