//! A client that says exactly what a test wants it to say, over a small pipe in memory or any other
//! stream.

use std::time::Duration;

use fileshare::net::{Connection, Frame, FrameReader, FrameWriter, NetError, Patience};
use fileshare::protocol::codec;
use fileshare::protocol::frame::BodyLimits;
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, Login, ServerBody, ServerMessage, UploadFile,
    WireConflict,
};
use fileshare::server::{Origin, Server};
use fileshare::types::Digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

/// Small enough to cut pages and content into pieces, and large enough for one answer that comes
/// while a test is still sending. (Pipes of a few bytes are for the frames' own tests.)
const PIPE: usize = 1021;

/// Where the client of a test comes from, unless the test says something else.
pub const PIPE_ORIGIN: Origin = Origin {
    address: None,
    encrypted: true,
};

/// A conversation with a server, message by message.
pub struct RawClient {
    pub inbox: RawInbox,
    pub outbox: RawOutbox,
    pub server: JoinHandle<Result<(), NetError>>,
}

/// What comes from the server. Must be read while much is sent, as every client must.
pub struct RawInbox(FrameReader<ReadHalf<Box<dyn Stream>>>);

/// What goes to the server.
pub struct RawOutbox(FrameWriter<WriteHalf<Box<dyn Stream>>>);

/// What a conversation can be held over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

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
        Self::over(near, server).await
    }

    /// Agrees on a version over a stream of choice, at whose other end is `server`.
    pub async fn over(
        mut stream: impl Stream + 'static,
        server: JoinHandle<Result<(), NetError>>,
    ) -> Self {
        stream.write_all(b"FSHR\x01\x01\0\0").await.unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"FSHR\x01\x01\0\0");
        let stream: Box<dyn Stream> = Box::new(stream);
        let Connection { reader, writer } = Connection::new(stream, None);
        RawClient {
            inbox: RawInbox(reader),
            outbox: RawOutbox(writer),
            server,
        }
    }

    /// The same with a server in another process.
    pub async fn over_network(stream: impl Stream + 'static) -> Self {
        Self::over(stream, tokio::spawn(async { Ok(()) })).await
    }

    /// Says hello; returns what is answered.
    pub async fn hello(&mut self, number: u32, login: Option<Login>) -> ServerMessage {
        let software = "test".to_owned();
        self.send(number, ClientBody::Hello { software, login })
            .await;
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

    /// Expects the server to say what was wrong, and to end the conversation.
    pub async fn expect_violation(mut self) -> String {
        let answer = self.receive().await.unwrap();
        let ServerBody::Refused { code, detail } = answer.body else {
            panic!("{answer:?}");
        };
        assert_eq!((answer.number, code), (0, 80), "{detail}");
        assert!(matches!(self.receive().await, Err(NetError::Closed)));
        drop((self.inbox, self.outbox));
        assert!(self.server.await.unwrap().is_err());
        detail
    }
}

impl RawOutbox {
    /// Sends a message; what becomes of it shows in what comes back.
    pub async fn send(&mut self, number: u32, body: ClientBody) {
        let message = ClientMessage { number, body };
        let written = self.0.message(&message, MAX_PAGE_BODY).await;
        if written.is_ok() {
            let _ = self.0.flush().await;
        }
    }

    /// Sends file content.
    pub async fn send_data(&mut self, bytes: &[u8]) {
        if self.0.data(bytes).await.is_ok() {
            let _ = self.0.flush().await;
        }
    }
}

impl RawInbox {
    /// The next frame, signs of life passed over.
    pub async fn receive_frame(&mut self) -> Result<Frame, NetError> {
        self.0
            .next(BodyLimits::WIDEST, Patience::Idle(Duration::from_secs(20)))
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
