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
    sockets: "sockets" Dynamic;
    locks: "locks" Dynamic;
    aio: "aio" Dynamic;
    scheduling: "scheduling" Dynamic;
    stop_the_world: "stop_the_world" Dynamic;
    patched: "patched" Dynamic;
    patched_static: "patched" Static;
    patched_musl: "patched" Musl;
}
