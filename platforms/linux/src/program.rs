//! The sandbox program's own layout, and what the host's exec says about it.

use crate::areas::{Access, map_shared};
use crate::boot::{EXIT_NOT_STARTED, FD_KERNEL, PROGRAM_BASE, STACKS_OFFSET};
use crate::host;
use capsid_platform::PAGE_SIZE;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general as raw;

/// Where our own text lies: the only place from which the host takes calls.
#[derive(Debug)]
pub struct Program {
    text_start: AtomicU64,
    text_end: AtomicU64,
}

static PROGRAM: Program = Program {
    text_start: AtomicU64::new(0),
    text_end: AtomicU64::new(0),
};

impl Program {
    /// The running program.
    pub fn get() -> &'static Program {
        &PROGRAM
    }

    /// Stores the bounds; called once.
    pub fn set_text(&self, start: u64, end: u64) {
        self.text_start.store(start, Ordering::Relaxed);
        self.text_end.store(end, Ordering::Relaxed);
    }

    /// The first address of the text, and the one after its last.
    pub fn text(&self) -> (u64, u64) {
        (
            self.text_start.load(Ordering::Relaxed),
            self.text_end.load(Ordering::Relaxed),
        )
    }

    /// Whether `rip` lies in our own text.
    pub fn text_contains(&self, rip: u64) -> bool {
        let (start, end) = self.text();
        (start..end).contains(&rip)
    }
}

/// The auxiliary vector's entries that matter here, getauxval(3). What it says of the program may
/// be about the loader.
#[derive(Clone, Copy, Debug, Default)]
pub struct Auxiliary {
    /// The vDSO's address, or 0.
    pub vdso: u64,
    /// `AT_HWCAP`.
    pub hwcap: u64,
    /// `AT_HWCAP2`.
    pub hwcap2: u64,
    /// The name that was executed: the last thing on the stack but for a word.
    executed_name: u64,
}

/// More than the host has grown the stack to, and less than it keeps free below it.
const STACK_BYTES: u64 = 256 << 10;

impl Auxiliary {
    /// An address below the host's stack, near `stack` in it.
    pub fn stack_start(&self, stack: *const u64) -> u64 {
        (stack as u64 - STACK_BYTES) / PAGE_SIZE as u64 * PAGE_SIZE as u64
    }

    /// The end of the host's stack, or 0 if it is not known.
    pub fn stack_end(&self) -> u64 {
        if self.executed_name == 0 {
            return 0;
        }
        self.executed_name.next_multiple_of(PAGE_SIZE as u64)
    }
}

const AT_HWCAP: u64 = 16;
const AT_HWCAP2: u64 = 26;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;

/// Reads the auxiliary vector.
///
/// # Safety
/// `stack` is what the host's exec left.
pub unsafe fn read_auxiliary(stack: *const u64) -> Auxiliary {
    let mut auxiliary = Auxiliary::default();
    // SAFETY: argument count, arguments, null, environment, null, pairs up to AT_NULL.
    unsafe {
        let mut at = stack.add(*stack as usize + 2);
        while *at != 0 {
            at = at.add(1);
        }
        at = at.add(1);
        while *at != 0 {
            let value = *at.add(1);
            match *at {
                AT_SYSINFO_EHDR => auxiliary.vdso = value,
                AT_HWCAP => auxiliary.hwcap = value,
                AT_HWCAP2 => auxiliary.hwcap2 = value,
                AT_EXECFN => auxiliary.executed_name = value,
                _ => {}
            }
            at = at.add(2);
        }
    }
    auxiliary
}

/// `Elf64_Ehdr`, as far as it is of use here.
#[repr(C)]
struct FileHeader {
    identification: [u64; 3],
    entry: u64,
    program_headers_at: u64,
    section_headers_at: u64,
    flags: u32,
    header_bytes: u16,
    program_header_bytes: u16,
    program_header_count: u16,
}

unsafe extern "C" {
    /// The linker's name for the first byte of our own program.
    static __ehdr_start: FileHeader;
}

/// `Elf64_Phdr`.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align: u64,
}

const PT_LOAD: u32 = 1;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

fn program_headers() -> &'static [ProgramHeader] {
    // SAFETY: the linker places the headers in the first segment, and both are constant.
    unsafe {
        let start = &raw const __ehdr_start;
        let headers = start.byte_add((*start).program_headers_at as usize);
        core::slice::from_raw_parts(headers.cast(), (*start).program_header_count.into())
    }
}

/// Puts the program's writable segments onto the kernel memory, and returns the text's bounds.
///
/// # Safety
/// No static was written to yet; nothing else runs.
pub unsafe fn share_statics() -> (u64, u64) {
    let mut text = (0, 0);
    let headers = program_headers();
    // What is only written for relocation is never written in a program at a fixed address.
    let constant = headers.iter().find(|header| header.kind == PT_GNU_RELRO);
    for header in headers {
        if header.kind != PT_LOAD
            || constant.is_some_and(|constant| constant.address == header.address)
        {
            continue;
        }
        let end = header.address + header.memory_bytes;
        if header.flags & PF_X != 0 {
            text = (header.address, end);
        }
        if header.flags & PF_W == 0 {
            continue;
        }
        let page = PAGE_SIZE as u64;
        let start = header.address / page * page;
        let length = (end.next_multiple_of(page) - start) as usize;
        let offset = start.wrapping_sub(PROGRAM_BASE);
        if offset.saturating_add(length as u64) > STACKS_OFFSET {
            host::exit(EXIT_NOT_STARTED);
        }
        let copy = map_shared(0, length, FD_KERNEL, offset, Access::ReadWrite);
        // SAFETY: the copy is as long as the segment's pages.
        unsafe { (copy as *mut u8).copy_from_nonoverlapping(start as *const u8, length) };
        map_shared(start, length, FD_KERNEL, offset, Access::ReadWrite);
        // SAFETY: the first mapping of the copy is not used any more.
        unsafe { host::call3(raw::__NR_munmap, [copy, length, 0]) };
    }
    text
}
