//! A program on a terminal of the host: what a person would type, and what they would see.
//!
//! Nothing here sleeps. Every wait is for text, or for an end, and has a limit.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The longest wait for a text, or for the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session of its own, on a new terminal.
#[derive(Debug)]
pub struct Session {
    child: Child,
    master: File,
    incoming: Receiver<Vec<u8>>,
    /// All that was shown.
    seen: Vec<u8>,
    /// How much of it was expected already.
    at: usize,
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

impl Session {
    /// Starts a program as the leader of a session, on a terminal of 24 rows and 80 columns.
    /// `kind` is its `TERM`.
    ///
    /// # Panics
    /// If the host has no terminals, or no such program.
    #[must_use]
    pub fn start(kind: &str, arguments: &[&str]) -> Session {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it opens");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let slave = || {
            let path = std::ffi::OsStr::from_bytes(name.to_bytes());
            let mut options = File::options();
            let file = options.read(true).write(true).open(path);
            file.expect("the terminal opens")
        };
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/nonexistent")
            .env("TERM", kind)
            .env("PS1", "prompt> ")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave());
        let master = File::from(master);
        let (sender, incoming) = channel();
        let mut reader = master.try_clone().expect("a second descriptor");
        let child = command.spawn().expect("setsid starts");
        // It holds the slaves, which would keep the terminal from ending.
        drop(command);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 4096];
            // Ends with EIO, when nobody has the terminal any more.
            while let Ok(count) = std::io::Read::read(&mut reader, &mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut session = Session {
            child,
            master,
            incoming,
            seen: Vec::new(),
            at: 0,
        };
        session.resize(24, 80);
        session
    }

    /// Starts an interactive bash of the host, without editing of lines.
    #[must_use]
    pub fn shell() -> Session {
        let bash = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
        Session::start("dumb", &bash)
    }

    /// Types.
    ///
    /// # Panics
    /// If nobody has the terminal.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typed");
    }

    /// Types a command once the shell asks for one: what is typed earlier may be for somebody else.
    pub fn command(&mut self, text: &str) {
        self.expect("prompt> ");
        self.line(text);
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.send(&format!("{text}\r"));
    }

    /// Waits until a text is shown, behind those that were waited for before, and returns what was
    /// shown in between.
    ///
    /// # Panics
    /// If it is not shown in time, with all that was.
    pub fn expect(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(&self.seen[self.at..], wanted.as_bytes()) {
                let before = self.seen[self.at..self.at + found].to_vec();
                self.at += found + wanted.len();
                return String::from_utf8_lossy(&before).into_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(_) => panic!("{wanted:?} was not shown:\n{}", self.transcript()),
            }
        }
    }

    /// All that was shown so far.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Gives the window another size.
    ///
    /// # Panics
    /// If the host refuses.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).expect("a new size");
    }

    /// The terminal's attributes.
    ///
    /// # Panics
    /// If the host refuses.
    #[must_use]
    pub fn attributes(&self) -> Termios {
        tcgetattr(&self.master).expect("attributes")
    }

    /// Waits for the end of the program and returns its status, 128 + N for signal N.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn end(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                self.transcript()
            );
            // What is shown last must be taken, or a program waits for that.
            if let Ok(bytes) = self.incoming.recv_timeout(Duration::from_millis(10)) {
                self.seen.extend(bytes);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever else is on the terminal hears of its end when the master is closed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
