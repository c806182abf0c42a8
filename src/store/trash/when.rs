use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::types::Timestamp;

/// How a time is written: all of the same length, so that names sort as times do.
const FORMAT: &str = "%Y%m%dT%H%M%S%.9fZ";

/// When something came into the trash, which is also the name of its folder there, such as
/// `20261121T081244.123456789Z`: in UTC, and no two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct When(Timestamp);

impl When {
    /// The time `now`, or the next one after `last` when the clock has not gone on since.
    pub(in crate::store) fn after(last: Option<When>, now: Timestamp) -> When {
        match last {
            Some(last) if last.0 >= now => last.next(),
            _ => When(now),
        }
    }

    fn next(self) -> When {
        let (seconds, nanoseconds) = match self.0.nanoseconds() {
            999_999_999 => (self.0.seconds().saturating_add(1), 0),
            nanoseconds => (self.0.seconds(), nanoseconds + 1),
        };
        When(Timestamp::new(seconds, nanoseconds).unwrap_or(self.0))
    }

    /// The time itself.
    pub(in crate::store) fn time(self) -> Timestamp {
        self.0
    }

    /// The name of its folder.
    pub(in crate::store) fn leaf(self) -> String {
        let nanoseconds = i32::try_from(self.0.nanoseconds()).unwrap_or(0);
        let instant = jiff::Timestamp::new(self.0.seconds(), nanoseconds)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let civil = TimeZone::UTC.to_datetime(instant);
        civil.strftime(FORMAT).to_string()
    }

    /// The time that a folder is named after; `None` when somebody else made it.
    pub(in crate::store) fn parse(leaf: &str) -> Option<When> {
        let instant = DateTime::strptime(FORMAT, leaf)
            .and_then(|civil| TimeZone::UTC.to_timestamp(civil))
            .ok()?;
        // Before 1970 the library counts its nanoseconds downwards.
        let nanoseconds = instant.as_nanosecond();
        let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
        let below = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
        let when = When(Timestamp::new(seconds, below)?);
        (when.leaf() == leaf).then_some(when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_times_and_sort_like_them() {
        let time = Timestamp::new(1_795_248_764, 123_456_789).unwrap();
        let when = When::after(None, time);
        assert_eq!(when.leaf(), "20261121T081244.123456789Z");
        assert_eq!(When::parse(&when.leaf()), Some(when));
        for nanoseconds in [0, 1, 100, 999_999_999] {
            let when = When(Timestamp::new(1_795_248_764, nanoseconds).unwrap());
            assert_eq!(When::parse(&when.leaf()), Some(when));
            assert!(when.leaf() < when.next().leaf());
            assert_eq!(when.leaf().len(), when.next().leaf().len());
        }
        for strange in [
            "",
            "x",
            "20261121T081244Z",
            "20261121T081244.1Z",
            "d41d8cd9",
        ] {
            assert_eq!(When::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_makes_no_two_equal() {
        let now = Timestamp::new(1_795_248_764, 5).unwrap();
        let first = When::after(None, now);
        let second = When::after(Some(first), now);
        let third = When::after(Some(second), Timestamp::new(0, 0).unwrap());
        assert!(first < second && second < third);
    }
}
