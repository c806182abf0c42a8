//! Sizes and times as people type them, and sizes and points in time as people read them.

use std::time::Duration;

use indicatif::BinaryBytes;

use crate::types::Timestamp;

/// Reads a size: digits, then `K`, `M`, `G` or `T` (powers of 1024) in either case, `iB` or `B`
/// after it tolerated.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || {
        "not a size: give bytes, or a number with K, M, G or T (powers of 1024), like 10M"
            .to_owned()
    };
    let (digits, unit) = split_unit(text.trim());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "a size this large cannot be".to_owned())
}

/// Reads a size of at least one byte.
pub fn parse_positive_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("0 would stop everything: leave the option out for no limit".to_owned()),
        size => Ok(size),
    }
}

/// Reads a length of time: `30s`, `5m`, `12h` or `7d`; a number alone means seconds. Never zero.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    match parse_time_or_none(text)? {
        Duration::ZERO => Err("a time must be longer than nothing".to_owned()),
        time => Ok(time),
    }
}

/// The same, or zero.
pub fn parse_time_or_none(text: &str) -> Result<Duration, String> {
    let wrong = || "not a time: give a number with s, m, h or d, like 30s or 5m".to_owned();
    let (digits, unit) = split_unit(text.trim());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    // A hundred years: adding it to a clock can never overflow.
    const LONGEST: u64 = 100 * 366 * 24 * 60 * 60;
    match number.checked_mul(factor) {
        Some(seconds) if seconds <= LONGEST => Ok(Duration::from_secs(seconds)),
        _ => Err("a time this long cannot be".to_owned()),
    }
}

/// A size for people: `1.21 MiB`.
pub fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// A number of things: `1 file`, `2 files`.
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A length of time for people, in its two largest units: `30 min`, `1 h 2 min`.
pub fn span(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(number, _)| *number > 0);
    let parts: Vec<String> = units
        .iter()
        .skip(first.unwrap_or(units.len() - 1))
        .take(2)
        .enumerate()
        .filter(|(place, (number, _))| *place == 0 || *number > 0)
        .map(|(_, (number, unit))| format!("{number} {unit}"))
        .collect();
    parts.join(" ")
}

/// A point in time for programs: RFC 3339 in UTC, to the second.
pub fn utc(time: Timestamp) -> String {
    instant(time).to_string()
}

/// A point in time for people: local date and time, to the second.
pub fn local(time: Timestamp) -> String {
    let zoned = instant(time).to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `Timestamp` holds only years that print, so the fallback is never seen.
fn instant(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("123", 123),
            ("1K", 1024),
            ("2k", 2048),
            ("3KiB", 3072),
            ("1M", 1 << 20),
            ("1MB", 1 << 20),
            ("5G", 5 << 30),
            ("1T", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1X",
            "1 K",
            "1.5M",
            "99999999999T",
            "1KK",
            "é",
            "1é",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_positive_size("0").is_err());
    }

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("12h", 43_200),
            ("7d", 604_800),
            ("10", 10),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "0",
            "0s",
            "1w",
            "1.5s",
            "-1s",
            "99999999999999999d",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_times_and_sizes() {
        let time = Timestamp::new(1_795_194_000, 123_456_789).unwrap();
        assert_eq!(utc(time), "2026-11-20T17:00:00Z");
        assert_eq!(local(time).len(), "2026-11-20 17:00:00".len());
        for (seconds, text) in [
            (0, "0 s"),
            (5, "5 s"),
            (90, "1 min 30 s"),
            (1800, "30 min"),
            (3725, "1 h 2 min"),
            (86_405, "1 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(size(5), "5 B");
        assert_eq!(size(1536), "1.50 KiB");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
    }
}
