//! Sockets: socket(2), socketpair(2), bind(2), listen(2), accept(2), accept4(2), connect(2),
//! shutdown(2), getsockname(2), getpeername(2).
//!
//! Unix sockets are the one family so far; others are `EAFNOSUPPORT`.

mod address;
pub mod control;
pub mod message;
pub mod options;

use super::eventfd::install_object;
use super::pipe::install_pair;
use crate::call::{Call, CallResult, restart};
use crate::files::{Patience, block_on};
use address::{SocketAddress, write_name};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{Access, FileKind, LookupFlags, OpenFile, Place, StatusFlags, permission};
use capsid_core::net::unix::{self, UnixSocket};
use capsid_core::net::{Shutdown, SocketCredentials, SocketKind};
use capsid_core::wait::Events;
use capsid_platform::{Clock, GuestAddr, platform};
use core::any::Any;
use linux_raw_sys::general as raw;
use linux_raw_sys::net;

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const SOCK_SEQPACKET: u32 = 5;
const TYPE_MASK: u32 = 0xf;
/// The longest backlog (`/proc/sys/net/core/somaxconn`).
const BACKLOG_MAX: u32 = 4096;

/// The socket that a description is: `ENOTSOCK`.
fn socket_of(file: &OpenFile) -> Result<&UnixSocket, Errno> {
    let socket = (&*file.file as &dyn Any).downcast_ref();
    socket.ok_or(Errno::ENOTSOCK)
}

/// Who the caller is, to the other end of a socket.
fn caller_credentials(call: &Call<'_>) -> SocketCredentials {
    let credentials = call.thread.credentials();
    SocketCredentials {
        process: call.process().id,
        user: credentials.user.effective,
        group: credentials.group.effective,
    }
}

