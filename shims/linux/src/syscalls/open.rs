//! Opening: open(2), openat(2), openat2(2), creat(2).

use crate::call::{Call, CallResult, restart};
use crate::files::{DescriptorFlags, PathArgument, despite_leases, wait_for};
use crate::syscalls::truncate::tell_mappers;
use crate::terminal::acquire_at_open;
use capsid_core::Errno;
use capsid_core::fs::{
    CreationFlags, File, FileKind, LookupFlags, OpenFile, OpenOptions, StatusFlags,
};
use capsid_core::ipc::pipe::PipeEnd;
use capsid_core::wait::Events;
use capsid_platform::GuestAddr;
use core::any::Any;
use linux_raw_sys::general as raw;

/// The flags that open(2) knows; it ignores others.
const KNOWN: u32 =
    StatusFlags::all().bits() | CreationFlags::all().bits() | raw::O_CLOEXEC | raw::O_LARGEFILE;
/// Flags that keep their meaning beside `O_PATH`.
const WITH_PATH: u32 = raw::O_PATH | raw::O_DIRECTORY | raw::O_NOFOLLOW | raw::O_CLOEXEC;

/// open(2).
pub fn sys_open(call: &mut Call<'_>) -> CallResult {
    let path = PathArgument::read(call.pointer(0))?;
    open_at(call, raw::AT_FDCWD, &path, call.uint(1), call.uint(2))
}

/// openat(2).
pub fn sys_openat(call: &mut Call<'_>) -> CallResult {
    let path = PathArgument::read(call.pointer(1))?;
    open_at(call, call.int(0), &path, call.uint(2), call.uint(3))
}

/// creat(2).
pub fn sys_creat(call: &mut Call<'_>) -> CallResult {
    let path = PathArgument::read(call.pointer(0))?;
    let flags = raw::O_CREAT | raw::O_WRONLY | raw::O_TRUNC;
    open_at(call, raw::AT_FDCWD, &path, flags, call.uint(1))
}

/// Decodes the flags as open(2) does, which forgives unknown ones.
fn open_at(call: &Call<'_>, directory: i32, path: &[u8], flags: u32, mode: u32) -> CallResult {
    let mut flags = flags & KNOWN;
    if flags & raw::O_PATH != 0 {
        flags &= WITH_PATH;
    }
    let options = options(flags, mode & 0o7777, LookupFlags::empty())?;
    do_open(call, directory, path, &options, flags)
}

fn options(flags: u32, mode: u32, resolve: LookupFlags) -> Result<OpenOptions, Errno> {
    let mut creation = CreationFlags::from_bits_truncate(flags);
    let mut status = StatusFlags::from_bits_truncate(flags);
    if flags & raw::O_PATH == 0 {
        // Every 64-bit program has it, and sees it in `F_GETFL`.
        status |= StatusFlags::LARGEFILE;
    }
    if flags & raw::O_TMPFILE == raw::O_TMPFILE {
        status -= StatusFlags::DIRECTORY;
        if !status.writable() {
            return Err(Errno::EINVAL);
        }
    } else {
        // The bit alone is `O_TMPFILE` without `O_DIRECTORY`.
        if creation.contains(CreationFlags::UNNAMED) {
            return Err(Errno::EINVAL);
        }
        creation -= CreationFlags::UNNAMED;
        let both = CreationFlags::CREATE.bits() | StatusFlags::DIRECTORY.bits();
        if flags & both == both {
            return Err(Errno::EINVAL);
        }
    }
    Ok(OpenOptions {
        flags: status,
        creation,
        mode,
        resolve,
    })
}

/// `struct open_how`, in bytes.
const OPEN_HOW_BYTES: usize = 24;

