//! The program that the broker executes: one page that maps the sandbox program from a file and
//! jumps to it.
//!
//! The sandbox program lies inside the broker's own executable file, whose pages every sandbox of
//! the machine can share; execve(2) takes no program from the middle of a file. [`build`] makes the
//! page: an ELF header, the code below and a table of the mappings to make.

use crate::boot::{EXIT_NOT_STARTED, FD_PROGRAM, LOADER_BASE};
use alloc::vec::Vec;
use capsid_platform::PAGE_SIZE;
use core::arch::global_asm;
use linux_raw_sys::general as raw;

unsafe extern "C" {
    fn capsid_loader();
    fn capsid_loader_end();
}

global_asm!(
    r#"
    .pushsection .text.capsid_loader,"ax",@progbits
    .globl capsid_loader, capsid_loader_end
    # rsp points to the argument count, as execve leaves it, and is not touched. The table follows the
    # code: address, length, protection to map with, protection to leave, offset and where to zero
    # the last page from (or 0); a null address ends it, and the entry point stands behind that.
capsid_loader:
    lea rbx, [rip + capsid_loader_end]
2:  mov r12, [rbx + 16]
3:  mov rdi, [rbx]
    test rdi, rdi
    jz 4f
    mov rsi, [rbx + 8]
    mov rdx, r12
    mov r9, [rbx + 32]
    mov r8d, {program}
    mov r10d, {file}
    cmp r9, -1
    jne 6f
    mov r8d, -1
    mov r10d, {anonymous}
    xor r9d, r9d
6:  mov eax, {mmap}
    syscall
    cmp rax, [rbx]
    jne 5f
    mov rdi, [rbx + 40]
    mov ecx, edi
    neg ecx
    and ecx, {page_mask}
    xor eax, eax
    rep stosb
    # A write makes the host copy the page tables at each fork, as long as the protection changes
    # only afterwards. A host that forbids the change gets a mapping without it.
    mov rdx, [rbx + 24]
    cmp rdx, r12
    je 7f
    mov rdi, [rbx]
    mov al, [rdi]
    mov [rdi], al
    mov rsi, [rbx + 8]
    mov eax, {mprotect}
    syscall
    mov r12, [rbx + 24]
    test eax, eax
    jnz 3b
7:  add rbx, 48
    jmp 2b
4:  mov edi, {program}
    mov eax, {close}
    syscall
    mov rax, [rbx + 8]
    jmp rax
5:  mov edi, {failed}
    mov eax, {exit}
    syscall
    ud2
    .balign 8
capsid_loader_end:
    .popsection
    "#,
    program = const FD_PROGRAM,
    file = const raw::MAP_PRIVATE | raw::MAP_FIXED,
    anonymous = const raw::MAP_PRIVATE | raw::MAP_FIXED | raw::MAP_ANONYMOUS,
    page_mask = const PAGE_SIZE - 1,
    mmap = const raw::__NR_mmap,
    mprotect = const raw::__NR_mprotect,
    close = const raw::__NR_close,
    exit = const raw::__NR_exit,
    failed = const EXIT_NOT_STARTED,
);

const PT_LOAD: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
/// In place of an offset: the mapping is anonymous.
const ANONYMOUS: u64 = u64::MAX;

/// The fields of an `Elf64_Phdr` that matter here.
#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
    memory_bytes: u64,
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn segments(program: &[u8]) -> Option<Vec<Segment>> {
    let table = usize::try_from(word(program, 32)?).ok()?;
    let count = usize::from(u16::from_le_bytes(program.get(56..58)?.try_into().ok()?));
    (0..count)
        .map(|index| {
            let at = table.checked_add(index * PROGRAM_HEADER_BYTES)?;
            let head = word(program, at)?;
            Some(Segment {
                kind: head as u32,
                flags: (head >> 32) as u32,
                offset: word(program, at + 8)?,
                address: word(program, at + 16)?,
                file_bytes: word(program, at + 32)?,
                memory_bytes: word(program, at + 40)?,
            })
        })
        .collect()
}

