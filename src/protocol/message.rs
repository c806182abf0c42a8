//! The two message types, one per direction. Variants are appended, never reordered.
//!
//! A message carries the number of the request that it belongs to: requests count up from 1;
//! 0 stands for the greeting and for what belongs to no request.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{MAX_CAPABILITIES, MAX_MESSAGE_BODY, MAX_PAGE_ITEMS};
use super::list;
use super::text;
use super::ticket::{Secret, Ticket};
use super::wire::{WireAddress, WireDigest, WireEntry, WireItem, WireRef};

/// As many texts as an ordinary message has room for: too many patterns are refused in words.
const MAX_TEXTS: usize = MAX_MESSAGE_BODY / 8;

/// A message from a client to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// The request that it makes or belongs to.
    pub number: u32,
    /// What it says.
    pub body: ClientBody,
}

/// What a client can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientBody {
    /// First of all, number 0. Answer: [`ServerBody::Welcome`] or [`ServerBody::Refused`].
    Hello {
        /// Program and version, for logs; at most 255 bytes.
        #[serde(deserialize_with = "text::text")]
        software: String,
        /// Who the client is; without it nobody in particular.
        login: Option<Login>,
    },
    /// Ready. Answer: [`ServerBody::Pong`].
    Ping,
    /// Ready. Answer: [`ServerBody::Info`].
    Info,
    /// Ready. Answer: one or more [`ServerBody::Page`].
    List {
        /// The folder to list; `None` is the root.
        #[serde(deserialize_with = "text::optional")]
        folder: Option<String>,
        /// Globs relative to the folder; none lists everything below it. At most 64.
        #[serde(deserialize_with = "text::several::<_, MAX_TEXTS>")]
        patterns: Vec<String>,
        /// Stop after this many items; 0 lists all.
        limit: u32,
    },
    /// Ready. Answer: [`ServerBody::Item`].
    Stat {
        /// Which file or folder.
        file: WireRef,
        /// Answer only when the file's id is known, however long hashing takes.
        wait_for_id: bool,
    },
    /// Ready. Never replaces anything. Answer: [`ServerBody::Item`] under the new name.
    Rename {
        /// The file or folder.
        from: WireRef,
        /// Its new full name.
        #[serde(deserialize_with = "text::text")]
        to: String,
        /// Only if the file still has this id.
        if_match: Option<WireDigest>,
        /// Check everything, change nothing.
        dry_run: bool,
    },
    /// Ready. Answer: [`ServerBody::Item`], what was removed.
    Remove {
        /// The file or folder.
        file: WireRef,
        /// A folder goes with everything in it; without this it is refused.
        recursive: bool,
        /// Only if the file still has this id.
        if_match: Option<WireDigest>,
        /// Check everything, change nothing.
        dry_run: bool,
    },
    /// Ready. Answer: [`ServerBody::Item`].
    MakeFolder {
        /// Its full name; missing folders above it are made too.
        #[serde(deserialize_with = "text::text")]
        name: String,
        /// Check everything, change nothing.
        dry_run: bool,
    },
    /// Ready. Opens a download of this many files, which pages then name.
    Download {
        /// How many files in all, at least 1.
        files: u32,
    },
    /// Downloading, until all files are named. Answer: for each file in order
    /// [`FileMessage::Begin`], data frames and [`FileMessage::End`], or [`FileMessage::Abort`];
    /// after the last [`ServerBody::DownloadEnd`].
    DownloadPage {
        /// The next files, 1 to 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 12>")]
        files: Vec<WireRef>,
    },
    /// Ready. Opens an upload of this many files, which pages then describe.
    Upload {
        /// How many files in all, at least 1.
        files: u32,
    },
    /// Uploading, until all files are described. Answer: [`ServerBody::UploadReady`].
    UploadPage {
        /// The next files, 1 to 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 24>")]
        files: Vec<UploadFile>,
    },
    /// Uploading. Each described file is closed exactly once and in order: by `Begin`, data frames
    /// and `End`; by `Abort`, after a `Begin` or without one; or by [`ClientBody::Skip`].
    File(FileMessage),
    /// Uploading: this file is not sent after all. Downloading: no more of this file, please.
    Skip {
        /// The file's place in the batch.
        index: u32,
    },
    /// Uploading, when the source of the file has nothing to give: at least every 15 s.
    Alive,
    /// Ready. Answer: one or more [`ServerBody::Sessions`].
    Sessions,
    /// Ready. Ends the session of another client. Answer: [`ServerBody::Sessions`] with that one.
    Kick {
        /// Its number, from a [`WireSession`].
        id: u64,
    },
    /// Ready. What changes from here on belongs to one command of the user, which
    /// [`ClientBody::Undo`] takes back as a whole; without it every request is a command of its own.
    /// Not answered.
    Command {
        /// A number of the client's choice: another connection that says the same one goes on with
        /// the same command.
        id: u64,
    },
    /// Ready. What was replaced or removed and is still kept. Answer: one or more
    /// [`ServerBody::Trash`].
    Trash {
        /// The folder that it was in; `None` is the root.
        #[serde(deserialize_with = "text::optional")]
        folder: Option<String>,
        /// Globs relative to the folder; none lists everything. At most 64.
        #[serde(deserialize_with = "text::several::<_, MAX_TEXTS>")]
        patterns: Vec<String>,
    },
    /// Ready. Brings a kept file back under its name; what stands there is kept in its turn.
    /// Answer: [`ServerBody::Item`].
    Restore {
        /// The full name that it had.
        #[serde(deserialize_with = "text::text")]
        name: String,
        /// Which one of those that had the name; 1 is the one that went last.
        version: u32,
        /// Check everything, change nothing.
        dry_run: bool,
    },
    /// Ready. Takes back this user's last command that changed something. Answer: one or more
    /// [`ServerBody::Undone`].
    Undo {
        /// Check everything, change nothing.
        dry_run: bool,
    },
    /// Downloading, before the page that names the file: the client has its beginning already.
    Resume {
        /// The file's place in the batch.
        index: u32,
        /// How many bytes of it, a multiple of 64 KiB and at least one.
        offset: u64,
        /// Their MD5. When the server's file begins with the same, its `Begin` has this offset.
        digest: WireDigest,
    },
    /// Ready. How file content is to come from here on. Not answered.
    Compression {
        /// 0 as it is, 1 compressed where that makes it faster, 2 compressed wherever it gets
        /// smaller.
        mode: u8,
    },
    /// Ready. Of which blocks the file with this id consists, cut by its content. Answer: one or
    /// more [`ServerBody::Signature`].
    Signature {
        /// The whole id.
        id: WireDigest,
        /// How large a block is on average, in bytes: a power of two from 64 KiB to 4 MiB.
        average: u32,
    },
    /// Downloading, before the page that names the file: only these parts of it are to come, one
    /// behind the other. May come several times for one file; not together with `Resume`.
    Ranges {
        /// The file's place in the batch.
        index: u32,
        /// The next parts, in order and without overlap, 1 to 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 16>")]
        ranges: Vec<WireRange>,
    },
    /// Ready. From here on this client is known to others by a name, and the connection carries no
    /// file content. It has to be heard of every few seconds. Answer: [`ServerBody::Registered`];
    /// and events, for as long as it is registered.
    Register {
        /// The name, at most 64 bytes.
        #[serde(deserialize_with = "text::text")]
        name: String,
        /// The TCP port on which it listens for other clients, 1024 to 65535.
        port: u16,
        /// The SHA-256 of the public key that it will show to them; `None` without TLS.
        key: Option<[u8; 32]>,
        /// By what the server knows it again: whoever says the same one gets the name back.
        secret: Secret,
    },
    /// Ready, registered. The client goes offline; it may register again. Answer:
    /// [`ServerBody::Done`].
    Deregister {
        /// Its own name, or none; another client's is refused.
        #[serde(deserialize_with = "text::optional")]
        name: Option<String>,
    },
    /// Ready, registered. These files can be had from this client, too; one that was offered before
    /// is replaced. Answer: [`ServerBody::Done`].
    Offer {
        /// The files, 1 to 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 25>")]
        files: Vec<WireOffered>,
    },
    /// Ready, registered. These files can no longer be had from this client. Answer:
    /// [`ServerBody::Done`], also for what was not offered.
    Withdraw {
        /// Their names, at most 4096; none: all that it offers.
        #[serde(deserialize_with = "text::several::<_, MAX_PAGE_ITEMS>")]
        names: Vec<String>,
    },
    /// Ready. Who is there and offers what. Answer: one or more [`ServerBody::Table`].
    Table {
        /// The epoch of the table that the client has; 0: it has none.
        epoch: u64,
        /// The version that it has: what has changed since then is wanted. 0: the whole.
        since: u64,
    },
    /// Ready. A ticket for a file that another client offers. Answer: [`ServerBody::Ticket`].
    Ticket {
        /// The name of that client.
        #[serde(deserialize_with = "text::text")]
        owner: String,
        /// The name of the file.
        #[serde(deserialize_with = "text::text")]
        file: String,
        /// The SHA-256 of the public key that this client will show there; `None` without TLS.
        key: Option<[u8; 32]>,
    },
    /// Between clients only. Ready: the files of this ticket are wanted next. Answer:
    /// [`ServerBody::Done`].
    Redeem(Box<Ticket>),
    /// Ready, on a connection for this alone. The owner of the ticket's file cannot be reached: the
    /// server is to carry the bytes. Answer: [`ServerBody::Relaying`], and from then on all bytes of
    /// this connection come from the other client and go to it.
    Relay(Box<Ticket>),
    /// Ready, on a connection for this alone. Answers [`ServerBody::RelayWanted`]. Answer:
    /// [`ServerBody::Relaying`], as above.
    RelayAccept {
        /// The number of the relay.
        id: Secret,
    },
    /// Ready. Removes a folder if nothing at all is in it. Answer: [`ServerBody::Item`].
    RemoveFolder {
        /// Its full name.
        #[serde(deserialize_with = "text::text")]
        name: String,
    },
}

