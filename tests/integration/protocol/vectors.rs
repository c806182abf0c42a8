//! Runs every conversation in `tests/vectors/` through the real frame parser, codec and sessions.
//! `docs/PROTOCOL.md` ("Test vectors") describes the format of the files.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use fileshare::protocol::codec::{self, CodecError};
use fileshare::protocol::frame::{BodyLimits, FrameHeader, FrameKind, HEADER_BYTES};
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, ServerMessage,
};
use fileshare::protocol::preface::{ClientPreface, Refusal, ServerPreface};
use fileshare::protocol::session::{Answer, ClientSession, Received, ServerSession};

use super::{dump, samples};

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// A conversation and how it ends.
struct Vector {
    name: String,
    outcome: String,
    steps: Vec<Step>,
}

/// What one side sends in one piece: a preface or a frame.
struct Step {
    from_client: bool,
    what: String,
    bytes: Vec<u8>,
}

fn read_all() -> Vec<Vector> {
    let mut paths: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .collect();
    paths.sort();
    paths.iter().map(read).collect()
}

fn read(path: &PathBuf) -> Vector {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut outcome = String::new();
    let mut steps: Vec<Step> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        if let Some(said) = line.strip_prefix("outcome: ") {
            outcome = said.to_owned();
        } else if let Some((side @ ("client" | "server"), what)) = line.split_once(' ') {
            steps.push(Step {
                from_client: side == "client",
                what: what.to_owned(),
                bytes: Vec::new(),
            });
        } else {
            let bytes = dump::parse(line);
            match steps.last_mut() {
                Some(step) => step.bytes.extend(bytes),
                None => assert!(bytes.is_empty(), "{name}: bytes of nobody"),
            }
        }
    }
    assert!(!outcome.is_empty() && !steps.is_empty(), "{name}");
    Vector {
        name,
        outcome,
        steps,
    }
}

/// Both sides of one conversation.
struct Conversation {
    client: ClientSession,
    server: ServerSession,
    downloading: bool,
    /// Requests that the server has not answered to the end.
    unanswered: usize,
    /// Requests behind a download that is under way.
    held: VecDeque<ClientMessage>,
    answers: HashMap<u32, ServerMessage>,
    /// Answers that must be the same as before.
    again: VecDeque<ServerMessage>,
    /// Whether the server may send nothing more.
    over: bool,
}

impl Conversation {
    fn new() -> Self {
        Conversation {
            client: ClientSession::new(),
            server: ServerSession::new(),
            downloading: false,
            unanswered: 0,
            held: VecDeque::new(),
            answers: HashMap::new(),
            again: VecDeque::new(),
            over: false,
        }
    }

    /// The server takes a frame; the error is what it says when it refuses.
    fn client_sends(&mut self, step: &Step, is_violation: bool) -> Result<(), String> {
        match frame(&step.bytes, self.server.body_limits())? {
            (FrameKind::Data, body) => {
                if !is_violation {
                    self.client.sent_data(body.len()).unwrap();
                }
                self.server
                    .receive_data(body.len())
                    .map_err(|e| e.to_string())
            }
            (FrameKind::Message, body) => {
                let message: ClientMessage = decode(&body)?;
                assert_eq!(samples::client_name(&message.body), step.what);
                if !is_violation {
                    self.client.sent(&message).unwrap();
                }
                self.server_takes(message)
            }
        }
    }

    fn server_takes(&mut self, message: ClientMessage) -> Result<(), String> {
        if self.downloading && !self.server.belongs_to_download(&message) {
            self.held.push_back(message);
            return Ok(());
        }
        match self.server.receive(&message).map_err(|e| e.to_string())? {
            Received::Greeting | Received::Part => {}
            Received::Request => {
                self.unanswered += 1;
                self.downloading = matches!(message.body, ClientBody::Download { .. });
            }
            Received::Repeated => {
                self.unanswered += 1;
                // One that is not answered yet is answered twice.
                self.again
                    .extend(self.answers.get(&message.number).cloned());
            }
        }
        Ok(())
    }

