//! Many threads in one tree: nothing deadlocks, and what is left is whole.

extern crate std;

use super::World;
use super::operations::{Operation, operations};
use crate::fs::overlay::Overlay;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::*;
use alloc::vec::Vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Operations that do not depend on the test's threads.
fn plan(rounds: usize) -> Vec<Operation> {
    let mut runner = TestRunner::deterministic();
    let strategy = operations(60);
    let mut plan = Vec::new();
    while plan.len() < rounds {
        plan.extend(strategy.new_tree(&mut runner).unwrap().current());
    }
    plan
}

fn hammer(world: &World) {
    const THREADS: usize = 4;
    let plan = plan(8_000);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let plan = &plan;
            scope.spawn(move || {
                let start = thread * plan.len() / THREADS;
                let order = plan[start..].iter().chain(&plan[..start]);
                for (count, operation) in order.enumerate() {
                    let _ = world.apply(operation);
                    match count % 61 {
                        0 => forget_unused(),
                        7 => drop(world.list("/a")),
                        _ => {}
                    }
                }
            });
        }
    });
    let warm = world.snapshot();
    forget_unused();
    assert_eq!(world.snapshot(), warm);
}

#[test]
fn tmpfs_stays_whole() {
    let world = World::new();
    hammer(&world);
    // Everything can be removed again: no directory lost its way.
    for path in world.snapshot().keys().rev() {
        if world.rmdir(path).is_err() {
            world.unlink(path).unwrap();
        }
    }
    assert_eq!(world.stat("/").unwrap().links, 2);
}

#[test]
fn an_overlay_stays_whole() {
    let lower = World::new();
    for operation in plan(200) {
        let _ = lower.apply(&operation);
    }
    let upper = Tmpfs::new(TmpfsOptions::default());
    let lowers = alloc::vec![lower.root.mount().file_system().clone()];
    let world = World::over(Overlay::new(upper, lowers));
    let untouched = lower.snapshot();
    hammer(&world);
    assert_eq!(lower.snapshot(), untouched);
}