/// A file that a client offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireOffered {
    /// Its name.
    #[serde(deserialize_with = "text::text")]
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its id.
    pub id: WireDigest,
}

/// A client that is or was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WirePeer {
    /// Its name.
    #[serde(deserialize_with = "text::text")]
    pub name: String,
    /// Where it is, for the client that is told: as the server sees it, or where that client sees
    /// the server when both are on one machine.
    pub address: WireAddress,
    /// The TCP port on which it listens.
    pub port: u16,
    /// Whether it is there at the moment.
    pub online: bool,
}

/// A file that a registered client offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireOffer {
    /// The name of the client.
    #[serde(deserialize_with = "text::text")]
    pub owner: String,
    /// The name of the file.
    #[serde(deserialize_with = "text::text")]
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its id.
    pub id: WireDigest,
}

/// Something that is no longer in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGone {
    /// The name of the client.
    #[serde(deserialize_with = "text::text")]
    pub owner: String,
    /// The name of the file that it offers no more; `None`: the client itself is forgotten, with
    /// all that it offered.
    #[serde(deserialize_with = "text::optional")]
    pub file: Option<String>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRange {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How many bytes it has, at least 1.
    pub length: u64,
}

/// A block of a file, cut by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireBlock {
    /// How many bytes it has, at least 1.
    pub length: u32,
    /// The first half of its BLAKE3 hash.
    pub hash: [u8; 16],
}

