use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time to the nanosecond, counted from the Unix epoch in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// The time `seconds` and `nanoseconds` after the epoch, or `None` when `nanoseconds` is a
    /// second or more, or the year is outside 0001 to 9999 (what RFC 3339 can print).
    pub fn new(seconds: i64, nanoseconds: u32) -> Option<Self> {
        const YEAR_1: i64 = -62_135_596_800;
        const YEAR_9999_ENDS: i64 = 253_402_300_799;
        // A day of margin at both ends, so that a printer may shift to any time zone.
        let printable = YEAR_1 + 86_400..=YEAR_9999_ENDS - 86_400;
        (nanoseconds < 1_000_000_000 && printable.contains(&seconds)).then_some(Timestamp {
            seconds,
            nanoseconds,
        })
    }

    /// Whole seconds since the epoch, negative before it.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds past [`seconds`](Self::seconds), below 1,000,000,000.
    pub fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// Nanoseconds since the epoch, as file systems and the index compare them.
    pub fn total_nanoseconds(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

/// A time that cannot be printed becomes the epoch: it is only ever shown and compared.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let parts = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (
                i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                after.subsec_nanos(),
            ),
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |s| -s);
                match before.subsec_nanos() {
                    0 => (seconds, 0),
                    nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
                }
            }
        };
        Timestamp::new(parts.0, parts.1).unwrap_or(Timestamp {
            seconds: 0,
            nanoseconds: 0,
        })
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let whole = Duration::from_secs(time.seconds.unsigned_abs());
        let base = if time.seconds >= 0 {
            UNIX_EPOCH + whole
        } else {
            UNIX_EPOCH - whole
        };
        base + Duration::from_nanos(time.nanoseconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn survives_the_system_clock_s_type(seconds in -62_135_000_000i64..253_402_000_000, nanos in 0u32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanos).unwrap();
            prop_assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn refuses_what_cannot_be_printed() {
        assert_eq!(Timestamp::new(0, 1_000_000_000), None);
        assert_eq!(Timestamp::new(i64::MAX, 0), None);
        assert_eq!(Timestamp::new(i64::MIN, 0), None);
    }
}
