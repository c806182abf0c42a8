//! The shapes of `--json`: one object a line (contract section 6). Field order is print order.

use serde::Serialize;

use super::units;
use crate::protocol::ErrorCode;
use crate::types::{Entry, FileName, Item, Printable};

/// The version of these shapes, `"v"` in every line.
const VERSION: u8 = 1;

/// One line: its version, its type, and what it says.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    v: u8,
    #[serde(flatten)]
    body: Body<'a>,
}

impl<'a> From<Body<'a>> for Line<'a> {
    fn from(body: Body<'a>) -> Self {
        Line { v: VERSION, body }
    }
}

impl Line<'_> {
    /// The line, without its end. Whatever a terminal would act on or hide is written in JSON's
    /// own escapes, so that it can be looked at, and nothing of it is lost to programs.
    pub fn text(&self) -> serde_json::Result<String> {
        let plain = serde_json::to_string(self)?;
        if !plain.contains(Printable::escapes) {
            return Ok(plain);
        }
        // Only strings can have such characters, and only as they are.
        let mut text = String::with_capacity(plain.len() + 64);
        for character in plain.chars() {
            if Printable::escapes(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                text.push(character);
            }
        }
        Ok(text)
    }
}

/// What a line says, by type.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body<'a> {
    /// A file on the server.
    Entry(EntryLine<'a>),
    /// A folder on the server.
    Folder(FolderLine<'a>),
    /// What became of one file.
    File(FileLine<'a>),
    /// What became of a batch.
    Summary(SummaryLine<'a>),
    /// What the server says of itself.
    Info(InfoLine<'a>),
    /// Somebody's session on the server.
    /// A stored file that is not as it was stored.
    Scrub(ScrubLine<'a>),
    /// A file that was replaced or removed and is kept.
    Kept(KeptLine<'a>),
    Session(SessionLine<'a>),
    /// A file that a client offers.
    Offer(OfferLine<'a>),
    /// A client that is or was registered.
    Peer(PeerLine<'a>),
    /// The round-trip time.
    Ping {
        /// In milliseconds.
        milliseconds: f64,
    },
    /// The current local folder.
    LocalFolder {
        /// Its absolute path.
        path: &'a str,
    },
    /// A file or folder in a local folder.
    LocalEntry(LocalEntryLine<'a>),
    /// What kept a command from being done.
    Error {
        /// The failure.
        error: ErrorBody<'a>,
    },
}

/// See [`Body::Entry`].
#[derive(Debug, Serialize)]
pub struct EntryLine<'a> {
    name: &'a str,
    id: Option<String>,
    size: u64,
    modified: String,
}

/// See [`Body::Folder`].
#[derive(Debug, Default, Serialize)]
pub struct FolderLine<'a> {
    /// The command that acted on the folder, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    /// The path below the root; empty for the root itself.
    pub name: &'a str,
    /// The name before a rename.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// Whether what was removed is kept in the trash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
}

/// See [`Body::File`].
#[derive(Debug, Default, Serialize)]
pub struct FileLine<'a> {
    /// The command.
    pub action: &'a str,
    /// The server's file.
    pub name: &'a str,
    /// The name before a rename.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// The local file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    /// The file's id, which may not be known yet; left out of failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// The file's size, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What became of it.
    pub status: &'a str,
    /// Whether what was removed is kept in the trash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
    /// Why it was skipped, if not because its name is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody<'a>>,
}

/// A file's id, `null` when it is not known.
#[derive(Debug, Default, Clone, Serialize)]
#[serde(transparent)]
pub struct Id(Option<String>);

impl Id {
    /// The id of an entry, if there is an entry and it has been hashed.
    pub fn of(entry: Option<&Entry>) -> Self {
        Id(entry.and_then(|entry| entry.id).map(|id| id.to_string()))
    }
}

/// See [`Body::Offer`].
#[derive(Debug, Serialize)]
pub struct OfferLine<'a> {
    /// The file.
    pub name: &'a str,
    /// The client that has it.
    pub owner: &'a str,
    /// Where that is.
    pub address: String,
    /// Where that listens.
    pub port: u16,
    /// The file's id.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
}

/// See [`Body::Peer`].
#[derive(Debug, Serialize)]
pub struct PeerLine<'a> {
    /// The client.
    pub name: &'a str,
    /// Where it is.
    pub address: String,
    /// Where it listens.
    pub port: u16,
    /// Whether it is there.
    pub online: bool,
}

/// See [`Body::Scrub`].
#[derive(Debug, Default, Serialize)]
pub struct ScrubLine<'a> {
    /// The file.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// `damaged` or `unreadable`.
    pub status: &'a str,
    /// The id that is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// The id of what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody<'a>>,
}

/// See [`Body::Kept`].
#[derive(Debug, Serialize)]
pub struct KeptLine<'a> {
    /// The name that it had.
    pub name: &'a str,
    /// Which one of those that had the name, from 1, the one that went last.
    pub version: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last change.
    pub modified: String,
    /// When it was replaced or removed.
    pub kept: String,
}

/// See [`Body::Summary`].
#[derive(Debug, Serialize)]
pub struct SummaryLine<'a> {
    /// The command.
    pub action: &'a str,
    /// How many files there were.
    pub files: u64,
    /// How many of them were there already.
    pub unchanged: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The size of the files acted on.
    pub bytes: u64,
    /// The file content that crossed the wire.
    pub sent: u64,
    /// How long it took.
    pub seconds: f64,
}

/// See [`Body::Info`]; the fields are those of `ServerInfo`, which documents them.
#[derive(Debug, Serialize)]
pub struct InfoLine<'a> {
    pub server: &'a str,
    pub software: &'a str,
    pub protocol: u16,
    pub host: &'a str,
    pub identity: Option<&'a str>,
    pub uptime: u64,
    pub user: Option<&'a str>,
    pub role: &'a str,
    pub files: u64,
    pub bytes: u64,
    pub free: Option<u64>,
    pub limits: LimitsBody,
    pub names: &'a str,
    pub durability: &'a str,
    pub confined: bool,
    pub capabilities: &'a [String],
    pub unhashed: UnhashedBody,
    pub left_out: LeftOutBody,
    pub trash: TrashBody,
    pub damaged: DamagedBody<'a>,
}

/// See [`Body::Session`]; the fields are those of `WireSession`, which documents them.
#[derive(Debug, Serialize)]
pub struct SessionLine<'a> {
    /// The command that acted on the session, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    pub id: u64,
    pub user: Option<&'a str>,
    pub role: &'a str,
    pub address: &'a str,
    pub connected: u64,
    pub activity: &'a str,
    pub file: Option<&'a str>,
    pub received: u64,
    pub sent: u64,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
}

