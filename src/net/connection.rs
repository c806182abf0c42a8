use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

use super::{FrameReader, FrameWriter, Throttle};

/// Both directions of one conversation, after the prefaces.
#[derive(Debug)]
pub struct Connection<S> {
    /// What comes in.
    pub reader: FrameReader<ReadHalf<S>>,
    /// What goes out.
    pub writer: FrameWriter<WriteHalf<S>>,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    /// Splits `stream`, so that either direction can go on while the other waits. `throttle`
    /// limits the file content in each direction.
    pub fn new(stream: S, throttle: Option<Arc<Throttle>>) -> Self {
        let (read, write) = tokio::io::split(stream);
        Connection {
            reader: FrameReader::new(read, throttle.clone()),
            writer: FrameWriter::new(write, throttle),
        }
    }

    /// The stream without frames, from behind the last one that was taken: for what is no
    /// conversation of ours any more. All that was written must have been flushed.
    pub fn into_rest(self) -> Rest<S>
    where
        S: Unpin,
    {
        let (read, first) = self.reader.into_parts();
        let stream = read.unsplit(self.writer.into_stream());
        Rest { first, stream }
    }
}

/// What follows the frames of a conversation.
#[derive(Debug)]
pub struct Rest<S> {
    /// What had arrived already.
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let bytes = self.first.len().min(buffer.remaining());
        buffer.put_slice(self.first.get(..bytes).unwrap_or_default());
        self.first.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Frame, Patience};
    use crate::protocol::frame::BodyLimits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_follows_the_last_frame_is_not_lost() {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(b"\0\0\0\x02\0xand more").await.unwrap();
        let mut connection = Connection::new(far, None);
        let limits = BodyLimits {
            message: 8,
            data: None,
        };
        let frame = connection.reader.next(limits, Patience::Listening).await;
        assert!(matches!(frame.unwrap(), Frame::Message(body) if body == "x"));
        near.write_all(b", later").await.unwrap();
        let mut rest = connection.into_rest();
        rest.write_all(b"back").await.unwrap();
        near.shutdown().await.unwrap();
        let mut read = String::new();
        rest.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "and more, later");
        drop(rest);
        let mut back = String::new();
        near.read_to_string(&mut back).await.unwrap();
        assert_eq!(back, "back");
    }
}