/// Who a client says that it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The name of the account, at most 64 bytes.
    #[serde(deserialize_with = "text::text")]
    pub user: String,
    /// Its password, at most 1 KiB.
    #[serde(deserialize_with = "text::text")]
    pub password: String,
}

/// Without the password: messages are logged.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// One file that a client wants to upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFile {
    /// The full name that it is to get.
    #[serde(deserialize_with = "text::text")]
    pub name: String,
    /// Its size in bytes, when it is known beforehand.
    pub size: Option<u64>,
    /// Time of its last change (seconds and nanoseconds since the Unix epoch), to be kept.
    pub modified: Option<(i64, u32)>,
    /// Whether the owner may execute it.
    pub executable: bool,
    /// What to do when the name is taken.
    pub on_conflict: WireConflict,
    /// Only if the file that stands there has this id.
    pub if_match: Option<WireDigest>,
    /// What the client calls these bytes, a number that nobody can guess: a server keeps what it got
    /// of them, when the upload is cut, for whoever of the same user says the same. 0: it need not.
    pub token: u64,
}

/// What to do when a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireConflict {
    /// Refuse.
    Refuse,
    /// Replace.
    Replace,
    /// Choose a free name.
    Rename,
}

/// What either side says of the file that it is sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileMessage {
    /// The data frames of this file follow.
    Begin {
        /// The file's place in the batch, counted from 0.
        index: u32,
        /// Where in the file the first data frame goes: 0, or what the other side has offered.
        offset: u64,
        /// What the server knows of it (downloads only).
        entry: Option<WireEntry>,
    },
    /// All of the file was sent.
    End {
        /// The MD5 of the whole file as the sender knows it.
        digest: WireDigest,
    },
    /// The file cannot be sent, or not to its end: what arrived of it is void.
    Abort {
        /// The file's place in the batch.
        index: u32,
        /// Why ([`ErrorCode`](super::ErrorCode)).
        code: u16,
        /// The same for people, at most 8 KiB.
        #[serde(deserialize_with = "text::text")]
        detail: String,
    },
    /// Uploads only, in place of `Begin`: the file is put together from data frames of any size and
    /// from parts of a file that the server has.
    Patch {
        /// The file's place in the batch.
        index: u32,
        /// Where in the file it begins, as in `Begin`.
        offset: u64,
        /// The whole id of the file that the server has.
        basis: WireDigest,
    },
    /// Only after `Patch`: here goes a part of the file that the server has.
    Copy(WireRange),
}

