//! Messages: sendto(2), recvfrom(2), sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2).

use super::address::{SocketAddress, encode_name};
use super::{control, find_target, patience, socket_of, write_sized};
use crate::call::{Call, CallResult};
use crate::files::{IoVectors, Patience, block_on};
use capsid_core::Errno;
use capsid_core::fs::OpenFile;
use capsid_core::io::{Destination, Source};
use capsid_core::net::SocketKind;
use capsid_core::net::unix::{Name, Outgoing, ReceiveFlags, Received, UnixSocket};
use capsid_core::wait::Events;
use capsid_platform::{Clock, GuestAddr, platform};
use linux_raw_sys::net;

/// Flags that sending knows.
const SEND_FLAGS: u32 = net::MSG_DONTWAIT
    | net::MSG_NOSIGNAL
    | net::MSG_EOR
    | net::MSG_MORE
    | net::MSG_DONTROUTE
    | net::MSG_CONFIRM;
/// Wait for the first message only; the generated header lacks it.
const MSG_WAITFORONE: u32 = 0x10000;
/// `struct msghdr` and `struct mmsghdr`, in bytes.
const MSGHDR_BYTES: u64 = 56;
const MMSGHDR_BYTES: u64 = 64;
/// The most messages of one call (`UIO_MAXIOV`).
const MESSAGES_MAX: u32 = 1024;

/// A `struct msghdr` of the guest.
struct MessageHeader {
    address: GuestAddr,
    name: GuestAddr,
    name_length: u32,
    vectors: IoVectors,
    control: GuestAddr,
    control_length: usize,
}

impl MessageHeader {
    fn read(address: GuestAddr) -> Result<MessageHeader, Errno> {
        let word = |at: u64| address.offset(at)?.read_u64();
        let count = usize::try_from(word(24)?).unwrap_or(usize::MAX);
        let vectors = match IoVectors::read(GuestAddr(word(16)?), count) {
            Err(Errno::EINVAL) if count > MESSAGES_MAX as usize => return Err(Errno::EMSGSIZE),
            result => result?,
        };
        Ok(MessageHeader {
            address,
            name: GuestAddr(word(0)?),
            name_length: address.offset(8)?.read_u32()?,
            vectors,
            control: GuestAddr(word(32)?),
            control_length: usize::try_from(word(40)?).unwrap_or(usize::MAX),
        })
    }
}

fn send(
    call: &Call<'_>,
    file: &OpenFile,
    source: &mut Source<'_>,
    outgoing: &mut Outgoing,
    to: Option<(GuestAddr, u32)>,
    flags: u32,
) -> CallResult {
    let socket = socket_of(file)?;
    if flags & net::MSG_OOB != 0 || flags & !SEND_FLAGS != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let target = match to {
        // The addresses of connections are not looked at, but for their presence.
        Some(_) if socket.kind() == SocketKind::SequencedPacket => None,
        Some(_) if socket.kind() == SocketKind::Stream => {
            let connected = socket.peer_name().is_ok();
            return Err(if connected {
                Errno::EISCONN
            } else {
                Errno::EOPNOTSUPP
            });
        }
        Some((address, length)) => {
            let address = SocketAddress::read(address, length)?;
            Some(find_target(call, socket.kind(), &address)?)
        }
        None => None,
    };
    let patience = if flags & net::MSG_DONTWAIT != 0 {
        Patience::None
    } else {
        patience(socket.options.send_timeout())
    };
    let mut done = 0;
    let result = loop {
        let result = block_on(call.thread, file, Events::WRITABLE, patience, || {
            socket.send(source, outgoing, target.as_ref())
        });
        match result {
            Ok(count) => {
                done += count;
                let more = socket.kind() == SocketKind::Stream && source.remaining() > 0;
                if !more || count == 0 {
                    break Ok(done as u64);
                }
            }
            Err(_) if done > 0 => break Ok(done as u64),
            Err(error) => break Err(error),
        }
    };
    if result == Err(Errno::EPIPE)
        && flags & net::MSG_NOSIGNAL == 0
        && socket.kind() == SocketKind::Stream
    {
        call.raise_broken_pipe();
    }
    result
}

/// sendto(2).
pub fn sys_sendto(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    socket_of(&file)?;
    let vectors = IoVectors::one(call.pointer(1), call.size(2));
    let to = Some((call.pointer(4), call.uint(5))).filter(|(address, _)| !address.is_null());
    let mut outgoing = control::read(call, GuestAddr::NULL, 0)?;
    let mut source = Source::guest(&vectors);
    send(call, &file, &mut source, &mut outgoing, to, call.uint(3))
}

fn send_message(call: &Call<'_>, file: &OpenFile, address: GuestAddr, flags: u32) -> CallResult {
    socket_of(file)?;
    let header = MessageHeader::read(address)?;
    let to = Some((header.name, header.name_length))
        .filter(|(address, length)| !address.is_null() && *length > 0);
    let mut outgoing = control::read(call, header.control, header.control_length)?;
    let mut source = Source::guest(&header.vectors);
    send(call, file, &mut source, &mut outgoing, to, flags)
}

/// sendmsg(2).
pub fn sys_sendmsg(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    send_message(call, &file, call.pointer(1), call.uint(2))
}

