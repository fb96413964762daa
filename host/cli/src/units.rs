//! Sizes, durations and ids as people type them.

use anyhow::{Context, Result, bail};
use std::time::Duration;

/// Splits a number from its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Parses a size in bytes: `512M`, `1g`, `1.5GiB`, `4096`.
pub fn parse_size(text: &str) -> Result<u64> {
    let (number, unit) = split(text.trim());
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => bail!("bad size {text:?}: use a number with K, M, G or T, such as 512M"),
    };
    scale(number, 1 << shift)
        .with_context(|| format!("bad size {text:?}: use a number with K, M, G or T, such as 512M"))
}

/// Parses a duration: `10`, `1.5s`, `300ms`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let (number, unit) = split(text.trim());
    let nanoseconds = match unit.trim() {
        "" | "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => bail!("bad duration {text:?}: use a number with ms, s, m or h, such as 30s"),
    };
    scale(number, nanoseconds)
        .map(Duration::from_nanos)
        .with_context(|| {
            format!("bad duration {text:?}: use a number with ms, s, m or h, such as 30s")
        })
}

/// Multiplies a decimal number with up to nine digits after the point.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        let digits: u128 = fraction.parse().ok()?;
        digits * u128::from(unit) / 10u128.pow(u32::try_from(fraction.len()).ok()?)
    };
    u64::try_from(whole.checked_mul(unit.into())?.checked_add(part)?).ok()
}

/// Parses `UID[:GID]`; the group is the user's number if it is left out.
pub fn parse_user(text: &str) -> Result<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let id = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
    match (id(user), id(group)) {
        (Some(user), Some(group)) => Ok((user, group)),
        _ => bail!("bad user {text:?}: use numbers, UID or UID:GID"),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, parse_size, parse_user};
    use std::time::Duration;

    #[test]
    fn sizes() {
        let size = |text| parse_size(text).ok();
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("1.5GiB"), Some(3 << 29));
        assert_eq!(size("2kb"), Some(2048));
        assert_eq!(size("0"), Some(0));
        for bad in [
            "",
            "M",
            "1X",
            "-1",
            "1..2",
            ".5",
            "999999999999T",
            "1e3",
            "0x10",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        let duration = |text| parse_duration(text).ok();
        assert_eq!(duration("10"), Some(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "s", "1w", "-1s", "99999999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn users() {
        assert_eq!(parse_user("1000").ok(), Some((1000, 1000)));
        assert_eq!(parse_user("1:2").ok(), Some((1, 2)));
        for bad in ["", ":", "1:", "root", "4294967295", "1:2:3"] {
            assert!(parse_user(bad).is_err(), "{bad}");
        }
    }
}
