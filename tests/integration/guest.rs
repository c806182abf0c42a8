//! A conversation with a running server by somebody who controls every byte and its time.

use std::io;
use std::time::{Duration, Instant};

use fileshare::net;
use fileshare::protocol::codec;
use fileshare::protocol::frame::HEADER_BYTES;
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{ClientBody, ClientMessage, ServerBody, ServerMessage};
use fileshare::types::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::tools::transport::{AnyStream, Transport};
use crate::wire::{begin, end, upload_file};

/// What a client says first, and a server that agrees.
const PREFACE: &[u8; 8] = b"FSHR\x01\x01\0\0";

/// So many shake hands at once.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Connects, and shakes hands with whatever key.
pub async fn dial(transport: Transport, address: &str) -> Result<Guest, net::NetError> {
    // Handshakes are work for this process too, and have a deadline at the server.
    let _turn = TURNS.acquire().await.expect("never closed");
    let since = Some(Instant::now());
    let stream = connect(address).await?;
    let stream: AnyStream = match transport {
        Transport::Plaintext => Box::new(stream),
        Transport::Tls => Box::new(net::secure(stream, "localhost").await?.0),
    };
    Ok(Guest {
        stream,
        number: 0,
        since,
    })
}

/// Connects and greets.
pub async fn visit(transport: Transport, address: &str) -> io::Result<Guest> {
    let mut guest = dial(transport, address).await.map_err(io::Error::other)?;
    guest.write(PREFACE).await?;
    guest.write(&hello()).await?;
    let mut answer = [0; 8];
    guest.stream.read_exact(&mut answer).await?;
    if &answer != PREFACE {
        return Err(io::Error::other(format!("refused: {answer:?}")));
    }
    match guest.hear().await? {
        ServerBody::Welcome { .. } => {
            guest.since = None;
            Ok(guest)
        }
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

/// One side of a conversation.
pub struct Guest {
    stream: AnyStream,
    /// The number of the request that was made last.
    number: u32,
    /// When it came, until it has greeted.
    since: Option<Instant>,
}

impl Guest {
    /// Somebody who has connected and not said anything.
    pub async fn unspoken(address: &str) -> Self {
        let since = Some(Instant::now());
        let stream = Box::new(connect(address).await.unwrap());
        Guest {
            stream,
            number: 0,
            since,
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The number of the last request.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Makes the next request.
    pub async fn ask(&mut self, body: ClientBody) -> io::Result<()> {
        self.number += 1;
        self.tell(body).await
    }

    /// Says more to the last request.
    pub async fn tell(&mut self, body: ClientBody) -> io::Result<()> {
        let number = self.number;
        self.write(&frame(&ClientMessage { number, body })).await
    }

    /// Waits for the next message that is more than a sign of life.
    pub async fn hear(&mut self) -> io::Result<ServerBody> {
        loop {
            let mut header = [0; HEADER_BYTES];
            self.stream.read_exact(&mut header).await?;
            let [a, b, c, d, _kind] = header;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            assert!((1..=MAX_PAGE_BODY + 1).contains(&length), "{header:?}");
            let mut body = vec![0; length - 1];
            self.stream.read_exact(&mut body).await?;
            let message: ServerMessage = codec::decode(&body).map_err(io::Error::other)?;
            if message.body != ServerBody::Alive {
                return Ok(message.body);
            }
        }
    }

    pub async fn ping(&mut self) -> io::Result<()> {
        self.ask(ClientBody::Ping).await?;
        match self.hear().await? {
            ServerBody::Pong => Ok(()),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    /// Gets as far as the content of a file that is uploaded.
    pub async fn begin_upload(&mut self, name: &str, size: Option<u64>) -> io::Result<()> {
        self.ask(ClientBody::Upload { files: 1 }).await?;
        let files = vec![upload_file(name, size)];
        self.tell(ClientBody::UploadPage { files }).await?;
        match self.hear().await? {
            ServerBody::UploadReady { .. } => self.tell(begin(0)).await,
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    /// Uploads a small file; returns how the server answers.
    pub async fn upload(
        &mut self,
        name: &str,
        content: &[u8],
        digest: Digest,
    ) -> io::Result<ServerBody> {
        self.begin_upload(name, Some(content.len() as u64)).await?;
        let mut data = data_header(content.len());
        data.extend_from_slice(content);
        self.write(&data).await?;
        self.tell(end(digest)).await?;
        let result = self.hear().await?;
        self.hear().await?;
        Ok(result)
    }

    /// Sends these bytes with such a pause before each one, then nothing, and takes whatever comes.
    /// Returns how long it takes until the other side has closed, since it came or since it greeted
    /// and began with this.
    pub async fn drip(self, bytes: Vec<u8>, pause: Duration) -> Duration {
        let started = self.since.unwrap_or_else(Instant::now);
        let (mut read, mut write) = tokio::io::split(self.stream);
        let listening = async {
            let mut ignored = [0; 4096];
            while let Ok(1..) = read.read(&mut ignored).await {}
        };
        let dripping = async {
            for byte in bytes {
                tokio::time::sleep(pause).await;
                if write.write_all(&[byte]).await.is_err() || write.flush().await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = listening => {}
            () = dripping => {}
        }
        started.elapsed()
    }

    /// Says the same request again and again and never listens to an answer. Returns how long it
    /// takes until the other side has closed.
    pub async fn flood(mut self, body: ClientBody) -> Duration {
        let started = Instant::now();
        loop {
            let mut bytes = Vec::new();
            for _ in 0..1000 {
                self.number += 1;
                let (number, body) = (self.number, body.clone());
                bytes.extend(frame(&ClientMessage { number, body }));
            }
            if self.write(&bytes).await.is_err() {
                return started.elapsed();
            }
        }
    }
}

/// Connects with little room for what is not read: whoever does not read is soon noticed.
async fn connect(address: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 * 1024)?;
    socket.set_nodelay(true)?;
    socket.connect(address.parse().unwrap()).await
}

/// A message as it goes over the wire.
pub fn frame(message: &ClientMessage) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode(message, &mut body, MAX_PAGE_BODY).unwrap();
    let mut bytes = (body.len() as u32 + 1).to_be_bytes().to_vec();
    bytes.push(0);
    bytes.append(&mut body);
    bytes
}

/// What stands before so much content.
pub fn data_header(body: usize) -> Vec<u8> {
    let mut bytes = (body as u32 + 1).to_be_bytes().to_vec();
    bytes.push(1);
    bytes
}

/// The greeting of somebody who introduces himself at length.
pub fn hello() -> Vec<u8> {
    let software = "a test of limits, of waits, and of patience".to_owned();
    let login = None;
    let body = ClientBody::Hello { software, login };
    frame(&ClientMessage { number: 0, body })
}

/// The preface.
pub fn preface() -> Vec<u8> {
    PREFACE.to_vec()
}
