//! The mechanism on a real host: a sandbox program with a tiny library OS runs hand-made guests.
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a test of raw numbers"
)]

mod launcher;

use launcher::{End, Kind, Outcome, run};

fn ok(scenario: &str) -> Outcome {
    let outcome = run(scenario, Kind::Sealed);
    assert_eq!(outcome.end, End::Exit(0), "{scenario}: {outcome:#?}");
    outcome
}

#[test]
fn trapped_and_gated_calls_give_results() {
    for kind in [Kind::Sealed, Kind::HostFiles] {
        let outcome = run("null", kind);
        assert_eq!(outcome.end, End::Exit(7 << 8), "{outcome:#?}");
        assert_eq!(outcome.values("report"), [0x1234, 0x1234]);
    }
}

#[test]
fn general_registers_and_flags_survive_calls() {
    let sum: u64 = [
        0x101 * 0x102,
        0x103 * 0x104,
        0x105 * 0x106,
        0x107 * 0x108,
        0x109 * 0x10a,
        0x10b * 0x10c,
    ]
    .iter()
    .sum();
    assert_eq!(ok("registers").values("report"), [sum]);
}

#[test]
fn vector_state_survives_calls_traps_restores_and_forks() {
    ok("vectors");
}

#[test]
fn every_number_from_guest_text_traps() {
    let outcome = ok("every-number");
    assert_eq!(outcome.values("counter"), [600]);
}

#[test]
fn other_ways_into_the_host_kernel_do_not_get_there() {
    let outcome = ok("other-ways-in");
    let values = outcome.values("report");
    let no_call = -38i64 as u64;
    // The last is a vsyscall: a trapped call, or a fault where the host has no such page.
    assert_eq!(values[..2], [no_call, no_call]);
    assert!([no_call, 0xe].contains(&values[2]), "{values:x?}");
}

#[test]
fn a_jump_into_the_programs_own_text_is_killed() {
    let outcome = run("own-text", Kind::Sealed);
    assert_eq!(outcome.end, End::Died(libc::SIGSYS), "{outcome:#?}");
}

#[test]
fn a_fork_copies_guest_memory_and_shares_the_library_os() {
    let outcome = ok("fork");
    assert_eq!(outcome.values("report"), [1, 2]);
    assert_eq!(outcome.values("counter"), [1]);
}

#[test]
fn threads_start_and_end_again_and_again() {
    assert_eq!(ok("threads").values("counter"), [100]);
}

#[test]
fn exceptions_of_each_kind_reach_the_library_os() {
    let outcome = ok("exceptions");
    assert_eq!(outcome.values("vector"), [0, 6, 3, 14, 13, 14, 1]);
    let values = outcome.values("report");
    // Vector, address, error code; the sixth comes after the report of the mapping.
    assert_eq!(values[..3], [0, 0, 0]);
    assert_eq!(values[3..6], [6, 0, 0]);
    assert_eq!(values[6..8], [3, 0]);
    assert_eq!(values[9..12], [14, 0xdead000, 6]);
    assert_eq!(values[12..15], [13, 0, 0]);
    assert_eq!(values[15], 0);
    assert_eq!(values[16..19], [14, 0x501000, 4 | 1 << 32]);
    assert_eq!(values[19..22], [1, 0, 0]);
}

#[test]
fn a_kick_interrupts_a_spinning_thread() {
    assert_eq!(ok("kick").values("report"), [1]);
}

#[test]
fn timers_interrupt_at_any_place_of_the_gate() {
    assert!(ok("timer").values("report")[0] >= 2000);
}

#[test]
fn a_kick_ends_an_interruptible_wait() {
    ok("sleeper");
}

#[test]
fn nothing_is_lost_when_everything_happens_at_once() {
    assert_eq!(ok("stress").values("counter"), [600]);
}

#[test]
fn the_full_exit_loads_every_register() {
    let outcome = ok("full-exit");
    let sum = (0..16).sum::<u64>() - 7;
    assert_eq!(outcome.values("report"), [sum, 0x530000]);
}

#[test]
fn an_impossible_return_address_is_the_guests_fault() {
    assert_eq!(ok("bad-rip").values("report"), [13]);
}

#[test]
fn copies_stop_at_faults() {
    ok("copies");
    ok("atomics");
}

#[test]
fn donated_files_are_read_written_mapped_and_closed() {
    let outcome = run("donation", Kind::HostFiles);
    assert_eq!(outcome.end, End::Exit(0), "{outcome:#?}");
}

#[test]
fn a_sealed_sandbox_that_reads_a_file_is_killed() {
    let outcome = run("sealed-read", Kind::Sealed);
    assert_eq!(outcome.end, End::Died(libc::SIGSYS), "{outcome:#?}");
}

#[test]
fn a_kick_cancels_a_request_that_blocks() {
    let outcome = ok("input");
    assert_eq!(outcome.values("report"), [-libc::EINTR as u64]);
}

#[test]
fn memory_calls_do_what_they_say() {
    ok("memory");
}

#[test]
fn the_heap_keeps_what_it_holds() {
    ok("heap");
}

#[test]
fn empty_processes_have_no_guest_memory_whoever_made_them() {
    ok("empty-processes");
}

#[test]
fn clocks_and_deadlines_work() {
    ok("time");
}

#[test]
fn a_broken_library_os_says_so_and_ends() {
    for (scenario, words) in [("panic", "asked to"), ("fault", "signal 11")] {
        let outcome = run(scenario, Kind::Sealed);
        assert_eq!(outcome.end, End::ShutDown, "{outcome:#?}");
        assert!(outcome.lines[0].contains(words), "{outcome:#?}");
    }
    let outcome = run("wild-kernel-write", Kind::Sealed);
    assert!(
        !matches!(outcome.end, End::Exit(_) | End::TimedOut),
        "{outcome:#?}"
    );
}

/// Not a test: prints what the mechanism costs. Run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let chosen = std::env::var("SCENARIO").ok();
    for scenario in [
        "gate-speed",
        "trap-speed",
        "fork-speed",
        "ping-pong",
        "heap-speed",
        "copy-speed",
    ] {
        if chosen.as_deref().is_none_or(|chosen| chosen == scenario) {
            println!("{scenario}: {:?}", ok(scenario).values("report"));
        }
    }
}
