//! A whole conversation: prefaces, then frames of either side, through frame parser, limits, codec
//! and both sessions.
//!
//! The input is 8 bytes of the client, 8 bytes of the server, and then frames, each behind a byte
//! that says whose it is (even: the client's).

#![no_main]

mod bounded;

use fileshare::protocol::frame::{BodyLimits, FrameHeader, FrameKind, HEADER_BYTES};
use fileshare::protocol::message::{ClientMessage, FileMessage, ServerBody, ServerMessage};
use fileshare::protocol::preface::{ClientPreface, PREFACE_BYTES, ServerPreface};
use fileshare::protocol::session::{ClientSession, ServerSession};
use fileshare::protocol::{Content, Expander};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    if let Some(bytes) = take(&mut rest)
        && let Some(preface) = ClientPreface::parse(bytes)
    {
        assert_eq!(preface.to_bytes(), bytes);
        let answer = preface.answer();
        assert_eq!(ServerPreface::parse(answer.to_bytes()), Some(answer));
    }
    if let Some(bytes) = take(&mut rest)
        && let Some(preface) = ServerPreface::parse(bytes)
    {
        assert_eq!(preface.to_bytes(), bytes);
    }
    let mut both = Both {
        client: Some(ClientSession::new()),
        server: Some(ServerSession::new()),
    };
    while let [side, after @ ..] = rest {
        rest = after;
        let taken = match side % 2 {
            0 => both.client_sends(&mut rest),
            _ => both.server_sends(&mut rest),
        };
        if taken.is_none() {
            return;
        }
    }
});

fn take(rest: &mut &[u8]) -> Option<[u8; PREFACE_BYTES]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

/// Both sides, until one of them has broken the protocol.
struct Both {
    client: Option<ClientSession>,
    server: Option<ServerSession>,
}

impl Both {
    /// `None` when nothing more can come of it.
    fn client_sends(&mut self, rest: &mut &[u8]) -> Option<()> {
        let server = self.server.as_mut()?;
        let (kind, body) = frame(rest, server.body_limits())?;
        if kind != FrameKind::Message {
            let size = content(kind, body)?;
            self.client
                .take_if(|client| client.sent_data(size).is_err());
            return server.receive_data(size).ok();
        }
        let message: ClientMessage = bounded::decode(body)?;
        // A sender that breaks the rules is no longer of interest, but its receiver is.
        self.client.take_if(|client| client.sent(&message).is_err());
        server.receive(&message).ok().map(drop)
    }

    fn server_sends(&mut self, rest: &mut &[u8]) -> Option<()> {
        let client = self.client.as_mut()?;
        let (kind, body) = frame(rest, client.body_limits())?;
        if kind != FrameKind::Message {
            return client.receive_data(content(kind, body)?).ok();
        }
        let message: ServerMessage = bounded::decode(body)?;
        client.receive(&message).ok()?;
        if let ServerBody::File(FileMessage::End { .. } | FileMessage::Abort { .. }) = message.body
        {
            self.server
                .take_if(|server| server.close_downloaded().is_err());
        }
        Some(())
    }
}

/// How much content a data frame has, if it has what it says.
fn content(kind: FrameKind, body: &[u8]) -> Option<usize> {
    let content = Content::parse(kind, body.to_vec().into()).ok()?;
    let mut expander = Expander::default();
    let (size, seen) = bounded::count(|| expander.expand(&content).map(<[u8]>::len));
    // One piece, and what zstd needs to know.
    let bound = content.size() + 256 * 1024;
    assert!(seen.peak <= bound, "{seen:?} for {} bytes", content.size());
    let size = size.ok()?;
    assert!(size == content.size() && size <= 1024 * 1024);
    Some(size)
}

/// The next frame, if it may come and is there.
fn frame<'a>(rest: &mut &'a [u8], limits: BodyLimits) -> Option<(FrameKind, &'a [u8])> {
    let (header, after) = rest.split_first_chunk::<HEADER_BYTES>()?;
    let parsed = FrameHeader::parse(*header, limits).ok()?;
    assert_eq!(parsed.to_bytes(), *header);
    assert!(parsed.body <= 1024 * 1024);
    let (body, after) = after.split_at_checked(parsed.body)?;
    *rest = after;
    Some((parsed.kind, body))
}
