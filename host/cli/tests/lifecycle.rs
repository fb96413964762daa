//! The life of a sandbox as capsid's caller sees it: exit status, signals, limits, and that no
//! process stays behind.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

fn capsid(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_capsid"));
    command.arg("run").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    capsid(arguments).output().expect("capsid runs")
}

fn status(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts a shell script and waits for its first line.
fn start(arguments: &[&str]) -> Child {
    let mut child = capsid(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("capsid runs");
    let mut line = String::new();
    let output = child.stdout.take().expect("a pipe");
    let mut output = BufReader::with_capacity(1, output);
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    child.stdout = Some(output.into_inner());
    child
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("sent");
}

/// Waits for the end, but not for ever.
fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().expect("waited") {
            return status;
        }
        if Instant::now() >= deadline {
            child.kill().expect("killed");
            panic!("capsid does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes of the sandboxes that `capsid` started, by its session: each sandbox is one.
fn processes_with(marker: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("procfs").flatten();
    entries
        .filter_map(|entry| {
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            status.contains(marker).then(|| {
                let first: Vec<&str> = status.lines().take(8).collect();
                first.join(" ")
            })
        })
        .collect()
}

fn children_of(pid: u32) -> Vec<String> {
    processes_with(&format!("\nPPid:\t{pid}\n"))
}

#[test]
fn the_status_is_the_programs() {
    assert_eq!(status(&["true"]), Some(0));
    assert_eq!(status(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(status(&["sh", "-c", "kill -TERM $$"]), Some(143));
    assert_eq!(status(&["sh", "-c", "kill -KILL $$"]), Some(137));
    assert_eq!(status(&["--", "true"]), Some(0));
    let missing = run(&["no-such-program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).contains("no-such-program"));
    assert_eq!(text(&missing.stderr).lines().count(), 1);
    assert_eq!(status(&["/no/such/program"]), Some(127));
    assert_eq!(status(&["/etc/passwd"]), Some(126));
    assert_eq!(status(&["/usr"]), Some(126));
}

/// Waits until a process has children, all in one state (proc_pid_status(5)); returns them.
fn wait_for_children(pid: u32, state: &str) -> Vec<Pid> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let children = children_of(pid);
        if !children.is_empty() && children.iter().all(|child| child.contains(state)) {
            let id = |child: &String| {
                let after = child.split("Pid:\t").nth(1)?;
                Pid::from_raw(after.split_whitespace().next()?.parse().ok()?)
            };
            return children.iter().filter_map(id).collect();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no children in state {state}");
}

#[test]
fn a_stopped_sandbox_goes_on() {
    // One waits with a deadline, one without.
    let script = "trap 'exit 3' TERM; sleep 600 & echo ready; wait";
    let mut child = start(&["sh", "-c", script]);
    for _ in 0..4 {
        let sleepers = wait_for_children(child.id(), "State:\tS");
        for sleeper in &sleepers {
            kill_process(*sleeper, Signal::STOP).expect("sent");
        }
        wait_for_children(child.id(), "State:\tT");
        for sleeper in &sleepers {
            kill_process(*sleeper, Signal::CONT).expect("sent");
        }
    }
    wait_for_children(child.id(), "State:\tS");
    send(&child, Signal::TERM);
    assert_eq!(wait(&mut child).code(), Some(3));
}

#[test]
fn nothing_of_the_environment_is_inherited() {
    let output = capsid(&["-e", "GIVEN=1", "-e", "COPIED", "-e", "ABSENT", "env"])
        .env("COPIED", "yes")
        .env("SECRET", "no")
        .output()
        .expect("capsid runs");
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines[..3], ["COPIED=yes", "GIVEN=1", "HOME=/root"]);
    assert!(lines[3].starts_with("PATH="));
    assert_eq!(lines.len(), 4);
}

#[test]
fn input_and_output_are_connected() {
    let mut child = capsid(&["cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("capsid runs");
    let data: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let mut input = child.stdin.take().expect("a pipe");
    let sent = data.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).expect("written"));
    let mut received = Vec::new();
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_end(&mut received)
        .expect("read");
    writer.join().expect("the writer ends");
    assert!(wait(&mut child).success());
    assert!(
        received == data,
        "{} of {} bytes",
        received.len(),
        data.len()
    );
    let empty = capsid(&["--no-stdin", "cat"])
        .stdin(Stdio::piped())
        .output();
    assert!(empty.expect("capsid runs").stdout.is_empty());
}

#[test]
fn a_reader_that_leaves_ends_the_writer() {
    let mut child = capsid(&["sh", "-c", "yes; echo $? >&2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("capsid runs");
    let mut output = child.stdout.take().expect("a pipe");
    output.read_exact(&mut [0; 100]).expect("read");
    drop(output);
    wait(&mut child);
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut said)
        .expect("read");
    assert_eq!(said.trim(), "141");
}

#[test]
fn volumes_are_read_only_unless_asked() {
    let directory = std::env::temp_dir().join(format!("capsid-volume-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("file"), "one").expect("a file");
    let volume = |mode: &str| format!("{}:/v{mode}", directory.display());
    let script = "cat /v/file; echo two > /v/file; echo three > /v/new";
    let output = run(&["-v", &volume(""), "sh", "-c", script]);
    assert_eq!(text(&output.stdout), "one");
    assert!(text(&output.stderr).contains("Read-only file system"));
    assert_eq!(std::fs::read_dir(&directory).expect("readable").count(), 1);
    let output = run(&["-v", &volume(":rw"), "sh", "-c", script]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let contents = |name: &str| std::fs::read_to_string(directory.join(name)).expect("there");
    assert_eq!(
        (contents("file"), contents("new")),
        ("two\n".into(), "three\n".into())
    );
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[test]
fn the_time_limit_ends_everything() {
    let started = Instant::now();
    let output = run(&["--timeout", "0.3", "sh", "-c", "sleep 1000 & sleep 1000"]);
    assert_eq!(output.status.code(), Some(124));
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(text(&output.stderr).lines().count(), 1);
}

#[test]
fn signals_reach_the_program() {
    let script = "trap 'echo caught; exit 5' TERM INT; echo ready; while :; do sleep 0.05; done";
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = start(&["sh", "-c", script]);
        send(&child, signal);
        assert_eq!(wait(&mut child).code(), Some(5));
        let mut rest = String::new();
        child
            .stdout
            .take()
            .expect("a pipe")
            .read_to_string(&mut rest)
            .expect("read");
        assert_eq!(rest, "caught\n");
    }
    // Nobody handles it: the default action, by capsid itself.
    let mut child = start(&["sh", "-c", "echo ready; exec sleep 1000"]);
    send(&child, Signal::INT);
    assert_eq!(wait(&mut child).code(), Some(130));
    // Handled before, and by the default action now.
    let script = "trap : TERM; trap - TERM; echo ready; while :; do :; done";
    let mut child = start(&["sh", "-c", script]);
    send(&child, Signal::TERM);
    assert_eq!(wait(&mut child).code(), Some(143));
}

#[test]
fn no_process_stays_behind() {
    let mut child = start(&[
        "sh",
        "-c",
        "sleep 1000 & sleep 1000 & echo ready; sleep 0.2",
    ]);
    let pid = child.id();
    assert!(children_of(pid).len() >= 3);
    assert!(wait(&mut child).success());
    assert!(children_of(pid).is_empty());

    // capsid is killed without a chance to clean up: its sandbox dies with it.
    let mut child = start(&["sh", "-c", "sleep 1000 & echo ready; sleep 1000"]);
    let sessions: Vec<String> = children_of(child.id());
    assert!(sessions.len() >= 2);
    let group = |status: &String| {
        let at = status.find("Pid:\t").expect("a pid") + 5;
        status[at..]
            .split_whitespace()
            .next()
            .expect("a number")
            .to_owned()
    };
    let pids: Vec<String> = sessions.iter().map(group).collect();
    send(&child, Signal::KILL);
    wait(&mut child);
    let deadline = Instant::now() + Duration::from_secs(20);
    let alive = |pid: &String| {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z ") && stat.contains("capsid-sandbox"))
    };
    while pids.iter().any(alive) {
        assert!(Instant::now() < deadline, "the sandbox outlives capsid");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_sandbox_process_that_is_killed_ends_the_run() {
    let mut child = start(&["sh", "-c", "echo ready; sleep 1000; echo on"]);
    let victims = children_of(child.id());
    let at = victims[0].find("Pid:\t").expect("a pid") + 5;
    let pid: i32 = victims[0][at..]
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok())
        .expect("a pid");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::SEGV).expect("sent");
    // It may be gone and reaped by now.
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
    assert_eq!(wait(&mut child).code(), Some(125));
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut said)
        .expect("read");
    assert!(said.contains("capsid: "), "{said}");
    assert!(children_of(child.id()).is_empty());
}

#[test]
fn processes_are_limited() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo started; exit 3";
    let output = run(&["--pids", "8", "--timeout", "30", "sh", "-c", script]);
    // dash gives up at the first fork that fails.
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Cannot fork"));
}
