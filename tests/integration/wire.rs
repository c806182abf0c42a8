//! A client that says exactly what a test wants it to say: messages in any order, frames of any
//! kind, and plain bytes, over a small pipe in memory, TCP or TLS.

use std::time::Duration;

use fileshare::net::{Frame, FrameReader, NetError, Patience};
use fileshare::protocol::codec;
use fileshare::protocol::frame::{BodyLimits, FrameHeader, FrameKind};
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, Login, ServerBody, ServerMessage, UploadFile,
    WireConflict,
};
use fileshare::server::{Origin, Server};
use fileshare::types::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use crate::harness::RunningServer;
use crate::tools::transport::{AnyStream, Transport};

/// Small enough to cut pages and content into pieces, and large enough for one answer that comes
/// while a test is still sending. (Pipes of a few bytes are for the frames' own tests.)
const PIPE: usize = 1021;

/// How long anything may take that a server owes to a client, or takes from it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What both sides say first.
pub const PREFACE: &[u8; 8] = b"FSHR\x01\x01\0\0";

/// What becomes of a conversation on the side of a server in this process.
pub type Conversation = JoinHandle<Result<(), NetError>>;

/// Where the client of a test comes from, unless the test says something else.
pub const PIPE_ORIGIN: Origin = Origin {
    address: None,
    encrypted: true,
    reached: None,
};

/// A conversation with a server, message by message. `S` is the server's side of it, as far as it
/// is in this process.
pub struct RawClient<S = Conversation> {
    pub inbox: RawInbox,
    pub outbox: RawOutbox,
    pub server: S,
}

/// What comes from the server. Must be read while much is sent, as every client must.
pub struct RawInbox(FrameReader<ReadHalf<AnyStream>>);

/// What goes to the server.
pub struct RawOutbox(WriteHalf<AnyStream>);

impl RawClient {
    /// Connects and says hello.
    pub async fn greeted(server: &Server) -> Self {
        let (client, welcome) = Self::greet_with(server, 0).await;
        assert!(matches!(welcome.body, ServerBody::Welcome { .. }));
        client
    }

    /// Connects and says hello under a number of choice; returns what is answered.
    pub async fn greet_with(server: &Server, number: u32) -> (Self, ServerMessage) {
        let mut client = Self::connect(server, PIPE_ORIGIN).await;
        let answer = client.hello(number, None).await;
        (client, answer)
    }

    /// Connects over an encrypted stream from this machine and logs in; returns what is answered.
    pub async fn log_in(server: &Server, user: &str, password: &str) -> (Self, ServerMessage) {
        Self::log_in_from(server, PIPE_ORIGIN, user, password).await
    }

    /// The same from somewhere else.
    pub async fn log_in_from(
        server: &Server,
        origin: Origin,
        user: &str,
        password: &str,
    ) -> (Self, ServerMessage) {
        let mut client = Self::connect(server, origin).await;
        let answer = client.hello(0, Some(login(user, password))).await;
        (client, answer)
    }

    /// Connects and agrees on a version.
    pub async fn connect(server: &Server, origin: Origin) -> Self {
        let (near, far) = tokio::io::duplex(PIPE);
        let server = server.clone();
        let server = tokio::spawn(async move { server.converse(far, origin).await });
        Self::prefaced(Box::new(near), server).await
    }

    /// Expects the server to say what was wrong, and to end the conversation.
    pub async fn expect_violation(self) -> String {
        let (detail, server) = self.expect_parting().await;
        assert!(server.await.unwrap().is_err());
        detail
    }
}

impl RawClient<()> {
    /// Connects to a server process as its clients do, and says hello.
    pub async fn dial(server: &RunningServer) -> Self {
        let stream = Transport::of(server).dial(&server.address()).await;
        let mut client = Self::prefaced(stream, ()).await;
        let welcome = client.hello(0, None).await;
        assert!(matches!(welcome.body, ServerBody::Welcome { .. }));
        client
    }
}

