//! Error numbers, as Linux has them.

use core::fmt;
use linux_raw_sys::errno as raw;

/// A Linux error number (1 to 4095), errno(3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident)*) => {
        #[expect(missing_docs, reason = "errno(3) describes each")]
        #[expect(clippy::cast_possible_truncation, reason = "the constants are below 4096")]
        impl Errno {
            $(pub const $name: Errno = Errno(raw::$name as u16);)*
        }

        impl Errno {
            /// Returns the symbolic name, or `None` for a number without one.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Errno::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENOMSG EIDRM ENODATA ETIME EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK EDESTADDRREQ
    EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET
    ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH
    EALREADY EINPROGRESS ESTALE EUCLEAN EDQUOT ECANCELED EOWNERDEAD ENOTRECOVERABLE
}

impl Errno {
    /// Makes an error from a number that another party sent; `EIO` for one that Linux cannot have.
    #[must_use]
    pub fn from_raw(number: u32) -> Errno {
        match u16::try_from(number) {
            Ok(number @ 1..=4095) => Errno(number),
            _ => Errno::EIO,
        }
    }

    /// The positive number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The value a system call returns in its result register: the negated number.
    #[must_use]
    pub fn as_return_value(self) -> u64 {
        (-i64::from(self.0)).cast_unsigned()
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn return_values_are_negated_numbers() {
        assert_eq!(Errno::ENOENT.as_return_value(), (-2i64).cast_unsigned());
        assert_eq!(Errno::from_raw(2), Errno::ENOENT);
        assert_eq!(Errno::from_raw(0), Errno::EIO);
        assert_eq!(Errno::from_raw(70_000), Errno::EIO);
        assert_eq!(Errno::EAGAIN.name(), Some("EAGAIN"));
    }
}