/// A message from a server to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMessage {
    /// The request that it answers; 0 for what answers none.
    pub number: u32,
    /// What it says.
    pub body: ServerBody,
}

/// What a server can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerBody {
    /// Answers [`ClientBody::Hello`].
    Welcome {
        /// Program and version, at most 255 bytes.
        #[serde(deserialize_with = "text::text")]
        software: String,
        /// What this client may do: 0 nothing, 1 reader, 2 contributor, 3 editor, 4 admin.
        role: u8,
    },
    /// Answers any request but `Download` and `Upload`, which answer file by file: it was not
    /// done. With number 0 the connection ends here.
    Refused {
        /// Why ([`ErrorCode`](super::ErrorCode)).
        code: u16,
        /// The same for people, at most 8 KiB.
        #[serde(deserialize_with = "text::text")]
        detail: String,
    },
    /// Answers [`ClientBody::Ping`].
    Pong,
    /// Answers [`ClientBody::Info`].
    Info(Box<ServerInfo>),
    /// Answers [`ClientBody::List`], in order of names (bytes).
    Page {
        /// The next items, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 12>")]
        items: Vec<WireItem>,
        /// Whether this page ends the answer.
        last: bool,
    },
    /// Answers [`ClientBody::Stat`], `Rename`, `Remove` and `MakeFolder`.
    Item(WireItem),
    /// Downloading: see [`ClientBody::DownloadPage`].
    File(FileMessage),
    /// Ends the answer to [`ClientBody::Download`].
    DownloadEnd,
    /// Answers [`ClientBody::UploadPage`]: one verdict for each file of the page, in one or more of
    /// these messages.
    UploadReady {
        /// The verdicts, in the page's order, 1 to 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 4>")]
        verdicts: Vec<Verdict>,
    },
    /// What became of uploaded files, as soon as it is known and in any order: one result for each
    /// file that was begun.
    UploadResults {
        /// The results, 1 to 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 18>")]
        results: Vec<UploadResult>,
    },
    /// Ends the answer to [`ClientBody::Upload`].
    UploadEnd,
    /// The answer takes longer: at least every 15 s while a request is being worked on.
    Alive,
    /// Answers [`ClientBody::Sessions`] and [`ClientBody::Kick`], in order of their numbers.
    Sessions {
        /// The next sessions, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 51>")]
        sessions: Vec<WireSession>,
        /// Whether this message ends the answer.
        last: bool,
    },
    /// Answers [`ClientBody::Trash`], in order of names (bytes) and then of versions.
    Trash {
        /// The next files, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 44>")]
        files: Vec<WireKept>,
        /// Whether this message ends the answer.
        last: bool,
    },
    /// Answers [`ClientBody::Undo`]: what became of each change of the command, the last one first.
    Undone {
        /// The next changes, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 13>")]
        changes: Vec<WireUndone>,
        /// Whether this message ends the answer.
        last: bool,
    },
    /// Answers [`ClientBody::Remove`].
    Removed {
        /// What was removed.
        item: WireItem,
        /// Whether it is kept in the trash, whole.
        kept: bool,
    },
    /// Answers [`ClientBody::Signature`], in the order of the file.
    Signature {
        /// The next blocks, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 20>")]
        blocks: Vec<WireBlock>,
        /// Whether this message ends the answer.
        last: bool,
    },
    /// Answers what has nothing to tell: it was done.
    Done,
    /// Answers [`ClientBody::Register`].
    Registered {
        /// A number that this run of the server has given itself: versions of another one mean
        /// nothing.
        epoch: u64,
        /// Where the server sees the client: the address that others are told.
        address: WireAddress,
        /// The key of the tickets for files of this client, until it registers again.
        ticket_key: Secret,
        /// What the server's clock says: milliseconds since some moment. Tickets expire by it.
        clock: u64,
    },
    /// Answers [`ClientBody::Table`], and an event: then it is one message of at most 64 KiB. To be
    /// taken in the order of the fields. A client whose version is below `since` lacks something
    /// and asks for it.
    Table {
        /// The epoch of the table.
        epoch: u64,
        /// What has changed after this version; 0: the client begins anew with an empty table.
        since: u64,
        /// The version that the client has with this message.
        version: u64,
        /// Clients that came or went, at most 4096. All that the client knows of their offers is void.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 19>")]
        peers: Vec<WirePeer>,
        /// Files that are offered, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 33>")]
        offers: Vec<WireOffer>,
        /// What is gone, at most 4096.
        #[serde(deserialize_with = "list::bounded::<_, _, MAX_PAGE_ITEMS, 9>")]
        gone: Vec<WireGone>,
        /// Whether this message ends the answer.
        last: bool,
    },
    /// Event: the table has changed, by more than is sent unasked.
    Changed {
        /// The epoch of the table.
        epoch: u64,
        /// Its version.
        version: u64,
    },
    /// Event: is the client still there? It says so with any request, within 2 s.
    Probe,
    /// Answers [`ClientBody::Ticket`].
    Ticket {
        /// Where the owner of the file is, for this client.
        address: WireAddress,
        /// The TCP port on which it listens.
        port: u16,
        /// The SHA-256 of the public key that it must show; `None` without TLS.
        key: Option<[u8; 32]>,
        /// The ticket.
        ticket: Box<Ticket>,
    },
    /// Event: another client has a ticket and cannot reach this one. It connects to the server once
    /// more and says [`ClientBody::RelayAccept`].
    RelayWanted {
        /// The number of the relay.
        id: Secret,
        /// Where the other client is.
        address: WireAddress,
    },
    /// Answers [`ClientBody::Relay`] and [`ClientBody::RelayAccept`]. No frame follows: the bytes
    /// are those of the other client.
    Relaying,
}

