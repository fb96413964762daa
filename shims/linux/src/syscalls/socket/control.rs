//! Control messages: rights and credentials that go along with bytes, cmsg(3), unix(7).

use super::caller_credentials;
use crate::call::Call;
use crate::files::{Descriptor, DescriptorFlags};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::OpenFile;
use capsid_core::net::SocketCredentials;
use capsid_core::net::unix::{Outgoing, Received, Rights};
use capsid_platform::GuestAddr;
use linux_raw_sys::net;

/// `struct cmsghdr`: length, level, type.
const HEAD_BYTES: usize = 16;
const ALIGNMENT: usize = 8;
/// The most control bytes of one message (`/proc/sys/net/core/optmem_max`).
const CONTROL_MAX: usize = 131_072;
const SCM_RIGHTS: u32 = 1;
const SCM_CREDENTIALS: u32 = 2;

/// Reads what the guest wants to go along.
pub(super) fn read(call: &Call<'_>, address: GuestAddr, length: usize) -> Result<Outgoing, Errno> {
    let mut outgoing = Outgoing {
        sender: Some(caller_credentials(call)),
        ..Outgoing::default()
    };
    if length == 0 {
        return Ok(outgoing);
    }
    if length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = vec![0; length];
    address.read(&mut bytes)?;
    let mut files: Vec<Arc<OpenFile>> = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((head, _)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let word = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let (length, level, kind) = (word(0) as usize, word(8), word(12));
        if word(4) != 0 || length < HEAD_BYTES || length > rest.len() {
            return Err(Errno::EINVAL);
        }
        let data = rest.get(HEAD_BYTES..length).unwrap_or_default();
        if level == net::SOL_SOCKET {
            match kind {
                SCM_RIGHTS => {
                    for fd in data.as_chunks::<4>().0 {
                        files.push(call.file(i32::from_ne_bytes(*fd))?);
                    }
                }
                SCM_CREDENTIALS => outgoing.credentials = Some(credentials(call, data)?),
                _ => return Err(Errno::EINVAL),
            }
        }
        let next = length.next_multiple_of(ALIGNMENT);
        rest = rest.get(next..).unwrap_or_default();
    }
    if !files.is_empty() {
        outgoing.rights = Rights::new(files)?;
    }
    Ok(outgoing)
}

/// Who a sender says it is: `EPERM` for what it is not, unless it may.
fn credentials(call: &Call<'_>, data: &[u8]) -> Result<SocketCredentials, Errno> {
    let (ids, rest) = data.as_chunks::<4>();
    let ([process, user, group], []) = (ids, rest) else {
        return Err(Errno::EINVAL);
    };
    let claimed = SocketCredentials {
        process: u32::from_ne_bytes(*process),
        user: u32::from_ne_bytes(*user),
        group: u32::from_ne_bytes(*group),
    };
    let own = call.thread.credentials();
    let is_one_of =
        |id, ids: capsid_core::credentials::Ids| [ids.real, ids.effective, ids.saved].contains(&id);
    let allowed = (claimed.process == call.process().id || own.has(Capabilities::SYS_ADMIN))
        && (is_one_of(claimed.user, own.user) || own.has(Capabilities::SETUID))
        && (is_one_of(claimed.group, own.group) || own.has(Capabilities::SETGID));
    if allowed {
        Ok(claimed)
    } else {
        Err(Errno::EPERM)
    }
}

/// What was handed over of the control messages.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// Bytes of the guest's buffer in use.
    pub(super) bytes: usize,
    /// Something did not fit.
    pub(super) truncated: bool,
}

/// Gives the guest what came along, as far as it fits in `room` bytes.
pub(super) fn write(
    call: &Call<'_>,
    received: &Received,
    wants_credentials: bool,
    close_on_exec: bool,
    address: GuestAddr,
    room: usize,
) -> Result<Handed, Errno> {
    let mut handed = Handed::default();
    if wants_credentials {
        let sender = received.credentials.unwrap_or(SocketCredentials::UNKNOWN);
        let mut data = Vec::with_capacity(12);
        for id in [sender.process, sender.user, sender.group] {
            data.extend_from_slice(&id.to_ne_bytes());
        }
        put(&mut handed, SCM_CREDENTIALS, &data, address, room)?;
    }
    let files = received.rights.files();
    if files.is_empty() {
        return Ok(handed);
    }
    let space = room.saturating_sub(handed.bytes + HEAD_BYTES) / 4;
    let mut flags = DescriptorFlags::empty();
    flags.set(DescriptorFlags::CLOSE_ON_EXEC, close_on_exec);
    let mut numbers = Vec::new();
    for file in files.iter().take(space) {
        let descriptor = Descriptor {
            file: file.clone(),
            flags,
        };
        let limit = call.descriptor_limit();
        match call.thread.files().insert(descriptor, 0, limit) {
            Ok(fd) => numbers.extend_from_slice(&fd.to_ne_bytes()),
            Err(_) => break,
        }
    }
    handed.truncated |= numbers.len() / 4 < files.len();
    if !numbers.is_empty() {
        put(&mut handed, SCM_RIGHTS, &numbers, address, room)?;
    }
    Ok(handed)
}

fn put(
    handed: &mut Handed,
    kind: u32,
    data: &[u8],
    address: GuestAddr,
    room: usize,
) -> Result<(), Errno> {
    let left = room.saturating_sub(handed.bytes);
    if left < HEAD_BYTES {
        handed.truncated = true;
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(HEAD_BYTES + data.len());
    let length = (HEAD_BYTES + data.len()).min(left);
    bytes.extend_from_slice(&(length as u64).to_ne_bytes());
    bytes.extend_from_slice(&net::SOL_SOCKET.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(data);
    if bytes.len() > left {
        handed.truncated = true;
        bytes.truncate(left);
    }
    address.offset(handed.bytes as u64)?.write(&bytes)?;
    handed.bytes += bytes.len().next_multiple_of(ALIGNMENT).min(left);
    Ok(())
}
