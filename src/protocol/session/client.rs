use std::collections::VecDeque;

use super::{Batch, Violation, check_compression, check_label};
use crate::protocol::frame::BodyLimits;
use crate::protocol::limits::{
    MAX_DATA_BODY, MAX_GREETING_BODY, MAX_MESSAGE_BODY, MAX_PAGE_BODY, MAX_PAGE_ITEMS,
    MAX_PIPELINED,
};
use crate::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, ServerMessage, UploadResult,
};

/// The client's side of a conversation: what the server may answer next.
///
/// It learns from [`sent`](Self::sent) what was asked, and takes nothing that was not.
#[derive(Debug)]
pub struct ClientSession {
    said_hello: bool,
    greeted: bool,
    /// Whether events of a registered client may come.
    registers: bool,
    /// Whether nothing may be said any more, because what comes next are another client's bytes.
    relays: bool,
    pending: VecDeque<Pending>,
    /// Requests that were made again before they were answered, each as often as it was: so many
    /// more answers may come.
    repeated: VecDeque<u32>,
}

#[derive(Debug)]
struct Pending {
    number: u32,
    expects: Expects,
}

#[derive(Debug)]
enum Expects {
    Pong,
    Info,
    Pages,
    Sessions,
    Trash,
    Undone,
    Removed,
    Item,
    Signature,
    Registered,
    Done,
    Table,
    Ticket,
    Relaying,
    Download(Batch),
    Upload(Upload),
}

#[derive(Debug)]
struct Upload {
    batch: Batch,
    verdicts: u32,
    begun: u32,
    results: u32,
}

/// What a message of the server means for the request that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// More of the answer will come.
    Partial,
    /// The answer is whole.
    Final,
    /// It belongs to no request.
    Event,
}

impl Default for ClientSession {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientSession {
    /// A conversation in which nothing was said yet.
    pub fn new() -> Self {
        ClientSession {
            said_hello: false,
            greeted: false,
            registers: false,
            relays: false,
            pending: VecDeque::new(),
            repeated: VecDeque::new(),
        }
    }

    /// What the next frame may be at most.
    pub fn body_limits(&self) -> BodyLimits {
        let (message, data) = match self.pending.front().map(|p| &p.expects) {
            _ if !self.greeted => (MAX_GREETING_BODY, None),
            Some(
                Expects::Pages
                | Expects::Sessions
                | Expects::Trash
                | Expects::Undone
                | Expects::Signature
                | Expects::Table
                | Expects::Upload(_),
            ) => (MAX_PAGE_BODY, None),
            Some(Expects::Download(batch)) if batch.has_open_file() => {
                (MAX_MESSAGE_BODY, Some(MAX_DATA_BODY))
            }
            _ => (MAX_MESSAGE_BODY, None),
        };
        BodyLimits { message, data }
    }

