//! The part of execve(2) from which there is no way back.

use crate::exec::load::{self, Base, Loaded};
use crate::exec::prepare::Prepared;
use crate::exec::stack::{self, StackContents, auxiliary};
use crate::signal::{AlternateStack, Signal, SignalInfo, force};
use crate::task::{
    ProcessMemory, Program, Resource, Thread, UNLIMITED, release_guest_words, take_over_process,
};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::memory::{AddressSpace, MapRequest, MemoryLimits, Placement, VmaFlags};
use capsid_core::random;
use capsid_platform::{Clock, GuestAddr, PAGE_SIZE, Protection, Registers, platform};
use core::sync::atomic::Ordering;

/// Where a position-independent program goes, as on Linux: two thirds up the usual address space.
const PROGRAM_BASE: u64 = 0x5555_5555_4000;
/// How much of the stack is there whatever its limit.
const STACK_BYTES: u64 = 132 << 10;
/// Up to this limit the stack is mapped as a whole: unlike Linux, we cannot let it grow when a
/// system call is given an address below what the guest touched so far.
const STACK_BYTES_AT_ONCE: u64 = 64 << 20;
/// `ADDR_NO_RANDOMIZE` of personality(2).
const NO_RANDOMIZE: u32 = 0x0004_0000;

fn random_below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    random::fill(&mut bytes);
    u64::from_le_bytes(bytes) % limit
}

/// Replaces the program of the calling thread's process. If that fails, the program is gone and
/// the process ends by `SIGSEGV`, as on Linux. If the process ends meanwhile, nothing is done.
pub fn commit(thread: &Arc<Thread>, registers: &mut Registers, program: Prepared) {
    if take_over_process(thread).is_err() {
        return;
    }
    let moved = program.moved;
    reset(thread, &program);
    let process = &thread.process;
    match process.as_system(|| load_program(thread, &program, moved)) {
        Ok(start) => {
            *registers = Registers {
                rsp: start.stack_pointer,
                rip: start.entry,
                rflags: 0x202,
                // The FAST way out wants these.
                rcx: start.entry,
                r11: 0x202,
                ..Registers::default()
            };
        }
        Err(_) => force(thread, SignalInfo::kernel(Signal::SEGV)),
    }
    // Zero is always a user address.
    let _ = platform().set_thread_pointer(0);
    platform().restore_extended_state(&[]);
}

/// Resets what a new program does not inherit.
fn reset(thread: &Arc<Thread>, program: &Prepared) {
    let process = &thread.process;
    let actions = Arc::new(process.actions().without_handlers());
    *process.actions.lock() = actions;
    process.timers.clear_posix(process);
    if !program.moved {
        // While the old memory is there.
        release_guest_words(thread);
    }
    {
        let mut own = thread.own.lock();
        own.alternate_stack = AlternateStack::default();
        own.restarts.clear();
        own.keep_capabilities = false;
    }
    let mut files = thread.files();
    // This one and the thread's own.
    if Arc::strong_count(&files) > 2 {
        files = Arc::new(files.duplicate());
        *thread.files.lock() = files.clone();
    }
    files.close_on_exec();
    thread.set_name(&program.thread_name);
    let new = &program.credentials;
    if new.secure {
        process.parent_death_signal.store(0, Ordering::Relaxed);
    }
    process
        .dumpable
        .store(u32::from(!new.secure), Ordering::Relaxed);
    thread.set_credentials(new.credentials.clone());
    let mut tree = process.kernel.tree.lock();
    if let Some(node) = tree.node_mut(process.id) {
        node.executed = true;
    }
}

/// Where the program begins.
struct Start {
    entry: u64,
    stack_pointer: u64,
}

