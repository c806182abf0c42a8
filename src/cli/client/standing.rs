//! What a client is to other clients: registered or not, and what it tells of that.

use std::sync::Arc;

use super::session::{Input, Session};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, FileLine, Id};
use crate::cli::output::Output;
use crate::peer::{Directory, Event, Observer, Peer, Registration};
use crate::protocol::ErrorCode;
use crate::types::{FileName, PeerName, Printable};

/// What a session is to other clients.
#[derive(Default)]
pub struct Standing {
    /// The folder out of which files are offered.
    pub directory: Option<Directory>,
    peer: Option<Peer>,
}

impl Standing {
    /// The registered client, if it is one, online or not.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref().filter(|peer| !peer.has_ended())
    }

    /// It is registered no more.
    pub fn forget(&mut self) {
        self.peer = None;
    }
}

impl Session {
    /// The registered client; a failure when it is none.
    pub fn registered(&self) -> Result<Peer, Failure> {
        let peer = self.standing.peer().cloned();
        peer.ok_or_else(|| {
            Failure::usage("this client is not registered").advise("say register NAME first")
        })
    }

    /// Registers under a name, listening on a port. Says so.
    pub async fn register(&mut self, name: &str, port: Option<&str>) -> Result<Peer, Failure> {
        let output = self.output.clone();
        let port = port.map(parse_port).transpose();
        let port = port.map_err(|failure| refused(&output, failure))?;
        let name: PeerName = name.parse().map_err(|error| {
            let message = format!("invalid name '{}': {error}", Printable(name));
            Failure::new(ErrorCode::InvalidName, message).advise("choose another name")
        })?;
        if let Some(peer) = self.standing.peer() {
            let message = format!("this client is registered as {} already", peer.name());
            return Err(Failure::new(ErrorCode::Conflict, message).advise("say dereg first"));
        }
        let registration = Registration {
            name: name.clone(),
            port,
            persistent: self.input != Input::CommandLine,
        };
        let announcer = Arc::new(Announcer(output.clone()));
        let registered = Peer::register(&self.client, registration, announcer).await;
        let (peer, failure) = registered.map_err(|failure| refused(&output, failure.into()))?;
        self.standing.peer = Some(peer.clone());
        match failure {
            Some(failure) => Err(Failure::from(failure)),
            None => {
                output.done("[Welcome, You are registered.]");
                if !peer.encrypts() {
                    output.note(
                        "Plaintext: other clients show no key, and nothing between you and them is encrypted.",
                    );
                }
                Ok(peer)
            }
        }
    }
}

/// The failure of a registration; what everybody knows it by is said before it.
fn refused(output: &Output, failure: Failure) -> Failure {
    match failure.code {
        ErrorCode::AlreadyExists => {
            output.message(&format!("[Registration rejected: {failure}]\n"));
            failure.advise("choose another name, or wait until that client is offline")
        }
        ErrorCode::InvalidPort => {
            output.message("[Invalid client TCP port]\n");
            failure.advise("choose another one from 1024 to 65535, or leave it to the system")
        }
        _ => failure,
    }
}

fn parse_port(text: &str) -> Result<u16, Failure> {
    let port = text.parse().ok().filter(|port| *port >= 1024);
    port.ok_or_else(|| {
        let message = format!("'{}' is no port to listen on", Printable(text));
        Failure::new(ErrorCode::InvalidPort, message)
    })
}

/// Parses the name of a file that is offered or asked for.
pub fn offered_name(text: &str) -> Result<FileName, Failure> {
    FileName::from_typed(text).map_err(|error| Failure::name(text, error))
}

/// Tells what happens to a registered client, above the line that is being typed if there is one.
struct Announcer(Output);

impl Observer for Announcer {
    fn happened(&self, event: &Event) {
        let output = &self.0;
        match event {
            Event::Retrying(times) => output.note(format_args!("Retrying {times} times")),
            Event::NotResponding => output.note("[Server not responding]"),
            Event::Online => output.note("[Welcome, You are registered.]"),
            Event::SentAway(failure) => {
                if failure.code == ErrorCode::AlreadyExists {
                    output.note(format_args!("[Registration rejected: {failure}]"));
                }
                let failure = Failure::from(failure.clone());
                let again = "say register once more, under another name if this one is taken";
                output.complain(&failure.advise(again), None);
                output.note("[You are Offline. Bye.]");
            }
            Event::OfferRefused(failure) => {
                output.complain(&Failure::from(failure.clone()), Some(&"offers"));
            }
            Event::TableChanged => output.note("[Client table updated.]"),
            Event::Accepted { from, relayed } => output.note(format_args!(
                "< Accepting connection request from {from}. >{}",
                by_way(*relayed)
            )),
            Event::Sending(file) => output.note(format_args!("< Transferring {file}... >")),
            Event::Sent(entry) => {
                output.object(Body::File(FileLine {
                    action: "offer",
                    name: entry.name.as_str(),
                    id: Some(Id::of(Some(entry))),
                    size: Some(entry.size),
                    status: "done",
                    ..FileLine::default()
                }));
                let file = &entry.name;
                output.note(format_args!("< {file} transferred successfully! >"));
            }
            Event::NotSent(file, failure) => {
                output.object(Body::File(FileLine {
                    action: "offer",
                    name: file.as_str(),
                    status: "failed",
                    error: Some(ErrorBody::new(failure.code, &failure.message)),
                    ..FileLine::default()
                }));
                output.note(format_args!("< {file} was not transferred: {failure}. >"));
            }
            Event::Closed(who) => {
                output.note(format_args!("< Connection with client {who} closed. >"));
            }
            Event::Established { owner, relayed } => output.note(format_args!(
                "< Connection with client {owner} established. >{}",
                by_way(*relayed)
            )),
        }
        // Whoever reads a pipe reads it as it happens.
        output.flush();
    }
}

/// What is added to a line about a connection.
pub fn by_way(relayed: bool) -> &'static str {
    match relayed {
        true => " (relayed)",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;

    #[test]
    fn ports_of_clients_are_those_that_everybody_may_use() {
        for (text, port) in [("1024", Some(1024)), ("65535", Some(65535))] {
            assert_eq!(parse_port(text).ok(), port);
        }
        for text in ["0", "80", "1023", "65536", "-1", "x", ""] {
            let failure = parse_port(text).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidPort, "{text}");
        }
    }

    #[test]
    fn events_are_messages_and_what_was_sent_is_a_result_for_programs() {
        let captured = Captured::default();
        let file = FileName::parse("foo").unwrap();
        for json in [false, true] {
            let look = Look {
                json,
                ..Look::default()
            };
            let announcer = Announcer(captured.output(look));
            announcer.happened(&Event::Retrying(2));
            announcer.happened(&Event::Accepted {
                from: [10, 0, 0, 7].into(),
                relayed: true,
            });
            let failure = crate::protocol::Failure::new(ErrorCode::Conflict, "foo has changed");
            announcer.happened(&Event::NotSent(file.clone(), failure));
        }
        assert!(captured.messages().starts_with(
            "Retrying 2 times\n\
             < Accepting connection request from 10.0.0.7. > (relayed)\n\
             < foo was not transferred: foo has changed. >\n"
        ));
        assert_eq!(
            captured.results(),
            "{\"v\":1,\"type\":\"file\",\"action\":\"offer\",\"name\":\"foo\",\"status\":\"failed\",\
             \"error\":{\"code\":\"conflict\",\"message\":\"foo has changed\"}}\n"
        );
    }
}