/// What a server keeps of what was replaced and removed.
#[derive(Debug, Serialize)]
pub struct TrashBody {
    pub files: u64,
    pub bytes: u64,
    /// For so many seconds.
    pub keep_removed: u64,
    /// So many bytes at most.
    pub keep_removed_size: u64,
}

/// Stored files whose content is not what was stored.
#[derive(Debug, Serialize)]
pub struct DamagedBody<'a> {
    pub files: u64,
    /// The first of them.
    pub names: &'a [String],
}

/// The limits of a server.
#[derive(Debug, Serialize)]
pub struct LimitsBody {
    pub max_file_size: Option<u64>,
    pub quota: Option<u64>,
    pub max_connections: u32,
    pub idle_timeout: u64,
}

/// What still waits to be hashed.
#[derive(Debug, Serialize)]
pub struct UnhashedBody {
    pub files: u64,
    pub bytes: u64,
}

/// What lies below the root and is not shared.
#[derive(Debug, Serialize)]
pub struct LeftOutBody {
    pub links: u64,
    pub special: u64,
    pub mounts: u64,
    pub names: u64,
    pub twins: u64,
    pub unreadable: u64,
}

/// See [`Body::LocalEntry`].
#[derive(Debug, Serialize)]
pub struct LocalEntryLine<'a> {
    /// The name in its folder.
    pub name: &'a str,
    /// `file`, `folder` or `other`.
    pub kind: &'a str,
    /// The size of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The time of the last change, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
}

