//! The seccomp filter of a running process, read from outside.
