//! The agreement between the broker, which starts a sandbox, and the sandbox's first instructions.
//!
//! The broker makes the descriptors below, then executes the sandbox program, itself or through
//! [`crate::loader`], with an empty environment and any arguments (they are ignored). What the sandbox should do is the
//! [`capsid_wire::BootConfig`], in postcard form, at `capsid_wire::layout::BOOT_OFFSET` of the wire
//! memory, its length in `Header::boot_len`.
//!
//! The broker also:
//! - sets `RLIMIT_STACK` to at most 8 MiB, `RLIMIT_CORE` to 0, `RLIMIT_AS` to unlimited: a huge stack
//!   limit makes the host lay its own mappings into the guest's range;
//! - makes the sandbox a session of its own, so that a terminal's signals reach only the broker;
//! - starts it from a thread that lives as long as the broker: every process of the sandbox asks to
//!   be killed when that thread ends (`PR_SET_PDEATHSIG`);
//! - reaps every process of the sandbox: all of them are its children (`CLONE_PARENT`), which is why
//!   the first must not be process 1 of a PID namespace;
//! - takes any end of a process other than `exit` with [`EXIT_ORDERLY`] as the end of the sandbox,
//!   and kills the rest. A sandbox that finds itself broken also stores 1 into `Header::shutdown`
//!   and rings the doorbell.

/// Descriptors 0, 1 and 2: all three are `/dev/null`. Standard streams go over the wire.
pub const FD_NULL: [i32; 3] = [0, 1, 2];
/// The wire memory, `capsid_wire::layout::TOTAL_BYTES` long, readable and writable.
pub const FD_WIRE: i32 = 3;
/// The memory of the library OS: statics, stacks and heap. A sparse memfd; see [`HEAP_OFFSET`].
pub const FD_KERNEL: i32 = 4;
/// The page pool. A sparse memfd, its size a multiple of the page size and at most
/// [`POOL_LIMIT_BYTES`].
pub const FD_POOL: i32 = 5;
/// A Unix socket of type `SOCK_SEQPACKET` on which the broker sends donated descriptors. A message
/// is the slot's index as a little-endian `u32` and one descriptor; it is sent before the slot
/// becomes done.
pub const FD_DONATIONS: i32 = 6;
/// The root image, read-only; not open when there is none.
pub const FD_IMAGE: i32 = 7;
/// The file that [`crate::loader`] maps the sandbox program from, readable. The loader closes it.
pub const FD_PROGRAM: i32 = 8;
/// The lowest number that a donated descriptor can get. The sandbox keeps all lower ones in use.
pub const FD_FIRST_DONATED: i32 = 8;

/// The host signal that interrupts a thread in guest code: `Operation::Kick` sends it.
pub const KICK_SIGNAL: i32 = 63;

/// Exit code of a process of the sandbox whose guest process has ended as it should.
pub const EXIT_ORDERLY: i32 = 0;
/// Exit code after the sandbox could not start; a line for people was logged over the wire if the
/// wire was there.
pub const EXIT_NOT_STARTED: i32 = 71;
/// Exit code after a fault or panic of the library OS. A line about it was logged.
pub const EXIT_BROKEN: i32 = 70;

/// Where guests may map memory: from the host's usual lowest address,
pub const GUEST_START: u64 = 0x1_0000;
/// up to below the sandbox program.
pub const GUEST_END: u64 = 0x6fff_0000_0000;

/// Where the loader's page is, until the sandbox program runs.
pub const LOADER_BASE: u64 = GUEST_END;
/// Where the sandbox program is linked. What every process touches lies close together here, and to
/// the guest's stack: each page of page tables that is spared makes fork and exec cheaper.
pub const PROGRAM_BASE: u64 = 0x6fff_c004_0000;
/// The end of the kernel stacks. The first one is the last before it.
pub const STACKS_END: u64 = PROGRAM_BASE;
/// Where the kernel stacks are mapped.
pub const STACKS_BASE: u64 = STACKS_END - (THREAD_LIMIT * BLOCK_BYTES) as u64;
/// Where the wire memory is mapped.
pub const WIRE_BASE: u64 = 0x6fff_c200_0000;
/// Where the heap of the library OS is mapped.
pub const HEAP_BASE: u64 = 0x6fff_c400_0000;
/// Where the page pool is mapped.
pub const POOL_BASE: u64 = 0x7100_0000_0000;
/// Where the root image is mapped.
pub const IMAGE_BASE: u64 = 0x7800_0000_0000;

/// The kernel memory starts with the program's writable segments, at most this long.
pub const STACKS_OFFSET: u64 = 16 << 20;
/// Most threads of a sandbox at once, in all its processes.
pub const THREAD_LIMIT: usize = 16 << 10;
/// Bytes of one thread's block: its signal stack, its kernel stack and its thread area.
pub const BLOCK_BYTES: usize = 128 << 10;
/// After the stacks comes the heap, up to the end of the memfd.
pub const HEAP_OFFSET: u64 = STACKS_OFFSET + (THREAD_LIMIT * BLOCK_BYTES) as u64;
/// The size to give the kernel memory when no limit says otherwise. Only touched pages exist.
pub const KERNEL_DEFAULT_BYTES: u64 = HEAP_OFFSET + (64 << 30);
/// The largest kernel memory that has room at [`HEAP_BASE`].
pub const KERNEL_LIMIT_BYTES: u64 = HEAP_OFFSET + (POOL_BASE - HEAP_BASE);
/// The largest pool that has room at [`POOL_BASE`].
pub const POOL_LIMIT_BYTES: u64 = IMAGE_BASE - POOL_BASE;
/// The largest image that has room at [`IMAGE_BASE`].
pub const IMAGE_LIMIT_BYTES: u64 = 2 << 40;

const _: () = assert!(
    LOADER_BASE + 4096 <= STACKS_BASE
        && PROGRAM_BASE + STACKS_OFFSET <= WIRE_BASE
        && WIRE_BASE + capsid_wire::layout::TOTAL_BYTES as u64 <= HEAP_BASE
);