    /// The client takes a frame.
    fn server_sends(&mut self, step: &Step, is_violation: bool) -> Result<(), String> {
        assert!(!self.over, "nothing follows a refusal without a number");
        match frame(&step.bytes, self.client.body_limits())? {
            (FrameKind::Data, body) => self
                .client
                .receive_data(body.len())
                .map_err(|e| e.to_string()),
            (FrameKind::Message, body) => {
                let message: ServerMessage = decode(&body)?;
                assert_eq!(samples::server_name(&message.body), step.what);
                let answer = self.client.receive(&message).map_err(|e| e.to_string())?;
                if is_violation {
                    return Ok(());
                }
                if answer != Answer::Partial && message.number != 0 {
                    self.unanswered -= 1;
                }
                if let Some(before) = self.again.pop_front() {
                    assert_eq!(message, before, "a repeated number is answered as before");
                }
                self.over =
                    message.number == 0 && matches!(message.body, ServerBody::Refused { .. });
                let closes = matches!(
                    message.body,
                    ServerBody::File(FileMessage::End { .. } | FileMessage::Abort { .. })
                );
                if closes && self.server.close_downloaded().unwrap() {
                    self.downloading = false;
                    for message in std::mem::take(&mut self.held) {
                        self.server_takes(message)?;
                    }
                }
                self.answers.insert(message.number, message);
                Ok(())
            }
        }
    }
}

/// A frame's kind and body. Of a frame that is too large the body need not be there.
fn frame(bytes: &[u8], limits: BodyLimits) -> Result<(FrameKind, Vec<u8>), String> {
    let header = *bytes.first_chunk::<HEADER_BYTES>().unwrap();
    let header = FrameHeader::parse(header, limits).map_err(|e| e.to_string())?;
    let body = &bytes[HEADER_BYTES..];
    assert_eq!(body.len(), header.body, "the length fits");
    assert_eq!(header.to_bytes(), bytes[..HEADER_BYTES]);
    Ok((header.kind, body.to_vec()))
}

/// The message, which must encode to the same bytes again, here and by hand.
fn decode<M: serde::Serialize + serde::de::DeserializeOwned>(body: &[u8]) -> Result<M, String> {
    // What is wrong with it, each codec says in its own words.
    let message: M = codec::decode(body).map_err(|_| "malformed message".to_owned())?;
    let mut again = Vec::new();
    codec::encode(&message, &mut again, MAX_PAGE_BODY).unwrap();
    assert_eq!(again, body, "encoded again");
    assert_eq!(dump::dump(&message).bytes(), body, "encoded by hand");
    Ok(message)
}

/// Plays the conversation and says how it ended.
fn play(vector: &Vector) -> String {
    let [client, server, frames @ ..] = &vector.steps[..] else {
        panic!("{}: no prefaces", vector.name);
    };
    assert!(client.from_client && !server.from_client);
    let theirs = ClientPreface::parse(client.bytes[..].try_into().unwrap());
    let answer = match theirs {
        Some(theirs) => {
            assert_eq!(theirs.to_bytes()[..], client.bytes[..]);
            theirs.answer()
        }
        None => ServerPreface::refusing(Refusal::NotAPreface),
    };
    let said = ServerPreface::parse(server.bytes[..].try_into().unwrap()).unwrap();
    assert_eq!(said.to_bytes()[..], server.bytes[..]);
    if said.reason != Refusal::Busy && said.reason != Refusal::TlsRequired {
        assert_eq!(said, answer);
    }
    if said.version == 0 {
        assert!(frames.is_empty());
        return format!("refused: {:?}", said.reason);
    }
    let mut conversation = Conversation::new();
    for (at, step) in frames.iter().enumerate() {
        // What the last frame does wrong its sender's own session need not let through.
        let is_violation = at + 1 == frames.len() && vector.outcome.contains("rejects: ");
        let (taken, who) = match step.from_client {
            true => (conversation.client_sends(step, is_violation), "server"),
            false => (conversation.server_sends(step, is_violation), "client"),
        };
        if let Err(why) = taken {
            assert_eq!(
                at + 1,
                frames.len(),
                "{}: {why}, and then more",
                vector.name
            );
            return format!("{who} rejects: {why}");
        }
    }
    match conversation.over {
        true => "ended by the server".to_owned(),
        false => {
            assert!(conversation.again.is_empty() && conversation.held.is_empty());
            assert_eq!(conversation.unanswered, 0, "{}", vector.name);
            assert!(!conversation.downloading && !conversation.server.is_uploading());
            "complete".to_owned()
        }
    }
}

