use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// A limit on bytes per second, each way, shared by everything that holds it (`--limit-rate`).
///
/// A token bucket for each direction that may be overdrawn: who takes bytes waits until the debt
/// before them is paid, so that waiting is fair and the rate holds on average.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    sent: Debt,
    received: Debt,
}

/// When everything taken so far will have been paid for. No await happens under the lock.
#[derive(Debug)]
struct Debt(Mutex<Instant>);

impl Throttle {
    /// The lowest limit, in bytes per second: below it the other side would give the stream up.
    pub const LEAST: u64 = 4 * 1024;

    /// A limit of `bytes_per_second`, raised to [`Throttle::LEAST`].
    pub fn new(bytes_per_second: u64) -> Self {
        Throttle {
            bytes_per_second: bytes_per_second.max(Self::LEAST),
            sent: Debt(Mutex::new(Instant::now())),
            received: Debt(Mutex::new(Instant::now())),
        }
    }

    /// How many bytes to take at once, so that they flow rather than jump: an eighth of a second.
    pub fn piece(&self) -> usize {
        usize::try_from(self.bytes_per_second / 8).unwrap_or(usize::MAX)
    }

    /// Waits until so many bytes may be sent: all that was sent before is paid for then.
    pub async fn sending(&self, bytes: usize) {
        let paid_at = self.sent.grow(self.price(bytes));
        tokio::time::sleep_until(paid_at).await;
    }

    /// Notes that so many bytes have come; the caller owes it to the others to read no more before
    /// the time that is returned.
    pub fn received(&self, bytes: usize) -> Instant {
        self.received.grow(self.price(bytes))
    }

    fn price(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }
}

impl Debt {
    /// Returns when what was owed before is paid.
    fn grow(&self, price: Duration) -> Instant {
        let mut paid_at = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let start = (*paid_at).max(Instant::now());
        *paid_at = start + price;
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn holds_the_rate_on_average_for_all_who_share_it() {
        let throttle = std::sync::Arc::new(Throttle::new(100_000));
        let start = Instant::now();
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let throttle = throttle.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        throttle.sending(10_000).await;
                    }
                })
            })
            .collect();
        for taker in takers {
            taker.await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((3.8..=4.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_takes_nothing_from_what_goes() {
        let throttle = Throttle::new(100_000);
        let start = Instant::now();
        throttle.received(1_000_000);
        throttle.sending(100_000).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        throttle.sending(1).await;
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!((throttle.received(1) - start).as_secs(), 10);
    }
}
