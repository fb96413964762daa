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
    __NR_mmap memory::sys_mmap [Pointer Size Protection MapFlags Fd Hex];
    __NR_munmap memory::sys_munmap [Pointer Size];
    __NR_mprotect memory::sys_mprotect [Pointer Size Protection];
    __NR_pkey_mprotect memory::sys_pkey_mprotect [Pointer Size Protection Int];
    __NR_pkey_alloc memory::sys_pkey_alloc [Hex Hex];
    __NR_pkey_free memory::sys_pkey_free [Int];
    __NR_mremap memory::sys_mremap [Pointer Size Size Hex Pointer];
    __NR_brk memory::sys_brk [Pointer];
    __NR_madvise memory_advice::sys_madvise [Pointer Size Int];
    __NR_msync memory_advice::sys_msync [Pointer Size Hex];
    __NR_mincore memory_advice::sys_mincore [Pointer Size Pointer];
    __NR_mlock memory_advice::sys_mlock [Pointer Size];
    __NR_mlock2 memory_advice::sys_mlock2 [Pointer Size Hex];
    __NR_munlock memory_advice::sys_munlock [Pointer Size];
    __NR_mlockall memory_advice::sys_mlockall [Hex];
    __NR_munlockall memory_advice::sys_munlockall [];
    __NR_set_mempolicy memory_policy::sys_set_mempolicy [Int Pointer Size];
    __NR_get_mempolicy memory_policy::sys_get_mempolicy [Pointer Pointer Size Pointer Hex];
    __NR_mbind memory_policy::sys_mbind [Pointer Size Int Pointer Size Hex];
    __NR_memfd_create memfd::sys_memfd_create [Path Hex];
    __NR_futex futex::sys_futex [Pointer Hex Int Pointer Pointer Hex];
    __NR_futex_waitv futex::sys_futex_waitv [Pointer Size Hex Pointer Int];
    __NR_set_robust_list futex::sys_set_robust_list [Pointer Size];
    __NR_get_robust_list futex::sys_get_robust_list [Int Pointer Pointer];
    __NR_exit process::sys_exit [Int];
    __NR_exit_group process::sys_exit_group [Int];
    __NR_fork process::sys_fork [];
    __NR_vfork process::sys_vfork [];
    __NR_clone process::sys_clone [CloneFlags Pointer Pointer Pointer Pointer];
    __NR_clone3 process::sys_clone3 [Pointer Size];
    __NR_execve exec::sys_execve [Path Pointer Pointer];
    __NR_execveat exec::sys_execveat [Fd Path Pointer Pointer Hex];
    __NR_wait4 wait::sys_wait4 [Int Pointer Hex Pointer];
    __NR_waitid wait::sys_waitid [Int Int Pointer Hex Pointer];
    __NR_kill kill::sys_kill [Int Signal];
    __NR_tkill kill::sys_tkill [Int Signal];
    __NR_tgkill kill::sys_tgkill [Int Int Signal];
    __NR_rt_sigqueueinfo kill::sys_rt_sigqueueinfo [Int Signal Pointer];
    __NR_rt_tgsigqueueinfo kill::sys_rt_tgsigqueueinfo [Int Int Signal Pointer];
    __NR_pidfd_open kill::sys_pidfd_open [Int Hex];
    __NR_pidfd_send_signal kill::sys_pidfd_send_signal [Fd Signal Pointer Hex];
    __NR_rt_sigaction signals::sys_rt_sigaction [Signal Pointer Pointer Size];
    __NR_rt_sigprocmask signals::sys_rt_sigprocmask [Int Pointer Pointer Size];
    __NR_rt_sigpending signals::sys_rt_sigpending [Pointer Size];
    __NR_rt_sigsuspend signals::sys_rt_sigsuspend [Pointer Size];
    __NR_rt_sigtimedwait signals::sys_rt_sigtimedwait [Pointer Pointer Pointer Size];
    __NR_rt_sigreturn signals::sys_rt_sigreturn [];
    __NR_sigaltstack signals::sys_sigaltstack [Pointer Pointer];
    __NR_pause signals::sys_pause [];
    __NR_restart_syscall signals::sys_restart_syscall [];
    __NR_getuid users::sys_getuid [];
    __NR_geteuid users::sys_geteuid [];
    __NR_getgid users::sys_getgid [];
    __NR_getegid users::sys_getegid [];
    __NR_getresuid users::sys_getresuid [Pointer Pointer Pointer];
    __NR_getresgid users::sys_getresgid [Pointer Pointer Pointer];
    __NR_setuid users::sys_setuid [Int];
    __NR_setreuid users::sys_setreuid [Int Int];
    __NR_setresuid users::sys_setresuid [Int Int Int];
    __NR_setfsuid users::sys_setfsuid [Int];
    __NR_setgid users::sys_setgid [Int];
    __NR_setregid users::sys_setregid [Int Int];
    __NR_setresgid users::sys_setresgid [Int Int Int];
    __NR_setfsgid users::sys_setfsgid [Int];
    __NR_getgroups users::sys_getgroups [Int Pointer];
    __NR_setgroups users::sys_setgroups [Int Pointer];
    __NR_capget capabilities::sys_capget [Pointer Pointer];
    __NR_capset capabilities::sys_capset [Pointer Pointer];
    __NR_setpgid job_control::sys_setpgid [Int Int];
    __NR_getpgid job_control::sys_getpgid [Int];
    __NR_getpgrp job_control::sys_getpgrp [];
    __NR_getsid job_control::sys_getsid [Int];
    __NR_setsid job_control::sys_setsid [];
    __NR_getrlimit resources::sys_getrlimit [Int Pointer];
    __NR_setrlimit resources::sys_setrlimit [Int Pointer];
    __NR_prlimit64 resources::sys_prlimit64 [Int Int Pointer Pointer];
    __NR_getrusage resources::sys_getrusage [Int Pointer];
    __NR_times resources::sys_times [Pointer];
    __NR_clock_gettime clock::sys_clock_gettime [Int Pointer];
    __NR_clock_getres clock::sys_clock_getres [Int Pointer];
    __NR_clock_settime clock::sys_clock_settime [Int Pointer];
    __NR_clock_adjtime clock::sys_set_time [Int Pointer];
    __NR_adjtimex clock::sys_set_time [Pointer];
    __NR_settimeofday clock::sys_set_time [Pointer Pointer];
    __NR_gettimeofday clock::sys_gettimeofday [Pointer Pointer];
    __NR_time clock::sys_time [Pointer];
    __NR_nanosleep clock::sys_nanosleep [Pointer Pointer];
    __NR_clock_nanosleep clock::sys_clock_nanosleep [Int Hex Pointer Pointer];
    __NR_alarm timers::sys_alarm [Int];
    __NR_getitimer timers::sys_getitimer [Int Pointer];
    __NR_setitimer timers::sys_setitimer [Int Pointer Pointer];
    __NR_timer_create timers::sys_timer_create [Int Pointer Pointer];
    __NR_timer_settime timers::sys_timer_settime [Int Hex Pointer Pointer];
    __NR_timer_gettime timers::sys_timer_gettime [Int Pointer];
    __NR_timer_getoverrun timers::sys_timer_getoverrun [Int];
    __NR_timer_delete timers::sys_timer_delete [Int];
    __NR_prctl prctl::sys_prctl [Int Hex Hex Hex Hex];
    __NR_arch_prctl prctl::sys_arch_prctl [Hex Pointer];
    __NR_set_tid_address prctl::sys_set_tid_address [Pointer];
    __NR_personality prctl::sys_personality [Hex];
    __NR_sched_yield schedule::sys_sched_yield [];
    __NR_sched_getaffinity schedule::sys_sched_getaffinity [Int Size Pointer];
    __NR_sched_setaffinity schedule::sys_sched_setaffinity [Int Size Pointer];
    __NR_sched_getscheduler schedule::sys_sched_getscheduler [Int];
    __NR_sched_setscheduler schedule::sys_sched_setscheduler [Int Int Pointer];
    __NR_sched_getparam schedule::sys_sched_getparam [Int Pointer];
    __NR_sched_setparam schedule::sys_sched_setparam [Int Pointer];
    __NR_sched_getattr schedule::sys_sched_getattr [Int Pointer Size Hex];
    __NR_sched_setattr schedule::sys_sched_setattr [Int Pointer Hex];
    __NR_sched_get_priority_max schedule::sys_sched_get_priority_max [Int];
    __NR_sched_get_priority_min schedule::sys_sched_get_priority_min [Int];
    __NR_sched_rr_get_interval schedule::sys_sched_rr_get_interval [Int Pointer];
    __NR_getpriority schedule::sys_getpriority [Int Int];
    __NR_setpriority schedule::sys_setpriority [Int Int Int];
    __NR_ioprio_get schedule::sys_ioprio [Int Int];
    __NR_ioprio_set schedule::sys_ioprio [Int Int Int];
    __NR_getcpu schedule::sys_getcpu [Pointer Pointer Pointer];
    __NR_uname system::sys_uname [Pointer];
    __NR_sethostname system::sys_sethostname [Path Size];
    __NR_setdomainname system::sys_setdomainname [Path Size];
    __NR_sysinfo system::sys_sysinfo [Pointer];
    __NR_getrandom system::sys_getrandom [Pointer Size Hex];
    __NR_membarrier membarrier::sys_membarrier [Int Hex Int];
    __NR_ptrace ptrace::sys_ptrace [Int Int Pointer Pointer];
    __NR_process_vm_readv refused::sys_not_permitted [Int Pointer Size Pointer Size Hex];
    __NR_process_vm_writev refused::sys_not_permitted [Int Pointer Size Pointer Size Hex];
    __NR_bpf refused::sys_not_permitted [Int Pointer Size];
    __NR_perf_event_open refused::sys_not_permitted [Pointer Int Int Fd Hex];
    __NR_keyctl refused::sys_not_permitted [Int Hex Hex Hex Hex];
    __NR_add_key refused::sys_not_permitted [Path Path Pointer Size Int];
    __NR_request_key refused::sys_not_permitted [Path Path Path Int];
    __NR_userfaultfd refused::sys_not_permitted [Hex];
    __NR_init_module refused::sys_not_permitted [Pointer Size Path];
    __NR_finit_module refused::sys_not_permitted [Fd Path Hex];
    __NR_delete_module refused::sys_not_permitted [Path Hex];
    __NR_kexec_load refused::sys_not_permitted [Hex Size Pointer Hex];
    __NR_reboot refused::sys_not_permitted [Hex Hex Hex Pointer];
    __NR_swapon refused::sys_not_permitted [Path Hex];
    __NR_swapoff refused::sys_not_permitted [Path];
    __NR_setns refused::sys_not_permitted [Fd Hex];
    __NR_unshare process::sys_unshare [CloneFlags];
    __NR_acct refused::sys_not_permitted [Path];
    __NR_io_uring_setup refused::sys_not_there [Int Pointer];
    __NR_io_uring_enter refused::sys_not_there [Fd Int Int Hex Pointer Size];
    __NR_io_uring_register refused::sys_not_there [Fd Int Pointer Int];
    __NR_rseq refused::sys_not_there [Pointer Size Hex Hex];
    __NR_seccomp refused::sys_not_there [Int Hex Pointer];

    __NR_getpid identity::sys_getpid [];
    __NR_gettid identity::sys_gettid [];
    __NR_getppid identity::sys_getppid [];

    __NR_read read_write::sys_read [Fd Pointer Size];
    __NR_write read_write::sys_write [Fd Bytes Size];
    __NR_pread64 read_write::sys_pread64 [Fd Pointer Size Size];
    __NR_pwrite64 read_write::sys_pwrite64 [Fd Bytes Size Size];
    __NR_readv read_write::sys_readv [Fd Pointer Int];
    __NR_writev read_write::sys_writev [Fd Pointer Int];
    __NR_preadv read_write::sys_preadv [Fd Pointer Int Size];
    __NR_pwritev read_write::sys_pwritev [Fd Pointer Int Size];
    __NR_io_setup aio::sys_io_setup [Size Pointer];
    __NR_io_destroy aio::sys_io_destroy [Pointer];
    __NR_io_submit aio::sys_io_submit [Pointer Int Pointer];
    __NR_io_getevents aio::sys_io_getevents [Pointer Int Int Pointer Pointer];
    __NR_io_cancel aio::sys_io_cancel [Pointer Pointer Pointer];
    __NR_preadv2 read_write::sys_preadv2 [Fd Pointer Int Size Hex Hex];
    __NR_pwritev2 read_write::sys_pwritev2 [Fd Pointer Int Size Hex Hex];
    __NR_lseek seek::sys_lseek [Fd Int Int];
    __NR_open open::sys_open [Path OpenFlags Octal];
    __NR_openat open::sys_openat [Fd Path OpenFlags Octal];
    __NR_openat2 open::sys_openat2 [Fd Path Pointer Size];
    __NR_creat open::sys_creat [Path Octal];
    __NR_close descriptors::sys_close [Fd];
    __NR_close_range descriptors::sys_close_range [Fd Fd Hex];
    __NR_dup descriptors::sys_dup [Fd];
    __NR_dup2 descriptors::sys_dup2 [Fd Fd];
    __NR_dup3 descriptors::sys_dup3 [Fd Fd OpenFlags];
    __NR_fcntl fcntl::sys_fcntl [Fd Int Hex];
    __NR_flock record_locks::sys_flock [Fd Int];
    __NR_ioctl ioctl::sys_ioctl [Fd Hex Hex];
    __NR_stat stat::sys_stat [Path Pointer];
    __NR_lstat stat::sys_lstat [Path Pointer];
    __NR_fstat stat::sys_fstat [Fd Pointer];
    __NR_newfstatat stat::sys_newfstatat [Fd Path Pointer Hex];
    __NR_statx stat::sys_statx [Fd Path Hex Hex Pointer];
    __NR_statfs statfs::sys_statfs [Path Pointer];
    __NR_fstatfs statfs::sys_fstatfs [Fd Pointer];
    __NR_access access::sys_access [Path Int];
    __NR_faccessat access::sys_faccessat [Fd Path Int];
    __NR_faccessat2 access::sys_faccessat2 [Fd Path Int Hex];
    __NR_getdents directories::sys_getdents [Fd Pointer Size];
    __NR_getdents64 directories::sys_getdents64 [Fd Pointer Size];
    __NR_mkdir names::sys_mkdir [Path Octal];
    __NR_mkdirat names::sys_mkdirat [Fd Path Octal];
    __NR_mknod names::sys_mknod [Path Octal Hex];
    __NR_mknodat names::sys_mknodat [Fd Path Octal Hex];
    __NR_symlink names::sys_symlink [Path Path];
    __NR_symlinkat names::sys_symlinkat [Path Fd Path];
    __NR_link names::sys_link [Path Path];
    __NR_linkat names::sys_linkat [Fd Path Fd Path Hex];
    __NR_rename names::sys_rename [Path Path];
    __NR_renameat names::sys_renameat [Fd Path Fd Path];
    __NR_renameat2 names::sys_renameat2 [Fd Path Fd Path Hex];
    __NR_unlink names::sys_unlink [Path];
    __NR_unlinkat names::sys_unlinkat [Fd Path Hex];
    __NR_rmdir names::sys_rmdir [Path];
    __NR_readlink names::sys_readlink [Path Pointer Size];
    __NR_name_to_handle_at names::sys_name_to_handle_at [Fd Path Pointer Pointer Hex];
    __NR_readlinkat names::sys_readlinkat [Fd Path Pointer Size];
    __NR_chmod attributes::sys_chmod [Path Octal];
    __NR_fchmod attributes::sys_fchmod [Fd Octal];
    __NR_fchmodat attributes::sys_fchmodat [Fd Path Octal];
    __NR_fchmodat2 attributes::sys_fchmodat2 [Fd Path Octal Hex];
    __NR_chown attributes::sys_chown [Path Int Int];
    __NR_lchown attributes::sys_lchown [Path Int Int];
    __NR_fchown attributes::sys_fchown [Fd Int Int];
    __NR_fchownat attributes::sys_fchownat [Fd Path Int Int Hex];
    __NR_utime times::sys_utime [Path Pointer];
    __NR_utimes times::sys_utimes [Path Pointer];
    __NR_futimesat times::sys_futimesat [Fd Path Pointer];
    __NR_utimensat times::sys_utimensat [Fd Path Pointer Hex];
    __NR_truncate truncate::sys_truncate [Path Size];
    __NR_ftruncate truncate::sys_ftruncate [Fd Size];
    __NR_fallocate truncate::sys_fallocate [Fd Hex Size Size];
    __NR_fsync sync::sys_fsync [Fd];
    __NR_fdatasync sync::sys_fdatasync [Fd];
    __NR_sync sync::sys_sync [];
    __NR_syncfs sync::sys_syncfs [Fd];
    __NR_sync_file_range sync::sys_sync_file_range [Fd Size Size Hex];
    __NR_fadvise64 sync::sys_fadvise64 [Fd Size Size Int];
    __NR_readahead sync::sys_readahead [Fd Size Size];
    __NR_chdir working_directory::sys_chdir [Path];
    __NR_fchdir working_directory::sys_fchdir [Fd];
    __NR_chroot working_directory::sys_chroot [Path];
    __NR_getcwd working_directory::sys_getcwd [Pointer Size];
    __NR_umask working_directory::sys_umask [Octal];
    __NR_getxattr xattr::sys_getxattr [Path Path Pointer Size];
    __NR_lgetxattr xattr::sys_lgetxattr [Path Path Pointer Size];
    __NR_fgetxattr xattr::sys_fgetxattr [Fd Path Pointer Size];
    __NR_setxattr xattr::sys_setxattr [Path Path Bytes Size Hex];
    __NR_lsetxattr xattr::sys_lsetxattr [Path Path Bytes Size Hex];
    __NR_fsetxattr xattr::sys_fsetxattr [Fd Path Bytes Size Hex];
    __NR_listxattr xattr::sys_listxattr [Path Pointer Size];
    __NR_llistxattr xattr::sys_llistxattr [Path Pointer Size];
    __NR_flistxattr xattr::sys_flistxattr [Fd Pointer Size];
    __NR_removexattr xattr::sys_removexattr [Path Path];
    __NR_lremovexattr xattr::sys_lremovexattr [Path Path];
    __NR_fremovexattr xattr::sys_fremovexattr [Fd Path];
    __NR_mount mount::sys_mount [Path Path Path Hex Pointer];
    __NR_umount2 mount::sys_umount2 [Path Hex];
    __NR_pivot_root mount::sys_pivot_root [Path Path];
    __NR_shmget shared_memory::sys_shmget [Int Size Octal];
    __NR_shmat shared_memory::sys_shmat [Int Pointer Octal];
    __NR_shmdt shared_memory::sys_shmdt [Pointer];
    __NR_shmctl shared_memory::sys_shmctl [Int Int Pointer];
    __NR_semget semaphores::sys_semget [Int Int Octal];
    __NR_semop semaphores::sys_semop [Int Pointer Size];
    __NR_semtimedop semaphores::sys_semtimedop [Int Pointer Size Pointer];
    __NR_semctl semaphores::sys_semctl [Int Int Int Hex];
    __NR_msgget message_queues::sys_msgget [Int Octal];
    __NR_msgsnd message_queues::sys_msgsnd [Int Pointer Size Octal];
    __NR_msgrcv message_queues::sys_msgrcv [Int Pointer Size Int Octal];
    __NR_msgctl message_queues::sys_msgctl [Int Int Pointer];
    __NR_mq_open posix_queues::sys_mq_open [Path OpenFlags Octal Pointer];
    __NR_mq_unlink posix_queues::sys_mq_unlink [Path];
    __NR_mq_timedsend posix_queues::sys_mq_timedsend [Fd Bytes Size Int Pointer];
    __NR_mq_timedreceive posix_queues::sys_mq_timedreceive [Fd Pointer Size Pointer Pointer];
    __NR_mq_notify posix_queues::sys_mq_notify [Fd Pointer];
    __NR_mq_getsetattr posix_queues::sys_mq_getsetattr [Fd Pointer Pointer];
    __NR_pipe pipe::sys_pipe [Pointer];
    __NR_pipe2 pipe::sys_pipe2 [Pointer OpenFlags];
    __NR_eventfd eventfd::sys_eventfd [Int];
    __NR_eventfd2 eventfd::sys_eventfd2 [Int OpenFlags];
    __NR_inotify_init inotify::sys_inotify_init [];
    __NR_inotify_init1 inotify::sys_inotify_init1 [OpenFlags];
    __NR_inotify_add_watch inotify::sys_inotify_add_watch [Fd Path Hex];
    __NR_inotify_rm_watch inotify::sys_inotify_rm_watch [Fd Int];
    __NR_timerfd_create timerfd::sys_timerfd_create [Int OpenFlags];
    __NR_timerfd_settime timerfd::sys_timerfd_settime [Fd Hex Pointer Pointer];
    __NR_timerfd_gettime timerfd::sys_timerfd_gettime [Fd Pointer];
    __NR_signalfd signalfd::sys_signalfd [Fd Pointer Size];
    __NR_signalfd4 signalfd::sys_signalfd4 [Fd Pointer Size OpenFlags];
    __NR_epoll_create epoll::sys_epoll_create [Int];
    __NR_epoll_create1 epoll::sys_epoll_create1 [OpenFlags];
    __NR_epoll_ctl epoll::sys_epoll_ctl [Fd Int Fd Pointer];
    __NR_epoll_wait epoll::sys_epoll_wait [Fd Pointer Int Int];
    __NR_epoll_pwait epoll::sys_epoll_pwait [Fd Pointer Int Int Pointer Size];
    __NR_epoll_pwait2 epoll::sys_epoll_pwait2 [Fd Pointer Int Pointer Pointer Size];
    __NR_poll poll::sys_poll [Pointer Int Int];
    __NR_ppoll poll::sys_ppoll [Pointer Int Pointer Pointer Size];
    __NR_select select::sys_select [Int Pointer Pointer Pointer Pointer];
    __NR_pselect6 select::sys_pselect6 [Int Pointer Pointer Pointer Pointer Pointer];
    __NR_sendfile splice::sys_sendfile [Fd Fd Pointer Size];
    __NR_copy_file_range splice::sys_copy_file_range [Fd Pointer Fd Pointer Size Hex];
    __NR_splice splice::sys_splice [Fd Pointer Fd Pointer Size Hex];
    __NR_tee splice::sys_tee [Fd Fd Size Hex];
    __NR_socket socket::sys_socket [Int Hex Int];
    __NR_socketpair socket::sys_socketpair [Int Hex Int Pointer];
    __NR_bind socket::sys_bind [Fd Pointer Int];
    __NR_listen socket::sys_listen [Fd Int];
    __NR_accept socket::sys_accept [Fd Pointer Pointer];
    __NR_accept4 socket::sys_accept4 [Fd Pointer Pointer OpenFlags];
    __NR_connect socket::sys_connect [Fd Pointer Int];
    __NR_shutdown socket::sys_shutdown [Fd Int];
    __NR_getsockname socket::sys_getsockname [Fd Pointer Pointer];
    __NR_getpeername socket::sys_getpeername [Fd Pointer Pointer];
    __NR_getsockopt socket::options::sys_getsockopt [Fd Int Int Pointer Pointer];
    __NR_setsockopt socket::options::sys_setsockopt [Fd Int Int Pointer Int];
    __NR_sendto socket::message::sys_sendto [Fd Bytes Size Hex Pointer Int];
    __NR_recvfrom socket::message::sys_recvfrom [Fd Pointer Size Hex Pointer Pointer];
    __NR_sendmsg socket::message::sys_sendmsg [Fd Pointer Hex];
    __NR_recvmsg socket::message::sys_recvmsg [Fd Pointer Hex];
    __NR_sendmmsg socket::message::sys_sendmmsg [Fd Pointer Int Hex];
    __NR_recvmmsg socket::message::sys_recvmmsg [Fd Pointer Int Hex Pointer];
    __NR_vmsplice splice::sys_vmsplice [Fd Pointer Int Hex];
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
