//! Running one command, natively and inside, with a time limit.

use crate::capsid_binary;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A command that can run natively and inside.
#[derive(Clone, Debug)]
pub struct Command {
    arguments: Vec<String>,
    options: Vec<String>,
    input: Vec<u8>,
    limit: Duration,
    compare_stderr: bool,
}

/// What a run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
    /// Exit status; 128 + N for signal N.
    pub status: i32,
    /// Whether the time limit ended it.
    pub timed_out: bool,
}

impl Command {
    /// A program and its arguments.
    #[must_use]
    pub fn new(arguments: &[&str]) -> Command {
        Command {
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            options: Vec::new(),
            input: Vec::new(),
            limit: Duration::from_secs(60),
            compare_stderr: false,
        }
    }

    /// A script for `sh -c`, `bash -c` or `python3 -c`.
    #[must_use]
    pub fn script(interpreter: &str, text: &str) -> Command {
        Command::new(&[interpreter, "-c", text])
    }

    /// Options of `capsid run`.
    #[must_use]
    pub fn options(mut self, options: &[&str]) -> Command {
        self.options
            .extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// Standard input.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Command {
        self.input = bytes.to_vec();
        self
    }

    /// The time limit, 60 s unless set.
    #[must_use]
    pub fn limit(mut self, seconds: u64) -> Command {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Compares standard error too.
    #[must_use]
    pub fn with_stderr(mut self) -> Command {
        self.compare_stderr = true;
        self
    }

    /// Runs it on the host, with the environment that the sandbox would give.
    #[must_use]
    pub fn native(&self) -> Output {
        let (program, rest) = self
            .arguments
            .split_first()
            .expect("a command has a program");
        let mut command = std::process::Command::new(program);
        command.args(rest).current_dir("/").env_clear().envs([
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/root"),
        ]);
        self.finish(command)
    }

    /// Runs it inside.
    #[must_use]
    pub fn inside(&self) -> Output {
        let mut command = std::process::Command::new(capsid_binary());
        command
            .arg("run")
            .args(&self.options)
            .arg("--")
            .args(&self.arguments);
        self.finish(command)
    }

    /// Runs both and compares.
    ///
    /// # Panics
    /// If they differ, or either ran out of time.
    pub fn same(&self) -> Output {
        let native = self.native();
        assert!(
            !native.timed_out,
            "natively out of time: {self:?}\n{native:#?}"
        );
        let inside = self.inside();
        assert!(
            !inside.timed_out,
            "out of time inside: {self:?}\n{inside:#?}"
        );
        let equal = native.stdout == inside.stdout
            && native.status == inside.status
            && (!self.compare_stderr || native.stderr == inside.stderr);
        assert!(
            equal,
            "differs: {:?}\n--- native, status {}\n{}{}\n--- inside, status {}\n{}{}",
            self.arguments,
            native.status,
            native.stdout,
            native.stderr,
            inside.status,
            inside.stdout,
            inside.stderr
        );
        inside
    }

    fn finish(&self, mut command: std::process::Command) -> Output {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own, so that the time limit can end all of it.
        command.process_group(0);
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take();
        let bytes = self.input.clone();
        std::thread::spawn(move || {
            if let Some(mut input) = input {
                let _ = input.write_all(&bytes);
            }
        });
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let (status, timed_out) = wait(&mut child, self.limit);
        // After the program ended, whoever still holds its output is bounded too.
        let patience = Duration::from_secs(5);
        let text = |bytes: mpsc::Receiver<Vec<u8>>| {
            let bytes = bytes.recv_timeout(patience).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Output {
            stdout: text(stdout),
            stderr: text(stderr),
            status,
            timed_out,
        }
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait(child: &mut Child, limit: Duration) -> (i32, bool) {
    let start = std::time::Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            let code = status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            return (code, false);
        }
        if start.elapsed() > limit {
            let group = i32::try_from(child.id()).expect("process ids are small");
            // SAFETY: plain system call; the group is the child's own, and it is not reaped yet.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            let _ = child.wait();
            return (137, true);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
