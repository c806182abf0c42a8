//! A server that lies: it greets properly and then says whatever a test wants, over plaintext or
//! TLS, to clients in the test itself or to real ones.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fileshare::digest::Hasher;
use fileshare::net::{Connection, Frame, Patience};
use fileshare::protocol::Content;
use fileshare::protocol::WireEntry;
use fileshare::protocol::codec;
use fileshare::protocol::frame::BodyLimits;
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, ServerMessage,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::transport::{AnyStream, Transport, acceptor, new_identity};
use crate::harness::{CLIENT, clean};

/// What the evil server says to a request.
#[derive(Clone)]
pub enum Say {
    Message(Box<ServerBody>),
    Data(Vec<u8>),
    Content(Content),
}

/// Decides what is said to a message; nothing to what is not answered yet.
pub type Script = dyn Fn(&ClientBody) -> Vec<Say> + Send + Sync;

/// The evil server, on a port that the system chose, until it is dropped.
pub struct EvilServer {
    transport: Transport,
    address: String,
    config: tempfile::TempDir,
    runtime: Option<Runtime>,
}

impl EvilServer {
    /// Answers every request with the same: a download once it is described, an upload at once.
    pub fn saying(transport: Transport, answers: Vec<Say>) -> Self {
        Self::start(transport, move |request| match request {
            // The page that follows is what is answered.
            ClientBody::Download { .. } => Vec::new(),
            _ => answers.clone(),
        })
    }

    /// Answers every message but the greeting as `script` says.
    pub fn start(
        transport: Transport,
        script: impl Fn(&ClientBody) -> Vec<Say> + Send + Sync + 'static,
    ) -> Self {
        let (certificate, key) = new_identity();
        Self::start_as(transport, acceptor(certificate, key), script)
    }

    /// The same with an identity of the test's choice.
    pub fn start_as(
        transport: Transport,
        acceptor: TlsAcceptor,
        script: impl Fn(&ClientBody) -> Vec<Say> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        let script: Arc<Script> = Arc::new(script);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), script.clone());
                tokio::spawn(async move {
                    let stream: AnyStream = match transport {
                        Transport::Plaintext => Box::new(stream),
                        Transport::Tls => match acceptor.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    converse(stream, &*script).await;
                });
            }
        });
        EvilServer {
            transport,
            address,
            config: tempfile::tempdir().unwrap(),
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The folder where its clients keep their settings.
    pub fn config(&self) -> &Path {
        self.config.path()
    }

    /// A real client of it, not started yet. It does not try again.
    pub fn client(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = clean(CLIENT);
        if self.transport == Transport::Plaintext {
            command.arg("--plaintext");
        }
        command
            .args(["--retries", "0", "--server", &self.address])
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.config())
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs a real client to its end.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.client(folder, arguments).output().unwrap()
    }
}

impl Drop for EvilServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping one waits, which no async test may do.
            runtime.shutdown_background();
        }
    }
}

async fn converse(mut stream: AnyStream, script: &Script) {
    let mut preface = [0; 8];
    if stream.read_exact(&mut preface).await.is_err()
        || stream.write_all(b"FSHR\x01\x01\0\0").await.is_err()
    {
        return;
    }
    let Connection {
        mut reader,
        mut writer,
    } = Connection::new(stream, None);
    let patience = Patience::Idle(Duration::from_secs(10));
    while let Ok(frame) = reader.next(BodyLimits::WIDEST, patience).await {
        let Frame::Message(body) = frame else {
            continue;
        };
        let request: ClientMessage = codec::decode(&body).unwrap();
        let answers = match request.body {
            ClientBody::Hello { .. } => vec![say(ServerBody::Welcome {
                software: "evil\u{1b}[2J".into(),
                role: 4,
            })],
            // Nothing answers them.
            ClientBody::Command { .. } | ClientBody::Compression { .. } => Vec::new(),
            body => script(&body),
        };
        for answer in answers {
            let sent = match answer {
                Say::Message(body) => {
                    let number = request.number;
                    let message = ServerMessage {
                        number,
                        body: *body,
                    };
                    writer.message(&message, MAX_PAGE_BODY).await
                }
                Say::Data(bytes) => writer.data(&Content::Plain(bytes.into())).await,
                Say::Content(content) => writer.data(&content).await,
            };
            if sent.is_err() {
                return;
            }
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
}

pub fn say(body: ServerBody) -> Say {
    Say::Message(Box::new(body))
}

/// A file as a server describes it.
pub fn entry(name: &str, content: &[u8]) -> WireEntry {
    WireEntry {
        name: name.into(),
        id: Some(Hasher::digest_of(content).into()),
        size: content.len() as u64,
        modified_seconds: 0,
        modified_nanoseconds: 0,
        executable: true,
    }
}

pub fn begin(index: u32, entry: Option<WireEntry>) -> Say {
    say(ServerBody::File(FileMessage::Begin {
        index,
        offset: 0,
        entry,
    }))
}

pub fn end(content: &[u8]) -> Say {
    say(ServerBody::File(FileMessage::End {
        digest: Hasher::digest_of(content).into(),
    }))
}

/// A whole download of one file, described as `entry`.
pub fn download(entry: WireEntry, content: &[u8]) -> Vec<Say> {
    vec![
        begin(0, Some(entry)),
        Say::Data(content.to_vec()),
        end(content),
        say(ServerBody::DownloadEnd),
    ]
}