/// Makes the loader of `program`, an ELF file for a fixed address that [`FD_PROGRAM`] has at
/// `offset`, a multiple of the page size. `None` if the program is not one, or not with so few
/// segments as ours.
#[must_use]
pub fn build(program: &[u8], offset: u64) -> Option<Vec<u8>> {
    let page = PAGE_SIZE as u64;
    let entry = word(program, 24)?;
    let all = segments(program)?;
    let constant = |segment: &Segment| {
        let relro = all.iter().find(|other| other.kind == PT_GNU_RELRO);
        relro.is_some_and(|relro| relro.address == segment.address)
    };
    let mut table: Vec<u64> = Vec::new();
    for segment in all.iter().filter(|segment| segment.kind == PT_LOAD) {
        let writable = segment.flags & PF_W != 0 && !constant(segment);
        let executable = segment.flags & PF_X != 0;
        let bit = |is: bool, bit: u32| if is { u64::from(bit) } else { 0 };
        let data = u64::from(raw::PROT_READ | raw::PROT_WRITE);
        let protection = u64::from(raw::PROT_READ)
            | bit(writable, raw::PROT_WRITE)
            | bit(executable, raw::PROT_EXEC);
        let start = segment.address / page * page;
        let file_end = segment.address.checked_add(segment.file_bytes)?;
        let mapped_end = file_end.checked_next_multiple_of(page)?;
        let end = segment.address.checked_add(segment.memory_bytes)?;
        let from = offset
            .checked_add(segment.offset)?
            .checked_sub(segment.address - start)?;
        let zero_from = if writable { file_end } else { mapped_end };
        if mapped_end > start {
            let length = mapped_end - start;
            table.extend([start, length, data, protection, from, zero_from]);
        }
        if end > mapped_end {
            let length = end.checked_next_multiple_of(page)? - mapped_end;
            table.extend([mapped_end, length, protection, protection, ANONYMOUS, 0]);
        }
    }
    table.extend([0, entry]);

    let code_start = capsid_loader as *const () as usize;
    let code_bytes = capsid_loader_end as *const () as usize - code_start;
    // SAFETY: the code between the two symbols, which is constant.
    let code = unsafe { core::slice::from_raw_parts(code_start as *const u8, code_bytes) };
    let code_at = HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
    let total = code_at + code_bytes + 8 * table.len();
    if total > PAGE_SIZE || !offset.is_multiple_of(page) {
        return None;
    }
    let mut file = Vec::with_capacity(PAGE_SIZE);
    // elf(5): a 64-bit little-endian executable for x86-64, version 1.
    file.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(*b"\x02\0\x3e\0\x01\0\0\0");
    file.extend((LOADER_BASE + code_at as u64).to_le_bytes());
    file.extend((HEADER_BYTES as u64).to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    for half in [HEADER_BYTES, PROGRAM_HEADER_BYTES, 2, 0, 0, 0] {
        file.extend((half as u16).to_le_bytes());
    }
    let mut header = |kind: u32, flags: u32, address: u64, bytes: u64| {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for value in [0, address, address, bytes, bytes, page] {
            file.extend(value.to_le_bytes());
        }
    };
    header(PT_LOAD, PF_R | PF_X, LOADER_BASE, total as u64);
    header(PT_GNU_STACK, PF_R | PF_W, 0, 0);
    file.extend_from_slice(code);
    for value in table {
        file.extend(value.to_le_bytes());
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::build;

    #[test]
    fn nonsense_makes_no_loader() {
        assert_eq!(build(&[], 0), None);
        assert_eq!(build(b"\x7fELF", 0), None);
        let mut program = alloc::vec![0xff; 4096];
        assert_eq!(build(&program, 0), None);
        program.fill(0);
        assert!(build(&program, 0).is_some());
        assert_eq!(build(&program, 5), None);
    }
}
