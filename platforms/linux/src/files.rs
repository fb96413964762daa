//! Donated host files: data flows on the descriptor itself.

use crate::boot::{FD_FIRST_DONATED, GUEST_END, GUEST_START};
use crate::host;
use capsid_platform::{Errno, GuestAddr, HostFile, IoSource, IoTarget};
use linux_raw_sys::general as raw;

fn checked(file: HostFile) -> Result<usize, Errno> {
    if file.0 < FD_FIRST_DONATED.unsigned_abs() {
        return Err(Errno::EBADF);
    }
    Ok(file.0 as usize)
}

/// The host must not be asked to touch anything but guest memory on a guest's behalf.
fn guest_memory(address: GuestAddr, length: usize) -> Result<usize, Errno> {
    if address.0 < GUEST_START || address.0 >= GUEST_END {
        return Err(Errno::EFAULT);
    }
    Ok(length.min(usize::try_from(GUEST_END - address.0).unwrap_or(0)))
}

fn transfer(
    number: u32,
    file: HostFile,
    offset: u64,
    address: usize,
    length: usize,
) -> Result<usize, Errno> {
    let vector = [address, length];
    let file = checked(file)?;
    // SAFETY: the memory is the guest's, or the caller's for the length of the call.
    let result = unsafe {
        host::call6(
            number,
            [file, vector.as_ptr() as usize, 1, offset as usize, 0, 0],
        )
    };
    host::check(result)
}

/// See [`capsid_platform::Platform::host_read`].
pub fn read(file: HostFile, offset: u64, target: IoTarget<'_>) -> Result<usize, Errno> {
    let (address, length) = match target {
        IoTarget::Guest(_, 0) => return Ok(0),
        IoTarget::Guest(address, length) => (address.0 as usize, guest_memory(address, length)?),
        IoTarget::Kernel(bytes) => (bytes.as_mut_ptr() as usize, bytes.len()),
    };
    transfer(raw::__NR_preadv2, file, offset, address, length)
}

/// See [`capsid_platform::Platform::host_write`].
pub fn write(file: HostFile, offset: u64, source: IoSource<'_>) -> Result<usize, Errno> {
    let (address, length) = match source {
        IoSource::Guest(_, 0) => return Ok(0),
        IoSource::Guest(address, length) => (address.0 as usize, guest_memory(address, length)?),
        IoSource::Kernel(bytes) => (bytes.as_ptr() as usize, bytes.len()),
    };
    transfer(raw::__NR_pwritev2, file, offset, address, length)
}

/// See [`capsid_platform::Platform::host_close`].
pub fn close(file: HostFile) {
    if let Ok(descriptor) = checked(file) {
        // SAFETY: a donated descriptor, which nothing but its owner uses.
        unsafe { host::call3(raw::__NR_close, [descriptor, 0, 0]) };
    }
}