/// A file that was replaced or removed and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireKept {
    /// The full name that it had.
    #[serde(deserialize_with = "text::text")]
    pub name: String,
    /// Which one of those that had the name; 1 is the one that went last.
    pub version: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Time of its last change: seconds since the Unix epoch …
    pub modified_seconds: i64,
    /// … and nanoseconds, below 1,000,000,000.
    pub modified_nanoseconds: u32,
    /// When it was replaced or removed: seconds since the Unix epoch …
    pub kept_seconds: i64,
    /// … and nanoseconds, below 1,000,000,000.
    pub kept_nanoseconds: u32,
}

/// What became of one change that was to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireUndone {
    /// The file or folder, by the full name that it has now, or had if it is gone.
    #[serde(deserialize_with = "text::text")]
    pub name: String,
    /// How it was taken back, or why not.
    pub outcome: UndoOutcome,
}

/// How a change was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndoOutcome {
    /// It had been added, and is gone; a file is kept in the trash.
    Removed,
    /// It had been replaced or removed, and is back.
    Restored,
    /// It had been renamed, and has its old name again.
    Renamed,
    /// It was left as it is.
    Failed {
        /// Why ([`ErrorCode`](super::ErrorCode)).
        code: u16,
        /// The same for people, at most 8 KiB.
        #[serde(deserialize_with = "text::text")]
        detail: String,
    },
}

/// One client's session, as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireSession {
    /// Its number, which no other session of this run of the server has.
    pub id: u64,
    /// The user; `None` without an account.
    #[serde(deserialize_with = "text::optional")]
    pub user: Option<String>,
    /// What the client may do, as in [`ServerBody::Welcome`].
    pub role: u8,
    /// Where it comes from: address and port.
    #[serde(deserialize_with = "text::text")]
    pub address: String,
    /// Seconds since it connected.
    pub connected: u64,
    /// What it is doing: the name of a request, or `idle`.
    #[serde(deserialize_with = "text::text")]
    pub activity: String,
    /// The file that it is about, by its full name.
    #[serde(deserialize_with = "text::optional")]
    pub file: Option<String>,
    /// Bytes of file content that came from it.
    pub received: u64,
    /// Bytes of file content that went to it.
    pub sent: u64,
}

