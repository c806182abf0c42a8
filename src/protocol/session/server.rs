use super::{Batch, Violation, check_compression, check_label};
use crate::protocol::frame::BodyLimits;
use crate::protocol::limits::{
    MAX_DATA_BODY, MAX_GREETING_BODY, MAX_MESSAGE_BODY, MAX_PAGE_BODY, MAX_PASSWORD, MAX_USER_NAME,
};
use crate::protocol::message::{ClientBody, ClientMessage, FileMessage, Login};

/// The server's side of a conversation: what the client may say next.
#[derive(Debug)]
pub struct ServerSession {
    state: State,
    last_number: u32,
    /// Whether the client has registered: then this connection carries no file content.
    registered: bool,
}

#[derive(Debug)]
enum State {
    Greeting,
    Ready,
    Downloading {
        number: u32,
        batch: Batch,
    },
    Uploading {
        number: u32,
        batch: Batch,
    },
    /// The bytes of another client are next; none of this one's is a frame any more.
    Relaying,
}

/// What a message of the client turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The greeting.
    Greeting,
    /// A new request.
    Request,
    /// A request number that was used before: to be answered again, not done again.
    Repeated,
    /// A part of the transfer that is under way.
    Part,
}

impl Default for ServerSession {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerSession {
    /// A conversation in which nothing was said yet.
    pub fn new() -> Self {
        ServerSession {
            state: State::Greeting,
            last_number: 0,
            registered: false,
        }
    }

    /// What the next frame may be at most.
    pub fn body_limits(&self) -> BodyLimits {
        let (message, data) = match &self.state {
            State::Greeting => (MAX_GREETING_BODY, None),
            State::Ready | State::Relaying => (MAX_MESSAGE_BODY, None),
            State::Downloading { batch, .. } => (page_limit(batch), None),
            State::Uploading { batch, .. } => (
                page_limit(batch),
                batch.has_open_file().then_some(MAX_DATA_BODY),
            ),
        };
        BodyLimits { message, data }
    }

    /// Takes a message of the client.
    pub fn receive(&mut self, message: &ClientMessage) -> Result<Received, Violation> {
        let ClientMessage { number, body } = message;
        match &mut self.state {
            State::Greeting => match body {
                ClientBody::Hello { software, login } if *number == 0 => {
                    check_label(software)?;
                    login.as_ref().map_or(Ok(()), check_login)?;
                    self.state = State::Ready;
                    Ok(Received::Greeting)
                }
                _ => Err(Violation("anything before the greeting")),
            },
            State::Ready => self.receive_request(*number, body),
            State::Relaying => Err(Violation("a frame where bytes are relayed")),
            State::Downloading { number: own, .. } | State::Uploading { number: own, .. }
                if own != number =>
            {
                Err(Violation("another request in the middle of a transfer"))
            }
            State::Downloading { batch, .. } => match body {
                ClientBody::DownloadPage { files } => {
                    batch.list(files.len()).map(|()| Received::Part)
                }
                ClientBody::Skip { index } if *index < batch.listed() => Ok(Received::Part),
                ClientBody::Resume { index, offset, .. } => {
                    batch.check_resume(*index, *offset).map(|()| Received::Part)
                }
                ClientBody::Ranges { index, ranges } => {
                    batch.add_ranges(*index, ranges).map(|()| Received::Part)
                }
                _ => Err(Violation("not a part of a download")),
            },
            State::Uploading { batch, .. } => {
                match body {
                    ClientBody::UploadPage { files } => batch.list(files.len())?,
                    ClientBody::File(FileMessage::Begin { entry: Some(_), .. }) => {
                        return Err(Violation("an upload that says twice what it is"));
                    }
                    ClientBody::File(file) => batch.file(file)?,
                    ClientBody::Skip { index } => batch.skip(*index)?,
                    ClientBody::Alive => {}
                    _ => return Err(Violation("not a part of an upload")),
                }
                if batch.is_complete() {
                    self.state = State::Ready;
                }
                Ok(Received::Part)
            }
        }
    }

