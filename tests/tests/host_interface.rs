//! The host interface of a running sandbox, judged from outside: the filters that the host kernel
//! holds for its processes are read back and evaluated for every system call.

use capsid_tests::filter::{self, Call, I386, X86_64};
use capsid_tests::{Scratch, capsid_binary, compile, skip};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The highest system-call number looked at: past the kernel's last.
const NUMBERS: u32 = 600;

/// A sandbox whose program sleeps; killed when dropped.
struct Sandbox(Child);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sandbox {
    fn start(options: &[&str], program: &[&str]) -> Sandbox {
        let mut command = Command::new(capsid_binary());
        command.arg("run").args(options).arg("--").args(program);
        Sandbox(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("capsid starts"),
        )
    }

    /// The sandbox's host processes that have a filter, once there is one.
    fn processes(&self) -> Vec<i32> {
        let limit = Instant::now() + Duration::from_secs(20);
        while Instant::now() < limit {
            let found: Vec<i32> = descendants(self.0.id())
                .into_iter()
                .filter(|id| {
                    let status = std::fs::read_to_string(format!("/proc/{id}/status"));
                    status.is_ok_and(|text| text.contains("Seccomp:\t2"))
                })
                .collect();
            if !found.is_empty() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no process of the sandbox has a filter");
    }
}

fn descendants(root: u32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        for task in std::fs::read_dir(format!("/proc/{id}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in text
                .split_whitespace()
                .filter_map(|word| word.parse::<u32>().ok())
            {
                open.push(child);
                found.push(i32::try_from(child).expect("process ids are small"));
            }
        }
    }
    found
}

/// The executable mappings of a process: start, end, and what is mapped.
fn executable_mappings(process: i32) -> Vec<(u64, u64, String)> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("maps are readable");
    maps.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let protection = words.next()?;
            let name = words.nth(3).unwrap_or("").to_owned();
            let address = |text| u64::from_str_radix(text, 16).ok();
            protection
                .contains('x')
                .then_some((address(start)?, address(end)?, name))
        })
        .collect()
}

/// Checks every call from every kind of address, and returns the numbers that the sandbox's own
/// text can make.
fn allowed(process: i32) -> Option<BTreeSet<u32>> {
    let filters = match filter::read(process) {
        Ok(filters) => filters,
        Err(error) => {
            skip(
                "host_interface",
                &format!("the filter cannot be read: {error}"),
            );
            return None;
        }
    };
    assert!(!filters.is_empty(), "a sandbox process has no filter");
    let mut allowed = BTreeSet::new();
    for (start, end, name) in executable_mappings(process) {
        let own = (0x6fff_c004_0000..0x6fff_c200_0000).contains(&start);
        for instruction_pointer in [start + 2, start + (end - start) / 2, end - 1] {
            for number in (0..NUMBERS).chain((0..NUMBERS).map(|number| number | 0x4000_0000)) {
                let call = |architecture| Call {
                    number,
                    architecture,
                    instruction_pointer,
                };
                assert!(
                    !filter::can_be_allowed(&filters, call(I386)),
                    "32-bit call {number} can reach the host from {name}"
                );
                if filter::can_be_allowed(&filters, call(X86_64)) {
                    assert!(
                        own,
                        "call {number} can reach the host from {name} at {instruction_pointer:#x}"
                    );
                    allowed.insert(number);
                }
            }
        }
    }
    // Guest addresses, whatever is mapped there.
    for instruction_pointer in [0x1000, 0x40_1000, 0x5555_5555_5000, 0x6ffe_ffff_f000] {
        for number in 0..NUMBERS {
            let call = Call {
                number,
                architecture: X86_64,
                instruction_pointer,
            };
            assert!(
                !filter::can_be_allowed(&filters, call),
                "guest call {number} is allowed"
            );
        }
    }
    Some(allowed)
}

fn names(numbers: &BTreeSet<u32>) -> String {
    numbers
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn with_host_files_at_most_18_calls_reach_the_host() {
    let sandbox = Sandbox::start(&[], &["/bin/sleep", "60"]);
    for process in sandbox.processes() {
        let Some(calls) = allowed(process) else {
            return;
        };
        assert!(
            calls.len() <= 18,
            "{} calls: {}",
            calls.len(),
            names(&calls)
        );
    }
}

#[test]
fn sealed_at_most_12_calls_reach_the_host() {
    let scratch = Scratch::new("sealed");
    let Some(image) = image_with_sleeper(&scratch) else {
        return;
    };
    let sandbox = Sandbox::start(&["--rootfs", &image.to_string_lossy()], &["/sleeper"]);
    for process in sandbox.processes() {
        let Some(calls) = allowed(process) else {
            return;
        };
        assert!(
            calls.len() <= 12,
            "{} calls: {}",
            calls.len(),
            names(&calls)
        );
    }
}

/// An EROFS image with one static program that sleeps.
fn image_with_sleeper(scratch: &Scratch) -> Option<PathBuf> {
    let program = compile::program("sleeper", compile::Link::Static)?;
    let root = scratch.join("root");
    std::fs::create_dir(&root).expect("the directory can be made");
    std::fs::copy(program, root.join("sleeper")).expect("the program can be copied");
    let image = scratch.join("image.erofs");
    let status = Command::new(capsid_binary())
        .args(["image", "import"])
        .arg(&root)
        .arg("-o")
        .arg(&image)
        .status()
        .expect("capsid starts");
    assert!(status.success(), "the image cannot be made");
    Some(image)
}

#[test]
fn descriptors_and_environment_do_not_leak_in() {
    // A descriptor that capsid's caller left open, and a variable, must not be in the sandbox's
    // host processes.
    let scratch = Scratch::new("leak");
    std::fs::write(scratch.join("secret"), "secret").expect("the file can be written");
    let script = format!(
        "exec 9<{}; CAPSID_SECRET=leaked exec {} run -- /bin/sleep 60",
        scratch.join("secret").display(),
        capsid_binary().display()
    );
    let child = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("sh starts");
    let sandbox = Sandbox(child);
    for process in sandbox.processes() {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        assert!(
            environment.is_empty(),
            "the sandbox's host process has an environment"
        );
        for entry in std::fs::read_dir(format!("/proc/{process}/fd")).expect("fd is readable") {
            let path = entry.expect("an entry").path();
            let target = std::fs::read_link(path).unwrap_or_default();
            assert!(
                !target.starts_with(scratch.path()),
                "descriptor to {}",
                target.display()
            );
        }
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
        assert!(status.contains("NoNewPrivs:\t1"), "no_new_privs is not set");
    }
}
