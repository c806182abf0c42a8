use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::pace::Pace;
use super::{NetError, Throttle};
use crate::protocol::codec;
use crate::protocol::frame::{FrameHeader, FrameKind, HEADER_BYTES};
use crate::protocol::limits::RATE_WINDOW;

/// Writes frames: small ones are gathered, large ones go out as they are.
///
/// Nothing is sure to have left before [`FrameWriter::flush`]. After the future of one of its
/// methods was dropped, or failed, half a frame may have left: to be used again only when it
/// [is whole](FrameWriter::is_whole).
#[derive(Debug)]
pub struct FrameWriter<W> {
    stream: W,
    buffer: Vec<u8>,
    throttle: Option<Arc<Throttle>>,
    whole: bool,
    /// How long the other side may take nothing at all.
    patience: Duration,
}

/// What is gathered at most before it is written.
const GATHER: usize = 64 * 1024;

/// Data frames up to this size are copied beside their neighbours; larger ones are not copied.
const COPY: usize = 16 * 1024;

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `stream`, file content no faster than `throttle` allows.
    pub fn new(stream: W, throttle: Option<Arc<Throttle>>) -> Self {
        FrameWriter {
            stream,
            buffer: Vec::new(),
            throttle,
            whole: true,
            patience: RATE_WINDOW,
        }
    }

    /// From now on the other side is given up sooner when it takes nothing at all.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Whether all that has left are whole frames and what is gathered follows them, so that the
    /// other side will understand another one.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Writes a message frame. `limit` is the body's largest size, in bytes; a message over it is
    /// refused with [`NetError::Codec`] and nothing of it is written.
    pub async fn message<M: Serialize>(
        &mut self,
        message: &M,
        limit: usize,
    ) -> Result<(), NetError> {
        let start = self.buffer.len();
        self.buffer.resize(start + HEADER_BYTES, 0);
        if let Err(error) = codec::encode(message, &mut self.buffer, limit) {
            self.buffer.truncate(start);
            return Err(error.into());
        }
        let header = FrameHeader {
            kind: FrameKind::Message,
            body: self.buffer.len() - start - HEADER_BYTES,
        };
        if let Some(room) = self.buffer.get_mut(start..start + HEADER_BYTES) {
            room.copy_from_slice(&header.to_bytes());
        }
        self.flush_if_full().await
    }

    /// Writes a data frame.
    pub async fn data(&mut self, body: &[u8]) -> Result<(), NetError> {
        let header = FrameHeader {
            kind: FrameKind::Data,
            body: body.len(),
        };
        self.buffer.extend_from_slice(&header.to_bytes());
        if let Some(throttle) = self.throttle.clone() {
            for piece in body.chunks(throttle.piece()) {
                self.whole = false;
                throttle.sending(piece.len()).await;
                self.write_out(piece).await?;
            }
            return Ok(());
        }
        if body.len() > COPY {
            return self.write_out(body).await;
        }
        self.buffer.extend_from_slice(body);
        self.flush_if_full().await
    }

    /// The stream, without what was gathered and not written.
    pub(super) fn into_stream(self) -> W {
        self.stream
    }

    /// Writes out all that was gathered.
    pub async fn flush(&mut self) -> Result<(), NetError> {
        if !self.buffer.is_empty() {
            self.write_out(&[]).await?;
        }
        self.stream.flush().await.map_err(NetError::Cut)
    }

    /// Says that nothing more will come.
    pub async fn shutdown(&mut self) -> Result<(), NetError> {
        self.flush().await?;
        self.stream.shutdown().await.map_err(NetError::Cut)
    }

    async fn flush_if_full(&mut self) -> Result<(), NetError> {
        if self.buffer.len() >= GATHER {
            self.write_out(&[]).await?;
        }
        Ok(())
    }

    /// Writes what was gathered and then `body`, as long as the other side takes it at
    /// [`MIN_RATE`].
    async fn write_out(&mut self, body: &[u8]) -> Result<(), NetError> {
        let mut gathered = self.buffer.as_slice();
        let mut body = body;
        let mut pace = Pace::default();
        self.whole = false;
        while !(gathered.is_empty() && body.is_empty()) {
            let slices = [IoSlice::new(gathered), IoSlice::new(body)];
            let started = Instant::now();
            let allowed = pace.allowed().min(self.patience);
            let written = match timeout(allowed, self.stream.write_vectored(&slices)).await {
                Ok(Ok(0)) => return Err(NetError::Cut(std::io::ErrorKind::WriteZero.into())),
                Ok(Ok(written)) => written,
                Ok(Err(error)) => return Err(NetError::Cut(error)),
                Err(_) if allowed == self.patience => return Err(stopped()),
                Err(_) => 0,
            };
            *pace.waited() += started.elapsed();
            pace.add(written as u64).map_err(|_| stopped())?;
            let from_gathered = written.min(gathered.len());
            gathered = gathered.get(from_gathered..).unwrap_or_default();
            body = body.get(written - from_gathered..).unwrap_or_default();
        }
        self.whole = true;
        self.buffer.clear();
        // A page may have made it large; a quiet connection keeps little.
        self.buffer.shrink_to(GATHER);
        Ok(())
    }
}