/// openat2(2).
pub fn sys_openat2(call: &mut Call<'_>) -> CallResult {
    let path = PathArgument::read(call.pointer(1))?;
    let [flags, mode, resolve] = read_open_how(call.pointer(2), call.size(3))?;
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let creates = flags & raw::O_CREAT != 0 || flags & raw::O_TMPFILE == raw::O_TMPFILE;
    if flags & !KNOWN != 0
        || (flags & raw::O_PATH != 0 && flags & !WITH_PATH != 0)
        || mode & !0o7777 != 0
        || (mode != 0 && !creates)
    {
        return Err(Errno::EINVAL);
    }
    let mode = u32::try_from(mode).map_err(|_| Errno::EINVAL)?;
    let options = options(flags, mode, resolve_flags(resolve)?)?;
    do_open(call, call.int(0), &path, &options, flags)
}

fn read_open_how(address: GuestAddr, size: usize) -> Result<[u64; 3], Errno> {
    if size < OPEN_HOW_BYTES {
        return Err(Errno::EINVAL);
    }
    if size > capsid_platform::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let mut bytes = alloc::vec![0; size];
    address.read(&mut bytes)?;
    let (known, unknown) = bytes.split_at(OPEN_HOW_BYTES);
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut words = [0; 3];
    for (word, chunk) in words.iter_mut().zip(known.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    Ok(words)
}

fn resolve_flags(bits: u64) -> Result<LookupFlags, Errno> {
    const MEANINGS: [(u32, LookupFlags); 5] = [
        (raw::RESOLVE_NO_XDEV, LookupFlags::NO_MOUNTS),
        (raw::RESOLVE_NO_MAGICLINKS, LookupFlags::NO_MAGIC_LINKS),
        (raw::RESOLVE_NO_SYMLINKS, LookupFlags::NO_SYMLINKS),
        (raw::RESOLVE_BENEATH, LookupFlags::BENEATH),
        (raw::RESOLVE_IN_ROOT, LookupFlags::IN_ROOT),
    ];
    let mut left = bits;
    let mut flags = LookupFlags::empty();
    for (bit, flag) in MEANINGS {
        if bits & u64::from(bit) != 0 {
            flags |= flag;
            left &= !u64::from(bit);
        }
    }
    // Everything may have to ask the broker: nothing can be promised from a cache.
    if left == u64::from(raw::RESOLVE_CACHED) {
        return Err(Errno::EAGAIN);
    }
    let both = LookupFlags::BENEATH | LookupFlags::IN_ROOT;
    if left != 0 || flags.contains(both) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

/// Opens, and gives the description a descriptor.
pub fn do_open(
    call: &Call<'_>,
    directory: i32,
    path: &[u8],
    options: &OpenOptions,
    flags: u32,
) -> CallResult {
    let file = despite_leases(call, options.flags, || {
        call.with_place(directory, path, |view, place| view.open(place, options))
    })?;
    if options.creation.contains(CreationFlags::TRUNCATE)
        && let Some(path) = file.path()
    {
        tell_mappers(call, &**path.inode());
    }
    let is_fifo = file
        .path()
        .is_some_and(|path| path.kind() == FileKind::Fifo);
    if is_fifo
        && !options
            .flags
            .intersects(StatusFlags::PATH | StatusFlags::NONBLOCK)
    {
        join_fifo(call, &file)?;
    }
    acquire_at_open(call, &file, options);
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(DescriptorFlags::CLOSE_ON_EXEC, flags & raw::O_CLOEXEC != 0);
    call.install(file, descriptor_flags)
}

/// Waits until a FIFO is open on its other side too.
fn join_fifo(call: &Call<'_>, file: &OpenFile) -> Result<(), Errno> {
    let Some(end) = (&*file.file as &dyn Any).downcast_ref::<PipeEnd>() else {
        return Ok(());
    };
    if end.is_joined() {
        return Ok(());
    }
    let Some(queue) = end.wait_queue() else {
        return Ok(());
    };
    let _place = queue.register(call.thread.parker.clone(), Events::all());
    wait_for(call.thread, None, || None, || end.is_joined().then_some(()))
        .map_err(|_| restart::unless_handled())
}