impl<S> RawClient<S> {
    /// Exchanges prefaces over any stream, and says nothing more.
    pub async fn prefaced(mut stream: AnyStream, server: S) -> Self {
        stream.write_all(PREFACE).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = [0; 8];
        let answered = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer));
        answered.await.expect("a preface in time").unwrap();
        assert_eq!(&answer, PREFACE);
        let (inbox, outbox) = tokio::io::split(stream);
        RawClient {
            inbox: RawInbox(FrameReader::new(inbox, None)),
            outbox: RawOutbox(outbox),
            server,
        }
    }

    /// Says hello under a number of choice and returns what is answered.
    pub async fn hello(&mut self, number: u32, login: Option<Login>) -> ServerMessage {
        let software = "test".to_owned();
        let hello = ClientBody::Hello { software, login };
        self.send(number, hello).await;
        self.receive().await.unwrap()
    }

    pub async fn send(&mut self, number: u32, body: ClientBody) {
        self.outbox.send(number, body).await;
    }

    pub async fn send_data(&mut self, bytes: &[u8]) {
        self.outbox.send_data(bytes).await;
    }

    pub async fn receive_frame(&mut self) -> Result<Frame, NetError> {
        self.inbox.receive_frame().await
    }

    pub async fn receive(&mut self) -> Result<ServerMessage, NetError> {
        self.inbox.receive().await
    }

    /// Makes a request and takes its one answer.
    pub async fn ask(&mut self, number: u32, body: ClientBody) -> ServerBody {
        self.send(number, body).await;
        let answer = self.receive().await.unwrap();
        assert_eq!(answer.number, number);
        answer.body
    }

    /// Expects the server to say what was wrong, and to close. Returns what it said, and its side.
    pub async fn expect_parting(mut self) -> (String, S) {
        let answer = self.receive().await.unwrap();
        let ServerBody::Refused { code, detail } = answer.body else {
            panic!("{answer:?}");
        };
        assert_eq!((answer.number, code), (0, 80), "{detail}");
        assert!(matches!(self.receive().await, Err(NetError::Closed)));
        (detail, self.server)
    }
}

impl RawOutbox {
    /// Sends a message; what becomes of it shows in what comes back.
    pub async fn send(&mut self, number: u32, body: ClientBody) {
        self.send_frame(FrameKind::Message, &encoded(number, body))
            .await;
    }

    /// Sends file content.
    pub async fn send_data(&mut self, bytes: &[u8]) {
        self.send_frame(FrameKind::Data, bytes).await;
    }

    /// Sends a frame with any body.
    pub async fn send_frame(&mut self, kind: FrameKind, body: &[u8]) {
        let header = FrameHeader {
            kind,
            body: body.len(),
        };
        self.send_bytes(&[&header.to_bytes(), body].concat()).await;
    }

    /// Sends anything. A server that does not listen any more is no failure here.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sending = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        let _ = tokio::time::timeout(PATIENCE, sending).await;
    }
}

impl RawInbox {
    /// The next frame, signs of life passed over.
    pub async fn receive_frame(&mut self) -> Result<Frame, NetError> {
        self.0
            .next(BodyLimits::WIDEST, Patience::Idle(PATIENCE))
            .await
    }

    /// The next message, signs of life passed over.
    pub async fn receive(&mut self) -> Result<ServerMessage, NetError> {
        loop {
            match self.receive_frame().await? {
                Frame::Message(body) => {
                    let message: ServerMessage = codec::decode(&body)?;
                    if message.body != ServerBody::Alive {
                        return Ok(message);
                    }
                }
                Frame::Data(_) => panic!("file content where a message was expected"),
            }
        }
    }
}

/// The bytes of a message.
pub fn encoded(number: u32, body: ClientBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = ClientMessage { number, body };
    codec::encode(&message, &mut bytes, MAX_PAGE_BODY).unwrap();
    bytes
}

/// Who a client says that it is.
pub fn login(user: &str, password: &str) -> Login {
    Login {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// A file to upload, described.
pub fn upload_file(name: &str, size: Option<u64>) -> UploadFile {
    UploadFile {
        name: name.to_owned(),
        size,
        modified: Some((1_700_000_000, 5)),
        executable: false,
        on_conflict: WireConflict::Refuse,
        if_match: None,
        token: 0,
    }
}

pub fn begin(index: u32) -> ClientBody {
    ClientBody::File(FileMessage::Begin {
        index,
        offset: 0,
        entry: None,
    })
}

pub fn end(digest: Digest) -> ClientBody {
    ClientBody::File(FileMessage::End {
        digest: digest.into(),
    })
}
