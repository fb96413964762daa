//! Lines from the sandbox for people: its log, the trace and the statistics.

use std::collections::VecDeque;
use std::io::Write;

/// How many lines of the log are kept to explain an unexpected end.
const KEPT_LINES: usize = 20;
/// How much of a line is kept: the sandbox may send 64 KiB.
const KEPT_BYTES: usize = 1024;

/// Where lines go.
pub struct Log {
    /// Where the trace goes, if one is wanted.
    trace: Option<Box<dyn Write + Send>>,
    /// Whether log lines are shown as they come.
    verbose: bool,
    recent: VecDeque<String>,
}

impl Log {
    /// Makes a log. `trace` gets the lines of the trace.
    pub fn new(trace: Option<Box<dyn Write + Send>>, verbose: bool) -> Log {
        Log {
            trace,
            verbose,
            recent: VecDeque::new(),
        }
    }

    /// Takes text of the log.
    pub fn log(&mut self, text: &[u8]) {
        for line in printable(text).lines() {
            let line = line.strip_prefix("capsid: ").unwrap_or(line);
            if self.verbose {
                eprintln!("capsid: sandbox: {line}");
            }
            if self.recent.len() == KEPT_LINES {
                self.recent.pop_front();
            }
            self.recent
                .push_back(line.chars().take(KEPT_BYTES).collect());
        }
    }

    /// Takes lines of the trace.
    pub fn trace(&mut self, text: &[u8]) {
        if let Some(trace) = &mut self.trace {
            // A full disk must not end the sandbox, and there is nobody left to tell.
            let _ = trace.write_all(ended(printable(text)).as_bytes());
        }
    }

    /// Takes lines of the statistics.
    pub fn statistics(&mut self, text: &[u8]) {
        eprint!("{}", ended(printable(text)));
    }

    /// Shows a message about what went wrong.
    pub fn message(&mut self, text: &[u8]) {
        for line in printable(text).lines() {
            eprintln!("capsid: {line}");
        }
    }

    /// The latest lines of the log.
    pub fn recent(&self) -> impl Iterator<Item = &str> {
        self.recent.iter().map(String::as_str)
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) {
        if let Some(trace) = &mut self.trace {
            let _ = trace.flush();
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("verbose", &self.verbose)
            .field("recent", &self.recent.len())
            .finish_non_exhaustive()
    }
}

/// Escapes everything that could steer a terminal: a hostile sandbox chooses these bytes, and the
/// user reads them as the broker's words.
fn printable(text: &[u8]) -> String {
    let mut result = String::with_capacity(text.len());
    for character in String::from_utf8_lossy(text).chars() {
        if character == '\n' || character == '\t' || !character.is_control() {
            result.push(character);
        } else {
            result.extend(character.escape_default());
        }
    }
    result
}

fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{KEPT_LINES, Log, printable};

    #[test]
    fn terminal_controls_are_escaped() {
        assert_eq!(printable(b"a\x1b[2Jb\tc\n"), "a\\u{1b}[2Jb\tc\n");
        assert_eq!(printable(b"\xff\x9b"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_log_is_bounded() {
        let mut log = Log::new(None, false);
        for _ in 0..1000 {
            log.log(&vec![b'x'; 70_000]);
        }
        assert_eq!(log.recent().count(), KEPT_LINES);
        assert!(log.recent().all(|line| line.len() <= 1024));
    }
}