/// What the server says to a file that a client wants to upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Send it, from its beginning.
    Start,
    /// The name is taken by this file. With [`WireConflict::Replace`] it may be sent all the same.
    Exists(Box<WireEntry>),
    /// It would not be stored: do not send it.
    Refused {
        /// Why ([`ErrorCode`](super::ErrorCode)).
        code: u16,
        /// The same for people, at most 8 KiB.
        #[serde(deserialize_with = "text::text")]
        detail: String,
    },
    /// Send it; the server has its beginning already, from an upload with the same token.
    Resume {
        /// How many bytes of it, a multiple of 64 KiB and at least one.
        offset: u64,
        /// Their MD5. When the client's file begins with the same, its `Begin` may have this
        /// offset.
        digest: WireDigest,
    },
}

/// What became of one uploaded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadResult {
    /// It is verified, on disk, and visible under its name, which `Rename` may have changed.
    Stored {
        /// The file's place in the batch.
        index: u32,
        /// What stands there now, with the server's own digest.
        entry: WireEntry,
    },
    /// It was not stored, and nothing else has changed.
    Failed {
        /// The file's place in the batch.
        index: u32,
        /// Why ([`ErrorCode`](super::ErrorCode)).
        code: u16,
        /// The same for people, at most 8 KiB.
        #[serde(deserialize_with = "text::text")]
        detail: String,
    },
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Program and version.
    #[serde(deserialize_with = "text::text")]
    pub software: String,
    /// The protocol version that is being spoken.
    pub protocol: u16,
    /// The server's host name.
    #[serde(deserialize_with = "text::text")]
    pub host: String,
    /// The fingerprint of its key; `None` without TLS.
    #[serde(deserialize_with = "text::optional")]
    pub identity: Option<String>,
    /// Seconds since it started.
    pub uptime: u64,
    /// Shared files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Free bytes on the disk, when that can be told.
    pub free: Option<u64>,
    /// The largest file that it takes, in bytes.
    pub max_file_size: Option<u64>,
    /// How many bytes it stores in all.
    pub quota: Option<u64>,
    /// How many connections it takes.
    pub max_connections: u32,
    /// After how many seconds it closes an idle connection.
    pub idle_timeout: u64,
    /// Whether only portable names can be created.
    pub portable_names: bool,
    /// Whether an upload is on disk before it is acknowledged.
    pub durable: bool,
    /// Whether the server has shut itself out of everything but its root and state.
    pub confined: bool,
    /// This client's user; `None` without an account.
    #[serde(deserialize_with = "text::optional")]
    pub user: Option<String>,
    /// This client's role, as in [`ServerBody::Welcome`].
    pub role: u8,
    /// What it can do beyond the first version, by name; at most 64.
    #[serde(deserialize_with = "text::several::<_, MAX_CAPABILITIES>")]
    pub capabilities: Vec<String>,
    /// Files that wait to be hashed.
    pub unhashed_files: u64,
    /// Their bytes.
    pub unhashed_bytes: u64,
    /// Below the root and not shared: symbolic links,
    pub left_out_links: u64,
    /// … FIFOs, sockets and devices,
    pub left_out_special: u64,
    /// … folders on other file systems,
    pub left_out_mounts: u64,
    /// … names that no client can name,
    pub left_out_names: u64,
    /// … names that differ from a shared one only in case or Unicode form,
    pub left_out_twins: u64,
    /// … and what the server may not read.
    pub left_out_unreadable: u64,
    /// Replaced and removed files that are kept,
    pub trash_files: u64,
    /// … their bytes,
    pub trash_bytes: u64,
    /// … for how many seconds (0: nothing is kept),
    pub keep_removed: u64,
    /// … and how many bytes of them at most.
    pub keep_removed_size: u64,
    /// Stored files whose content is not what was stored: how many are known,
    pub damaged_files: u64,
    /// … and the first of them by name, at most 64.
    #[serde(deserialize_with = "text::several::<_, MAX_CAPABILITIES>")]
    pub damaged: Vec<String>,
}