fn load_program(thread: &Thread, program: &Prepared, moved: bool) -> Result<Start, Errno> {
    let process = &thread.process;
    let limits = process.memory_limits();
    let randomize = process.personality.load(Ordering::Relaxed) & NO_RANDOMIZE == 0;
    let shift = |pages: u64| {
        if randomize {
            random_below(pages) * PAGE_SIZE as u64
        } else {
            0
        }
    };
    let seed = if randomize { random_below(u64::MAX) } else { 0 };
    let old = process.memory();
    let memory = Arc::new(ProcessMemory::new(AddressSpace::new(seed)));
    *process.memory.lock() = memory.clone();
    if moved {
        // What the new host process did before is not the program's.
        let now = platform().now(Clock::ProcessCpu);
        process.usage.cpu_base_ns.store(now, Ordering::Relaxed);
        let has_cpu_limit = process.limits.soft(Resource::Cpu) != UNLIMITED;
        process
            .timers
            .cpu_limit_changed
            .store(has_cpu_limit, Ordering::SeqCst);
    } else {
        old.users.fetch_sub(1, Ordering::SeqCst);
        process.kernel.timers.memory_replaced(&old, &memory);
        process.timers.cpu.memory_replaced(&old, &memory);
    }
    drop(old);
    let space = &memory.space;
    space.clear(seed)?;

    let guest = platform().info().guest_range;
    let top = guest.end() - PAGE_SIZE as u64 - shift(1 << 10);
    let main = match (&program.interpreter, program.image.elf.relocatable) {
        (Some(_), true) => Base::At(PROGRAM_BASE + shift(1 << 22)),
        _ => Base::Anywhere,
    };
    map_stack(space, program, top, &limits)?;
    let image = load::load(space, &program.image, main, &limits)?;
    let interpreter = match &program.interpreter {
        Some(interpreter) => Some(load::load(space, interpreter, Base::Anywhere, &limits)?),
        None => {
            // What such a program maps is not its own libraries.
            space.show_text_unpatched();
            None
        }
    };
    space.set_heap_start(heap_start(program, &image) + shift(1 << 13));
    let entry = match (&program.interpreter, interpreter) {
        (Some(file), Some(loaded)) => loaded.bias.wrapping_add(file.elf.entry),
        _ => image.bias.wrapping_add(program.image.elf.entry),
    };
    let mut random_bytes = [0; 16];
    random::fill(&mut random_bytes);
    let stack = stack::build(
        top - random_below(512) * 16,
        &StackContents {
            arguments: &program.arguments,
            environment: &program.environment,
            name: &program.name,
            random: random_bytes,
            auxiliary: auxiliary_vector(program, &image, interpreter.as_ref()),
        },
    );
    GuestAddr(stack.pointer).write(&stack.bytes)?;
    *memory.program.lock() = Program {
        executable: program.image.file.path().cloned(),
        hold: program.image.hold.clone(),
        arguments: stack.arguments,
        environment: stack.environment,
        argument_strings: joined(&program.arguments),
        environment_strings: joined(&program.environment),
        auxiliary: stack.auxiliary,
        stack_start: stack.pointer,
        code: image.code,
        data: image.data,
        heap_start: space.heap_start(),
    };
    Ok(Start {
        entry,
        stack_pointer: stack.pointer,
    })
}

/// Strings with their terminators, for those who cannot read the stack.
fn joined(strings: &[Vec<u8>]) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes.into()
}

/// The heap begins behind the program, but behind a static-pie, which lies among the mappings, it
/// would soon meet one: Linux moves it to where programs usually are.
fn heap_start(program: &Prepared, image: &Loaded) -> u64 {
    let end = if program.image.elf.relocatable && program.interpreter.is_none() {
        PROGRAM_BASE
    } else {
        image.end
    };
    end.next_multiple_of(PAGE_SIZE as u64)
}

fn map_stack(
    space: &AddressSpace,
    program: &Prepared,
    top: u64,
    limits: &MemoryLimits,
) -> Result<(), Errno> {
    let strings: usize = program
        .arguments
        .iter()
        .chain(&program.environment)
        .map(|string| string.len() + 1 + 8)
        .sum();
    let bytes = (strings as u64 + STACK_BYTES).max(limits.stack.min(STACK_BYTES_AT_ONCE));
    let bytes = bytes.next_multiple_of(PAGE_SIZE as u64);
    let mut protection = Protection::READ | Protection::WRITE;
    if program.image.elf.executable_stack == Some(true) {
        protection |= Protection::EXECUTE;
    }
    let mut request = MapRequest::anonymous(Placement::Fixed(top - bytes), bytes, protection);
    request.flags = VmaFlags::GROWS_DOWN | VmaFlags::STACK;
    space.map(request, limits)?;
    Ok(())
}

fn auxiliary_vector(
    program: &Prepared,
    image: &Loaded,
    interpreter: Option<&Loaded>,
) -> Vec<(u64, u64)> {
    let info = platform().info();
    let elf = &program.image.elf;
    let credentials = &program.credentials.credentials;
    let frame = info.extended_state_bytes as u64 + 1024;
    let mut vector = vec![];
    if !info.vdso.is_null() {
        vector.push((auxiliary::SYSINFO_EHDR, info.vdso.0));
    }
    vector.extend([
        (auxiliary::MINSIGSTKSZ, frame),
        (auxiliary::HWCAP, info.hwcap),
        (auxiliary::PAGESZ, PAGE_SIZE as u64),
        (auxiliary::CLKTCK, 100),
        (
            auxiliary::PHDR,
            image.bias.wrapping_add(elf.headers_address),
        ),
        (auxiliary::PHENT, 56),
        (auxiliary::PHNUM, elf.headers.into()),
        (auxiliary::BASE, interpreter.map_or(0, |loaded| loaded.bias)),
        (auxiliary::FLAGS, 0),
        (auxiliary::ENTRY, image.bias.wrapping_add(elf.entry)),
        (auxiliary::UID, credentials.user.real.into()),
        (auxiliary::EUID, credentials.user.effective.into()),
        (auxiliary::GID, credentials.group.real.into()),
        (auxiliary::EGID, credentials.group.effective.into()),
        (auxiliary::SECURE, program.credentials.secure.into()),
        (auxiliary::HWCAP2, info.hwcap2),
    ]);
    vector
}