    /// Notes what this side says, and refuses what it may not say.
    pub fn sent(&mut self, message: &ClientMessage) -> Result<(), Violation> {
        let ClientMessage { number, body } = message;
        let expects = match body {
            ClientBody::Hello { .. } if self.said_hello || *number != 0 => {
                return Err(Violation("a second greeting, or one with a number"));
            }
            ClientBody::Hello { .. } => {
                self.said_hello = true;
                return Ok(());
            }
            _ if !self.said_hello || *number == 0 => {
                return Err(Violation(
                    "a request before the greeting, or without a number",
                ));
            }
            _ if self.relays => {
                return Err(Violation("a frame where bytes are relayed"));
            }
            ClientBody::Download { .. }
            | ClientBody::Upload { .. }
            | ClientBody::Relay(_)
            | ClientBody::RelayAccept { .. }
                if self.registers =>
            {
                return Err(Violation(
                    "file content on the connection of a registered client",
                ));
            }
            ClientBody::Ping => Expects::Pong,
            ClientBody::Info => Expects::Info,
            ClientBody::List { .. } => Expects::Pages,
            ClientBody::Sessions | ClientBody::Kick { .. } => Expects::Sessions,
            ClientBody::Stat { .. }
            | ClientBody::Rename { .. }
            | ClientBody::MakeFolder { .. }
            | ClientBody::RemoveFolder { .. }
            | ClientBody::Restore { .. } => Expects::Item,
            ClientBody::Remove { .. } => Expects::Removed,
            ClientBody::Trash { .. } => Expects::Trash,
            ClientBody::Undo { .. } => Expects::Undone,
            ClientBody::Signature { .. } => Expects::Signature,
            ClientBody::Command { .. } => return Ok(()),
            ClientBody::Compression { mode } => return check_compression(*mode),
            ClientBody::Download { files } => Expects::Download(Batch::new(*files)?),
            ClientBody::Upload { files } => Expects::Upload(Upload {
                batch: Batch::new(*files)?,
                verdicts: 0,
                begun: 0,
                results: 0,
            }),
            ClientBody::Register { .. } => {
                self.registers = true;
                Expects::Registered
            }
            ClientBody::Deregister { .. }
            | ClientBody::Offer { .. }
            | ClientBody::Withdraw { .. }
            | ClientBody::Redeem(_) => Expects::Done,
            ClientBody::Table { .. } => Expects::Table,
            ClientBody::Ticket { .. } => Expects::Ticket,
            ClientBody::Relay(_) | ClientBody::RelayAccept { .. } => {
                self.relays = true;
                Expects::Relaying
            }
            part => return self.sent_part(*number, part),
        };
        if self.pending.iter().any(|pending| pending.number == *number) {
            if !expects.may_be_repeated() || self.repeated.len() >= MAX_PIPELINED {
                return Err(Violation("a request made again that must not be"));
            }
            self.repeated.push_back(*number);
            return Ok(());
        }
        if self.pending.len() >= MAX_PIPELINED {
            return Err(Violation("too many requests under way"));
        }
        self.pending.push_back(Pending {
            number: *number,
            expects,
        });
        Ok(())
    }

    fn sent_part(&mut self, number: u32, body: &ClientBody) -> Result<(), Violation> {
        // Parts of a transfer always belong to the newest request.
        let Some(pending) = self.pending.back_mut().filter(|p| p.number == number) else {
            return Err(Violation("a part of a transfer that is not under way"));
        };
        match (&mut pending.expects, body) {
            (Expects::Download(batch), ClientBody::DownloadPage { files }) => {
                batch.list(files.len())
            }
            (Expects::Download(_), ClientBody::Skip { .. }) => Ok(()),
            (Expects::Download(batch), ClientBody::Resume { index, offset, .. }) => {
                batch.check_resume(*index, *offset)
            }
            (Expects::Download(batch), ClientBody::Ranges { index, ranges }) => {
                batch.add_ranges(*index, ranges)
            }
            (Expects::Upload(upload), ClientBody::UploadPage { files }) => {
                upload.batch.list(files.len())
            }
            (Expects::Upload(upload), ClientBody::File(file)) => {
                upload.batch.file(file)?;
                upload.begun += u32::from(matches!(
                    file,
                    FileMessage::Begin { .. } | FileMessage::Patch { .. }
                ));
                Ok(())
            }
            (Expects::Upload(upload), ClientBody::Skip { index }) => upload.batch.skip(*index),
            (Expects::Upload(_), ClientBody::Alive) => Ok(()),
            _ => Err(Violation("a part of another kind of transfer")),
        }
    }

    /// Notes a data frame of this side's upload.
    pub fn sent_data(&mut self, size: usize) -> Result<(), Violation> {
        match self.pending.back_mut().map(|p| &mut p.expects) {
            Some(Expects::Upload(upload)) => upload.batch.data(size),
            _ => Err(Violation("file content outside of a file")),
        }
    }

    /// The batch of the newest request, if that is a transfer: says whether another page may go.
    pub fn batch(&self) -> Option<&Batch> {
        match self.pending.back().map(|p| &p.expects) {
            Some(Expects::Download(batch)) => Some(batch),
            Some(Expects::Upload(upload)) => Some(&upload.batch),
            _ => None,
        }
    }

    /// Takes a message of the server.
    pub fn receive(&mut self, message: &ServerMessage) -> Result<Answer, Violation> {
        let ServerMessage { number, body } = message;
        if *number == 0 {
            return self.receive_unnumbered(body);
        }
        if !self.greeted {
            return Err(Violation("an answer before the greeting"));
        }
        let Some(pending) = self.pending.front_mut().filter(|p| p.number == *number) else {
            return self.receive_again(*number);
        };
        let answer = pending.expects.receive(body)?;
        if answer == Answer::Final {
            self.pending.pop_front();
        }
        Ok(answer)
    }

