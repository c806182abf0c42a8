use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout};

use super::pace::{Pace, TooSlow};
use super::{NetError, Throttle};
use crate::protocol::frame::{BodyLimits, FrameHeader, FrameKind, HEADER_BYTES};
use crate::protocol::limits::{DATA_CHUNK, MESSAGE_TIME};

/// A frame that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The body of a message.
    Message(Bytes),
    /// File content.
    Data(Bytes),
}

/// How long to wait for the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// This long for its first byte; then [`MESSAGE_TIME`] for the rest.
    Idle(Duration),
    /// As long as bytes flow at [`MIN_RATE`](crate::protocol::limits::MIN_RATE): the other side is sending a file.
    Stream,
    /// Without limit for its first byte: this side is sending, and that has a deadline of its own.
    Listening,
}

/// As good as for ever: timers cannot count much further.
const LISTENING: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads frames, allocating no more than what has arrived and the state allows.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    /// How long the next frame was waited for before its first byte came.
    idle_wait: Duration,
    /// How long the frame that has begun to arrive was waited for.
    message_wait: Duration,
    /// How fast file content comes.
    pace: Pace,
    throttle: Option<Arc<Throttle>>,
    /// Not to read any more before this time: what was read has to be paid for first.
    paused_until: Option<Instant>,
}

/// The buffer grows by at most this much ahead of what has arrived.
const GROWTH: usize = 64 * 1024;

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `stream`, file content no faster than `throttle` allows.
    pub fn new(stream: R, throttle: Option<Arc<Throttle>>) -> Self {
        FrameReader {
            stream,
            buffer: BytesMut::new(),
            idle_wait: Duration::ZERO,
            message_wait: Duration::ZERO,
            pace: Pace::default(),
            throttle,
            paused_until: None,
        }
    }

    /// The next frame, held against `limits` before it is stored.
    ///
    /// Can be dropped and called again at any time: what has arrived is kept. Errors are final:
    /// [`NetError::Closed`] between two frames, [`NetError::Cut`] inside of one, a timeout, or a
    /// frame that may not come.
    pub async fn next(
        &mut self,
        limits: BodyLimits,
        patience: Patience,
    ) -> Result<Frame, NetError> {
        loop {
            if let Some(frame) = self.take_frame(limits)? {
                self.idle_wait = Duration::ZERO;
                self.message_wait = Duration::ZERO;
                if matches!(frame, Frame::Message(_)) {
                    self.pace = Pace::default();
                }
                return Ok(frame);
            }
            self.fill(patience).await?;
        }
    }

    /// The stream, and what was read of it and not taken.
    pub(super) fn into_parts(self) -> (R, Bytes) {
        (self.stream, self.buffer.freeze())
    }

    /// Reads and drops whatever still comes, until the other side closes.
    pub async fn drain(&mut self) {
        self.buffer.clear();
        while let Ok(1..) = self.stream.read_buf(&mut self.buffer).await {
            self.buffer.clear();
        }
    }

    fn take_frame(&mut self, limits: BodyLimits) -> Result<Option<Frame>, NetError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            self.buffer.reserve(HEADER_BYTES);
            return Ok(None);
        };
        let header = FrameHeader::parse(*header, limits)?;
        let missing = (HEADER_BYTES + header.body).saturating_sub(self.buffer.len());
        if missing > 0 {
            // Room for the rest, but for no more than doubles what has arrived.
            self.buffer
                .reserve(missing.min(self.buffer.len().max(GROWTH)));
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let body = self.buffer.split_to(header.body).freeze();
        if self.buffer.is_empty() && header.body >= DATA_CHUNK {
            // The body owns this allocation; a large one is not worth sharing with what follows.
            self.buffer = BytesMut::new();
        }
        Ok(Some(match header.kind {
            FrameKind::Message => Frame::Message(body),
            FrameKind::Data => Frame::Data(body),
        }))
    }

    /// Reads once. What is waited counts even when this is dropped: somebody who looks in now and
    /// then, and does something else in between, must not wait for ever.
    async fn fill(&mut self, patience: Patience) -> Result<(), NetError> {
        if let Some(time) = self.paused_until {
            tokio::time::sleep_until(time).await;
            self.paused_until = None;
        }
        let begun = !self.buffer.is_empty();
        let (allowed, waited) = match patience {
            Patience::Stream => (self.pace.allowed(), self.pace.waited()),
            Patience::Listening if !begun => (LISTENING, &mut self.idle_wait),
            Patience::Idle(idle) if !begun => {
                (idle.saturating_sub(self.idle_wait), &mut self.idle_wait)
            }
            Patience::Idle(_) | Patience::Listening => {
                let allowed = MESSAGE_TIME.saturating_sub(self.message_wait);
                (allowed, &mut self.message_wait)
            }
        };
        if self.buffer.spare_capacity_mut().is_empty() {
            self.buffer.reserve(GROWTH);
        }
        // Throttled content is read in small steps, so that the sender sees it move all the time.
        let throttle = self
            .throttle
            .as_ref()
            .filter(|_| patience == Patience::Stream);
        let at_once = throttle.map_or(usize::MAX, |throttle| throttle.piece());
        let mut stream = (&mut self.stream).take(at_once as u64);
        let waiting = Waiting::new(waited);
        let read = timeout(allowed, stream.read_buf(&mut self.buffer)).await;
        drop(waiting);
        let bytes = match read {
            Ok(Ok(0)) if begun => return Err(NetError::Cut(unexpected_end())),
            Ok(Ok(0)) => return Err(NetError::Closed),
            // TLS without its last word. Every answer has an end of its own, so nothing that was
            // cut short is taken for whole.
            Ok(Err(error)) if !begun && error.kind() == ErrorKind::UnexpectedEof => {
                return Err(NetError::Closed);
            }
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(NetError::Cut(error)),
            Err(_) => 0,
        };
        self.paused_until = throttle.map(|throttle| throttle.received(bytes));
        match patience {
            Patience::Idle(_) | Patience::Listening if bytes == 0 => {
                Err(NetError::Timeout("nothing was heard in time"))
            }
            Patience::Idle(_) | Patience::Listening => Ok(()),
            Patience::Stream => self.pace.add(bytes as u64).map_err(|slow| {
                NetError::Timeout(match slow {
                    TooSlow::Silent => "file content stopped coming",
                    TooSlow::Slow => "file content came too slowly",
                })
            }),
        }
    }
}

