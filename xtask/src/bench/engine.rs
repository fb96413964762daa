//! The ways to run a program: natively, in capsid, and in what else is installed.

use crate::shell;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// One way to run a program.
pub struct Engine {
    /// Its name in the tables.
    pub name: &'static str,
    /// What goes before the program.
    prefix: Vec<String>,
}

/// The engines of this machine: native, capsid, and bwrap and runsc when installed.
pub fn available(directory: &Path) -> Result<Vec<Engine>> {
    let own = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<String>>()
    };
    let directory = directory
        .to_str()
        .context("the workspace's path is not UTF-8")?;
    let binary = shell::workspace().join("target/release/capsid");
    let binary = binary
        .to_str()
        .context("the workspace's path is not UTF-8")?;
    let volume = format!("{directory}:{directory}");
    let mut engines = vec![
        Engine {
            name: "native",
            prefix: Vec::new(),
        },
        Engine {
            name: "capsid",
            prefix: own(&[binary, "run", "-v", &volume, "--"]),
        },
    ];
    if shell::installed("bwrap") {
        let words = [
            "bwrap",
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/tmp",
            "--",
        ];
        engines.push(Engine {
            name: "bwrap",
            prefix: own(&words),
        });
    }
    if shell::installed("runsc") {
        let words = ["runsc", "--network=none", "--rootless", "do"];
        engines.push(Engine {
            name: "runsc",
            prefix: own(&words),
        });
    }
    Ok(engines)
}

impl Engine {
    /// The command that runs `arguments` in this engine, with the sandbox's default environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let words: Vec<&str> = self
            .prefix
            .iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .collect();
        let (program, rest) = words.split_first().expect("arguments are not empty");
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null());
        command.env_clear().env("HOME", "/root");
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
    }

    /// Runs `arguments` and returns what they print; `None` if they fail or take too long.
    pub fn output(&self, arguments: &[&str], seconds: u64) -> Option<String> {
        let mut command = self.command(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        if !finish(&mut child, seconds) {
            return None;
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take()?, &mut text).ok()?;
        Some(text)
    }

    /// Runs `arguments` and returns the wall time in nanoseconds; `None` if they fail.
    pub fn time(&self, arguments: &[&str], seconds: u64) -> Option<f64> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A thread bounds the run: waiting here without polling keeps short times exact.
        let (started, child_of) = channel::<u32>();
        let (ended, end) = channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let Ok(child) = child_of.recv() else { return };
            if end.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill")
                    .args(["-KILL", &child.to_string()])
                    .status();
            }
        });
        let start = Instant::now();
        let child = command.spawn();
        let status = child.and_then(|mut child| {
            let _ = started.send(child.id());
            child.wait()
        });
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        drop((started, ended));
        let _ = watchdog.join();
        status.ok()?.success().then_some(nanoseconds)
    }
}

/// Waits for a child; kills it and returns false when it takes too long or fails.
pub fn finish(child: &mut Child, seconds: u64) -> bool {
    let limit = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < limit {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return false,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
