//! What core's tests rely on.

use capsid_platform::*;
use capsid_platform_threads::install;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const RW: Protection = Protection::READ.union(Protection::WRITE);

fn range(start: u64, length: u64) -> GuestRange {
    GuestRange::new(GuestAddr(start), length).unwrap()
}

#[test]
fn copies_obey_protections_and_stop_at_holes() {
    let platform = install();
    let memory = platform.guest_memory(8192);
    let mut bytes = [7; 8];
    let end = GuestAddr(memory.0 + 8188);
    assert_eq!(platform.copy_to_guest(end, &bytes), 4);
    assert_eq!(platform.copy_from_guest(&mut bytes, end), 4);
    platform
        .protect(range(memory.0, 4096), Protection::READ)
        .unwrap();
    assert_eq!(memory.write_u32(1), Err(Errno::EFAULT));
    assert_eq!(memory.read_u32(), Ok(0));
    platform.unmap(range(memory.0, 4096)).unwrap();
    assert_eq!(memory.read_u32(), Err(Errno::EFAULT));
    assert_eq!(GuestAddr(memory.0 + 4096).read_u32(), Ok(0));
    assert_eq!(GuestAddr(u64::MAX - 1).read_u32(), Err(Errno::EFAULT));
}

#[test]
fn pool_mappings_share_and_private_ones_copy() {
    let platform = install();
    let page = PoolPage(platform.reserve_pool(2));
    let (shared, private) = (range(0x10_0000, 8192), range(0x20_0000, 8192));
    platform
        .map(shared, RW, Backing::Pool(page), Sharing::Shared)
        .unwrap();
    platform
        .map(private, RW, Backing::Pool(page), Sharing::Private)
        .unwrap();
    GuestAddr(shared.start() + 4096).write_u32(5).unwrap();
    let mut bytes = [0; 4];
    platform.pool_read(page, 4096, IoTarget::Kernel(&mut bytes));
    assert_eq!(bytes, [5, 0, 0, 0]);
    assert_eq!(GuestAddr(private.start() + 4096).read_u32(), Ok(5));
    GuestAddr(private.start() + 4096).write_u32(6).unwrap();
    assert_eq!(GuestAddr(shared.start() + 4096).read_u32(), Ok(5));
    platform.advise(private, Advice::DontNeed).unwrap();
    assert_eq!(GuestAddr(private.start() + 4096).read_u32(), Ok(5));
}

struct Child {
    address: GuestAddr,
    done: Arc<AtomicU32>,
}

impl GuestThread for Child {
    fn enter(&mut self, entry: Entry, registers: &mut Registers) -> Resume {
        match entry {
            Entry::Start => {
                registers.rip = 0x1000;
                Resume::Guest
            }
            _ => {
                assert_eq!(entry, Entry::Syscall);
                // An empty process has nothing there.
                let _ = self.address.write_u32(9);
                let value = u32::try_from(registers.rax).expect("the test passes a small number");
                self.done.store(value, Ordering::SeqCst);
                platform().wake(&self.done, 1);
                Resume::Exit
            }
        }
    }
}

#[test]
fn a_new_process_has_a_copy_and_runs_instructions() {
    let platform = install();
    let address = platform.guest_memory(1);
    address.write_u32(3).unwrap();
    platform.world().set_instruction(0x1000, |registers| {
        registers.rax = 42;
        Entry::Syscall
    });
    for (kind, value) in [
        (SpawnKind::Process, 3),
        (SpawnKind::EmptyProcess, 3),
        (SpawnKind::Thread, 9),
    ] {
        let done = Arc::new(AtomicU32::new(0));
        let child = Child {
            address,
            done: done.clone(),
        };
        platform
            .spawn(kind, Box::new(child), &Registers::default())
            .unwrap();
        while done.load(Ordering::SeqCst) == 0 {
            platform.wait(&done, 0, None, WaitMode::Uninterruptible);
        }
        assert_eq!(done.load(Ordering::SeqCst), 42);
        assert_eq!(address.read_u32(), Ok(value));
    }
}

#[test]
fn waits_end_by_deadline_kick_and_timer() {
    let platform = install();
    let word = AtomicU32::new(0);
    let soon = platform.now(Clock::Monotonic) + 1_000_000;
    let mode = WaitMode::Interruptible;
    assert_eq!(
        platform.wait(&word, 0, Some(soon), mode),
        WaitOutcome::TimedOut
    );
    assert_eq!(platform.wait(&word, 1, None, mode), WaitOutcome::Woken);
    platform.kick(platform.current_thread());
    let soon = platform.now(Clock::Monotonic) + 1_000_000;
    let uninterruptible = platform.wait(&word, 0, Some(soon), WaitMode::Uninterruptible);
    assert_eq!(uninterruptible, WaitOutcome::TimedOut);
    assert_eq!(
        platform.wait(&word, 0, None, mode),
        WaitOutcome::Interrupted
    );
    let other = std::thread::spawn(|| {
        let platform = install();
        platform.set_timer(HostTimer::Real, Some(1_000_000));
        platform.wait(&AtomicU32::new(0), 0, None, WaitMode::Interruptible)
    });
    assert_eq!(other.join().unwrap(), WaitOutcome::Interrupted);
}
