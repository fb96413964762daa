//! The bars: what each figure must not exceed.

/// A limit on a figure of capsid's.
#[derive(Clone, Copy)]
pub enum Bar {
    /// Times the native figure.
    Ratio(f64),
    /// Nanoseconds.
    Nanoseconds(f64),
    /// Nanoseconds, and times the native figure.
    Both(f64, f64),
    /// KiB.
    Kibibytes(f64),
}

/// Every figure with a bar.
pub const BARS: &[(&str, Bar)] = &[
    ("getppid", Bar::Both(25.0, 0.12)),
    ("pread_4k", Bar::Ratio(0.4)),
    ("pwrite_4k", Bar::Ratio(0.4)),
    ("open_close", Bar::Ratio(0.3)),
    ("stat", Bar::Ratio(0.4)),
    ("create_unlink", Bar::Ratio(0.12)),
    ("pipe_threads", Bar::Ratio(1.0)),
    ("pipe_processes", Bar::Ratio(1.0)),
    ("unix_threads", Bar::Ratio(1.0)),
    ("unix_processes", Bar::Ratio(1.0)),
    ("futex_threads", Bar::Ratio(1.0)),
    ("epoll_1", Bar::Ratio(0.25)),
    ("fork_wait", Bar::Ratio(1.5)),
    ("fork_exec", Bar::Ratio(1.1)),
    ("vfork_exec", Bar::Ratio(1.1)),
    ("posix_spawn", Bar::Ratio(1.1)),
    ("mmap_munmap", Bar::Ratio(1.1)),
    ("page_fault", Bar::Ratio(1.1)),
    ("mprotect_pair", Bar::Ratio(1.1)),
    ("start_static", Bar::Nanoseconds(2.5e6)),
    ("start_python", Bar::Ratio(1.3)),
    ("sh_loop_200", Bar::Ratio(1.1)),
    ("gcc_1000", Bar::Ratio(1.1)),
    ("git_clone", Bar::Ratio(1.1)),
    ("tar_5000", Bar::Ratio(1.1)),
    ("sqlite_200k", Bar::Ratio(1.1)),
    ("idle_private", Bar::Kibibytes(3.0 * 1024.0)),
];

impl Bar {
    /// Whether a figure keeps the bar.
    pub fn holds(self, figure: f64, native: f64) -> bool {
        match self {
            Bar::Ratio(limit) => figure <= limit * native,
            Bar::Nanoseconds(limit) | Bar::Kibibytes(limit) => figure <= limit,
            Bar::Both(limit, ratio) => figure <= limit && figure <= ratio * native,
        }
    }

    /// The bar in words.
    pub fn text(self) -> String {
        match self {
            Bar::Ratio(limit) => format!("≤ {limit}×"),
            Bar::Nanoseconds(limit) => format!("≤ {}", super::report::time(limit)),
            Bar::Both(limit, ratio) => format!("≤ {}, ≤ {ratio}×", super::report::time(limit)),
            Bar::Kibibytes(limit) => format!("≤ {} MiB", limit / 1024.0),
        }
    }
}