    /// Another answer to a request that was made more than once. Nobody waits for it.
    fn receive_again(&mut self, number: u32) -> Result<Answer, Violation> {
        let repeated = self.repeated.iter().position(|known| *known == number);
        let Some(at) = repeated else {
            return Err(Violation("an answer to a request that was not made"));
        };
        self.repeated.remove(at);
        Ok(Answer::Event)
    }

    fn receive_unnumbered(&mut self, body: &ServerBody) -> Result<Answer, Violation> {
        match body {
            ServerBody::Welcome { software, .. } if self.said_hello && !self.greeted => {
                check_label(software)?;
                self.greeted = true;
                Ok(Answer::Final)
            }
            ServerBody::Refused { .. } => Ok(Answer::Final),
            ServerBody::Alive if self.greeted => Ok(Answer::Event),
            ServerBody::Table { last: true, .. }
            | ServerBody::Changed { .. }
            | ServerBody::Probe
            | ServerBody::RelayWanted { .. }
                if self.registers =>
            {
                Ok(Answer::Event)
            }
            _ => Err(Violation("an answer without a number")),
        }
    }

    /// Takes a data frame of `size` bytes.
    pub fn receive_data(&mut self, size: usize) -> Result<(), Violation> {
        match self.pending.front_mut().map(|p| &mut p.expects) {
            Some(Expects::Download(batch)) => batch.data(size),
            _ => Err(Violation("file content outside of a file")),
        }
    }
}

impl Expects {
    /// Whether the request may be made again with the same number: one answer says all.
    fn may_be_repeated(&self) -> bool {
        matches!(
            self,
            Expects::Pong
                | Expects::Info
                | Expects::Item
                | Expects::Removed
                | Expects::Registered
                | Expects::Done
                | Expects::Ticket
        )
    }

    fn receive(&mut self, body: &ServerBody) -> Result<Answer, Violation> {
        match (self, body) {
            (Expects::Pong, ServerBody::Pong)
            | (Expects::Item, ServerBody::Item(_))
            | (Expects::Removed, ServerBody::Removed { .. })
            | (Expects::Registered, ServerBody::Registered { .. })
            | (Expects::Done, ServerBody::Done)
            | (Expects::Ticket, ServerBody::Ticket { .. })
            | (Expects::Relaying, ServerBody::Relaying)
            | (
                Expects::Pong
                | Expects::Info
                | Expects::Item
                | Expects::Pages
                | Expects::Sessions
                | Expects::Trash
                | Expects::Undone
                | Expects::Removed
                | Expects::Signature
                | Expects::Registered
                | Expects::Done
                | Expects::Table
                | Expects::Ticket
                | Expects::Relaying,
                ServerBody::Refused { .. },
            ) => Ok(Answer::Final),
            (_, ServerBody::Alive) => Ok(Answer::Partial),
            (Expects::Info, ServerBody::Info(info)) => {
                check_label(&info.software)?;
                check_label(&info.host)?;
                info.identity.as_deref().map_or(Ok(()), check_label)?;
                Ok(Answer::Final)
            }
            (Expects::Pages, ServerBody::Page { items, last }) => check_page(items.len(), *last),
            (Expects::Sessions, ServerBody::Sessions { sessions, last }) => {
                check_page(sessions.len(), *last)
            }
            (Expects::Trash, ServerBody::Trash { files, last }) => check_page(files.len(), *last),
            (Expects::Undone, ServerBody::Undone { changes, last }) => {
                check_page(changes.len(), *last)
            }
            (Expects::Signature, ServerBody::Signature { blocks, last }) => {
                check_page(blocks.len(), *last)
            }
            (
                Expects::Download(_),
                ServerBody::File(FileMessage::Patch { .. } | FileMessage::Copy(_)),
            ) => Err(Violation("a part of an upload")),
            (
                Expects::Table,
                ServerBody::Table {
                    peers,
                    offers,
                    gone,
                    last,
                    ..
                },
            ) => {
                let most = peers.len().max(offers.len()).max(gone.len());
                check_page(most, *last)
            }
            (Expects::Download(_), ServerBody::File(FileMessage::Begin { entry: None, .. })) => {
                Err(Violation("a file that nothing is said of"))
            }
            (Expects::Download(batch), ServerBody::File(file)) => {
                batch.file(file).map(|()| Answer::Partial)
            }
            (Expects::Download(batch), ServerBody::DownloadEnd) if batch.is_complete() => {
                Ok(Answer::Final)
            }
            (Expects::Upload(upload), body) => upload.receive(body),
            _ => Err(Violation("an answer to another kind of request")),
        }
    }
}

impl Upload {
    /// Whether every file is closed and the server has said all that it has to say of them.
    fn is_complete(&self) -> bool {
        self.batch.is_complete()
            && self.verdicts == self.batch.total()
            && self.results == self.begun
    }

