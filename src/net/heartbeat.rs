use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::protocol::limits::ALIVE_INTERVAL;

/// Ticks when the other side, which waits, should hear that this one is still there. Reset it
/// whenever something else was said.
pub fn heartbeat() -> Interval {
    let mut heartbeat = interval(ALIVE_INTERVAL);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick of an interval is at once.
    heartbeat.reset();
    heartbeat
}
