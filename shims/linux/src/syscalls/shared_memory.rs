//! System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).

use crate::call::{Call, CallResult};
use crate::sysv::{Get, Header, Layout, Object, SEGMENT_BYTES_MAX, SEGMENTS_MAX, Segment, Wanted};
use alloc::format;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::{OpenFile, Path, StatusFlags};
use capsid_core::memory::{MapRequest, Placement, Region};
use capsid_platform::{GuestAddr, PAGE_SIZE, Protection, Sharing};
use core::any::Any;

const SHM_RDONLY: u32 = 0o10_000;
const SHM_RND: u32 = 0o20_000;
const SHM_REMAP: u32 = 0o40_000;
const SHM_EXEC: u32 = 0o100_000;
const SHM_HUGETLB: u32 = 0o4000;

/// Commands of the control calls that all kinds have.
pub(super) const IPC_RMID: u32 = 0;
pub(super) const IPC_SET: u32 = 1;
pub(super) const IPC_STAT: u32 = 2;
pub(super) const IPC_INFO: u32 = 3;
const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;

/// shmget(2).
pub fn sys_shmget(call: &mut Call<'_>) -> CallResult {
    do_shmget(call, call.int(0), call.raw(1), call.uint(2))
}

fn do_shmget(call: &Call<'_>, key: i32, bytes: u64, flags: u32) -> CallResult {
    let ipc = &call.kernel().ipc;
    let request = Get {
        key,
        flags,
        credentials: &call.thread.credentials(),
    };
    let fits = |segment: &Segment| {
        if bytes > segment.bytes {
            return Err(Errno::EINVAL);
        }
        Ok(())
    };
    let id = ipc.segments.get(&request, fits, |header| {
        if bytes == 0 || bytes > SEGMENT_BYTES_MAX {
            return Err(Errno::EINVAL);
        }
        if flags & SHM_HUGETLB != 0 {
            // As where no huge pages are set aside.
            return Err(Errno::ENOMEM);
        }
        Segment::new(ipc, header, bytes, call.process().id)
    })?;
    Ok(u64::from(id.cast_unsigned()))
}

/// shmat(2).
pub fn sys_shmat(call: &mut Call<'_>) -> CallResult {
    do_shmat(call, call.int(0), call.raw(1), call.uint(2))
}

/// Where an attachment goes: `EINVAL`.
fn placement(address: u64, flags: u32) -> Result<Placement, Errno> {
    let replaces = flags & SHM_REMAP != 0;
    if address == 0 {
        return if replaces {
            Err(Errno::EINVAL)
        } else {
            Ok(Placement::Hint(0))
        };
    }
    let page = PAGE_SIZE as u64;
    let aligned = address / page * page;
    if aligned != address && (flags & SHM_RND == 0 || (aligned == 0 && replaces)) {
        return Err(Errno::EINVAL);
    }
    Ok(match (aligned, replaces) {
        (0, _) => Placement::Hint(0),
        (_, true) => Placement::Fixed(aligned),
        (_, false) => Placement::FixedNoReplace(aligned),
    })
}

fn do_shmat(call: &Call<'_>, id: i32, address: u64, flags: u32) -> CallResult {
    let placement = placement(address, flags)?;
    let mut protection = Protection::READ;
    let mut wanted = Wanted::READ.0;
    let mut status = StatusFlags::empty();
    if flags & SHM_RDONLY == 0 {
        protection |= Protection::WRITE;
        wanted |= Wanted::WRITE.0;
        status |= StatusFlags::READ_WRITE;
    }
    if flags & SHM_EXEC != 0 {
        protection |= Protection::EXECUTE;
        wanted |= 0o111;
    }
    let segment = call.kernel().ipc.segments.find(id)?;
    segment
        .header()
        .check(&call.thread.credentials(), Wanted(wanted))?;
    let label = format!("/SYSV{:08x} (deleted)", segment.header().key());
    let path = Path::detached(segment.inode(), label.as_bytes());
    let file = Arc::new(OpenFile::at(segment.clone(), status, path));
    let mut request = MapRequest::file(placement, segment.mapped_bytes(), protection, file, 0);
    request.sharing = Sharing::Shared;
    segment.begin_attach();
    let process = call.process();
    let result = process
        .memory()
        .space
        .map(request, &process.memory_limits());
    segment.end_attach(result.is_ok().then_some(process.id));
    match result {
        Err(Errno::EEXIST) => Err(Errno::EINVAL),
        result => result,
    }
}