    fn receive_request(&mut self, number: u32, body: &ClientBody) -> Result<Received, Violation> {
        let next = match body {
            ClientBody::Ping
            | ClientBody::Info
            | ClientBody::List { .. }
            | ClientBody::Stat { .. }
            | ClientBody::Rename { .. }
            | ClientBody::Remove { .. }
            | ClientBody::MakeFolder { .. }
            | ClientBody::RemoveFolder { .. }
            | ClientBody::Sessions
            | ClientBody::Kick { .. }
            | ClientBody::Trash { .. }
            | ClientBody::Restore { .. }
            | ClientBody::Undo { .. }
            | ClientBody::Signature { .. }
            | ClientBody::Register { .. }
            | ClientBody::Deregister { .. }
            | ClientBody::Offer { .. }
            | ClientBody::Withdraw { .. }
            | ClientBody::Table { .. }
            | ClientBody::Ticket { .. }
            | ClientBody::Redeem(_) => State::Ready,
            ClientBody::Relay(_)
            | ClientBody::RelayAccept { .. }
            | ClientBody::Download { .. }
            | ClientBody::Upload { .. }
                if self.registered =>
            {
                return Err(Violation(
                    "file content on the connection of a registered client",
                ));
            }
            ClientBody::Relay(_) | ClientBody::RelayAccept { .. } => State::Relaying,
            ClientBody::Command { .. } => return Ok(Received::Part),
            ClientBody::Compression { mode } => {
                return check_compression(*mode).map(|()| Received::Part);
            }
            ClientBody::Download { files } => State::Downloading {
                number,
                batch: Batch::new(*files)?,
            },
            ClientBody::Upload { files } => State::Uploading {
                number,
                batch: Batch::new(*files)?,
            },
            // A download that a client wants less of may have ended meanwhile.
            ClientBody::Skip { .. } if number == self.last_number => return Ok(Received::Part),
            _ => return Err(Violation("a part of a transfer that is not under way")),
        };
        if number == 0 {
            return Err(Violation("a request without a number"));
        }
        if number <= self.last_number {
            return match body {
                ClientBody::List { .. }
                | ClientBody::Sessions
                | ClientBody::Trash { .. }
                | ClientBody::Undo { .. }
                | ClientBody::Signature { .. }
                | ClientBody::Table { .. }
                | ClientBody::Relay(_)
                | ClientBody::RelayAccept { .. }
                | ClientBody::Download { .. }
                | ClientBody::Upload { .. } => Err(Violation(
                    "a list or transfer cannot be asked for again by its number",
                )),
                _ => Ok(Received::Repeated),
            };
        }
        self.registered |= matches!(body, ClientBody::Register { .. });
        self.last_number = number;
        self.state = next;
        Ok(Received::Request)
    }

    /// Takes a data frame of `size` bytes.
    pub fn receive_data(&mut self, size: usize) -> Result<(), Violation> {
        match &mut self.state {
            State::Uploading { batch, .. } => batch.data(size),
            _ => Err(Violation("file content outside of a file")),
        }
    }

    /// Whether the client is in the middle of an upload.
    pub fn is_uploading(&self) -> bool {
        matches!(self.state, State::Uploading { .. })
    }

    /// Whether a message has to be taken while the download is under way: each part of it, and
    /// anything at all while files are still to be named, when another request is a violation and
    /// waiting would never end. Any other message waits its turn.
    pub fn belongs_to_download(&self, message: &ClientMessage) -> bool {
        let State::Downloading { number, batch } = &self.state else {
            return false;
        };
        *number == message.number || batch.listed() < batch.total()
    }

