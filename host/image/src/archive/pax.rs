//! Extended headers: pax(1), "Extended Header", and what GNU tar and star put there.

use crate::attributes::{Timestamp, Xattr};
use crate::error::Refusal;
use std::str;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What the extended headers before a member say of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub target: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub mtime: Option<Timestamp>,
    pub xattrs: Vec<Xattr>,
    pub sparse: SparseRecords,
}

/// The records of a sparse file, of GNU's formats 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseRecords {
    /// The real name; that of the member is made up.
    pub name: Option<Vec<u8>>,
    /// The size with holes.
    pub size: Option<u64>,
    /// Format 1.0: the map stands before the data.
    pub major: Option<u64>,
    /// Format 0.0 and 0.1: offsets and lengths in turn.
    pub map: Option<Vec<u64>>,
}

impl Records {
    /// Adds the records of one extended header. Later ones win.
    pub fn add(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            // Some writers fill the rest with zeros.
            if bytes.iter().all(|byte| *byte == 0) {
                break;
            }
            let (key, value, rest) = split(bytes).ok_or(Refusal::BadExtendedHeader)?;
            self.add_record(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
            self.xattrs.push(Xattr {
                name: name.to_vec(),
                value: value.to_vec(),
            });
            return Ok(());
        }
        let sparse = &mut self.sparse;
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.user = Some(id(value)?),
            b"gid" => self.group = Some(id(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => sparse.size = Some(decimal(value)?),
            b"GNU.sparse.major" => sparse.major = Some(decimal(value)?),
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').map(decimal);
                sparse.map = Some(numbers.collect::<Result<_, _>>()?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let map = sparse.map.get_or_insert_default();
                // They come in pairs, the offset first.
                if (key == b"GNU.sparse.offset") != map.len().is_multiple_of(2) {
                    return Err(Refusal::BadSparseMap);
                }
                map.push(decimal(value)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Splits `LENGTH KEY=VALUE\n` off. The length counts itself, and values may hold newlines.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // A length has as many digits as a header can have bytes, and no more.
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space]).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn decimal(value: &[u8]) -> Result<u64, Refusal> {
    let text = str::from_utf8(value).map_err(|_| Refusal::BadNumber)?;
    // `parse` would take a plus sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::BadNumber);
    }
    text.parse().map_err(|_| Refusal::BadNumber)
}

fn id(value: &[u8]) -> Result<u32, Refusal> {
    u32::try_from(decimal(value)?).map_err(|_| Refusal::BadNumber)
}

/// Seconds, with a sign and a fraction perhaps.
fn time(value: &[u8]) -> Result<Timestamp, Refusal> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(seconds).map_err(|_| Refusal::BadNumber)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::BadNumber);
    }
    let digits = fraction.iter().chain([b'0'; 9].iter()).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Ok(if !negative {
        Timestamp {
            seconds,
            nanoseconds,
        }
    } else if nanoseconds == 0 {
        Timestamp {
            seconds: -seconds,
            nanoseconds,
        }
    } else {
        // Seconds are rounded down.
        Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Records, time};
    use crate::attributes::Timestamp;

    #[test]
    fn records_may_hold_newlines_and_zeros() {
        let mut records = Records::default();
        let bytes = b"12 path=a/b\n31 SCHILY.xattr.user.x=1\n\0\n3=4\n8 uid=7\n";
        records.add(bytes).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(records.xattrs[0].name, b"user.x");
        assert_eq!(records.xattrs[0].value, b"1\n\0\n3=4");
        assert_eq!(records.user, Some(7));
    }

    #[test]
    fn wrong_records_are_refused() {
        for bytes in [
            &b"5 a=b\n"[..],
            b"99 a=b\n",
            b"0 a=b\n",
            b"6 a=b",
            b"a=b\n",
            b"7 size=x\n",
            b"18446744073709551615 a=b\n",
        ] {
            assert!(Records::default().add(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn times_are_rounded_down() {
        let at = |seconds, nanoseconds| Timestamp {
            seconds,
            nanoseconds,
        };
        assert_eq!(time(b"1.5"), Ok(at(1, 500_000_000)));
        assert_eq!(time(b"12.0000000019"), Ok(at(12, 1)));
        assert_eq!(time(b"-1.25"), Ok(at(-2, 750_000_000)));
        assert_eq!(time(b"-3"), Ok(at(-3, 0)));
        assert!(time(b"1.x").is_err());
    }
}
