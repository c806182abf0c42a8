use std::time::Duration;

use crate::net::Rate;
use crate::types::Compression;

/// Whether compressing makes a transfer faster, judged by what everything takes: no clock, no name
/// of a file.
///
/// Reading, hashing and compressing go on while what came before is on the wire. So compressing
/// costs nothing as long as all three together are faster than the wire takes the same bytes, and
/// whatever gets smaller by it is gain. What it cannot see is who makes the wire slow: where the
/// other side is slow itself, compressed content is only more work for it. So where all goes fast
/// enough for that, some is sent as it is now and then, and what was faster goes on.
#[derive(Debug)]
pub(super) struct Gauge {
    mode: Compression,
    /// What reading and hashing take, and what compressing takes.
    reading: Rate,
    compressing: Rate,
    /// What sending took on the whole, compressed and as it is.
    packed: Rate,
    plain: Rate,
    /// How much is still to go compressed before both are compared, or as it is, and whether that
    /// is to compare.
    packed_left: usize,
    plain_left: usize,
    comparing: bool,
    /// How often they were compared.
    compared: u32,
}

/// What one hop of a transfer took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Took {
    /// How many bytes of files it read, and how long reading and hashing them took.
    pub(super) bytes: usize,
    pub(super) reading: Duration,
    /// How many of them it tried to compress, and how long that took.
    pub(super) tried: usize,
    pub(super) compressing: Duration,
    /// Whether it was to compress.
    pub(super) packs: bool,
}

/// What is to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Nothing.
    Nothing,
    /// Pieces of at least so many bytes, which have to get smaller by an eighth.
    From(usize),
    /// Whatever gets smaller.
    All,
}

/// So much has to be written before it is known how fast the wire is: the first of it disappears in
/// buffers.
const KNOWN_WIRE: usize = 512 * 1024;

/// Compressing must leave so much of the wire's time: what it gains is an eighth at least.
const MARGIN: f64 = 0.85;

/// What compressing takes as long as that was not measured: 250 MB/s.
const ASSUMED: f64 = 4e-9;

/// What a wire with room for nothing takes in smaller pieces than this is not worth a look.
const LEAST: usize = 256;

/// The same while the wire is not known: below this a piece is gone in an instant on most of them.
const LEAST_UNKNOWN: usize = 16 * 1024;

/// A wire that takes more than this (125 MB/s, a gigabit a second) is left alone: what there is to
/// gain is less than what compressing costs where processors are busy.
const FAST: f64 = 1.0 / 125e6;

/// Where files go faster than this (64 MB/s) the other side may be what is slow.
const SUSPECT: f64 = 1.0 / 64e6;

/// How much is sent compressed before it is first compared.
const COMPARE_FIRST: usize = 1 << 20;

/// How much goes the faster way before both are compared again, twice as much each time: some more
/// where compressing was the faster one, for there comparing costs the most.
const PLAIN_FIRST: usize = 64 << 20;
const PACKED_FIRST: usize = 512 << 20;

/// How much is sent as it is to compare, and how much of that is still behind compressed content.
const COMPARED: usize = 2 << 20;
const BEHIND: usize = 1 << 20;

/// Less than this takes a moment that says nothing of the wire.
const MIN_HOP: usize = 64 * 1024;

impl Gauge {
    pub(super) fn new(mode: Compression) -> Self {
        Gauge {
            mode,
            reading: Rate::default(),
            compressing: Rate::default(),
            packed: Rate::default(),
            plain: Rate::default(),
            packed_left: COMPARE_FIRST,
            plain_left: 0,
            comparing: false,
            compared: 0,
        }
    }

    /// Whether it is not known yet how fast the wire is, so that as little as possible should be
    /// decided at once.
    pub(super) fn is_new(wire: Rate) -> bool {
        wire.seconds_per_byte(KNOWN_WIRE).is_none()
    }

    /// What to compress of what is read next, on a wire that is that fast.
    pub(super) fn packing(&self, wire: Rate) -> Packing {
        match self.mode {
            Compression::Never => Packing::Nothing,
            Compression::Always => Packing::All,
            Compression::Auto => match wire.seconds_per_byte(KNOWN_WIRE) {
                // It may be slow, and then it matters; if it is not, a moment is lost once.
                None => Packing::From(LEAST_UNKNOWN),
                Some(wire) if wire < FAST || self.plain_left > 0 => Packing::Nothing,
                Some(wire) => {
                    let reading = self.reading.seconds_per_byte(0).unwrap_or(0.0);
                    let compressing = self.compressing.seconds_per_byte(0).unwrap_or(ASSUMED);
                    match reading + compressing < MARGIN * wire {
                        true => Packing::From(LEAST),
                        false => Packing::Nothing,
                    }
                }
            },
        }
    }

    /// Notes what reading and compressing took, and how much time went by until all of it was sent.
    pub(super) fn note(&mut self, took: Took, sending: Duration) {
        self.reading.add(took.bytes, took.reading);
        self.compressing.add(took.tried, took.compressing);
        if took.packs {
            self.packed.add(took.bytes, sending);
            self.packed_left = self.packed_left.saturating_sub(took.bytes);
            let is_fast = self.packed.seconds_per_byte(1) < Some(SUSPECT);
            if self.packed_left == 0 && is_fast {
                self.plain = Rate::default();
                self.plain_left = COMPARED;
                self.comparing = true;
            }
        } else if self.plain_left > 0 {
            if self.plain_left <= COMPARED - BEHIND {
                self.plain.add(took.bytes, sending);
            }
            self.plain_left = self.plain_left.saturating_sub(took.bytes.max(1));
            // Nobody but the wire is so slow.
            let is_slow = sending.as_secs_f64() > 2.0 * SUSPECT * took.bytes.max(MIN_HOP) as f64;
            if is_slow {
                self.plain_left = 0;
            }
            if self.plain_left == 0 && self.comparing {
                self.compare(is_slow);
            }
        }
    }

