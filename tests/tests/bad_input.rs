//! Wrong input: each gives a clear line or Linux's errno, never a panic, a hang or a zombie.

use capsid_tests::compile::{Link, program};
use capsid_tests::{Command, Output, Scratch, capsid_binary, need};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Runs `capsid` with raw arguments.
fn capsid(arguments: &[&str]) -> Output {
    let binary = capsid_binary();
    let words: Vec<&str> = [binary.to_str().expect("a UTF-8 path")]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    Command::new(&words).limit(30).native()
}

/// An error of capsid's own: one line, the status, and no panic.
fn refused(arguments: &[&str], status: i32) -> Output {
    let output = capsid(arguments);
    assert!(!output.timed_out, "{arguments:?} hangs");
    assert_eq!(output.status, status, "{arguments:?}: {output:#?}");
    assert!(
        output.stderr.starts_with("capsid: "),
        "{arguments:?}: {output:#?}"
    );
    assert_eq!(
        output.stderr.trim_end().lines().count(),
        1,
        "{arguments:?}: {output:#?}"
    );
    assert!(
        !output.stderr.contains("panicked"),
        "{arguments:?}: {output:#?}"
    );
    output
}

#[test]
fn a_missing_program_is_127() {
    refused(&["run", "no-such-program"], 127);
    refused(&["run", "/no/such/program"], 127);
}

#[test]
fn what_cannot_be_executed_is_126() {
    refused(&["run", "/etc/passwd"], 126);
    refused(&["run", "/usr"], 126);
}