/// shmdt(2).
pub fn sys_shmdt(call: &mut Call<'_>) -> CallResult {
    do_shmdt(call, call.raw(0))
}

fn segment_of(region: &Region) -> Option<(&Arc<OpenFile>, &Segment)> {
    let file = region.file.as_ref()?;
    let object: &dyn Any = &*file.file;
    Some((file, object.downcast_ref()?))
}

fn do_shmdt(call: &Call<'_>, address: u64) -> CallResult {
    let process = call.process();
    let memory = process.memory();
    let regions = memory.space.regions();
    let attached = |region: &&Region| {
        region.range.start().checked_sub(region.offset) == Some(address)
            && segment_of(region).is_some()
    };
    let (attachment, segment) = regions
        .iter()
        .find(attached)
        .and_then(segment_of)
        .ok_or(Errno::EINVAL)?;
    for region in &regions {
        let same = segment_of(region).is_some_and(|(file, _)| Arc::ptr_eq(file, attachment));
        if same {
            let start = GuestAddr(region.range.start());
            memory.space.unmap(start, region.range.len())?;
        }
    }
    segment.detached(process.id);
    Ok(0)
}

/// shmctl(2).
pub fn sys_shmctl(call: &mut Call<'_>) -> CallResult {
    do_shmctl(call, call.int(0), call.uint(1), call.pointer(2))
}

fn do_shmctl(call: &Call<'_>, id: i32, command: u32, buffer: GuestAddr) -> CallResult {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let segments = &call.kernel().ipc.segments;
    let credentials = call.thread.credentials();
    match command {
        IPC_INFO => {
            let limits = Layout::default()
                .long(SEGMENT_BYTES_MAX)
                .long(1)
                .long(SEGMENTS_MAX as u64)
                .long(SEGMENTS_MAX as u64)
                .long(SEGMENT_BYTES_MAX);
            buffer.write(&limits.bytes(&[0; 32]).0)?;
            Ok(segments.highest_index().into())
        }
        SHM_INFO => {
            let all = segments.all();
            let bytes: u64 = all.iter().map(|segment| segment.mapped_bytes()).sum();
            let pages = bytes / PAGE_SIZE as u64;
            let used = u64::try_from(all.len()).unwrap_or(0);
            let info = Layout::default().long(used).long(pages).long(pages);
            buffer.write(&info.bytes(&[0; 24]).0)?;
            Ok(segments.highest_index().into())
        }
        SHM_STAT | SHM_STAT_ANY | IPC_STAT => {
            let segment = if command == IPC_STAT {
                segments.find(id)?
            } else {
                segments.at(id.cast_unsigned())?
            };
            if command != SHM_STAT_ANY {
                segment.header().check(&credentials, Wanted::READ)?;
            }
            buffer.write(&segment.description())?;
            let id = u64::from(segment.header().id.cast_unsigned());
            Ok(if command == IPC_STAT { 0 } else { id })
        }
        IPC_SET => {
            let header: [u8; Header::BYTES] = buffer.read_array()?;
            let segment = segments.find(id)?;
            segment.header().check_owner(&credentials)?;
            segment.header().set(&header);
            Ok(0)
        }
        IPC_RMID => {
            let segment = segments.find(id)?;
            segment.header().check_owner(&credentials)?;
            segment.doom();
            Ok(0)
        }
        SHM_LOCK | SHM_UNLOCK => {
            let segment = segments.find(id)?;
            if !credentials.has(Capabilities::IPC_LOCK) {
                segment.header().check_owner(&credentials)?;
            }
            segment.lock(command == SHM_LOCK);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
