//! `/proc/pid/net`: no interfaces, and tables without lines.

use crate::procfs::entry::Entry;

macro_rules! table {
    ($name:literal, $header:literal) => {
        Entry::file($name, |_, text| {
            text.bytes($header);
            Ok(())
        })
    };
}

pub(super) static ENTRIES: &[Entry] = &[
    table!(
        "dev",
        b"Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs \
        drop fifo colls carrier compressed\n"
    ),
    table!(
        "tcp",
        b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
        timeout inode\n"
    ),
    table!(
        "udp",
        b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
        timeout inode ref pointer drops\n"
    ),
    table!(
        "unix",
        b"Num       RefCount Protocol Flags    Type St Inode Path\n"
    ),
    table!(
        "route",
        b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    ),
    table!("if_inet6", b""),
    table!("tcp6", b""),
    table!("udp6", b""),
];