    /// Both ways were tried: the faster one goes on, and is tried again the later the more often it
    /// was the faster one.
    fn compare(&mut self, is_slow: bool) {
        self.comparing = false;
        let plain = self.plain.seconds_per_byte(1);
        let packed = self.packed.seconds_per_byte(1);
        let longer = |bytes: usize| bytes.saturating_mul(1 << self.compared.min(10));
        if let (Some(plain), Some(packed)) = (plain, packed)
            && packed > MARGIN * plain
            && !is_slow
        {
            self.plain_left = longer(PLAIN_FIRST);
            self.packed_left = COMPARE_FIRST;
        } else {
            self.packed_left = longer(PACKED_FIRST);
        }
        self.packed = Rate::default();
        self.compared += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// A transfer in hops of 1 MiB over a wire and to a receiver of such rates, in MB/s. Reading
    /// and hashing do 600, compressing 360, and content becomes a third.
    struct Transfer {
        gauge: Gauge,
        wire: Rate,
        seconds: f64,
        crossed: usize,
    }

    impl Transfer {
        fn new(mode: Compression) -> Self {
            Transfer {
                gauge: Gauge::new(mode),
                wire: Rate::default(),
                seconds: 0.0,
                crossed: 0,
            }
        }

        fn send(&mut self, mebibytes: usize, wire: f64, receiver: f64) -> &mut Self {
            let mut left = mebibytes * MIB;
            while left > 0 {
                let size = if Gauge::is_new(self.wire) {
                    MIB / 4
                } else {
                    MIB
                };
                let size = size.min(left);
                left -= size;
                let packs = self.gauge.packing(self.wire) != Packing::Nothing;
                let takes = |rate: f64| size as f64 / (rate * 1e6);
                let reading = takes(600.0);
                let compressing = if packs { takes(360.0) } else { 0.0 };
                let crossing = if packs { size / 3 } else { size };
                let expanding = if packs { takes(1200.0) } else { 0.0 };
                let on_wire =
                    (takes(wire) * crossing as f64 / size as f64).max(takes(receiver) + expanding);
                let sending = on_wire.max(reading + compressing);
                self.wire.add(crossing, Duration::from_secs_f64(on_wire));
                let took = Took {
                    bytes: size,
                    reading: Duration::from_secs_f64(reading),
                    tried: if packs { size } else { 0 },
                    compressing: Duration::from_secs_f64(compressing),
                    packs,
                };
                self.gauge.note(took, Duration::from_secs_f64(sending));
                self.seconds += sending;
                self.crossed += crossing;
            }
            self
        }
    }

    fn seconds(mode: Compression, mebibytes: usize, wire: f64, receiver: f64) -> f64 {
        Transfer::new(mode).send(mebibytes, wire, receiver).seconds
    }

    #[test]
    fn it_is_never_slower_than_the_better_way_by_more_than_a_moment() {
        for wire in [0.1, 1.0, 12.0, 50.0, 120.0, 200.0, 300.0, 1200.0, 3000.0] {
            for receiver in [50.0, 100.0, 200.0, 500.0, 2000.0] {
                for mebibytes in [1, 16, 256, 2048] {
                    let of = |mode| seconds(mode, mebibytes, wire, receiver);
                    let (auto, plain) = (of(Compression::Auto), of(Compression::Never));
                    let moment = 0.005;
                    assert!(
                        auto <= plain * 1.07 + moment,
                        "{mebibytes} MiB at {wire} to {receiver}: {auto} against {plain}"
                    );
                    let best = plain.min(of(Compression::Always));
                    let compared = seconds(Compression::Never, 3, wire, receiver);
                    assert!(
                        auto <= best * 1.2 + compared + moment,
                        "{mebibytes} MiB at {wire} to {receiver}: {auto} where {best} can be had"
                    );
                }
            }
        }
    }

    #[test]
    fn a_slow_wire_carries_less_from_the_first_byte() {
        let mut slow = Transfer::new(Compression::Auto);
        assert!(slow.send(10, 1.0, 500.0).crossed <= 10 * MIB / 3);
        let mut fast = Transfer::new(Compression::Auto);
        assert!(fast.send(256, 2000.0, 600.0).crossed >= 254 * MIB);
    }

    #[test]
    fn it_follows_a_wire_that_changes() {
        let mut transfer = Transfer::new(Compression::Auto);
        transfer.send(50, 2000.0, 600.0);
        transfer.crossed = 0;
        transfer.send(50, 5.0, 600.0);
        assert!(transfer.crossed < 25 * MIB, "{}", transfer.crossed);
        transfer.crossed = 0;
        transfer.send(200, 2000.0, 600.0);
        assert!(transfer.crossed > 150 * MIB, "{}", transfer.crossed);
    }

    #[test]
    fn who_has_decided_is_obeyed() {
        let mut wire = Rate::default();
        for _ in 0..3 {
            assert_eq!(
                Gauge::new(Compression::Never).packing(wire),
                Packing::Nothing
            );
            assert_eq!(Gauge::new(Compression::Always).packing(wire), Packing::All);
            wire.add(MIB, Duration::from_secs(1));
        }
    }
}