#[test]
fn every_vector_has_its_outcome() {
    let vectors = read_all();
    assert!(vectors.len() >= 30, "only {} vectors", vectors.len());
    for vector in &vectors {
        assert_eq!(play(vector), vector.outcome, "{}", vector.name);
    }
}

/// The body of every message in the vectors that is one, and whether a client sends it.
pub fn message_bodies() -> Vec<(bool, Vec<u8>)> {
    let mut bodies = Vec::new();
    for vector in read_all() {
        for step in vector.steps.iter().skip(2) {
            let is_message = step.bytes.get(4) == Some(&0);
            let body = step.bytes.get(HEADER_BYTES..).unwrap_or_default();
            if is_message && decodes(step.from_client, body).is_ok() {
                bodies.push((step.from_client, body.to_vec()));
            }
        }
    }
    bodies
}

fn decodes(from_client: bool, body: &[u8]) -> Result<(), CodecError> {
    match from_client {
        true => codec::decode::<ClientMessage>(body).map(drop),
        false => codec::decode::<ServerMessage>(body).map(drop),
    }
}

#[test]
fn every_prefix_of_a_message_is_refused_and_so_is_a_byte_too_many() {
    let bodies = message_bodies();
    assert!(bodies.len() > 100);
    for (from_client, body) in bodies {
        for end in 0..body.len() {
            assert!(
                decodes(from_client, &body[..end]).is_err(),
                "{:02x?}",
                &body[..end]
            );
        }
        for more in [0, 1, 0xff] {
            let longer = [&body[..], &[more]].concat();
            let refused = decodes(from_client, &longer);
            assert!(
                matches!(refused, Err(CodecError::TrailingBytes(1))),
                "{longer:02x?}"
            );
        }
    }
}

#[test]
fn the_vectors_contain_every_message() {
    let mut seen: Vec<String> = Vec::new();
    for vector in read_all() {
        let side = |step: &Step| if step.from_client { "client" } else { "server" };
        seen.extend(
            vector
                .steps
                .iter()
                .map(|step| format!("{} {}", side(step), step.what)),
        );
    }
    for message in samples::client() {
        let name = format!("client {}", samples::client_name(&message.body));
        assert!(seen.contains(&name), "{name}");
    }
    for message in samples::server() {
        let name = format!("server {}", samples::server_name(&message.body));
        assert!(seen.contains(&name), "{name}");
    }
}

/// Where fuzzing begins: run with
/// `cargo test --test integration write_the_seeds_for_fuzzing -- --ignored`.
#[test]
#[ignore = "writes to fuzz/corpus"]
fn write_the_seeds_for_fuzzing() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let (frames, messages) = (corpus.join("frames"), corpus.join("messages"));
    std::fs::create_dir_all(&frames).unwrap();
    std::fs::create_dir_all(&messages).unwrap();
    for vector in read_all() {
        let mut bytes = Vec::new();
        for (at, step) in vector.steps.iter().enumerate() {
            let side = u8::from(!step.from_client);
            if at >= 2 {
                bytes.push(side);
                let body = step.bytes.get(HEADER_BYTES..).unwrap_or_default();
                if step.bytes.get(4) == Some(&0) {
                    let name = format!("{}-{at}", vector.name);
                    std::fs::write(messages.join(name), [&[side], body].concat()).unwrap();
                }
            }
            bytes.extend(&step.bytes);
        }
        std::fs::write(frames.join(&vector.name), bytes).unwrap();
    }
}