#[test]
fn broken_executables_give_the_errno_of_linux() {
    let scratch = Scratch::new("elf");
    let elf = std::fs::read("/bin/true").expect("/bin/true is readable");
    let mut variants: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("text", b"hello\n".to_vec()),
        ("magic", b"\x7fELF".to_vec()),
        ("header", elf[..64].to_vec()),
        ("half", elf[..elf.len() / 2].to_vec()),
    ];
    let mut broken = |name, at: usize, bytes: &[u8]| {
        let mut copy = elf.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        variants.push((name, copy));
    };
    broken("class", 4, &[1]);
    broken("machine", 18, &[0xb7, 0]);
    broken("type", 16, &[9, 0]);
    broken("phoff", 32, &[0xff; 8]);
    broken("phentsize", 54, &[1, 0]);
    broken("phnum", 56, &[0xff, 0xff]);
    broken("entry", 24, &[0xff; 8]);
    // The first PT_LOAD of a PIE: 64 + n * 56; all program headers get wild sizes.
    for index in 0..10usize {
        let at = 64 + index * 56;
        for (field, name) in [(8, "offset"), (16, "vaddr"), (32, "filesz"), (40, "memsz")] {
            let name: &'static str = Box::leak(format!("{name}{index}").into_boxed_str());
            broken(
                name,
                at + field,
                &[0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            );
        }
    }
    let mut script = String::new();
    for (name, bytes) in &variants {
        let path = scratch.join(name);
        std::fs::write(&path, bytes).expect("the file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        // The shell would run a text file as a script, so the errno is asked of execve itself.
        script.push_str(&format!("t('{}')\n", path.display()));
    }
    let python = format!(
        "import os, errno, signal, resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n\
         def t(p):\n  r, w = os.pipe()\n  pid = os.fork()\n  if pid == 0:\n    try: os.execv(p, [p])\n    \
         except OSError as e: os.write(w, errno.errorcode[e.errno].encode()); os._exit(9)\n  \
         os.close(w); s = os.waitpid(pid, 0)[1]\n  e = os.read(r, 30).decode()\n  os.close(r)\n  \
         print(os.path.basename(p), e or ('killed' if os.WIFSIGNALED(s) else 'ran'))\n{script}"
    );
    need!("/usr/bin/python3");
    let volume = format!("{0}:{0}", scratch.path().display());
    Command::new(&["/usr/bin/python3", "-c", &python])
        .options(&["-v", &volume])
        .same();
}

#[test]
fn wrong_options_are_refused() {
    for arguments in [
        &["run", "--rootfs", "/no/such/dir", "true"][..],
        &["run", "--rootfs", "/etc/passwd", "true"],
        &["run", "-v", "/no/such/dir:/x", "true"],
        &["run", "-v", "nonsense", "true"],
        &["run", "-v", "/tmp:relative", "true"],
        &["run", "-v", "/tmp:/x:sideways", "true"],
        &["run", "--memory", "lots", "true"],
        &["run", "--pids", "-3", "true"],
        &["run", "--timeout", "soon", "true"],
        &["run", "-u", "nobody-at-all", "true"],
        &["image", "import", "/no/such", "-o", "/tmp/x.erofs"],
        &[
            "image",
            "import",
            "/etc/passwd",
            "-o",
            "/no/such/dir/x.erofs",
        ],
    ] {
        let output = capsid(arguments);
        assert!(
            !output.timed_out && output.status != 0,
            "{arguments:?}: {output:#?}"
        );
        assert!(
            !output.stderr.contains("panicked"),
            "{arguments:?}: {output:#?}"
        );
        assert!(!output.stderr.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn corrupt_images_are_refused() {
    let scratch = Scratch::new("image");
    let root = scratch.join("root");
    std::fs::create_dir_all(root.join("bin")).expect("mkdir");
    let Some(program) = program("sleeper", Link::Static) else {
        return;
    };
    std::fs::copy(program, root.join("bin/sleeper")).expect("cp");
    let image = scratch.join("good.erofs");
    let (root, good) = (root.to_string_lossy(), image.to_string_lossy());
    let output = capsid(&["image", "import", &root, "-o", &good]);
    assert_eq!(output.status, 0, "{output:#?}");
    let bytes = std::fs::read(&image).expect("the image is readable");
    let bad = scratch.join("bad.erofs");
    let mut seed = 88_172_645_463_325_252u64;
    for round in 0..30 {
        let mut copy = bytes.clone();
        if round < 5 {
            copy.truncate(bytes.len() / (round + 1) - 1);
        } else {
            for _ in 0..round * 4 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                // The first pages hold the metadata.
                let at = usize::try_from(seed % 8192).expect("small") % copy.len();
                copy[at] = seed.to_le_bytes()[3];
            }
        }
        std::fs::write(&bad, &copy).expect("the file can be written");
        let arguments = [
            "run",
            "--timeout",
            "2s",
            "--rootfs",
            &bad.to_string_lossy(),
            "/bin/nothing",
        ];
        let output = capsid(&arguments);
        assert!(!output.timed_out, "round {round} hangs");
        assert!(
            !output.stderr.contains("panicked"),
            "round {round}: {output:#?}"
        );
        assert_ne!(output.status, 0, "round {round}: {output:#?}");
    }
}

#[test]
fn a_fork_bomb_is_held() {
    let script = "f() { while :; do f & done; }; f";
    let start = Instant::now();
    let output = Command::script("/bin/dash", script)
        .options(&["--pids", "50", "--timeout", "3s"])
        .limit(60)
        .inside();
    assert!(!output.timed_out, "capsid hangs");
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "the bomb slowed the host"
    );
    assert_ne!(output.status, 0);
    assert_eq!(leftovers(), 0, "processes were left");
}

/// Processes called capsid-sandbox whose parent is init: orphans.
fn leftovers() -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let orphan = stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some("1"));
        if stat.contains("(capsid-sandbox") && orphan {
            count += 1;
        }
    }
    count
}

