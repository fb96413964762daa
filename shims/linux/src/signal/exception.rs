//! Processor exceptions as signals.

use crate::signal::info::SI_KERNEL;
use crate::signal::{Signal, SignalInfo, force};
use crate::task::Thread;
use alloc::sync::Arc;
use alloc::vec;
use capsid_core::memory::Fault;
use capsid_platform::{Exception, Protection, Registers, platform};

/// What `sigcontext` says about the exception that the signal is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrapState {
    /// The error code.
    pub error: u64,
    /// The vector.
    pub vector: u64,
    /// The address that faulted (`cr2`).
    pub address: u64,
}

const ILL_ILLOPN: i32 = 2;
const FPE_INTDIV: i32 = 1;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const TRAP_TRACE: i32 = 2;

/// Gives the thread the signal that Linux gives for an exception, unless the memory can be made
/// right.
pub fn raise_exception(thread: &Arc<Thread>, exception: Exception, registers: &Registers) {
    let fault = |signal, code, address| SignalInfo::fault(signal, code, address);
    let kernel = |signal| SignalInfo::fault(signal, SI_KERNEL, 0);
    let address = exception.address.0;
    let info = match exception.vector {
        0 => fault(Signal::FPE, FPE_INTDIV, registers.rip),
        1 => fault(Signal::TRAP, TRAP_TRACE, registers.rip),
        3 => kernel(Signal::TRAP),
        6 => fault(Signal::ILL, ILL_ILLOPN, registers.rip),
        14 => match page_fault(thread, exception) {
            Fault::Resolved => return,
            Fault::NotMapped => fault(Signal::SEGV, SEGV_MAPERR, address),
            Fault::NotPermitted => fault(Signal::SEGV, SEGV_ACCERR, address),
            Fault::BeyondFile => fault(Signal::BUS, BUS_ADRERR, address),
        },
        16 | 19 => fault(
            Signal::FPE,
            floating_point_code(exception.vector),
            registers.rip,
        ),
        17 => fault(Signal::BUS, BUS_ADRALN, 0),
        _ => kernel(Signal::SEGV),
    };
    thread.own.lock().trap = TrapState {
        error: exception.error_code.into(),
        vector: exception.vector.into(),
        address,
    };
    force(thread, info);
}

/// Lets the address space look at a page fault.
fn page_fault(thread: &Thread, exception: Exception) -> Fault {
    const WRITE: u32 = 2;
    const FETCH: u32 = 16;
    let access = if exception.error_code & WRITE != 0 {
        Protection::WRITE
    } else if exception.error_code & FETCH != 0 {
        Protection::EXECUTE
    } else {
        Protection::READ
    };
    let process = &thread.process;
    let limits = process.memory_limits();
    let address = exception.address.0;
    match process.memory().space.fault(address, access, &limits) {
        // The host's file may have shrunk behind our back.
        Fault::Resolved if exception.beyond_backing => Fault::BeyondFile,
        fault => fault,
    }
}

/// Finds which floating-point exception it was, as fpu__exception_code() of Linux does.
fn floating_point_code(vector: u8) -> i32 {
    const MXCSR_AT: usize = 24;
    let mut state = vec![0; platform().info().extended_state_bytes];
    platform().save_extended_state(&mut state);
    let half = |at: usize| match state.get(at..at + 2) {
        Some(bytes) => u16::from_le_bytes([bytes[0], bytes[1]]),
        None => 0,
    };
    let raised = if vector == 16 {
        let (control, status) = (half(0), half(2));
        status & !control
    } else {
        let mxcsr = half(MXCSR_AT);
        !(mxcsr >> 7) & mxcsr
    };
    match raised {
        r if r & 0x01 != 0 => 7,
        r if r & 0x04 != 0 => 3,
        r if r & 0x08 != 0 => 4,
        r if r & 0x12 != 0 => 5,
        r if r & 0x20 != 0 => 6,
        _ => 0,
    }
}