    fn receive(&mut self, body: &ServerBody) -> Result<Answer, Violation> {
        match body {
            ServerBody::UploadReady { verdicts } => {
                self.verdicts = count(self.verdicts, verdicts.len(), self.batch.listed())
                    .ok_or(Violation("more verdicts than files"))?;
                Ok(Answer::Partial)
            }
            ServerBody::UploadResults { results } => {
                let so_far = count(self.results, results.len(), self.begun)
                    .ok_or(Violation("more results than files"))?;
                let begun = self.batch.closed() + u32::from(self.batch.has_open_file());
                let unknown = |result: &UploadResult| match result {
                    UploadResult::Stored { index, .. } | UploadResult::Failed { index, .. } => {
                        *index >= begun
                    }
                };
                if results.iter().any(unknown) {
                    return Err(Violation("the result of a file that was not sent"));
                }
                self.results = so_far;
                Ok(Answer::Partial)
            }
            ServerBody::UploadEnd if self.is_complete() => Ok(Answer::Final),
            _ => Err(Violation("an answer to another kind of request")),
        }
    }
}

fn check_page(items: usize, last: bool) -> Result<Answer, Violation> {
    match (items > MAX_PAGE_ITEMS, last) {
        (true, _) => Err(Violation("a page of too many items")),
        (false, false) if items == 0 => Err(Violation("an empty page that is not the last")),
        (false, true) => Ok(Answer::Final),
        (false, false) => Ok(Answer::Partial),
    }
}

/// `so_far` and `more` together, when that is no more than `limit`.
fn count(so_far: u32, more: usize, limit: u32) -> Option<u32> {
    let sum = so_far.checked_add(u32::try_from(more).ok()?)?;
    (more > 0 && sum <= limit).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::limits::MAX_LABEL;
    use crate::protocol::message::Verdict;
    use crate::protocol::{Secret, WireDigest, WireEntry, WireItem, WireRef};

    fn greeted() -> ClientSession {
        let mut session = ClientSession::new();
        let welcome = ServerBody::Welcome {
            software: "test".into(),
            role: 2,
        };
        assert!(
            receive(&mut session, 0, welcome.clone()).is_err(),
            "unasked"
        );
        let hello = || ClientBody::Hello {
            software: "test".into(),
            login: None,
        };
        assert!(send(&mut session, 1, ClientBody::Ping).is_err());
        assert!(send(&mut session, 1, hello()).is_err(), "with a number");
        send(&mut session, 0, hello()).unwrap();
        assert!(send(&mut session, 0, hello()).is_err(), "a second one");
        assert!(receive(&mut session, 0, ServerBody::Pong).is_err());
        assert_eq!(receive(&mut session, 0, welcome), Ok(Answer::Final));
        assert!(send(&mut session, 0, ClientBody::Ping).is_err());
        session
    }

    fn send(session: &mut ClientSession, number: u32, body: ClientBody) -> Result<(), Violation> {
        session.sent(&ClientMessage { number, body })
    }

    fn receive(
        session: &mut ClientSession,
        number: u32,
        body: ServerBody,
    ) -> Result<Answer, Violation> {
        session.receive(&ServerMessage { number, body })
    }

    fn entry() -> WireEntry {
        WireEntry {
            name: "a".into(),
            id: None,
            size: 1,
            modified_seconds: 0,
            modified_nanoseconds: 0,
            executable: false,
        }
    }

    #[test]
    fn answers_come_in_order_and_only_to_what_was_asked() {
        let mut session = greeted();
        assert!(receive(&mut session, 1, ServerBody::Pong).is_err());
        send(&mut session, 1, ClientBody::Ping).unwrap();
        send(&mut session, 2, ClientBody::Info).unwrap();
        assert!(receive(&mut session, 2, ServerBody::Pong).is_err());
        assert!(receive(&mut session, 1, ServerBody::DownloadEnd).is_err());
        assert!(session.receive_data(1).is_err());
        assert_eq!(
            receive(&mut session, 1, ServerBody::Alive),
            Ok(Answer::Partial)
        );
        assert_eq!(
            receive(&mut session, 1, ServerBody::Pong),
            Ok(Answer::Final)
        );
        let refusal = ServerBody::Refused {
            code: 41,
            detail: String::new(),
        };
        assert_eq!(receive(&mut session, 2, refusal), Ok(Answer::Final));
    }

    #[test]
    fn a_hostile_server_cannot_send_files_that_were_not_asked_for() {
        let mut session = greeted();
        send(&mut session, 1, ClientBody::Download { files: 1 }).unwrap();
        let begin_as = |index, entry| {
            ServerBody::File(FileMessage::Begin {
                index,
                offset: 0,
                entry,
            })
        };
        let begin = |index| begin_as(index, Some(entry()));
        assert!(receive(&mut session, 1, begin(0)).is_err(), "not named yet");
        let page = ClientBody::DownloadPage {
            files: vec![WireRef::Name("a".into())],
        };
        send(&mut session, 1, page).unwrap();
        assert!(receive(&mut session, 1, begin(1)).is_err());
        assert!(receive(&mut session, 1, begin_as(0, None)).is_err());
        assert!(receive(&mut session, 1, ServerBody::DownloadEnd).is_err());
        receive(&mut session, 1, begin(0)).unwrap();
        assert_eq!(session.body_limits().data, Some(MAX_DATA_BODY));
        session.receive_data(3).unwrap();
        let end = ServerBody::File(FileMessage::End {
            digest: WireDigest::from(crate::types::Digest::Md5([0; 16])),
        });
        receive(&mut session, 1, end).unwrap();
        assert!(receive(&mut session, 1, begin(1)).is_err());
        assert_eq!(
            receive(&mut session, 1, ServerBody::DownloadEnd),
            Ok(Answer::Final)
        );
    }

    #[test]
    fn verdicts_and_results_are_counted() {
        let mut session = greeted();
        send(&mut session, 1, ClientBody::Upload { files: 1 }).unwrap();
        let verdict = || ServerBody::UploadReady {
            verdicts: vec![Verdict::Start],
        };
        assert!(receive(&mut session, 1, verdict()).is_err(), "none listed");
        let file = crate::protocol::message::UploadFile {
            name: "a".into(),
            size: Some(1),
            modified: None,
            executable: false,
            on_conflict: crate::protocol::message::WireConflict::Refuse,
            if_match: None,
            token: 0,
        };
        send(
            &mut session,
            1,
            ClientBody::UploadPage { files: vec![file] },
        )
        .unwrap();
        receive(&mut session, 1, verdict()).unwrap();
        assert!(receive(&mut session, 1, verdict()).is_err(), "one too many");
        let stored = |index| ServerBody::UploadResults {
            results: vec![UploadResult::Stored {
                index,
                entry: entry(),
            }],
        };
        assert!(receive(&mut session, 1, stored(0)).is_err(), "not begun");
        let begin = FileMessage::Begin {
            index: 0,
            offset: 0,
            entry: None,
        };
        send(&mut session, 1, ClientBody::File(begin)).unwrap();
        session.sent_data(1).unwrap();
        let digest = WireDigest::from(crate::types::Digest::Md5([0; 16]));
        send(
            &mut session,
            1,
            ClientBody::File(FileMessage::End { digest }),
        )
        .unwrap();
        assert!(receive(&mut session, 1, stored(1)).is_err(), "unknown file");
        let upload_end = || ServerBody::UploadEnd;
        assert!(receive(&mut session, 1, upload_end()).is_err(), "too early");
        receive(&mut session, 1, stored(0)).unwrap();
        assert!(receive(&mut session, 1, stored(0)).is_err(), "twice");
        assert_eq!(receive(&mut session, 1, upload_end()), Ok(Answer::Final));
    }

    #[test]
    fn no_answer_comes_before_the_greeting() {
        let mut session = ClientSession::new();
        let hello = ClientBody::Hello {
            software: "test".into(),
            login: None,
        };
        send(&mut session, 0, hello).unwrap();
        send(&mut session, 1, ClientBody::Ping).unwrap();
        assert!(receive(&mut session, 1, ServerBody::Pong).is_err());
        let welcome = |software: String| ServerBody::Welcome { software, role: 2 };
        let long = "x".repeat(MAX_LABEL + 1);
        assert!(receive(&mut session, 0, welcome(long)).is_err());
        receive(&mut session, 0, welcome("test".into())).unwrap();
        assert_eq!(
            receive(&mut session, 1, ServerBody::Pong),
            Ok(Answer::Final)
        );
    }

    #[test]
    fn requests_under_way_are_bounded() {
        let mut session = greeted();
        for number in 1..=MAX_PIPELINED as u32 {
            send(&mut session, number, ClientBody::Ping).unwrap();
        }
        assert!(send(&mut session, 1000, ClientBody::Ping).is_err());
    }

    #[test]
    fn a_request_made_again_may_be_answered_as_often_as_it_was_made() {
        let mut session = greeted();
        for _ in 0..3 {
            send(&mut session, 1, ClientBody::Ping).unwrap();
        }
        send(&mut session, 2, ClientBody::Info).unwrap();
        let pong = |session: &mut ClientSession| receive(session, 1, ServerBody::Pong);
        assert_eq!(pong(&mut session), Ok(Answer::Final));
        assert_eq!(pong(&mut session), Ok(Answer::Event));
        assert_eq!(pong(&mut session), Ok(Answer::Event));
        assert!(pong(&mut session).is_err());
        let table = || ClientBody::Table { epoch: 0, since: 0 };
        send(&mut session, 3, table()).unwrap();
        assert!(send(&mut session, 3, table()).is_err(), "in pages");
    }

    #[test]
    fn events_come_to_a_registered_client_only_and_nothing_after_a_relay() {
        let mut session = greeted();
        assert!(receive(&mut session, 0, ServerBody::Probe).is_err());
        let register = ClientBody::Register {
            name: "B".into(),
            port: 1401,
            key: None,
            secret: Secret([1; 32]),
        };
        send(&mut session, 1, register).unwrap();
        assert_eq!(
            receive(&mut session, 0, ServerBody::Probe),
            Ok(Answer::Event)
        );
        let table = |last| ServerBody::Table {
            epoch: 1,
            since: 0,
            version: 0,
            peers: vec![],
            offers: vec![],
            gone: vec![],
            last,
        };
        assert_eq!(receive(&mut session, 0, table(true)), Ok(Answer::Event));
        assert!(receive(&mut session, 0, table(false)).is_err());
        assert!(send(&mut session, 2, ClientBody::Upload { files: 1 }).is_err());

        let mut session = greeted();
        let accept = ClientBody::RelayAccept {
            id: Secret([2; 32]),
        };
        send(&mut session, 1, accept).unwrap();
        assert!(send(&mut session, 2, ClientBody::Ping).is_err());
        assert_eq!(
            receive(&mut session, 1, ServerBody::Relaying),
            Ok(Answer::Final)
        );
        assert!(receive(&mut session, 0, ServerBody::Probe).is_err());
    }

    #[test]
    fn a_listing_ends_with_its_last_page() {
        let mut session = greeted();
        let list = ClientBody::List {
            folder: None,
            patterns: vec![],
            limit: 0,
        };
        send(&mut session, 1, list).unwrap();
        assert_eq!(session.body_limits().message, MAX_PAGE_BODY);
        let page = |last| ServerBody::Page {
            items: vec![WireItem::Folder("d".into())],
            last,
        };
        assert_eq!(receive(&mut session, 1, page(false)), Ok(Answer::Partial));
        assert_eq!(receive(&mut session, 1, page(true)), Ok(Answer::Final));
        assert!(receive(&mut session, 1, page(true)).is_err());
    }
}
