//! The system-call table: numbers, names and functions.
//!
//! One line per call. What is not listed is `ENOSYS`. The formats decode arguments for `--trace`.

use crate::call::{Call, CallResult};
use crate::syscalls::*;
use capsid_core::Errno;
use linux_raw_sys::general as nr;

/// How `--trace` prints an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Signed decimal, 32 bits.
    Int,
    /// Unsigned decimal, 64 bits.
    Size,
    /// Hexadecimal.
    Hex,
    /// Octal: file modes.
    Octal,
    /// A descriptor; `AT_FDCWD` by name.
    Fd,
    /// A pointer, not looked behind.
    Pointer,
    /// A NUL-terminated string.
    Path,
    /// Bytes to be written, as many as the next argument says.
    Bytes,
    /// Flags of open(2).
    OpenFlags,
    /// A signal number, by name.
    Signal,
    /// `PROT_*`.
    Protection,
    /// Flags of mmap(2).
    MapFlags,
    /// Flags of clone(2).
    CloneFlags,
}

/// One call.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name, without `sys_`; empty for an unknown number.
    pub name: &'static str,
    /// The function.
    pub function: fn(&mut Call<'_>) -> CallResult,
    /// Its arguments.
    pub arguments: &'static [Format],
}

fn sys_unknown(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::ENOSYS)
}

/// Numbers at or above this are unknown.
pub const TABLE_SIZE: usize = 512;

macro_rules! table {
    ($($number:ident $function:path [$($format:ident)*];)*) => {
        static TABLE: [Entry; TABLE_SIZE] = {
            let mut table =
                [Entry { name: "", function: sys_unknown, arguments: &[] }; TABLE_SIZE];
            $(
                table[nr::$number as usize] = Entry {
                    // "__NR_" goes.
                    name: stringify!($number).split_at(5).1,
                    function: $function,
                    arguments: &[$(Format::$format),*],
                };
            )*
            table
        };
    };
}

/// Finds the call with a number.
#[must_use]
pub fn lookup(number: u64) -> &'static Entry {
    static UNKNOWN: Entry = Entry {
        name: "",
        function: sys_unknown,
        arguments: &[],
    };
    usize::try_from(number)
        .ok()
        .and_then(|number| TABLE.get(number))
        .unwrap_or(&UNKNOWN)
}

table! {
    __NR_exit process::sys_exit [Int];
    __NR_exit_group process::sys_exit_group [Int];
    __NR_getpid identity::sys_getpid [];
    __NR_gettid identity::sys_gettid [];
    __NR_getppid identity::sys_getppid [];
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
