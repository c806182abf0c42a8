use std::time::Duration;

/// How long a byte takes, on average over the last megabytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    bytes: f64,
    seconds: f64,
}

/// What came before so many bytes counts half.
const MEMORY: f64 = 4.0 * 1024.0 * 1024.0;

impl Rate {
    /// So many bytes took so long.
    pub fn add(&mut self, bytes: usize, time: Duration) {
        self.bytes += bytes as f64;
        self.seconds += time.as_secs_f64();
        if self.bytes > MEMORY {
            self.bytes /= 2.0;
            self.seconds /= 2.0;
        }
    }

    /// The seconds that one byte takes, when so many were seen as are needed to tell.
    pub fn seconds_per_byte(&self, needed: usize) -> Option<f64> {
        (self.bytes >= needed.max(1) as f64).then_some(self.seconds / self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_the_last_megabytes() {
        let mut rate = Rate::default();
        assert_eq!(rate.seconds_per_byte(0), None);
        rate.add(1000, Duration::from_secs(1));
        assert_eq!(rate.seconds_per_byte(1001), None);
        assert_eq!(rate.seconds_per_byte(1000), Some(0.001));
        for _ in 0..50 {
            rate.add(1 << 20, Duration::from_millis(1));
        }
        let now = rate.seconds_per_byte(0).unwrap() * f64::from(1 << 20);
        assert!((0.001..0.002).contains(&now), "{now}");
    }
}