/// Decodes type, flags and protocol: `EINVAL`, `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`,
/// `EPROTONOSUPPORT`.
fn decode_kind(call: &Call<'_>) -> Result<(SocketKind, u32), Errno> {
    let (family, kind, protocol) = (call.uint(0), call.uint(1), call.uint(2));
    let flags = kind & !TYPE_MASK;
    if flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    if family != net::AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != net::AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let kind = match kind & TYPE_MASK {
        SOCK_STREAM => SocketKind::Stream,
        // Linux takes raw Unix sockets for datagram ones.
        SOCK_DGRAM | SOCK_RAW => SocketKind::Datagram,
        SOCK_SEQPACKET => SocketKind::SequencedPacket,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    Ok((kind, flags))
}

/// socket(2).
pub fn sys_socket(call: &mut Call<'_>) -> CallResult {
    let (kind, flags) = decode_kind(call)?;
    install_object(call, UnixSocket::new(kind, call.new_owner()), flags)
}

/// socketpair(2).
pub fn sys_socketpair(call: &mut Call<'_>) -> CallResult {
    let (kind, flags) = decode_kind(call)?;
    let pair = UnixSocket::pair(kind, call.new_owner(), caller_credentials(call));
    let status = StatusFlags::READ_WRITE | StatusFlags::from_bits_truncate(flags & raw::O_NONBLOCK);
    let files = pair.map(|socket| OpenFile::new(socket, status));
    install_pair(call, files, flags, call.pointer(3))
}

/// bind(2).
pub fn sys_bind(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let socket = socket_of(&file)?;
    match SocketAddress::read(call.pointer(1), call.uint(2))? {
        SocketAddress::Unnamed => socket.bind_automatically()?,
        SocketAddress::Abstract(name) => socket.bind_abstract(&name)?,
        SocketAddress::Path(path) => {
            check_bindable(call, socket, &path)?;
            let bound = call
                .with_view(|view, places| view.bind_socket(Place::new(&places.directory, &path)))?;
            unix::bind_inode(bound.inode(), socket)?;
            socket.set_path(&path);
        }
        SocketAddress::Unspecified => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Checks that a socket has no name yet: `EINVAL`, but `EADDRINUSE` if the path exists too.
fn check_bindable(call: &Call<'_>, socket: &UnixSocket, path: &[u8]) -> Result<(), Errno> {
    let result = socket.check_unnamed();
    if result.is_err() {
        let found = call.resolve(raw::AT_FDCWD, path, LookupFlags::empty());
        if found.is_ok() {
            return Err(Errno::EADDRINUSE);
        }
    }
    result
}

/// listen(2).
pub fn sys_listen(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    // A negative backlog is a long one.
    let backlog = call.uint(1).min(BACKLOG_MAX) as usize;
    socket_of(&file)?.listen(backlog, caller_credentials(call))?;
    Ok(0)
}

/// accept(2).
pub fn sys_accept(call: &mut Call<'_>) -> CallResult {
    do_accept(call, 0)
}

/// accept4(2).
pub fn sys_accept4(call: &mut Call<'_>) -> CallResult {
    do_accept(call, call.uint(3))
}

fn do_accept(call: &Call<'_>, flags: u32) -> CallResult {
    if flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.usable_file(0)?;
    let socket = socket_of(&file)?;
    let patience = patience(socket.options.receive_timeout());
    let accepted = block_on(call.thread, &file, Events::READABLE, patience, || {
        socket.accept()
    })?;
    if !call.pointer(1).is_null() {
        let name = accepted.peer_name().unwrap_or_default();
        write_name(&name, call.pointer(1), call.pointer(2))?;
    }
    install_object(call, accepted, flags)
}

/// How long a socket with a timeout waits; 0 is for ever.
fn patience(timeout_ns: u64) -> Patience {
    match timeout_ns {
        0 => Patience::Description,
        timeout => {
            let now = platform().now(Clock::Monotonic);
            Patience::Until(now.saturating_add(timeout))
        }
    }
}

/// Finds the socket that an address names: `ECONNREFUSED`, `EACCES`, and what the walk says.
fn find_target(
    call: &Call<'_>,
    kind: SocketKind,
    address: &SocketAddress,
) -> Result<Arc<UnixSocket>, Errno> {
    match address {
        SocketAddress::Abstract(name) => unix::find_abstract(kind, name),
        SocketAddress::Path(path) => {
            let found = call.with_view(|view, places| {
                let place = Place::new(&places.directory, path);
                let found = view.resolve(place, LookupFlags::FOLLOW)?;
                permission::check(&found, Access::WRITE, view.credentials)?;
                Ok(found)
            })?;
            if found.kind() != FileKind::Socket {
                return Err(Errno::ECONNREFUSED);
            }
            unix::find_inode(found.inode())
        }
        SocketAddress::Unnamed | SocketAddress::Unspecified => Err(Errno::EINVAL),
    }
}

/// connect(2).
pub fn sys_connect(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let socket = socket_of(&file)?;
    let address = SocketAddress::read(call.pointer(1), call.uint(2))?;
    if let SocketAddress::Unspecified = address {
        socket.disconnect()?;
        return Ok(0);
    }
    let target = find_target(call, socket.kind(), &address)?;
    if socket.options.pass_credentials() {
        socket.bind_automatically()?;
    }
    let (owner, credentials) = (call.new_owner(), caller_credentials(call));
    let attempt = || socket.connect(&target, owner, credentials);
    match attempt() {
        Err(Errno::EAGAIN) if !file.flags().contains(StatusFlags::NONBLOCK) => {}
        result => return result.map(|()| 0),
    }
    wait_to_connect(call, socket, &target, attempt)
}

/// Waits for room in the backlog.
fn wait_to_connect(
    call: &Call<'_>,
    socket: &UnixSocket,
    target: &Arc<UnixSocket>,
    mut attempt: impl FnMut() -> Result<(), Errno>,
) -> CallResult {
    use capsid_core::fs::File;
    let queue = target.wait_queue().ok_or(Errno::EAGAIN)?;
    let _place = queue.register(call.thread.parker.clone(), Events::WRITABLE);
    let deadline = match patience(socket.options.send_timeout()) {
        Patience::Until(deadline) => Some(deadline),
        _ => None,
    };
    let result = crate::files::wait_for(
        call.thread,
        deadline,
        || None,
        || match attempt() {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        },
    );
    match result {
        Ok(result) => result.map(|()| 0),
        Err(Errno::ETIMEDOUT) => Err(Errno::EAGAIN),
        Err(Errno::EINTR) if deadline.is_none() => Err(restart::unless_handled()),
        Err(error) => Err(error),
    }
}

/// shutdown(2).
pub fn sys_shutdown(call: &mut Call<'_>) -> CallResult {
    let how = match call.uint(1) {
        0 => Shutdown::RECEIVE,
        1 => Shutdown::SEND,
        2 => Shutdown::all(),
        _ => return Err(Errno::EINVAL),
    };
    let file = call.usable_file(0)?;
    socket_of(&file)?.shut_down(how);
    Ok(0)
}

/// getsockname(2).
pub fn sys_getsockname(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let name = socket_of(&file)?.name();
    write_name(&name, call.pointer(1), call.pointer(2))?;
    Ok(0)
}

/// getpeername(2).
pub fn sys_getpeername(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let name = socket_of(&file)?.peer_name()?;
    write_name(&name, call.pointer(1), call.pointer(2))?;
    Ok(0)
}

/// Gives the guest what fits of `bytes`, and their full length where the room was said.
fn write_sized(bytes: &[u8], address: GuestAddr, length: GuestAddr) -> Result<(), Errno> {
    let room = length.read_u32()?.cast_signed();
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    address.write(bytes.get(..room).unwrap_or(bytes))?;
    length.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}
