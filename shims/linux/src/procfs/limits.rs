//! `/proc/pid/limits`.

use crate::procfs::entry::Context;
use crate::procfs::text::Text;
use crate::task::UNLIMITED;
use alloc::string::{String, ToString};
use capsid_core::Errno;

/// Names and units, by the resource's number.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

pub(super) fn limits(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let process = context.process()?;
    text.line(format_args!(
        "{:<25} {:<20} {:<20} {:<10}",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    ));
    let show = |value: u64| {
        if value == UNLIMITED {
            String::from("unlimited")
        } else {
            value.to_string()
        }
    };
    for (number, (name, unit)) in LIMITS.into_iter().enumerate() {
        let Some(limit) = process.limits.by_number(number) else {
            continue;
        };
        let (soft, hard) = (show(limit.soft), show(limit.hard));
        text.line(format_args!("{name:<25} {soft:<20} {hard:<20} {unit:<10}"));
    }
    Ok(())
}