/// A failure: its word and its sentence.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
}

impl<'a> ErrorBody<'a> {
    /// The failure of this kind that `message` tells of.
    pub fn new(code: ErrorCode, message: &'a str) -> Self {
        ErrorBody {
            code: code.name(),
            message,
        }
    }
}

impl<'a> Body<'a> {
    /// A line of a listing.
    pub fn item(item: &'a Item) -> Self {
        match item {
            Item::File(entry) => Body::entry(entry),
            Item::Folder(name) => Body::folder(name),
        }
    }

    fn entry(entry: &'a Entry) -> Self {
        Body::Entry(EntryLine {
            name: entry.name.as_str(),
            id: entry.id.map(|id| id.to_string()),
            size: entry.size,
            modified: units::utc(entry.modified),
        })
    }

    fn folder(name: &'a FileName) -> Self {
        Body::Folder(FolderLine {
            name: name.as_str(),
            ..FolderLine::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    const ID: &str = "0cc175b9c0f1b6a831c399e269772661";

    fn print(body: Body<'_>) -> String {
        Line::from(body).text().unwrap()
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_nothing_is_lost() {
        let name = "a\u{9b}2J\u{202e}b\u{200b}\u{e0041}\u{1b}é";
        let text = print(Body::File(FileLine {
            name,
            ..FileLine::default()
        }));
        assert!(
            text.contains(r"a\u009b2J\u202eb\u200b\udb40\udc41\u001bé"),
            "{text}"
        );
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["name"], name);
    }

    #[test]
    fn entries_and_folders_print_as_the_contract_shows() {
        let mut entry = Entry {
            name: FileName::parse("docs/a.txt").unwrap(),
            id: Some(ID.parse().unwrap()),
            size: 123,
            modified: Timestamp::new(1_795_194_000, 5).unwrap(),
            executable: false,
        };
        assert_eq!(
            print(Body::item(&Item::File(entry.clone()))),
            format!(
                r#"{{"v":1,"type":"entry","name":"docs/a.txt","id":"{ID}","size":123,"modified":"2026-11-20T17:00:00Z"}}"#
            )
        );
        entry.id = None;
        assert!(print(Body::item(&Item::File(entry))).contains(r#""id":null,"#));
        assert_eq!(
            print(Body::item(&Item::Folder(FileName::parse("empty").unwrap()))),
            r#"{"v":1,"type":"folder","name":"empty"}"#
        );
    }

    #[test]
    fn files_print_as_the_contract_shows() {
        assert_eq!(
            print(Body::File(FileLine {
                action: "get",
                name: "docs/a.txt",
                path: Some("a.txt"),
                id: Some(Id(Some(ID.to_owned()))),
                size: Some(123),
                status: "done",
                ..FileLine::default()
            })),
            format!(
                r#"{{"v":1,"type":"file","action":"get","name":"docs/a.txt","path":"a.txt","id":"{ID}","size":123,"status":"done"}}"#
            )
        );
        assert_eq!(
            print(Body::File(FileLine {
                action: "put",
                name: "b.txt",
                status: "failed",
                error: Some(ErrorBody::new(ErrorCode::AlreadyExists, "…")),
                ..FileLine::default()
            })),
            r#"{"v":1,"type":"file","action":"put","name":"b.txt","status":"failed","error":{"code":"already_exists","message":"…"}}"#
        );
    }

    #[test]
    fn summaries_and_errors_print_as_the_contract_shows() {
        assert_eq!(
            print(Body::Summary(SummaryLine {
                action: "put",
                files: 9,
                unchanged: 0,
                failed: 1,
                bytes: 1234,
                sent: 900,
                seconds: 0.2,
            })),
            r#"{"v":1,"type":"summary","action":"put","files":9,"unchanged":0,"failed":1,"bytes":1234,"sent":900,"seconds":0.2}"#
        );
        assert_eq!(
            print(Body::Error {
                error: ErrorBody::new(ErrorCode::Unreachable, "…")
            }),
            r#"{"v":1,"type":"error","error":{"code":"unreachable","message":"…"}}"#
        );
    }
}
