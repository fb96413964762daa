//! Where the platform enters the library OS.

use crate::call::{After, Call, CallResult, restart};
use crate::exec::{self, Prepared};
use crate::patching;
use crate::signal::{Delivered, Interrupted, deliver, raise_exception};
use crate::task::{ExitStatus, Thread, end_thread, release_guest_words};
use crate::{table, trace};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::{Entry, GuestAddr, GuestThread, Registers, Resume, SpawnKind, platform};
use core::sync::atomic::Ordering;

/// A guest thread as the platform runs it.
#[derive(Debug)]
pub struct Task {
    thread: Arc<Thread>,
    /// Threads whose place this one has taken, until it executes or ends (vfork).
    parents: Vec<Suspended>,
    begin: Begin,
    /// Calls are traced or counted.
    observed: bool,
}

/// What a thread does first.
#[derive(Debug)]
enum Begin {
    /// Goes to the guest, after storing its id there.
    Child(Option<GuestAddr>),
    /// Replaces the program.
    Execute(Box<Prepared>),
    /// Loads the sandbox's first program.
    Boot,
    /// It has begun.
    Done,
}

/// A thread whose child has taken its place.
#[derive(Debug)]
struct Suspended {
    thread: Arc<Thread>,
    registers: Registers,
    thread_pointer: u64,
    extended_state: Vec<u8>,
}

impl Task {
    /// A thread that goes to the guest with the registers it is spawned with, and stores its id at
    /// `id_at`.
    #[must_use]
    pub fn new(thread: Arc<Thread>, id_at: Option<GuestAddr>) -> Task {
        Task::beginning(thread, Begin::Child(id_at))
    }

    /// A thread that begins by loading a program.
    #[must_use]
    pub fn executing(thread: Arc<Thread>, program: Box<Prepared>) -> Task {
        Task::beginning(thread, Begin::Execute(program))
    }

    /// The sandbox's first thread.
    #[must_use]
    pub fn booting(thread: Arc<Thread>) -> Task {
        Task::beginning(thread, Begin::Boot)
    }

    fn beginning(thread: Arc<Thread>, begin: Begin) -> Task {
        Task {
            thread,
            parents: Vec::new(),
            begin,
            observed: trace::is_on(),
        }
    }
}

impl GuestThread for Task {
    #[inline]
    fn enter(&mut self, entry: Entry, registers: &mut Registers) -> Resume {
        match entry {
            Entry::Syscall => self.system_call(registers),
            Entry::TrappedSyscall(site) => self.trapped_call(site, registers),
            Entry::Start => self.start(registers),
            Entry::Exception(exception) => {
                raise_exception(&self.thread, exception, registers);
                self.leave(registers)
            }
            Entry::Interrupt => {
                self.thread.process.expire_timers();
                if self.thread.attention.load(Ordering::SeqCst) {
                    return self.leave(registers);
                }
                Resume::Guest
            }
        }
    }
}

impl Task {
    /// Makes the call that the registers hold. The way out looks at one flag only.
    #[inline]
    fn system_call(&mut self, registers: &mut Registers) -> Resume {
        let number = registers.rax;
        let mut call = Call {
            thread: &self.thread,
            arguments: registers.arguments(),
            registers,
            after: After::Return,
            repeated: false,
        };
        let result = if self.observed {
            trace::observe(&mut call)
        } else {
            (table::lookup(number).function)(&mut call)
        };
        let after = call.after;
        registers.rax = result.unwrap_or_else(Errno::as_return_value);
        if !self.thread.attention.load(Ordering::Relaxed) && !is_restart(result) {
            return Resume::Guest;
        }
        self.after_call(registers, number, result, after)
    }

    /// Makes a call that came by a trap, and may have its text patched first.
    #[cold]
    fn trapped_call(&mut self, site: GuestAddr, registers: &mut Registers) -> Resume {
        patching::patch(&self.thread, site, registers);
        let resume = self.system_call(registers);
        patching::find_way_back(&self.thread, registers);
        resume
    }

    /// The slow way out of a call.
    #[cold]
    fn after_call(
        &mut self,
        registers: &mut Registers,
        mut number: u64,
        mut result: CallResult,
        mut after: After,
    ) -> Resume {
        loop {
            match after {
                After::Return => {
                    match deliver(&self.thread, registers, interrupted(number, result)) {
                        Delivered::Guest => return Resume::Guest,
                        Delivered::End => return self.end(registers, ExitStatus(0)),
                        Delivered::Repeat => {}
                    }
                }
                After::CallAgain => number = registers.rax,
                After::End(code) => return self.end(registers, code),
                After::BecomeChild(child, start) => {
                    self.become_child(registers, child, &start);
                    return self.leave(registers);
                }
                After::Execute(program) => return self.execute(registers, program),
            }
            let mut call = Call {
                thread: &self.thread,
                arguments: registers.arguments(),
                registers,
                after: After::Return,
                repeated: true,
            };
            result = (table::lookup(number).function)(&mut call);
            after = call.after;
            registers.rax = result.unwrap_or_else(Errno::as_return_value);
        }
    }