/// sendmmsg(2).
pub fn sys_sendmmsg(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let count = call.uint(2).min(MESSAGES_MAX);
    let mut done = 0;
    while done < u64::from(count) {
        let entry = call.pointer(1).offset(done * MMSGHDR_BYTES)?;
        match send_message(call, &file, entry, call.uint(3)) {
            Ok(sent) => {
                let sent = u32::try_from(sent).unwrap_or(u32::MAX);
                entry.offset(MSGHDR_BYTES)?.write_u32(sent)?;
                done += 1;
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Receives once, or until all is there if the flags ask for that.
fn receive(
    call: &Call<'_>,
    file: &OpenFile,
    destination: &mut Destination<'_>,
    flags: u32,
    deadline: Option<u64>,
) -> Result<Received, Errno> {
    let socket = socket_of(file)?;
    if flags & net::MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut how = ReceiveFlags::empty();
    how.set(ReceiveFlags::PEEK, flags & net::MSG_PEEK != 0);
    let patience = match deadline {
        _ if flags & net::MSG_DONTWAIT != 0 => Patience::None,
        Some(deadline) => Patience::Until(deadline),
        None => patience(socket.options.receive_timeout()),
    };
    let wait_all = flags & net::MSG_WAITALL != 0
        && socket.kind() == SocketKind::Stream
        && !how.contains(ReceiveFlags::PEEK);
    let mut all = Received::default();
    loop {
        let result = block_on(call.thread, file, Events::READABLE, patience, || {
            socket.receive(destination, how)
        });
        let part = match result {
            Err(_) if all.bytes > 0 => return Ok(all),
            result => result?,
        };
        let ended = part.bytes == 0;
        let had_rights = !part.rights.is_empty();
        let bytes = all.bytes + part.bytes;
        all = Received {
            bytes,
            full_bytes: all.full_bytes + part.full_bytes,
            from: part.from,
            credentials: part.credentials.or(all.credentials),
            rights: part.rights,
        };
        if !wait_all || ended || had_rights || destination.remaining() == 0 {
            return Ok(all);
        }
    }
}

/// What a receive returns: the message's own length if the flags ask for that.
fn length(received: &Received, flags: u32) -> u64 {
    let length = if flags & net::MSG_TRUNC == 0 {
        received.bytes
    } else {
        received.full_bytes
    };
    length as u64
}

/// The name that a receive shows: that of a message's sender, or nothing.
fn shown_name(socket: &UnixSocket, from: &Name) -> alloc::vec::Vec<u8> {
    match from {
        Name::Unnamed => alloc::vec::Vec::new(),
        _ if socket.kind() == SocketKind::Stream => alloc::vec::Vec::new(),
        name => encode_name(name),
    }
}

/// recvfrom(2).
pub fn sys_recvfrom(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let socket = socket_of(&file)?;
    let flags = call.uint(3);
    let vectors = IoVectors::one(call.pointer(1), call.size(2));
    let mut destination = Destination::guest(&vectors);
    let received = receive(call, &file, &mut destination, flags, None)?;
    if !call.pointer(4).is_null() {
        let name = shown_name(socket, &received.from);
        write_sized(&name, call.pointer(4), call.pointer(5))?;
    }
    Ok(length(&received, flags))
}

fn receive_message(
    call: &Call<'_>,
    file: &OpenFile,
    address: GuestAddr,
    flags: u32,
    deadline: Option<u64>,
) -> CallResult {
    let socket = socket_of(file)?;
    let header = MessageHeader::read(address)?;
    let mut destination = Destination::guest(&header.vectors);
    let received = receive(call, file, &mut destination, flags, deadline)?;
    let mut flags_out = flags & net::MSG_CMSG_CLOEXEC;
    if received.bytes < received.full_bytes {
        flags_out |= net::MSG_TRUNC;
    }
    if socket.kind() == SocketKind::SequencedPacket && received.bytes > 0 {
        flags_out |= net::MSG_EOR;
    }
    let handed = control::write(
        call,
        &received,
        socket.options.pass_credentials(),
        flags & net::MSG_CMSG_CLOEXEC != 0,
        header.control,
        header.control_length,
    )?;
    if handed.truncated {
        flags_out |= net::MSG_CTRUNC;
    }
    if !header.name.is_null() {
        let name = shown_name(socket, &received.from);
        write_sized(&name, header.name, header.address.offset(8)?)?;
    }
    let control_length = header.address.offset(40)?;
    control_length.write_u64(handed.bytes as u64)?;
    header.address.offset(48)?.write_u32(flags_out)?;
    Ok(length(&received, flags))
}

/// recvmsg(2).
pub fn sys_recvmsg(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    receive_message(call, &file, call.pointer(1), call.uint(2), None)
}

/// recvmmsg(2).
pub fn sys_recvmmsg(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let count = call.uint(2).min(MESSAGES_MAX);
    let mut flags = call.uint(3);
    let timeout = crate::syscalls::timeouts::read_timespec(call.pointer(4))?;
    let deadline = timeout.map(|timeout| platform().now(Clock::Monotonic).saturating_add(timeout));
    let wait_for_one = flags & MSG_WAITFORONE != 0;
    flags &= !MSG_WAITFORONE;
    let mut done = 0;
    while done < u64::from(count) {
        let entry = call.pointer(1).offset(done * MMSGHDR_BYTES)?;
        match receive_message(call, &file, entry, flags, deadline) {
            Ok(received) => {
                let received = u32::try_from(received).unwrap_or(u32::MAX);
                entry.offset(MSGHDR_BYTES)?.write_u32(received)?;
                done += 1;
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        if wait_for_one {
            flags |= net::MSG_DONTWAIT;
        }
    }
    Ok(done)
}
