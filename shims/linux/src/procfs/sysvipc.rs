//! `/proc/sysvipc`: System V objects.

use crate::procfs::entry::{Context, Entry};
use crate::procfs::text::Text;
use crate::sysv::{Header, Object};
use capsid_core::Errno;
use core::fmt;

pub(super) static ENTRIES: &[Entry] = &[
    Entry::file("shm", segments),
    Entry::file("sem", semaphores),
    Entry::file("msg", messages),
];

/// User and group ids of an object's owner and creator, as columns.
struct Owners<'a>(&'a Header);

impl fmt::Display for Owners<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [owner, creator] = self.0.owners();
        write!(
            f,
            "{:5} {:5} {:5} {:5}",
            owner.user, owner.group, creator.user, creator.group
        )
    }
}

fn segments(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  \
         cgid      atime      dtime      ctime                   rss                  swap"
    ));
    for segment in context.kernel.ipc.segments.all() {
        let header = segment.header();
        let [creator, last] = segment.users();
        let [attached, detached] = segment.times_s();
        text.line(format_args!(
            "{:10} {:10}  {:4o} {:21} {creator:5} {last:5}  {:5} {} {attached:10} {detached:10} \
             {:10} {:21} {:21}",
            header.key(),
            header.id,
            segment.mode(),
            segment.bytes,
            segment.attachments(),
            Owners(header),
            header.changed_s(),
            segment.mapped_bytes(),
            0,
        ));
    }
    Ok(())
}

fn semaphores(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime"
    ));
    for set in context.kernel.ipc.semaphores.all() {
        let header = set.header();
        text.line(format_args!(
            "{:10} {:10}  {:4o} {:10} {} {:10} {:10}",
            header.key(),
            header.id,
            header.mode(),
            set.count(),
            Owners(header),
            set.operated_s(),
            header.changed_s(),
        ));
    }
    Ok(())
}

fn messages(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
         stime      rtime      ctime"
    ));
    for queue in context.kernel.ipc.messages.all() {
        let header = queue.header();
        let facts = queue.facts();
        text.line(format_args!(
            "{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} {} {:10} {:10} {:10}",
            header.key(),
            header.id,
            header.mode(),
            facts.bytes,
            facts.messages,
            facts.users[0],
            facts.users[1],
            Owners(header),
            facts.times_s[0],
            facts.times_s[1],
            header.changed_s(),
        ));
    }
    Ok(())
}