    /// Goes to the guest after something else than a call, with signals first.
    #[cold]
    fn leave(&mut self, registers: &mut Registers) -> Resume {
        match deliver(&self.thread, registers, None) {
            Delivered::Guest | Delivered::Repeat => Resume::Guest,
            Delivered::End => self.end(registers, ExitStatus(0)),
        }
    }

    /// The thread's first moment.
    #[cold]
    fn start(&mut self, registers: &mut Registers) -> Resume {
        *self.thread.token.lock() = Some(platform().current_thread());
        match core::mem::replace(&mut self.begin, Begin::Done) {
            Begin::Child(id_at) => {
                self.thread.process.memory().space.finish_fork();
                self.thread.process.watch_cpu_limit();
                if let Some(address) = id_at {
                    // A fault here is the guest's own affair, as on Linux.
                    let _ = address.write_u32(self.thread.id());
                }
            }
            Begin::Execute(program) => {
                exec::commit(&self.thread, registers, *program);
                self.thread.process.watch_cpu_limit();
            }
            Begin::Boot => {
                if let Err(status) = crate::boot::load(&self.thread, registers) {
                    return self.end(registers, status);
                }
            }
            Begin::Done => {}
        }
        self.leave(registers)
    }

    /// Ends the thread; a suspended parent goes on in its place.
    fn end(&mut self, registers: &mut Registers, code: ExitStatus) -> Resume {
        end_thread(&self.thread, code);
        self.resume_parent(registers)
    }

    /// Lets a child take this thread's place until it executes or ends: it shares the memory, and
    /// the parent waits anyway.
    fn become_child(&mut self, registers: &mut Registers, child: Arc<Thread>, start: &Registers) {
        let platform = platform();
        let mut extended_state = vec![0; platform.info().extended_state_bytes];
        platform.save_extended_state(&mut extended_state);
        *self.thread.token.lock() = None;
        *child.token.lock() = Some(platform.current_thread());
        self.parents.push(Suspended {
            thread: core::mem::replace(&mut self.thread, child),
            registers: *registers,
            thread_pointer: platform.thread_pointer(),
            extended_state,
        });
        *registers = *start;
        // A wrong one was refused when the call was checked.
        let _ = platform.set_thread_pointer(start.fs_base);
    }

    fn resume_parent(&mut self, registers: &mut Registers) -> Resume {
        let Some(parent) = self.parents.pop() else {
            return Resume::Exit;
        };
        let platform = platform();
        self.thread = parent.thread;
        *registers = parent.registers;
        // It was valid when it was read.
        let _ = platform.set_thread_pointer(parent.thread_pointer);
        platform.restore_extended_state(&parent.extended_state);
        *self.thread.token.lock() = Some(platform.current_thread());
        patching::find_way_back(&self.thread, registers);
        self.leave(registers)
    }

    /// Replaces the program; in a host process of its own if others use this one's memory.
    fn execute(&mut self, registers: &mut Registers, mut program: Box<Prepared>) -> Resume {
        let memory = self.thread.process.memory();
        if self.parents.is_empty() && memory.users.load(Ordering::SeqCst) <= 1 {
            exec::commit(&self.thread, registers, *program);
            return self.leave(registers);
        }
        program.moved = true;
        // The memory that they lie in stays here.
        release_guest_words(&self.thread);
        let task = Box::new(Task::executing(self.thread.clone(), program));
        match platform().spawn(SpawnKind::EmptyProcess, task, registers) {
            Ok(_) => {
                memory.users.fetch_sub(1, Ordering::SeqCst);
                self.resume_parent(registers)
            }
            Err(error) => {
                registers.rax = error.as_return_value();
                self.leave(registers)
            }
        }
    }
}

/// Whether a call's result says how it goes on after a signal.
#[inline]
fn is_restart(result: CallResult) -> bool {
    matches!(result, Err(error) if restart::is_restart(error))
}

/// The call as the delivery of signals sees it: `None` if it was not interrupted.
fn interrupted(number: u64, result: CallResult) -> Option<Interrupted> {
    match result {
        Err(error) if error == Errno::EINTR || restart::is_restart(error) => {
            Some(Interrupted { number, error })
        }
        _ => None,
    }
}