fn stopped() -> NetError {
    NetError::Timeout("the other side stopped reading")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::net::{Frame, FrameReader, Patience};
    use crate::protocol::frame::BodyLimits;

    #[tokio::test]
    async fn what_is_written_is_read_over_a_tiny_pipe() {
        let (near, far) = tokio::io::duplex(8);
        let sent = tokio::spawn(async move {
            let mut writer = FrameWriter::new(near, None);
            writer.message(&7u32, 100).await.unwrap();
            writer.data(&[1; 10]).await.unwrap();
            writer.data(&vec![2; 3 * COPY]).await.unwrap();
            assert!(writer.message(&[0u64; 32], 100).await.is_err());
            writer.message(&8u32, 100).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut reader = FrameReader::new(far, None);
        let mut frames = Vec::new();
        let patience = Patience::Idle(Duration::from_secs(5));
        while let Ok(frame) = reader.next(BodyLimits::WIDEST, patience).await {
            frames.push(frame);
        }
        sent.await.unwrap();
        assert_eq!(frames.len(), 4);
        assert!(matches!(&frames[0], Frame::Message(body) if body[..] == 7u32.to_le_bytes()));
        assert!(matches!(&frames[1], Frame::Data(body) if body[..] == [1; 10]));
        assert!(matches!(&frames[2], Frame::Data(body) if body[..] == vec![2; 3 * COPY]));
        assert!(matches!(&frames[3], Frame::Message(body) if body[..] == 8u32.to_le_bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn knows_whether_half_a_frame_has_left() {
        for throttle in [None, Some(Arc::new(Throttle::new(100_000)))] {
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            let mut writer = FrameWriter::new(near, throttle);
            writer.message(&7u32, 100).await.unwrap();
            writer.data(&[1; 20_000]).await.unwrap();
            assert!(writer.is_whole());
            let half = timeout(Duration::from_secs(1), writer.data(&[2; 1 << 20]));
            assert!(half.await.is_err());
            assert!(!writer.is_whole());
            drop(writer);
            tokio::io::copy(&mut far, &mut tokio::io::sink())
                .await
                .unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_is_given_up() {
        let (near, _far) = tokio::io::duplex(64);
        let mut writer = FrameWriter::new(near, None);
        let result = writer.data(&vec![0; 1 << 20]).await;
        assert!(matches!(result, Err(NetError::Timeout(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_is_given_up_after_one_window_however_much_it_took_before() {
        let (near, _far) = tokio::io::duplex(500_000);
        let mut writer = FrameWriter::new(near, None);
        let started = Instant::now();
        let result = writer.data(&vec![0; 1 << 20]).await;
        assert!(matches!(result, Err(NetError::Timeout(_))));
        let waited = started.elapsed();
        assert!(waited <= Duration::from_secs(31), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_stream_takes_its_time() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut writer = FrameWriter::new(near, Some(Arc::new(Throttle::new(100_000))));
        let drain =
            tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
        let started = Instant::now();
        for _ in 0..10 {
            writer.data(&[0; 100_000]).await.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!((9.0..=10.5).contains(&seconds), "{seconds}");
        writer.shutdown().await.unwrap();
        drop(writer);
        drain.await.unwrap().unwrap();
    }
}