/// Counts the time until it is dropped.
struct Waiting<'a> {
    total: &'a mut Duration,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn new(total: &'a mut Duration) -> Self {
        Waiting {
            total,
            since: Instant::now(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.total += self.since.elapsed();
    }
}

fn unexpected_end() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::UnexpectedEof,
        "it ended in the middle of a frame",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const LIMITS: BodyLimits = BodyLimits {
        message: 1000,
        data: Some(1_000_000),
    };
    const IDLE: Patience = Patience::Idle(Duration::from_secs(60));

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32 + 1).to_be_bytes().to_vec();
        bytes.push(kind);
        bytes.extend_from_slice(body);
        bytes
    }

    #[tokio::test]
    async fn reads_frames_from_a_tiny_pipe_even_when_dropped_in_between() {
        let (mut near, far) = tokio::io::duplex(3);
        let mut reader = FrameReader::new(far, None);
        let sender = tokio::spawn(async move {
            let bytes = [frame(0, b"hello"), frame(1, &[7; 100]), frame(0, b"")].concat();
            near.write_all(&bytes).await.unwrap();
        });
        let mut frames = Vec::new();
        while frames.len() < 3 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                next = reader.next(LIMITS, IDLE) => frames.push(next.unwrap()),
            }
        }
        sender.await.unwrap();
        assert_eq!(frames[0], Frame::Message(Bytes::from_static(b"hello")));
        assert_eq!(frames[1], Frame::Data(Bytes::from(vec![7; 100])));
        assert_eq!(frames[2], Frame::Message(Bytes::new()));
        assert!(matches!(
            reader.next(LIMITS, IDLE).await,
            Err(NetError::Closed)
        ));
    }

    #[tokio::test]
    async fn a_lying_length_is_refused_before_it_is_stored() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far, None);
        near.write_all(&[0xff, 0xff, 0xff, 0xff, 0]).await.unwrap();
        let refused = reader.next(LIMITS, IDLE).await;
        assert!(matches!(refused, Err(NetError::Frame(_))));
        assert!(reader.buffer.capacity() <= GROWTH + HEADER_BYTES);
    }

    #[tokio::test]
    async fn the_buffer_grows_with_what_arrived() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let mut reader = FrameReader::new(far, None);
        near.write_all(&[0, 0x0f, 0x42, 0x41, 1, 1, 2, 3])
            .await
            .unwrap();
        drop(near);
        let cut = reader.next(LIMITS, IDLE).await;
        assert!(matches!(cut, Err(NetError::Cut(_))));
        assert!(reader.buffer.capacity() <= 4 * GROWTH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripped_message_runs_out_of_time() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far, None);
        let dripping = tokio::spawn(async move {
            for byte in frame(0, &[0; 500]) {
                if near.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let started = Instant::now();
        let result = reader.next(LIMITS, IDLE).await;
        assert!(matches!(result, Err(NetError::Timeout(_))));
        let waited = started.elapsed();
        assert!(
            waited <= MESSAGE_TIME + Duration::from_secs(2),
            "{waited:?}"
        );
        drop(reader);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_looks_in_now_and_then_does_not_wait_for_ever() {
        for begun in [&b""[..], &[0, 0, 0, 9, 0, 1]] {
            let (mut near, far) = tokio::io::duplex(64);
            near.write_all(begun).await.unwrap();
            let mut reader = FrameReader::new(far, None);
            let started = Instant::now();
            let ended = loop {
                tokio::select! {
                    next = reader.next(LIMITS, Patience::Idle(MESSAGE_TIME)) => break next,
                    () = tokio::time::sleep(Duration::from_secs(5)) => {}
                }
            };
            assert!(matches!(ended, Err(NetError::Timeout(_))));
            let waited = started.elapsed();
            assert!(
                waited <= MESSAGE_TIME + Duration::from_secs(6),
                "{waited:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stops_is_given_up_after_one_window_wherever_it_stops() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let mut reader = FrameReader::new(far, None);
        near.write_all(&frame(1, &[0; 100_000])).await.unwrap();
        reader.next(LIMITS, Patience::Stream).await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            near.write_all(&frame(1, &[0; 100_000])).await.unwrap();
            std::future::pending::<()>().await;
        });
        let started = Instant::now();
        reader.next(LIMITS, Patience::Stream).await.unwrap();
        let stopped = reader.next(LIMITS, Patience::Stream).await;
        assert!(matches!(stopped, Err(NetError::Timeout(_))));
        let waited = started.elapsed();
        assert!(waited <= Duration::from_secs(51), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_reader_keeps_the_rate_even_when_dropped_in_between() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let throttle = Arc::new(Throttle::new(100_000));
        let mut reader = FrameReader::new(far, Some(throttle));
        let sender = tokio::spawn(async move {
            for _ in 0..10 {
                near.write_all(&frame(1, &[0; 100_000])).await.unwrap();
            }
            near
        });
        let started = Instant::now();
        let mut frames = 0;
        while frames < 10 {
            tokio::select! {
                next = reader.next(LIMITS, Patience::Stream) => {
                    next.unwrap();
                    frames += 1;
                }
                () = tokio::time::sleep(Duration::from_millis(70)) => {}
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!((9.0..=10.5).contains(&seconds), "{seconds}");
        drop(sender.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_below_the_least_rate_is_given_up_and_one_above_it_is_not() {
        for (interval, good) in [
            (Duration::from_secs(9), false),
            (Duration::from_millis(50), true),
        ] {
            let (mut near, far) = tokio::io::duplex(1 << 16);
            let mut reader = FrameReader::new(far, None);
            let sender = tokio::spawn(async move {
                for _ in 0..1500 {
                    if near.write_all(&frame(1, &[0; 100])).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(interval).await;
                }
            });
            let mut result = Ok(());
            for _ in 0..1500 {
                if let Err(error) = reader.next(LIMITS, Patience::Stream).await {
                    result = Err(error);
                    break;
                }
            }
            assert_eq!(result.is_ok(), good, "{result:?}");
            drop(reader);
            sender.await.unwrap();
        }
    }
}