#[test]
fn a_full_memory_limit_is_the_guests_problem() {
    need!("/usr/bin/python3");
    let script = "x = []\ntry:\n  while True: x.append(b'x' * (1 << 20))\nexcept MemoryError:\n  \
                  del x; print('MemoryError')";
    let output = Command::script("/usr/bin/python3", script)
        .options(&["--memory", "256M"])
        .limit(60)
        .inside();
    assert!(!output.timed_out, "{output:#?}");
    let told = output.stdout.contains("MemoryError") || output.status == 137;
    assert!(told, "{output:#?}");
    let fill =
        "dd if=/dev/zero of=/tmp/big bs=1M count=4000 2>&1 | grep -o 'No space left' | head -1";
    let output = Command::script("/bin/sh", fill)
        .options(&["--memory", "256M"])
        .limit(60)
        .inside();
    assert!(
        output.stdout.contains("No space left") || output.status == 137,
        "{output:#?}"
    );
}

#[test]
fn time_runs_out_with_124() {
    let start = Instant::now();
    let output = Command::script("/bin/sh", "while :; do :; done")
        .options(&["--timeout", "500ms"])
        .inside();
    assert_eq!(output.status, 124, "{output:#?}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_closed_output_is_a_broken_pipe() {
    // `yes` must end by SIGPIPE when its reader goes, natively and inside.
    let script = format!(
        "({} run -- /usr/bin/yes; echo $? >&2) | head -n 1; exit 0",
        capsid_binary().display()
    );
    let output = Command::script("/bin/bash", &script).limit(30).native();
    assert!(!output.timed_out, "{output:#?}");
    assert_eq!(output.stdout, "y\n");
    assert_eq!(output.stderr.trim(), "141", "{output:#?}");
    let script = format!("{} run -- /bin/echo hello >&-", capsid_binary().display());
    let output = Command::script("/bin/bash", &script).limit(30).native();
    assert!(
        !output.timed_out && !output.stderr.contains("panicked"),
        "{output:#?}"
    );
}

#[test]
fn a_killed_broker_takes_the_sandbox_along() {
    let scratch = Scratch::new("killed");
    let volume = format!("{}:/out:rw", scratch.path().display());
    let script = "i=0; while :; do i=$((i+1)); echo $i >> /out/log; echo $i; done & \
                  while :; do :; done";
    let mut child = std::process::Command::new(capsid_binary())
        .args(["run", "-v", &volume, "--", "/bin/dash", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("capsid starts");
    std::thread::sleep(Duration::from_millis(800));
    child.kill().expect("the broker can be killed");
    let output = child.wait_with_output().expect("the broker is reaped");
    // Every line that was acknowledged on standard output was in the file before.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let seen: u64 = text
        .lines()
        .last()
        .and_then(|line| line.parse().ok())
        .unwrap_or(0);
    let log = std::fs::read_to_string(scratch.join("log")).unwrap_or_default();
    let written = log.lines().count() as u64;
    assert!(seen > 0, "nothing was printed");
    assert!(
        written >= seen,
        "{seen} lines were acknowledged, {written} are in the file"
    );
    let limit = Instant::now() + Duration::from_secs(10);
    while leftovers() > 0 {
        assert!(Instant::now() < limit, "the sandbox outlives its broker");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_sparse_file_of_4_gib_costs_nothing() {
    let script = "truncate -s 4G /tmp/s && stat -c %s /tmp/s && \
                  printf x | dd of=/tmp/s bs=1 seek=4294967295 conv=notrunc 2>/dev/null && \
                  tail -c 1 /tmp/s && head -c 5 /tmp/s | od -An -tx1 && du -k /tmp/s | cut -f1 && rm /tmp/s";
    Command::script("/bin/sh", script).same();
}

#[test]
fn input_that_is_closed_or_huge_is_read_right() {
    let bytes = vec![b'a'; 3 << 20];
    Command::new(&["/usr/bin/md5sum"])
        .input(&bytes)
        .options(&["-i"])
        .same();
    Command::new(&["/usr/bin/wc", "-c"]).options(&["-i"]).same();
    let mut child = std::process::Command::new(capsid_binary())
        .args(["run", "-i", "--", "/bin/cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("capsid starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"line\n").expect("written");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.stdout, b"line\n");
}
