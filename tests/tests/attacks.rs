//! Hostile programs. The verdicts are on the host: canary files keep their contents, a canary
//! process lives, nobody connects to a canary socket, and `capsid` ends in time.

use capsid_tests::compile::{Link, program};
use capsid_tests::{Command, Output, Scratch, capsid_binary, workspace};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// What an attack must not reach.
struct Canaries {
    scratch: Scratch,
    process: Child,
    socket: TcpListener,
}

const SECRET: &str = "canary-secret-text";

impl Canaries {
    fn new() -> Canaries {
        let scratch = Scratch::new("canary");
        std::fs::write(scratch.join("file"), SECRET).expect("the canary can be written");
        let process = std::process::Command::new("/bin/sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep starts");
        let socket = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        socket
            .set_nonblocking(true)
            .expect("the socket can be non-blocking");
        Canaries {
            scratch,
            process,
            socket,
        }
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("file")
    }

    /// Panics if an attack reached anything.
    fn check(&mut self, what: &str, output: &Output) {
        assert!(!output.timed_out, "{what}: capsid hangs: {output:#?}");
        assert!(
            !output.stdout.contains(SECRET),
            "{what}: the secret leaked: {output:#?}"
        );
        assert!(
            !output.stderr.contains("panicked"),
            "{what}: a panic: {output:#?}"
        );
        let text = std::fs::read_to_string(self.file()).expect("the canary is still there");
        assert_eq!(text, SECRET, "{what}: the canary was changed");
        let files = std::fs::read_dir(self.scratch.path())
            .expect("the directory is there")
            .count();
        assert_eq!(files, 1, "{what}: something was made beside the canary");
        assert!(
            matches!(self.process.try_wait(), Ok(None)),
            "{what}: the canary process died"
        );
        assert!(self.socket.accept().is_err(), "{what}: something connected");
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn attack(arguments: &[&str]) -> Option<Output> {
    let path = program("attack", Link::Static)?;
    let volume = format!("{}:/abi:ro", workspace().join("target/abi").display());
    let program = format!("/abi/{}", path.file_name()?.to_str()?);
    let mut words = vec![program.as_str()];
    words.extend(arguments);
    // A program that breaks its own library OS may stop for good, as one that loops does: it hangs
    // nobody else, and its time limit still ends it.
    Some(
        Command::new(&words)
            .options(&["-v", &volume, "--timeout", "3s"])
            .limit(30)
            .inside(),
    )
}

/// Address ranges, start and end.
type Ranges = Vec<(u64, u64)>;

/// The mappings of a sandbox's host process that are the sandbox's own: text, and writable memory.
fn own_mappings() -> (Ranges, Ranges) {
    let mut child = std::process::Command::new(capsid_binary())
        .args(["run", "--", "/bin/sleep", "30"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("capsid starts");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut text = Vec::new();
    let mut data = Vec::new();
    for id in std::fs::read_to_string(children)
        .unwrap_or_default()
        .split_whitespace()
    {
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let range = words.next().and_then(|range| range.split_once('-'));
            let Some((start, end)) = range else { continue };
            let address = |text| u64::from_str_radix(text, 16).unwrap_or(0);
            let (start, end) = (address(start), address(end));
            if !(0x6fff_0000_0000..0x7f00_0000_0000).contains(&start) {
                continue;
            }
            match words.next() {
                Some(protection) if protection.contains('x') => text.push((start, end)),
                Some(protection) if protection.contains('w') => data.push((start, end)),
                _ => {}
            }
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    (text, data)
}

/// Calls that would reach a canary if the host executed them.
fn calls(canaries: &Canaries) -> Vec<Vec<String>> {
    let file = format!("s:{}", canaries.file().display());
    let beside = format!("s:{}", canaries.scratch.join("made").display());
    let process = canaries.process.id().to_string();
    let own = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    vec![
        own(&["2", &file, "2"]),
        own(&["2", &beside, "66", "438"]),
        own(&["257", "-100", &file, "513"]),
        own(&["437", "-100", &file, "b:", "24"]),
        own(&["76", &file, "0"]),
        own(&["87", &file]),
        own(&["263", "-100", &file, "0"]),
        own(&["82", &file, &beside]),
        own(&["83", &beside, "511"]),
        own(&["86", &file, &beside]),
        own(&["88", &file, &beside]),
        own(&["90", &file, "0"]),
        own(&["62", &process, "9"]),
        own(&["200", &process, "9"]),
        own(&["234", &process, &process, "9"]),
        own(&["129", &process, "9", "b:"]),
        own(&["101", "16", &process, "0", "0"]),
        own(&["310", &process, "b:", "1", "b:", "1", "0"]),
        own(&["311", &process, "b:", "1", "b:", "1", "0"]),
        own(&["434", &process, "0"]),
        own(&["41", "2", "1", "0"]),
        own(&["425", "8", "b:"]),
        own(&["321", "5", "b:", "120"]),
        own(&["248", "s:user", "s:x", "b:", "1", "-3"]),
        own(&["250", "0", "-3", "0"]),
        own(&["323", "0"]),
        own(&["298", "b:", "0", "-1", "-1", "0"]),
        own(&["165", "s:none", "s:/tmp", "s:tmpfs", "0", "0"]),
        own(&["272", "268435456"]),
        own(&["59", "s:/bin/sh", "0", "0"]),
        own(&["56", "17", "0", "0", "0", "0"]),
        own(&["16", "0", "21522", "b:"]),
        own(&["161", "s:/"]),
        own(&["105", "0"]),
        own(&["317", "1", "0", "b:"]),
        own(&["157", "38", "0"]),
    ]
}

fn words(mode: &[&str], call: &[String]) -> Vec<String> {
    mode.iter()
        .map(|&word| word.to_owned())
        .chain(call.iter().cloned())
        .collect()
}

fn run(canaries: &mut Canaries, arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(output) = attack(&arguments) else {
        return;
    };
    canaries.check(&arguments.join(" "), &output);
}

#[test]
fn calls_from_guest_text_stay_inside() {
    let mut canaries = Canaries::new();
    for call in calls(&canaries) {
        run(&mut canaries, &words(&["raw"], &call));
        run(&mut canaries, &words(&["int80"], &call));
    }
}

#[test]
fn every_number_from_guest_text_stays_inside() {
    let mut canaries = Canaries::new();
    // Calls that end, block or stop the program for good are bounded by --timeout.
    for number in (0..512u32).chain([0x4000_0000, 0x4000_0001, 0x4000_0039, 600, u32::MAX]) {
        let Some(path) = program("attack", Link::Static) else {
            return;
        };
        let volume = format!("{}:/abi:ro", workspace().join("target/abi").display());
        let program = format!(
            "/abi/{}",
            path.file_name().and_then(|n| n.to_str()).unwrap_or("")
        );
        let number = number.to_string();
        let output = Command::new(&[&program, "raw", &number, "-1", "-1", "-1", "-1", "-1", "-1"])
            .options(&["-v", &volume, "--timeout", "1s"])
            .limit(30)
            .inside();
        canaries.check(&format!("raw {number}"), &output);
    }
}

#[test]
fn jumps_into_our_own_text_stay_inside() {
    let mut canaries = Canaries::new();
    let (text, _) = own_mappings();
    assert!(!text.is_empty(), "the sandbox has text");
    for call in calls(&canaries) {
        for (start, end) in &text {
            let (start, end) = (format!("{start:#x}"), format!("{end:#x}"));
            run(&mut canaries, &words(&["own", &start, &end], &call));
        }
    }
}

#[test]
fn other_ways_into_the_host_kernel_are_closed() {
    let mut canaries = Canaries::new();
    run(&mut canaries, &["sysenter".to_owned()]);
    run(&mut canaries, &["vsyscall".to_owned()]);
    for seed in 0..20 {
        run(&mut canaries, &["sigreturn".to_owned(), seed.to_string()]);
    }
}

#[test]
fn scribbling_over_our_memory_hurts_only_the_sandbox() {
    let mut canaries = Canaries::new();
    let (_, data) = own_mappings();
    assert!(!data.is_empty(), "the sandbox has writable memory");
    for (start, end) in data {
        // The first megabytes of a sparse region are the ones in use.
        let end = end.min(start + (8 << 20));
        for seed in 0..4 {
            let (start, end) = (format!("{start:#x}"), format!("{end:#x}"));
            run(
                &mut canaries,
                &["scribble".to_owned(), start, end, seed.to_string()],
            );
        }
    }
}

#[test]
fn paths_do_not_lead_out() {
    let mut canaries = Canaries::new();
    let file = canaries.file().to_string_lossy().into_owned();
    run(
        &mut canaries,
        &["escape".to_owned(), file, "/etc/shadow".to_owned()],
    );
    let metadata = std::fs::metadata("/etc/shadow").expect("the host has /etc/shadow");
    assert!(metadata.size() > 0, "/etc/shadow was emptied");
}
