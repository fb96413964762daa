//! Takes the members of a tar archive.

mod compression;
mod detect;
mod fields;
mod member;
mod pax;
mod sparse;
mod stream;
mod zstd_frames;

pub use detect::{SourceKind, detect};

use crate::attributes::Device;
use crate::builder::ImageBuilder;
use crate::error::{ImageError, Refusal, Result};
use crate::tree::{Contents, Slot, check_target, refused};
use member::{Member, MemberKind};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Seek, Write};
use stream::Stream;

pub(crate) fn add<W: Write + Seek>(
    builder: &mut ImageBuilder<'_, W>,
    archive: impl BufRead,
) -> Result<()> {
    let (kind, archive) = detect::peek(archive).map_err(|source| ImageError::Damaged {
        place: "".into(),
        source,
    })?;
    let mut stream = Stream::new(compression::decoder(kind, archive)?);
    while let Some(member) = stream.next_member()? {
        take(builder, &mut stream, &member)?;
    }
    // The checksum of a compressed archive stands at its end.
    stream.drain()
}

fn take<W: Write + Seek>(
    builder: &mut ImageBuilder<'_, W>,
    stream: &mut Stream<'_>,
    member: &Member,
) -> Result<()> {
    let path = &*member.path;
    let refuse = |reason| refused(path, reason);
    let slot = builder.tree.slot(path)?;
    let device = |device: Device| device.encode().map_err(refuse);
    let contents = match member.kind {
        MemberKind::Directory => Contents::Directory(BTreeMap::new()),
        MemberKind::Regular => take_file(builder, stream, member)?,
        MemberKind::HardLink => return link(builder, member, slot),
        MemberKind::Symlink => {
            check_target(&member.target).map_err(refuse)?;
            Contents::Symlink(member.target.clone().into())
        }
        MemberKind::CharacterDevice(number) => Contents::CharacterDevice(device(number)?),
        MemberKind::BlockDevice(number) => Contents::BlockDevice(device(number)?),
        MemberKind::Fifo => Contents::Fifo,
    };
    builder.insert(path, slot, member.attributes.clone(), contents)?;
    Ok(())
}

/// Copies the member's bytes, with its holes.
fn take_file<W: Write + Seek>(
    builder: &mut ImageBuilder<'_, W>,
    stream: &mut Stream<'_>,
    member: &Member,
) -> Result<Contents> {
    let path = &*member.path;
    let map = stream.sparse_map(member)?;
    let mut writer = builder.begin_file(map.size);
    let mut position = 0;
    for segment in &map.segments {
        writer.skip(&mut builder.output, segment.offset - position)?;
        let damaged = |source| stream::damaged(path, source);
        let mut data = stream.data();
        let copied = builder.copy(&mut writer, &mut data, segment.length, damaged)?;
        if copied < segment.length {
            return Err(stream::damaged(path, io::ErrorKind::UnexpectedEof.into()));
        }
        position = segment.offset + segment.length;
    }
    writer.skip(&mut builder.output, map.size - position)?;
    Ok(Contents::Regular(writer.finish(&mut builder.output)?))
}

fn link<W: Write + Seek>(
    builder: &mut ImageBuilder<'_, W>,
    member: &Member,
    slot: Slot,
) -> Result<()> {
    let refuse = |reason| refused(&member.path, reason);
    let target = builder.tree.slot(&member.target)?;
    let target = builder.tree.at(&target);
    let target = target.filter(|node| builder.tree.children(*node).is_none());
    let target = target.ok_or_else(|| refuse(Refusal::BadHardLink))?;
    builder.tree.link(slot, target)?.map_err(refuse)?;
    builder.count_file();
    Ok(())
}

/// A decoder of an archive's bytes.
type Decoder<'a> = Box<dyn Read + 'a>;
