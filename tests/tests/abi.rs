//! Programs that check the ABI: each prints what it observes, natively first, then inside.

use capsid_tests::compile::{Link, program};
use capsid_tests::{Command, workspace};

fn same(name: &str, link: Link) {
    let Some(path) = program(name, link) else {
        return;
    };
    let directory = workspace().join("target/abi");
    let volume = format!("{0}:{0}", directory.display());
    // Below a shell: a sandbox's first process adopts orphans, which no native test program does.
    let script = format!("{}; echo $?", path.display());
    Command::script("/bin/sh", &script)
        .options(&["-v", &volume])
        .same();
}

macro_rules! programs {
    ($($test:ident: $name:literal $link:ident;)*) => {
        $(#[test]
        fn $test() {
            same($name, Link::$link);
        })*
    };
}

programs! {
    signals: "signals" Dynamic;
    signals_static: "signals" Static;
    processes: "processes" Dynamic;
    processes_static_pie: "processes" StaticPie;
    spawning: "spawning" Dynamic;
    memory: "memory" Dynamic;
    memory_no_pie: "memory" NoPie;
    files: "files" Dynamic;
    pipes: "pipes" Dynamic;
    events: "events" Dynamic;
    shared_files: "shared_files" Dynamic;
    sockets: "sockets" Dynamic;
    inotify: "inotify" Dynamic;
    locks: "locks" Dynamic;
    sysv: "sysv" Dynamic;
    posix_queues: "posix_queues" Dynamic;
    async_io: "async_io" Dynamic;
    leases: "leases" Dynamic;
    cpu_limits: "cpu_limits" Dynamic;
    pi_futexes: "pi_futexes" Dynamic;
    membarriers: "membarriers" Dynamic;
    terminals: "terminals" Dynamic;
    terminals_static: "terminals" Static;
    line_discipline: "line_discipline" Dynamic;
    jobs: "jobs" Dynamic;
    jobs_static: "jobs" Static;
    aio: "aio" Dynamic;
    scheduling: "scheduling" Dynamic;
    stop_the_world: "stop_the_world" Dynamic;
    patched: "patched" Dynamic;
    patched_static: "patched" Static;
    patched_musl: "patched" Musl;
}
