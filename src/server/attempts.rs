use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::turns::{Turn, Turns};

/// For how long a failed login counts.
const MEMORY: Duration = Duration::from_secs(60);

/// How long an answer waits after so many failed logins (contract section 7): the first three are
/// anybody's mistakes.
const WAITS: [Duration; 9] = [
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];

/// How many sources are remembered that have no login under way.
const MAX_SOURCES: usize = 4096;

/// The failed logins of the last minute, by where they came from. Bounded: when it is full, the
/// one that has been quiet for longest is forgotten.
#[derive(Default)]
pub(super) struct Attempts {
    sources: Mutex<HashMap<Key, Arc<Source>>>,
}

/// What counts as one place: an IPv4 address, or an IPv6 network of the size that one household
/// gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    V4(Ipv4Addr),
    V6([u16; 4]),
    /// A stream that has no address.
    Pipe,
}

/// One place that logins come from.
#[derive(Default)]
pub(super) struct Source {
    /// Taken while a password from there is checked.
    turns: Turns,
    failures: Mutex<VecDeque<Instant>>,
}

impl Attempts {
    /// The place that `address` belongs to.
    pub(super) fn source(&self, address: Option<SocketAddr>) -> Arc<Source> {
        let mut sources = self.sources.lock().unwrap_or_else(|e| e.into_inner());
        let key = Key::of(address);
        if let Some(source) = sources.get(&key) {
            return source.clone();
        }
        if sources.len() >= MAX_SOURCES {
            sources.retain(|_, source| Arc::strong_count(source) > 1 || source.failures() > 0);
        }
        if sources.len() >= MAX_SOURCES {
            let idle = sources.iter().filter(|(_, s)| Arc::strong_count(s) == 1);
            let quiet = idle.min_by_key(|(_, source)| source.last_failure());
            if let Some(quiet) = quiet.map(|(key, _)| *key) {
                sources.remove(&quiet);
            }
        }
        sources.entry(key).or_default().clone()
    }
}

impl Source {
    /// Waits for its turn to have a password checked.
    pub(super) async fn turn(&self) -> Turn {
        self.turns.take().await
    }

    /// Notes a failed login.
    pub(super) fn failed(&self) {
        let mut failures = self.failures.lock().unwrap_or_else(|e| e.into_inner());
        // More do not make it worse.
        if failures.len() + 1 == WAITS.len() {
            failures.pop_front();
        }
        failures.push_back(Instant::now());
    }

    /// How long an answer to it has to wait now.
    pub(super) fn wait(&self) -> Duration {
        WAITS.get(self.failures()).copied().unwrap_or_default()
    }

    /// The failed logins of the last minute, as far as they are counted.
    fn failures(&self) -> usize {
        let failures = self.failures.lock().unwrap_or_else(|e| e.into_inner());
        let recent = failures.iter().filter(|time| time.elapsed() < MEMORY);
        recent.count()
    }

    fn last_failure(&self) -> Option<Instant> {
        let failures = self.failures.lock().unwrap_or_else(|e| e.into_inner());
        failures.back().copied()
    }
}

impl Key {
    fn of(address: Option<SocketAddr>) -> Self {
        match address.map(|address| address.ip().to_canonical()) {
            None => Key::Pipe,
            Some(IpAddr::V4(address)) => Key::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Key::V6([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 5000))
    }

    #[tokio::test(start_paused = true)]
    async fn the_fourth_failure_within_a_minute_waits_and_later_ones_longer() {
        let attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            let source = attempts.source(at("192.0.2.1"));
            source.failed();
            waits.push(source.wait().as_millis());
        }
        assert_eq!(waits[..8], [0, 0, 0, 500, 1000, 2000, 4000, 5000]);
        assert!(waits[8..].iter().all(|wait| *wait == 5000));
        assert_eq!(attempts.source(at("192.0.2.2")).wait(), Duration::ZERO);
        tokio::time::advance(MEMORY).await;
        let source = attempts.source(at("192.0.2.1"));
        assert_eq!(source.wait(), Duration::ZERO);
        source.failed();
        assert_eq!(source.wait(), Duration::ZERO);
    }

    #[test]
    fn a_household_is_one_place() {
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::1", "127.0.0.1", false),
        ] {
            assert_eq!(
                Key::of(at(one)) == Key::of(at(other)),
                same,
                "{one} {other}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_keeps_whoever_is_at_it() {
        let attempts = Attempts::default();
        let size = || attempts.sources.lock().unwrap().len();
        let busy = attempts.source(at("192.0.2.1"));
        for number in 0..10_000u32 {
            let address = Ipv4Addr::from(0x0a00_0000 + number);
            attempts.source(Some((address, 1).into())).failed();
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(size() <= MAX_SOURCES);
        }
        // The latest ones and the one in use are still known.
        assert!(Arc::ptr_eq(&busy, &attempts.source(at("192.0.2.1"))));
        assert_eq!(attempts.source(at("10.0.39.15")).failures(), 1);
        tokio::time::advance(MEMORY).await;
        attempts.source(at("192.0.2.9"));
        assert_eq!(size(), 2);
    }
}
