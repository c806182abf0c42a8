use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

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
}