    /// The server has closed the next file of the download: sent it, or said why not.
    ///
    /// Returns whether that was the last one, after which the client may make new requests.
    pub fn close_downloaded(&mut self) -> Result<bool, Violation> {
        let State::Downloading { batch, .. } = &mut self.state else {
            return Err(Violation("no download is under way"));
        };
        batch.skip(batch.closed())?;
        let last = batch.is_complete();
        if last {
            self.state = State::Ready;
        }
        Ok(last)
    }
}

fn check_login(login: &Login) -> Result<(), Violation> {
    if login.user.len() > MAX_USER_NAME || login.password.len() > MAX_PASSWORD {
        return Err(Violation("a user or password that is too long"));
    }
    Ok(())
}

fn page_limit(batch: &Batch) -> usize {
    if batch.may_list() {
        MAX_PAGE_BODY
    } else {
        MAX_MESSAGE_BODY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::FileMessage;
    use crate::protocol::{Secret, WireDigest, WireRef};

    fn message(number: u32, body: ClientBody) -> ClientMessage {
        ClientMessage { number, body }
    }

    fn hello() -> ClientMessage {
        message(
            0,
            ClientBody::Hello {
                software: "test".into(),
                login: None,
            },
        )
    }

    fn greeted() -> ServerSession {
        let mut session = ServerSession::new();
        assert_eq!(session.receive(&hello()), Ok(Received::Greeting));
        session
    }

    #[test]
    fn nothing_comes_before_the_greeting_and_it_comes_once() {
        let mut session = ServerSession::new();
        let software = "x".repeat(crate::protocol::limits::MAX_LABEL + 1);
        let long = message(
            0,
            ClientBody::Hello {
                software,
                login: None,
            },
        );
        assert!(session.receive(&long).is_err());
        for (user, password) in [(65, 1), (1, 1025)] {
            let login = Login {
                user: "u".repeat(user),
                password: "p".repeat(password),
            };
            let software = "test".into();
            let long = ClientBody::Hello {
                software,
                login: Some(login),
            };
            assert!(session.receive(&message(0, long)).is_err());
        }
        assert!(session.receive(&message(1, ClientBody::Ping)).is_err());
        assert!(session.receive_data(1).is_err());
        assert_eq!(session.body_limits().message, MAX_GREETING_BODY);
        assert_eq!(session.body_limits().data, None);
        assert!(greeted().receive(&hello()).is_err());
    }

    #[test]
    fn numbers_count_up_and_a_repeated_one_is_told() {
        let mut session = greeted();
        assert!(session.receive(&message(0, ClientBody::Ping)).is_err());
        assert_eq!(
            session.receive(&message(3, ClientBody::Ping)),
            Ok(Received::Request)
        );
        assert_eq!(
            session.receive(&message(3, ClientBody::Ping)),
            Ok(Received::Repeated)
        );
        let list = ClientBody::List {
            folder: None,
            patterns: vec![],
            limit: 0,
        };
        for body in [
            ClientBody::Upload { files: 1 },
            ClientBody::Download { files: 1 },
            list,
        ] {
            assert!(session.receive(&message(2, body)).is_err());
        }
    }

    #[test]
    fn a_registered_client_sends_no_files_and_a_relay_is_the_end_of_frames() {
        let register = || ClientBody::Register {
            name: "B".into(),
            port: 1401,
            key: None,
            secret: Secret([1; 32]),
        };
        let accept = || ClientBody::RelayAccept {
            id: Secret([2; 32]),
        };
        let mut session = greeted();
        for number in [1, 1, 2] {
            session.receive(&message(number, register())).unwrap();
        }
        for body in [
            ClientBody::Download { files: 1 },
            ClientBody::Upload { files: 1 },
            accept(),
        ] {
            assert!(session.receive(&message(3, body)).is_err());
        }
        let table = ClientBody::Table { epoch: 0, since: 0 };
        assert_eq!(
            session.receive(&message(3, table.clone())),
            Ok(Received::Request)
        );
        assert!(session.receive(&message(3, table)).is_err(), "in pages");

        let mut session = greeted();
        session.receive(&message(1, accept())).unwrap();
        assert!(session.receive(&message(1, accept())).is_err());
        assert!(session.receive(&message(2, ClientBody::Ping)).is_err());
        assert!(session.receive_data(1).is_err());
    }

    #[test]
    fn an_upload_is_a_batch_from_pages_to_its_last_file() {
        let mut session = greeted();
        let send = |session: &mut ServerSession, body| session.receive(&message(1, body));
        send(&mut session, ClientBody::Upload { files: 2 }).unwrap();
        assert_eq!(session.body_limits().message, MAX_PAGE_BODY);
        assert_eq!(session.body_limits().data, None);
        let file = crate::protocol::message::UploadFile {
            name: "a".into(),
            size: None,
            modified: None,
            executable: false,
            on_conflict: crate::protocol::message::WireConflict::Refuse,
            if_match: None,
            token: 0,
        };
        let page = ClientBody::UploadPage {
            files: vec![file.clone(), file],
        };
        send(&mut session, page).unwrap();
        assert_eq!(session.body_limits().message, MAX_MESSAGE_BODY);
        let begin = |entry| {
            ClientBody::File(FileMessage::Begin {
                index: 0,
                offset: 0,
                entry,
            })
        };
        let entry = crate::protocol::WireEntry {
            name: "a".into(),
            id: None,
            size: 0,
            modified_seconds: 0,
            modified_nanoseconds: 0,
            executable: false,
        };
        assert!(send(&mut session, begin(Some(entry))).is_err());
        send(&mut session, begin(None)).unwrap();
        assert_eq!(session.body_limits().data, Some(MAX_DATA_BODY));
        assert!(
            session.receive(&message(2, ClientBody::Ping)).is_err(),
            "in the middle of a file"
        );
        session.receive_data(7).unwrap();
        send(&mut session, ClientBody::Alive).unwrap();
        let end = ClientBody::File(FileMessage::End {
            digest: WireDigest::from(crate::types::Digest::Md5([0; 16])),
        });
        send(&mut session, end).unwrap();
        assert!(session.is_uploading());
        send(&mut session, ClientBody::Skip { index: 1 }).unwrap();
        assert!(!session.is_uploading());
        assert_eq!(
            session.receive(&message(2, ClientBody::Ping)),
            Ok(Received::Request)
        );
    }

    #[test]
    fn a_download_ends_when_the_server_has_closed_every_file() {
        let mut session = greeted();
        session
            .receive(&message(1, ClientBody::Download { files: 2 }))
            .unwrap();
        let page = ClientBody::DownloadPage {
            files: vec![WireRef::Name("a".into()), WireRef::Name("b".into())],
        };
        let ping = message(2, ClientBody::Ping);
        assert!(session.belongs_to_download(&ping), "not to wait for ever");
        assert!(session.receive(&ping).is_err(), "not all files are named");
        session.receive(&message(1, page)).unwrap();
        assert!(!session.belongs_to_download(&ping));
        let skip = message(1, ClientBody::Skip { index: 1 });
        assert!(session.belongs_to_download(&skip));
        session.receive(&skip).unwrap();
        assert_eq!(session.close_downloaded(), Ok(false));
        assert_eq!(session.close_downloaded(), Ok(true));
        assert_eq!(session.receive(&skip), Ok(Received::Part), "a late skip");
        assert!(session.close_downloaded().is_err());
        assert_eq!(session.receive(&ping), Ok(Received::Request));
    }
}
