//! Archives from anyone: an image or an error, and the image can be read.

#[expect(dead_code, reason = "the target reads images only")]
#[path = "../../host/image/tests/support/snapshot.rs"]
mod snapshot;

use capsid_image::ImageBuilder;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use tar::{Builder, EntryType, Header};

/// Larger images are not kept: an archive of a few bytes can say that its files are huge.
const IMAGE_BYTES_MAX: u64 = 8 << 20;

/// Imports an archive, and reads all of the image.
pub fn run(archive: &[u8]) {
    if let Some(image) = image_of(archive) {
        assert_eq!(image.len() % 4096, 0);
        let read = snapshot::of_image(&image);
        assert!(read.contains_key(&b"/"[..]));
        assert_eq!(
            image_of(archive),
            Some(image),
            "the same archive, the same image"
        );
    }
}

/// The image of an archive, if it makes one that is not too large.
pub(crate) fn image_of(archive: &[u8]) -> Option<Vec<u8>> {
    let mut builder = ImageBuilder::new(Bounded(Cursor::new(Vec::new())));
    builder.add_archive(archive).ok()?;
    let (image, _) = builder.finish().ok()?;
    Some(image.0.into_inner())
}

/// A file that is full soon.
struct Bounded(Cursor<Vec<u8>>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.position() + bytes.len() as u64 > IMAGE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// A member: type, path, link target, bytes.
type Member = (EntryType, &'static str, &'static str, &'static [u8]);

fn append(builder: &mut Builder<Vec<u8>>, (kind, path, target, bytes): Member) {
    let mut header = Header::new_gnu();
    let names = header.as_old_mut();
    names.name[..path.len()].copy_from_slice(path.as_bytes());
    names.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_uid(7);
    header.set_gid(70_000);
    header.set_mtime(1);
    header.set_cksum();
    builder.append(&header, bytes).expect("memory takes all");
}

/// A sparse file whose data is at its end.
fn append_sparse(builder: &mut Builder<Vec<u8>>, size: u64) {
    let mut header = Header::new_gnu();
    header.set_path("sparse").expect("a short name");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(5);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.set_real_size(size);
        gnu.sparse[0].set_offset(size - 5);
        gnu.sparse[0].set_length(5);
    }
    header.set_cksum();
    builder
        .append(&header, &b"hello"[..])
        .expect("memory takes all");
}

/// Archives with every kind of member.
pub fn seeds() -> Vec<Vec<u8>> {
    let (file, directory) = (EntryType::Regular, EntryType::Directory);
    let (symlink, link) = (EntryType::Symlink, EntryType::Link);
    let extended = b"30 mtime=1350244992.023960108\n22 path=a/longer/path\n\
        31 SCHILY.xattr.user.name=value\n";
    let archives: [&[Member]; 6] = [
        &[],
        &[
            (file, "a", "", b"data"),
            (link, "b", "a", b""),
            (symlink, "c", "a", b""),
        ],
        &[
            (directory, "d/", "", b""),
            (file, "d/e", "", &[7; 5000]),
            (file, "d/e", "", b"new"),
        ],
        &[
            (EntryType::XHeader, "x", "", extended),
            (file, "short", "", b"1"),
        ],
        &[
            (
                EntryType::GNULongName,
                "././@LongLink",
                "",
                b"a/long/name\0",
            ),
            (
                EntryType::GNULongLink,
                "././@LongLink",
                "",
                b"a/long/target\0",
            ),
            (symlink, "a", "b", b""),
        ],
        &[
            (EntryType::Char, "dev", "", b""),
            (EntryType::Fifo, "fifo", "", b""),
        ],
    ];
    let mut seeds = Vec::new();
    for members in archives {
        let mut builder = Builder::new(Vec::new());
        for member in members {
            append(&mut builder, *member);
        }
        seeds.push(builder.into_inner().expect("memory takes all"));
    }
    let mut builder = Builder::new(Vec::new());
    append_sparse(&mut builder, 1 << 20);
    append_sparse(&mut builder, 1 << 50);
    seeds.push(builder.into_inner().expect("memory takes all"));
    // Empty, in each compression.
    seeds.push(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x63\x60\0\0".to_vec());
    seeds.push(b"\x28\xb5\x2f\xfd\x24\0\x01\0\0\x99\xe9\xd8\x51".to_vec());
    seeds.push(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\0\0\0\0\x1c\xdf\x44\x21".to_vec());
    seeds
}
