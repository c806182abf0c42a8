//! The conversations in `tests/vectors/`, as they were written down first.
//!
//! A vector is added, never edited: [`write_what_is_missing`] leaves every file alone that is there
//! already. When code and vector differ, the code is wrong, or it is another protocol version.

use std::fmt::Write;

use fileshare::protocol::ErrorCode;
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, Login, ServerBody, ServerMessage, UndoOutcome,
    UploadFile, UploadResult, Verdict, WireBlock, WireConflict, WireKept, WireOffer, WireOffered,
    WirePeer, WireRange, WireSession, WireUndone,
};
use fileshare::protocol::{Secret, WireAddress, WireItem, WireRef};

use super::samples::{self, entry, md5};
use super::{dump, vectors};

struct Script {
    name: &'static str,
    text: String,
}

impl Script {
    fn new(name: &'static str, about: &str, outcome: &str) -> Self {
        let mut text = String::new();
        for line in about.lines() {
            let _ = writeln!(text, "# {}", line.trim());
        }
        let _ = writeln!(text, "outcome: {outcome}");
        Script { name, text }
    }

    /// A piece as bytes in hex digits, and what they are.
    fn raw(mut self, who: &str, lines: &[(&str, &str)]) -> Self {
        let _ = writeln!(self.text, "\n{who}");
        for (hex, what) in lines {
            let line = format!("{hex:<48} # {what}");
            let _ = writeln!(self.text, "{}", line.trim_end_matches([' ', '#']));
        }
        self
    }

    fn prefaces(self) -> Self {
        self.raw(
            "client preface",
            &[("46 53 48 52 01 01 00 00", "FSHR; versions 1 to 1; no flags")],
        )
        .raw(
            "server preface",
            &[(
                "46 53 48 52 01 01 00 00",
                "FSHR; version 1 it is; the highest is 1; no refusal",
            )],
        )
    }

    fn greeting(self) -> Self {
        let hello = ClientBody::Hello {
            software: "example/1".into(),
            login: None,
        };
        let welcome = ServerBody::Welcome {
            software: "example/1".into(),
            role: 3,
        };
        self.prefaces().client(0, hello).server(0, welcome)
    }

    fn client(mut self, number: u32, body: ClientBody) -> Self {
        let name = samples::client_name(&body);
        let frame = dump::render(&ClientMessage { number, body });
        let _ = write!(self.text, "\nclient {name}\n{frame}");
        self
    }

    fn server(mut self, number: u32, body: ServerBody) -> Self {
        let name = samples::server_name(&body);
        let frame = dump::render(&ServerMessage { number, body });
        let _ = write!(self.text, "\nserver {name}\n{frame}");
        self
    }

    /// A frame of compressed data that says it has this size, and what it holds.
    fn compressed(self, who: &str, size: u32, zstd: &str) -> Self {
        let length = zstd.split_whitespace().count() + 5;
        let hex = |number: u32| {
            number
                .to_be_bytes()
                .map(|byte| format!("{byte:02x}"))
                .join(" ")
        };
        self.raw(
            &format!("{who} compressed data"),
            &[
                (
                    &format!("{} 02", hex(length as u32)),
                    &format!("length {length}; kind 2: compressed data"),
                ),
                (&hex(size), &format!("size: {size} bytes")),
                (zstd, "zstd"),
            ],
        )
    }

    /// A data frame with the letter so many times.
    fn data(self, who: &str, letter: u8, times: usize) -> Self {
        let header: Vec<_> = (times as u32 + 1)
            .to_be_bytes()
            .map(|byte| format!("{byte:02x}"))
            .into();
        let header = format!("{} 01", header.join(" "));
        let about = format!("length {}; kind 1: data", times + 1);
        let body = format!("{letter:02x}*{times}");
        self.raw(
            &format!("{who} data"),
            &[(&header, &about), (&body, &format!("{times} bytes"))],
        )
    }
}

/// 65,536 times "x", and 64 times "a", as frames of zstd.
const X_64_KIB: &str = "28 b5 2f fd 60 00 ff 55 00 00 10 78 78 01 00 fb 7f 1d 60 01";
const A_64: &str = "28 b5 2f fd 20 40 45 00 00 10 61 61 01 00 93 00 16";

fn file(name: &str, size: usize, on_conflict: WireConflict) -> UploadFile {
    UploadFile {
        name: name.into(),
        size: Some(size as u64),
        modified: Some((1_767_225_600, 0)),
        executable: false,
        on_conflict,
        if_match: None,
        token: 0,
    }
}

fn session(id: u64) -> WireSession {
    WireSession {
        id,
        user: None,
        role: 2,
        address: "192.168.1.7:50612".into(),
        connected: 5,
        activity: "idle".into(),
        file: None,
        received: 0,
        sent: 0,
    }
}

fn remove(name: &str) -> ClientBody {
    ClientBody::Remove {
        file: WireRef::Name(name.into()),
        recursive: false,
        if_match: None,
        dry_run: false,
    }
}

fn removed(name: &str) -> ServerBody {
    ServerBody::Removed {
        item: WireItem::File(entry(name, "hello\n")),
        kept: true,
    }
}

fn kept(name: &str) -> WireKept {
    WireKept {
        name: name.into(),
        version: 1,
        size: 6,
        modified_seconds: 1_767_225_600,
        modified_nanoseconds: 0,
        kept_seconds: 1_767_312_000,
        kept_nanoseconds: 0,
    }
}

fn undone(name: &str, outcome: UndoOutcome) -> WireUndone {
    WireUndone {
        name: name.into(),
        outcome,
    }
}

fn resume(index: u32) -> ClientBody {
    ClientBody::Resume {
        index,
        offset: 65_536,
        digest: md5(&"x".repeat(65_536)),
    }
}

fn patch(index: u32, basis: &str) -> ClientBody {
    ClientBody::File(FileMessage::Patch {
        index,
        offset: 0,
        basis: md5(basis),
    })
}

fn range(offset: u64, length: u64) -> WireRange {
    WireRange { offset, length }
}

fn copy(offset: u64, length: u64) -> ClientBody {
    ClientBody::File(FileMessage::Copy(range(offset, length)))
}

fn ranges(index: u32, ranges: Vec<WireRange>) -> ClientBody {
    ClientBody::Ranges { index, ranges }
}

fn signature_of(content: &str) -> ClientBody {
    ClientBody::Signature {
        id: md5(content),
        average: 65_536,
    }
}

fn block(length: u32) -> WireBlock {
    let hash = *b"0123456789abcdef";
    WireBlock { length, hash }
}

fn page(files: Vec<UploadFile>) -> ClientBody {
    ClientBody::UploadPage { files }
}

fn names(names: &[&str]) -> ClientBody {
    ClientBody::DownloadPage {
        files: names
            .iter()
            .map(|name| WireRef::Name((*name).into()))
            .collect(),
    }
}

fn begin(index: u32) -> ClientBody {
    ClientBody::File(FileMessage::Begin {
        index,
        offset: 0,
        entry: None,
    })
}

fn end(content: &str) -> ClientBody {
    ClientBody::File(FileMessage::End {
        digest: md5(content),
    })
}

fn abort(index: u32, code: ErrorCode, detail: &str) -> FileMessage {
    FileMessage::Abort {
        index,
        code: code.number(),
        detail: detail.into(),
    }
}

fn begins(index: u32, name: &str, content: &str) -> ServerBody {
    ServerBody::File(FileMessage::Begin {
        index,
        offset: 0,
        entry: Some(entry(name, content)),
    })
}

fn ends(content: &str) -> ServerBody {
    ServerBody::File(FileMessage::End {
        digest: md5(content),
    })
}

fn ready(verdicts: Vec<Verdict>) -> ServerBody {
    ServerBody::UploadReady { verdicts }
}

fn results(results: Vec<UploadResult>) -> ServerBody {
    ServerBody::UploadResults { results }
}

fn stored(index: u32, name: &str, content: &str) -> UploadResult {
    UploadResult::Stored {
        index,
        entry: entry(name, content),
    }
}

fn refused(code: ErrorCode, detail: &str) -> ServerBody {
    ServerBody::Refused {
        code: code.number(),
        detail: detail.into(),
    }
}

fn stat(name: &str) -> ClientBody {
    ClientBody::Stat {
        file: WireRef::Name(name.into()),
        wait_for_id: false,
    }
}

fn list() -> ClientBody {
    ClientBody::List {
        folder: None,
        patterns: vec![],
        limit: 0,
    }
}

fn folder(name: &str) -> ServerBody {
    ServerBody::Item(WireItem::Folder(name.into()))
}

/// An upload of `files` files called a, b, c …, all described.
fn uploading(script: Script, files: usize) -> Script {
    let described: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .take(files)
        .map(|name| file(name, 1, WireConflict::Refuse))
        .collect();
    script
        .greeting()
        .client(
            1,
            ClientBody::Upload {
                files: files as u32,
            },
        )
        .client(1, page(described))
        .server(1, ready(vec![Verdict::Start; files]))
}

/// Three bytes of a file are to come.
fn in_parts(script: Script) -> Script {
    script
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, ranges(0, vec![range(1, 3)]))
        .client(1, names(&["a"]))
        .server(1, begins(0, "a", "xxxxx"))
}

fn register(name: &str) -> ClientBody {
    ClientBody::Register {
        name: name.into(),
        port: 1401,
        key: Some([0xb0; 32]),
        secret: Secret([0x5e; 32]),
    }
}

fn registered() -> ServerBody {
    ServerBody::Registered {
        epoch: 4711,
        address: WireAddress::V4([192, 168, 1, 155]),
        ticket_key: samples::TICKET_KEY,
        clock: 30_000,
    }
}

fn offer(name: &str) -> ClientBody {
    ClientBody::Offer {
        files: vec![WireOffered {
            name: name.into(),
            size: 6,
            id: md5("hello\n"),
        }],
    }
}

/// The table with the client B and what it offers.
fn table(since: u64, version: u64, files: &[&str], last: bool) -> ServerBody {
    let offer = |file: &&str| WireOffer {
        owner: "B".into(),
        file: (*file).into(),
        size: 6,
        id: md5("hello\n"),
    };
    let peer = WirePeer {
        name: "B".into(),
        address: WireAddress::V4([192, 168, 1, 155]),
        port: 1401,
        online: true,
    };
    ServerBody::Table {
        epoch: 4711,
        since,
        version,
        peers: if since == 0 { vec![peer] } else { vec![] },
        offers: files.iter().map(offer).collect(),
        gone: vec![],
        last,
    }
}

fn ticket_for(file: &str) -> ClientBody {
    ClientBody::Ticket {
        owner: "B".into(),
        file: file.into(),
        key: Some([0xc0; 32]),
    }
}

fn accept() -> ClientBody {
    ClientBody::RelayAccept {
        id: Secret([0x1d; 32]),
    }
}

fn scenarios() -> Vec<Script> {
    let mut all = conversations();
    all.extend(conversations_of_peers());
    all.extend(violations_of_clients());
    all.extend(violations_of_servers());
    all
}

fn conversations() -> Vec<Script> {
    use WireConflict::{Refuse, Rename, Replace};
    let hello = || ClientBody::Hello {
        software: "example/1".into(),
        login: None,
    };
    let welcome = || ServerBody::Welcome {
        software: "example/1".into(),
        role: 2,
    };
    let login = |user: &str, password: &str| ClientBody::Hello {
        software: "example/1".into(),
        login: Some(Login {
            user: user.into(),
            password: password.into(),
        }),
    };
    let sessions = |ids: &[u64], last| ServerBody::Sessions {
        sessions: ids.iter().map(|id| session(*id)).collect(),
        last,
    };
    let mut all = vec![
        Script::new("001-greeting-and-ping", "The shortest conversation.", "complete")
            .greeting()
            .client(1, ClientBody::Ping)
            .server(1, ServerBody::Pong),
        Script::new("002-version-refused", "A client of a later time, which no longer speaks version 1.", "refused: Version")
            .raw("client preface", &[("46 53 48 52 02 07 00 00", "FSHR; versions 2 to 7")])
            .raw("server preface", &[("46 53 48 52 00 01 00 01", "no version; the highest here is 1; reason 1")]),
        Script::new("003-a-later-client-steps-down", "A client that speaks versions 1 to 7, and sets a flag that version 1 ignores.", "complete")
            .raw("client preface", &[("46 53 48 52 01 07 80 00", "FSHR; versions 1 to 7; a flag")])
            .raw("server preface", &[("46 53 48 52 01 01 00 00", "version 1")])
            .client(0, hello())
            .server(0, welcome()),
        Script::new("004-not-a-preface", "Bytes of something else.", "refused: NotAPreface")
            .raw("client preface", &[("46 53 48 4f 50 20 31 0a", "FSHOP 1")])
            .raw("server preface", &[("46 53 48 52 00 01 00 02", "reason 2")]),
        Script::new("005-versions-upside-down", "The lowest version is above the highest: not a preface.", "refused: NotAPreface")
            .raw("client preface", &[("46 53 48 52 02 01 00 00", "versions 2 to 1")])
            .raw("server preface", &[("46 53 48 52 00 01 00 02", "reason 2")]),
        Script::new("006-server-is-full", "The server refuses before it has read anything.", "refused: Busy")
            .raw("client preface", &[("46 53 48 52 01 01 00 00", "FSHR; versions 1 to 1")])
            .raw("server preface", &[("46 53 48 52 00 01 00 03", "reason 3")]),
        Script::new("007-all-in-one-write", "Preface, greeting and the first requests may leave together; answers come in order.", "complete")
            .prefaces()
            .client(0, hello())
            .client(1, ClientBody::Ping)
            .client(2, ClientBody::Info)
            .server(0, welcome())
            .server(1, ServerBody::Pong)
            .server(2, samples::server().remove(3).body),
        Script::new("010-list-in-two-pages", "The end is said by `last`; the last page may be empty.", "complete")
            .greeting()
            .client(1, list())
            .server(1, ServerBody::Page {
                items: vec![WireItem::File(entry("a.txt", "hello\n")), WireItem::Folder("b".into())],
                last: false,
            })
            .server(1, ServerBody::Page {
                items: vec![WireItem::File(entry("c.txt", ""))],
                last: true,
            }),
        Script::new("011-list-refused", "A list may be refused, even after pages.", "complete")
            .greeting()
            .client(1, list())
            .server(1, ServerBody::Page { items: vec![WireItem::Folder("b".into())], last: false })
            .server(1, refused(ErrorCode::Io, "the disk cannot be read")),
        Script::new("012-stat-not-found", "A refused request ends nothing but itself.", "complete")
            .greeting()
            .client(1, stat("missing.txt"))
            .server(1, refused(ErrorCode::NotFound, "missing.txt: no such file"))
            .client(2, stat("a.txt"))
            .server(2, ServerBody::Item(WireItem::File(entry("a.txt", "hello\n")))),
        Script::new("013-changes", "Rename by id, remove a folder, make a folder; the first takes its time.", "complete")
            .greeting()
            .client(1, samples::client().remove(5).body)
            .server(1, ServerBody::Alive)
            .server(1, ServerBody::Item(WireItem::File(entry("docs/b.txt", "old\n"))))
            .client(2, samples::client().remove(6).body)
            .server(2, ServerBody::Removed { item: WireItem::Folder("old".into()), kept: false })
            .client(3, ClientBody::MakeFolder { name: "new/folder".into(), dry_run: false })
            .server(3, folder("new/folder")),
        Script::new("014-repeated-number", "A request that is said again with its number is answered again and not done again.\nNumbers may leave gaps.", "complete")
            .greeting()
            .client(5, ClientBody::MakeFolder { name: "once".into(), dry_run: false })
            .server(5, folder("once"))
            .client(5, ClientBody::MakeFolder { name: "once".into(), dry_run: false })
            .server(5, folder("once"))
            .client(9, ClientBody::Ping)
            .server(9, ServerBody::Pong),
        Script::new("020-upload-of-three", "One new file in two data frames, one that exists and is skipped, one whose source fails.\nThe result of the first comes while the third is being sent.", "complete")
            .greeting()
            .client(1, ClientBody::Upload { files: 3 })
            .client(1, page(vec![file("a", 65_537, Refuse), file("b", 4, Replace), file("c", 9, Refuse)]))
            .server(1, ready(vec![Verdict::Start, Verdict::Exists(Box::new(entry("b", "old\n"))), Verdict::Start]))
            .client(1, begin(0))
            .data("client", b'a', 65_536)
            .data("client", b'a', 1)
            .client(1, end(&"a".repeat(65_537)))
            .client(1, ClientBody::Skip { index: 1 })
            .client(1, begin(2))
            .server(1, results(vec![stored(0, "a", &"a".repeat(65_537))]))
            .data("client", b'c', 4)
            .client(1, ClientBody::File(abort(2, ErrorCode::Conflict, "c became shorter while it was being sent")))
            .server(1, results(vec![UploadResult::Failed {
                index: 2,
                code: ErrorCode::Conflict.number(),
                detail: "c became shorter while it was being sent".into(),
            }]))
            .server(1, ServerBody::UploadEnd)
            .client(2, ClientBody::Ping)
            .server(2, ServerBody::Pong),
        Script::new("021-empty-file", "An empty file has no data frame.", "complete")
            .greeting()
            .client(1, ClientBody::Upload { files: 1 })
            .client(1, page(vec![file("empty", 0, Rename)]))
            .server(1, ready(vec![Verdict::Start]))
            .client(1, begin(0))
            .client(1, end(""))
            .server(1, results(vec![stored(0, "empty", "")]))
            .server(1, ServerBody::UploadEnd),
        Script::new("022-upload-refused-file-by-file", "A verdict refuses one file, which the client aborts; another fails in the middle, and the\nclient, told early, aborts it too: each begun file has one result, and no more.", "complete")
            .greeting()
            .client(1, ClientBody::Upload { files: 2 })
            .client(1, page(vec![file("../x", 1, Refuse), file("b", 200_000, Refuse)]))
            .server(1, ready(vec![Verdict::Refused {
                code: ErrorCode::InvalidName.number(),
                detail: "a name has no '.' or '..' part".into(),
            }]))
            .server(1, ready(vec![Verdict::Start]))
            .client(1, ClientBody::File(abort(0, ErrorCode::InvalidName, "refused")))
            .client(1, begin(1))
            .data("client", b'b', 65_536)
            .server(1, results(vec![UploadResult::Failed {
                index: 1,
                code: ErrorCode::DiskFull.number(),
                detail: "the disk is full".into(),
            }]))
            .client(1, ClientBody::File(abort(1, ErrorCode::Conflict, "stopped")))
            .server(1, ServerBody::UploadEnd),
        Script::new("023-upload-in-pages", "Three pages of one file: the third may be described once the first file is closed.\nSigns of life from both sides.", "complete")
            .greeting()
            .client(4, ClientBody::Upload { files: 3 })
            .client(4, page(vec![file("a", 1, Refuse)]))
            .client(4, page(vec![file("b", 1, Refuse)]))
            .server(4, ServerBody::Alive)
            .client(4, ClientBody::Alive)
            .server(4, ready(vec![Verdict::Start]))
            .server(4, ready(vec![Verdict::Start]))
            .client(4, begin(0))
            .client(4, ClientBody::Alive)
            .data("client", b'a', 1)
            .client(4, end("a"))
            .client(4, page(vec![file("c", 1, Refuse)]))
            .client(4, begin(1))
            .data("client", b'b', 1)
            .client(4, end("b"))
            .server(4, ready(vec![Verdict::Start]))
            .client(4, ClientBody::Skip { index: 2 })
            .server(4, results(vec![stored(1, "b", "b"), stored(0, "a", "a")]))
            .server(4, ServerBody::UploadEnd),
        Script::new("030-download-of-two", "The second cannot be sent.", "complete")
            .greeting()
            .client(1, ClientBody::Download { files: 2 })
            .client(1, names(&["a.txt", "gone.txt"]))
            .server(1, begins(0, "a.txt", "hhhhhh"))
            .data("server", b'h', 6)
            .server(1, ends("hhhhhh"))
            .server(1, ServerBody::File(abort(1, ErrorCode::NotFound, "gone.txt: no such file")))
            .server(1, ServerBody::DownloadEnd),
        Script::new("031-download-stopped", "The client wants no more of the first file; the server aborts it and goes on. A second Skip\ncomes too late and is ignored.", "complete")
            .greeting()
            .client(1, ClientBody::Download { files: 2 })
            .client(1, names(&["a", "b"]))
            .server(1, begins(0, "a", &"a".repeat(100_000)))
            .data("server", b'a', 65_536)
            .client(1, ClientBody::Skip { index: 0 })
            .server(1, ServerBody::File(abort(0, ErrorCode::Conflict, "it was skipped on request")))
            .server(1, begins(1, "b", "b"))
            .data("server", b'b', 1)
            .server(1, ends("b"))
            .client(1, ClientBody::Skip { index: 1 })
            .server(1, ServerBody::DownloadEnd),
        Script::new("032-request-behind-a-download", "A request that arrives while a download is sent waits its turn.", "complete")
            .greeting()
            .client(1, ClientBody::Download { files: 1 })
            .client(1, names(&["a"]))
            .client(2, ClientBody::Ping)
            .server(1, begins(0, "a", "a"))
            .server(1, ServerBody::Alive)
            .data("server", b'a', 1)
            .server(1, ends("a"))
            .server(1, ServerBody::DownloadEnd)
            .server(2, ServerBody::Pong),
        Script::new("033-download-in-pages", "By name and by id, in three pages.", "complete")
            .greeting()
            .client(1, ClientBody::Download { files: 3 })
            .client(1, names(&["a"]))
            .client(1, ClientBody::DownloadPage { files: vec![WireRef::Id("92eb5f".into())] })
            .server(1, begins(0, "a", ""))
            .server(1, ends(""))
            .client(1, names(&["c"]))
            .server(1, begins(1, "b", "b"))
            .data("server", b'b', 1)
            .server(1, ends("b"))
            .server(1, ServerBody::File(abort(2, ErrorCode::Forbidden, "reading needs the role reader")))
            .server(1, ServerBody::DownloadEnd),
        Script::new("040-server-stops", "With number 0 a refusal ends the conversation, here in place of an answer.", "ended by the server")
            .greeting()
            .client(1, ClientBody::Ping)
            .server(0, refused(ErrorCode::Busy, "the server is stopping")),
        Script::new("041-not-welcome", "A refusal instead of a welcome.", "ended by the server")
            .prefaces()
            .client(0, hello())
            .server(0, refused(ErrorCode::Unauthorized, "this server wants a user")),
        Script::new("043-login", "The greeting says who the client is.", "complete")
            .prefaces()
            .client(0, login("anna", "open sesame"))
            .server(0, welcome())
            .client(1, ClientBody::Ping)
            .server(1, ServerBody::Pong),
        Script::new("044-wrong-login", "The conversation ends; another try needs another connection.", "ended by the server")
            .prefaces()
            .client(0, login("anna", "open barley"))
            .server(0, refused(ErrorCode::Unauthorized, "wrong user or password")),
        Script::new("045-sessions", "An administrator looks who is there, in two pages, and ends a session.", "complete")
            .greeting()
            .client(1, ClientBody::Sessions)
            .server(1, sessions(&[3], false))
            .server(1, sessions(&[12, 13], true))
            .client(2, ClientBody::Kick { id: 12 })
            .server(2, sessions(&[12], true))
            .client(3, ClientBody::Kick { id: 12 })
            .server(3, refused(ErrorCode::NotFound, "there is no session 12")),
        Script::new("050-trash-and-undo", "A command of two removals is taken back; before that one of the files was brought back by hand.", "complete")
            .greeting()
            .client(1, ClientBody::Command { id: 7 })
            .client(1, remove("a.txt"))
            .server(1, removed("a.txt"))
            .client(2, remove("b.txt"))
            .server(2, removed("b.txt"))
            .client(3, ClientBody::Trash { folder: None, patterns: vec![] })
            .server(3, ServerBody::Trash { files: vec![kept("a.txt"), kept("b.txt")], last: true })
            .client(4, ClientBody::Restore { name: "a.txt".into(), version: 1, dry_run: false })
            .server(4, ServerBody::Item(WireItem::File(entry("a.txt", "hello\n"))))
            .client(5, ClientBody::Undo { dry_run: false })
            .server(5, ServerBody::Undone { changes: vec![undone("b.txt", UndoOutcome::Restored)], last: false })
            .server(5, ServerBody::Undone { changes: vec![undone("a.txt", UndoOutcome::Failed { code: ErrorCode::AlreadyExists.number(), detail: "a.txt exists already".into() })], last: true }),
        Script::new("051-upload-goes-on", "The second segment of a file of 65,541 bytes; the first one is there.", "complete")
            .greeting()
            .client(1, ClientBody::Upload { files: 1 })
            .client(1, page(vec![UploadFile { token: 77, ..file("big", 65_541, Refuse) }]))
            .server(1, ready(vec![Verdict::Resume { offset: 65_536, digest: md5(&"x".repeat(65_536)) }]))
            .client(1, ClientBody::File(FileMessage::Begin { index: 0, offset: 65_536, entry: None }))
            .data("client", b'x', 5)
            .client(1, end(&"x".repeat(65_541)))
            .server(1, results(vec![stored(0, "big", &"x".repeat(65_541))]))
            .server(1, ServerBody::UploadEnd),
        Script::new("052-download-goes-on", "The client has the first segment; the second file has changed and begins anew.", "complete")
            .greeting()
            .client(1, ClientBody::Download { files: 2 })
            .client(1, resume(0))
            .client(1, resume(1))
            .client(1, names(&["big", "other"]))
            .server(1, ServerBody::File(FileMessage::Begin { index: 0, offset: 65_536, entry: Some(entry("big", &"x".repeat(65_541))) }))
            .data("server", b'x', 5)
            .server(1, ServerBody::File(FileMessage::End { digest: md5(&"x".repeat(65_541)) }))
            .server(1, ServerBody::File(FileMessage::Begin { index: 1, offset: 0, entry: Some(entry("other", "yyyyy")) }))
            .data("server", b'y', 5)
            .server(1, ServerBody::File(FileMessage::End { digest: md5("yyyyy") }))
            .server(1, ServerBody::DownloadEnd),
        Script::new("053-signature", "The blocks of one file in two messages; another one is gone. The hashes are made up.", "complete")
            .greeting()
            .client(1, signature_of("hello"))
            .server(1, ServerBody::Alive)
            .server(1, ServerBody::Signature { blocks: vec![block(40_000), block(70_000)], last: false })
            .server(1, ServerBody::Signature { blocks: vec![], last: true })
            .client(2, signature_of("gone"))
            .server(2, refused(ErrorCode::NotFound, "id:9649 is not there")),
        Script::new("054-patched-upload", "\"aabbbcc\" from \"bbbccc\": data frames and copies of any size. The second file has only to be copied, the third goes on.", "complete")
            .greeting()
            .client(1, ClientBody::Upload { files: 3 })
            .client(1, page(vec![file("a", 7, Replace), file("b", 6, Refuse), UploadFile { token: 77, ..file("c", 65_539, Refuse) }]))
            .server(1, ready(vec![
                Verdict::Exists(Box::new(entry("a", "bbbccc"))),
                Verdict::Start,
                Verdict::Resume { offset: 65_536, digest: md5(&"x".repeat(65_536)) },
            ]))
            .client(1, patch(0, "bbbccc"))
            .data("client", b'a', 1)
            .data("client", b'a', 1)
            .client(1, copy(0, 3))
            .client(1, copy(4, 2))
            .client(1, end("aabbbcc"))
            .client(1, patch(1, "bbbccc"))
            .client(1, copy(0, 6))
            .client(1, end("bbbccc"))
            .client(1, ClientBody::File(FileMessage::Patch { index: 2, offset: 65_536, basis: md5("bbbccc") }))
            .client(1, copy(0, 3))
            .client(1, end(&format!("{}bbb", "x".repeat(65_536))))
            .server(1, results(vec![stored(0, "a", "aabbbcc"), stored(1, "b", "bbbccc")]))
            .server(1, results(vec![stored(2, "c", &format!("{}bbb", "x".repeat(65_536)))]))
            .server(1, ServerBody::UploadEnd),
        Script::new("055-download-in-parts", "Five bytes in two parts, and the digest of the whole; the second file is another one by now.", "complete")
            .greeting()
            .client(1, ClientBody::Download { files: 2 })
            .client(1, ranges(0, vec![range(0, 2)]))
            .client(1, ranges(0, vec![range(5, 3)]))
            .client(1, ranges(1, vec![range(90, 10)]))
            .client(1, names(&["a", "b"]))
            .server(1, begins(0, "a", "xx...xxx"))
            .data("server", b'x', 1)
            .data("server", b'x', 4)
            .server(1, ends("xx...xxx"))
            .server(1, ServerBody::File(abort(1, ErrorCode::Conflict, "b has changed")))
            .server(1, ServerBody::DownloadEnd),
        Script::new("056-compression", "Said three times, never answered.", "complete")
            .greeting()
            .client(1, ClientBody::Compression { mode: 2 })
            .client(1, ClientBody::Ping)
            .server(1, ServerBody::Pong)
            .client(2, ClientBody::Compression { mode: 1 })
            .client(2, ClientBody::Compression { mode: 0 })
            .client(2, ClientBody::Ping)
            .server(2, ServerBody::Pong),
        Script::new("057-compressed", "Frames of either kind in one file, both ways.", "complete")
            .greeting()
            .client(1, ClientBody::Upload { files: 1 })
            .client(1, page(vec![file("x", 131_077, Refuse)]))
            .server(1, ready(vec![Verdict::Start]))
            .client(1, begin(0))
            .compressed("client", 65_536, X_64_KIB)
            .data("client", b'x', 65_536)
            .data("client", b'x', 5)
            .client(1, end(&"x".repeat(131_077)))
            .server(1, results(vec![stored(0, "x", &"x".repeat(131_077))]))
            .server(1, ServerBody::UploadEnd)
            .client(2, ClientBody::Compression { mode: 2 })
            .client(2, ClientBody::Download { files: 1 })
            .client(2, names(&["a"]))
            .server(2, begins(0, "a", &"a".repeat(64)))
            .compressed("server", 64, A_64)
            .server(2, ends(&"a".repeat(64)))
            .server(2, ServerBody::DownloadEnd),
        Script::new("046-kicked", "The session that was ended.", "ended by the server")
            .greeting()
            .server(0, refused(ErrorCode::Forbidden, "an administrator ended this session")),
    ];
    all.push(
        Script::new(
            "042-after-the-largest-frame",
            "One data frame of 1 MiB, which ends on a segment, and a file that ends with it.",
            "complete",
        )
        .greeting()
        .client(1, ClientBody::Upload { files: 1 })
        .client(1, page(vec![file("big", 1 << 20, Refuse)]))
        .server(1, ready(vec![Verdict::Start]))
        .client(1, begin(0))
        .data("client", b'x', 1 << 20)
        .client(1, end(&"x".repeat(1 << 20)))
        .server(1, results(vec![stored(0, "big", &"x".repeat(1 << 20))]))
        .server(1, ServerBody::UploadEnd),
    );
    all
}

fn violations_of_clients() -> Vec<Script> {
    let hello = |software: &str| ClientBody::Hello {
        software: software.into(),
        login: None,
    };
    let rejected =
        |name, about, why: &str| Script::new(name, about, &format!("server rejects: {why}"));
    vec![
        rejected(
            "101-request-before-the-greeting",
            "Hello comes first.",
            "anything before the greeting",
        )
        .prefaces()
        .client(1, ClientBody::Ping),
        rejected(
            "102-second-hello",
            "Hello comes once.",
            "a part of a transfer that is not under way",
        )
        .greeting()
        .client(0, hello("example/1")),
        rejected(
            "103-long-label",
            "256 bytes of software.",
            "the name of a program or host that is too long",
        )
        .prefaces()
        .client(0, hello(&"x".repeat(256))),
        rejected(
            "149-resume-of-no-segments",
            "What a client has of a file is whole segments.",
            "the beginning of a file that is no whole segments",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(
            1,
            ClientBody::Resume {
                index: 0,
                offset: 65_537,
                digest: md5("x"),
            },
        ),
        rejected(
            "150-resume-of-a-named-file",
            "It comes too late: the file may have begun.",
            "the beginning of a file that no next page can name",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["big"]))
        .client(1, resume(0)),
        rejected(
            "106-long-password",
            "1025 bytes of password.",
            "a user or password that is too long",
        )
        .prefaces()
        .client(
            0,
            ClientBody::Hello {
                software: "example/1".into(),
                login: Some(Login {
                    user: "anna".into(),
                    password: "x".repeat(1025),
                }),
            },
        ),
        rejected(
            "104-request-without-a-number",
            "0 is for greetings.",
            "a request without a number",
        )
        .greeting()
        .client(0, ClientBody::Ping),
        rejected(
            "105-transfer-asked-for-twice",
            "Only requests with one answer may be repeated.",
            "a list or transfer cannot be asked for again by its number",
        )
        .greeting()
        .client(1, ClientBody::Ping)
        .server(1, ServerBody::Pong)
        .client(1, ClientBody::Upload { files: 1 }),
        rejected("110-empty-frame", "Not even a kind.", "a frame of no bytes")
            .prefaces()
            .raw("client nothing", &[("00 00 00 00 00", "length 0")]),
        rejected(
            "111-unknown-kind",
            "Kind 2 is compressed data, which has no place here; a kind that nobody knows is in 168.",
            "file content outside of a file",
        )
        .greeting()
        .raw(
            "client compressed data",
            &[("00 00 00 02 02", "length 2; kind 2"), ("00", "")],
        ),
        rejected(
            "112-oversized-before-the-greeting",
            "A stranger gets 4 KiB: the header is refused, and nothing is read behind it.",
            "a frame body of 4097 bytes where at most 4096 are allowed",
        )
        .prefaces()
        .raw("client Hello", &[("00 00 10 02 00", "length 4098; kind 0")]),
        rejected(
            "113-oversized-message",
            "A client that is known gets 64 KiB.",
            "a frame body of 65537 bytes where at most 65536 are allowed",
        )
        .greeting()
        .raw("client List", &[("00 01 00 02 00", "length 65538; kind 0")]),
        rejected(
            "114-oversized-data",
            "A data frame has 1 MiB at most.",
            "a frame body of 1048577 bytes where at most 1048576 are allowed",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, begin(0))
        .raw(
            "client data",
            &[("00 10 00 02 01", "length 1048578; kind 1")],
        ),
        rejected(
            "115-the-longest-length",
            "4 GiB.",
            "a frame body of 4294967294 bytes where at most 65536 are allowed",
        )
        .greeting()
        .raw(
            "client Ping",
            &[("ff ff ff ff 00", "length 4294967295; kind 0")],
        ),
        rejected(
            "120-trailing-byte",
            "A message is exactly as long as its frame.",
            "malformed message",
        )
        .greeting()
        .raw(
            "client Ping",
            &[
                ("00 00 00 0a 00", "length 10; kind 0"),
                ("01 00 00 00 01 00 00 00", "number 1: Ping"),
                ("00", "a byte too many"),
            ],
        ),
        rejected(
            "121-unknown-variant",
            "A client says nothing that begins with 99.",
            "malformed message",
        )
        .greeting()
        .raw(
            "client unknown",
            &[
                ("00 00 00 09 00", "length 9; kind 0"),
                ("01 00 00 00 63 00 00 00", "number 1: variant 99"),
            ],
        ),
        rejected(
            "123-empty-body",
            "A frame has a body of no bytes, which is no message.",
            "malformed message",
        )
        .greeting()
        .raw("client nothing", &[("00 00 00 01 00", "length 1; kind 0")]),
        rejected(
            "124-string-beyond-the-frame",
            "A string that claims more bytes than there are.",
            "malformed message",
        )
        .prefaces()
        .raw(
            "client Hello",
            &[
                ("00 00 00 15 00", "length 21; kind 0"),
                ("00 00 00 00 00 00 00 00", "number 0: Hello"),
                ("ff ff 00 00 00 00 00 00", "software: 65535 bytes"),
                ("61 62 63 64", "four of them"),
            ],
        ),
        rejected(
            "125-list-beyond-the-frame",
            "A list that claims 2^40 files.",
            "malformed message",
        )
        .greeting()
        .raw(
            "client DownloadPage",
            &[
                ("00 00 00 11 00", "length 17; kind 0"),
                ("01 00 00 00 09 00 00 00", "number 1: DownloadPage"),
                ("00 00 00 00 00 01 00 00", "files: 1099511627776 items"),
            ],
        ),
        rejected("126-not-utf-8", "Strings are UTF-8.", "malformed message")
            .prefaces()
            .raw(
                "client Hello",
                &[
                    ("00 00 00 13 00", "length 19; kind 0"),
                    ("00 00 00 00 00 00 00 00", "number 0: Hello"),
                    ("01 00 00 00 00 00 00 00", "software: 1 byte"),
                    ("ff", "never in UTF-8"),
                    ("00", "login: none"),
                ],
            ),
        rejected("127-bool-of-two", "A bool is 0 or 1.", "malformed message")
            .greeting()
            .raw(
                "client MakeFolder",
                &[
                    ("00 00 00 13 00", "length 19; kind 0"),
                    ("01 00 00 00 07 00 00 00", "number 1: MakeFolder"),
                    ("01 00 00 00 00 00 00 00", "name: 1 byte"),
                    ("61", "a"),
                    ("02", "dry_run: 2"),
                ],
            ),
        rejected(
            "128-option-of-two",
            "An option begins with 0 or 1.",
            "malformed message",
        )
        .greeting()
        .raw(
            "client List",
            &[
                ("00 00 00 0a 00", "length 10; kind 0"),
                ("01 00 00 00 03 00 00 00", "number 1: List"),
                ("02", "folder: 2"),
            ],
        ),
        rejected(
            "129-big-endian",
            "Integers in messages are little-endian.",
            "malformed message",
        )
        .greeting()
        .raw(
            "client Ping",
            &[
                ("00 00 00 09 00", "length 9; kind 0"),
                (
                    "00 00 00 01 00 00 00 01",
                    "number 1 and variant 1, the wrong way round",
                ),
            ],
        ),
        rejected(
            "122-batch-of-nothing",
            "A batch has at least one file.",
            "a batch of no files, or of too many",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 0 }),
        rejected(
            "130-data-outside-a-file",
            "No file is open.",
            "file content outside of a file",
        )
        .pipe(|script| uploading(script, 1))
        .data("client", b'x', 1),
        rejected(
            "131-data-in-a-download",
            "Only the server sends here.",
            "file content outside of a file",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .data("client", b'x', 1),
        rejected(
            "132-file-out-of-turn",
            "File 1 before file 0.",
            "a file out of turn",
        )
        .pipe(|script| uploading(script, 2))
        .client(1, begin(1)),
        rejected(
            "133-file-within-a-file",
            "File 1 before the end of file 0.",
            "a file before the end of the one before it",
        )
        .pipe(|script| uploading(script, 2))
        .client(1, begin(0))
        .client(1, begin(1)),
        rejected(
            "134-file-closed-twice",
            "It was skipped.",
            "the end of a file that was not begun",
        )
        .pipe(|script| uploading(script, 2))
        .client(1, ClientBody::Skip { index: 0 })
        .client(1, end("")),
        rejected(
            "135-abort-of-another-file",
            "File 0 is open.",
            "the abort of another file than the open one",
        )
        .pipe(|script| uploading(script, 2))
        .client(1, begin(0))
        .client(1, ClientBody::File(abort(1, ErrorCode::Io, ""))),
        rejected(
            "136-unaligned-data",
            "Only a file's last frame may end off a multiple of 64 KiB.",
            "file content after a frame that ended off a segment",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, begin(0))
        .data("client", b'x', 65_535)
        .data("client", b'x', 1),
        rejected(
            "137-empty-data",
            "A data frame has a byte at least.",
            "an empty data frame",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, begin(0))
        .raw(
            "client data",
            &[("00 00 00 01 01", "length 1; kind 1: data")],
        ),
        rejected(
            "138-offset",
            "A file goes on at a whole segment only.",
            "a file that does not begin on a segment",
        )
        .pipe(|script| uploading(script, 1))
        .client(
            1,
            ClientBody::File(FileMessage::Begin {
                index: 0,
                offset: 65_535,
                entry: None,
            }),
        ),
        rejected(
            "139-entry-in-an-upload",
            "The page has said it all.",
            "an upload that says twice what it is",
        )
        .pipe(|script| uploading(script, 1))
        .client(
            1,
            ClientBody::File(FileMessage::Begin {
                index: 0,
                offset: 0,
                entry: Some(entry("a", "a")),
            }),
        ),
        rejected(
            "140-page-beyond-the-window",
            "Two pages are open.",
            "a page more than the batch has or may have open",
        )
        .greeting()
        .client(1, ClientBody::Upload { files: 3 })
        .client(1, page(vec![file("a", 1, WireConflict::Refuse)]))
        .client(1, page(vec![file("b", 1, WireConflict::Refuse)]))
        .client(1, page(vec![file("c", 1, WireConflict::Refuse)])),
        rejected(
            "141-page-of-nothing",
            "A page has at least one file.",
            "a page of no files, or of too many",
        )
        .greeting()
        .client(1, ClientBody::Upload { files: 3 })
        .client(1, page(vec![])),
        rejected(
            "142-page-beyond-the-batch",
            "Two files of one.",
            "a page of no files, or of too many",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a", "b"])),
        rejected(
            "143-file-before-its-page",
            "File 0 is not described.",
            "a file out of turn",
        )
        .greeting()
        .client(1, ClientBody::Upload { files: 1 })
        .client(1, begin(0)),
        rejected(
            "144-request-in-an-upload",
            "An upload is finished first.",
            "another request in the middle of a transfer",
        )
        .pipe(|script| uploading(script, 1))
        .client(2, ClientBody::Ping),
        rejected(
            "145-request-before-all-files-are-named",
            "A download is named whole before the next request.",
            "another request in the middle of a transfer",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 2 })
        .client(1, names(&["a"]))
        .client(2, ClientBody::Ping),
        rejected(
            "146-alive-in-a-download",
            "The client has nothing to send there.",
            "not a part of a download",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, ClientBody::Alive),
        rejected(
            "147-page-without-a-batch",
            "Nothing is under way.",
            "a part of a transfer that is not under way",
        )
        .greeting()
        .client(1, names(&["a"])),
        rejected(
            "148-skip-of-an-unknown-file",
            "File 1 is not named yet.",
            "not a part of a download",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 2 })
        .client(1, names(&["a"]))
        .client(1, ClientBody::Skip { index: 1 }),
        rejected(
            "151-copy-outside-of-a-patch",
            "A file that begins with Begin has no copies.",
            "a copy outside of a file that is put together",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, begin(0))
        .client(1, copy(0, 1)),
        rejected(
            "152-copy-of-nothing",
            "It has at least one byte.",
            "a copy of nothing, or without end",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, patch(0, "old"))
        .client(1, copy(0, 0)),
        rejected(
            "153-copy-without-end",
            "Its end is beyond what can be counted.",
            "a copy of nothing, or without end",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, patch(0, "old"))
        .client(1, copy(2, u64::MAX)),
        rejected(
            "154-ranges-out-of-order",
            "The second one begins within the first.",
            "parts of a file that are empty or out of order",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, ranges(0, vec![range(0, 10), range(9, 1)])),
        rejected(
            "155-ranges-of-a-named-file",
            "They come too late: the file may have begun.",
            "parts of a file that no next page can name",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .client(1, ranges(0, vec![range(0, 1)])),
        rejected(
            "156-ranges-of-nothing",
            "There is at least one.",
            "no parts of a file, or too many",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, ranges(0, vec![])),
        rejected(
            "157-unknown-compression",
            "There are the modes 0 to 2.",
            "a way of compression that does not exist",
        )
        .greeting()
        .client(1, ClientBody::Compression { mode: 3 }),
        rejected(
            "158-signature-asked-for-twice",
            "Only requests with one answer may be repeated.",
            "a list or transfer cannot be asked for again by its number",
        )
        .greeting()
        .client(1, ClientBody::Ping)
        .server(1, ServerBody::Pong)
        .client(1, signature_of("a")),
        rejected(
            "159-compressed-before-the-greeting",
            "A stranger sends no content, and so none that grows.",
            "file content outside of a file",
        )
        .prefaces()
        .compressed("client", 64, A_64),
        squeezed(
            "160-compressed-to-no-less",
            "What is as large as it was is not compressed: 21 bytes for 21.",
            "compressed content that is no smaller than it was",
            21,
            A_64,
        ),
        squeezed(
            "161-compressed-too-much",
            "No data frame has more than 1 MiB of content.",
            "compressed content of a size that no data frame has",
            (1 << 20) + 1,
            A_64,
        ),
        squeezed(
            "162-compressed-that-grows",
            "It says 63 and becomes 64.",
            "compressed content that is damaged, or becomes more than it says",
            63,
            A_64,
        ),
        squeezed(
            "163-compressed-that-shrinks",
            "It says 65 and becomes 64.",
            "compressed content that becomes less than it says",
            65,
            A_64,
        ),
        squeezed(
            "164-compressed-twice",
            "Two frames of zstd in one of ours.",
            "compressed content that is not one whole frame of zstd",
            128,
            &format!("{A_64} {A_64}"),
        ),
        squeezed(
            "165-compressed-with-a-dictionary",
            "Nobody has one.",
            "compressed content that needs a dictionary",
            64,
            &A_64.replace("fd 20 40", "fd 21 07 40"),
        ),
        squeezed(
            "166-compressed-with-a-window",
            "One of 1 MiB and an eighth.",
            "compressed content that needs too large a window",
            64,
            &A_64.replace("fd 20 40", "fd 00 51"),
        ),
        squeezed(
            "167-compressed-and-cut-short",
            "The last byte is not there.",
            "compressed content that is not one whole frame of zstd",
            64,
            A_64.trim_end_matches(" 16"),
        ),
        rejected(
            "168-kind-nobody-knows",
            "Kinds from 3 on are reserved.",
            "a frame of unknown kind 3",
        )
        .greeting()
        .raw(
            "client something",
            &[("00 00 00 02 03", "length 2; kind 3"), ("00", "")],
        ),
        squeezed(
            "169-compressed-to-more-than-segments",
            "A frame whose content ends off a segment is the last one of its file.",
            "file content after a frame that ended off a segment",
            64,
            A_64,
        )
        .data("client", b'a', 1),
        rejected(
            "170-files-of-a-registered-client",
            "They take another connection.",
            "file content on the connection of a registered client",
        )
        .greeting()
        .client(1, register("B"))
        .server(1, registered())
        .client(2, ClientBody::Download { files: 1 }),
        rejected(
            "171-table-asked-for-twice",
            "Only requests with one answer may be repeated.",
            "a list or transfer cannot be asked for again by its number",
        )
        .greeting()
        .client(1, ClientBody::Ping)
        .server(1, ServerBody::Pong)
        .client(1, ClientBody::Table { epoch: 0, since: 0 }),
        rejected(
            "172-frame-in-a-relay",
            "What comes there are the bytes of another client.",
            "a frame where bytes are relayed",
        )
        .greeting()
        .client(1, accept())
        .client(2, ClientBody::Ping),
    ]
}

fn conversations_of_peers() -> Vec<Script> {
    let table_since = |since| ClientBody::Table { epoch: 4711, since };
    let invalid = || refused(ErrorCode::NotFound, "[Invalid Request]");
    vec![
        Script::new("060-register-and-offer", "A client is known by a name and offers a file, is told of the table, and goes offline.", "complete")
            .greeting()
            .client(1, register("B"))
            .server(1, registered())
            .client(2, offer("foo"))
            .server(2, ServerBody::Done)
            .server(0, table(0, 2, &["foo"], true))
            .client(3, ClientBody::Ping)
            .server(3, ServerBody::Pong)
            .client(4, ClientBody::Withdraw { names: vec!["foo".into()] })
            .server(4, ServerBody::Done)
            .client(5, ClientBody::Deregister { name: None })
            .server(5, ServerBody::Done),
        Script::new("061-a-request-is-made-again", "The client doubts that it was heard, and both answers come.", "complete")
            .greeting()
            .client(1, register("B"))
            .client(1, register("B"))
            .server(1, registered())
            .server(1, registered())
            .client(2, offer("foo"))
            .server(2, ServerBody::Done),
        Script::new("062-name-in-use", "Somebody else is online under that name; another one is free.", "complete")
            .greeting()
            .client(1, register("B"))
            .server(1, refused(ErrorCode::AlreadyExists, "Client username already in use."))
            .client(2, register("B2"))
            .server(2, registered()),
        Script::new("063-still-there", "Somebody wants the name; its owner shows that it is there. Much has changed meanwhile.", "complete")
            .greeting()
            .client(1, register("B"))
            .server(1, registered())
            .server(0, ServerBody::Probe)
            .client(2, ClientBody::Ping)
            .server(2, ServerBody::Pong)
            .server(0, ServerBody::Changed { epoch: 4711, version: 3 })
            .client(3, table_since(0))
            .server(3, table(0, 2, &["bar"], false))
            .server(3, table(2, 3, &["foo"], true)),
        Script::new("064-the-table-of-somebody-who-looks", "Who is not registered may look; then there is nothing new.", "complete")
            .greeting()
            .client(1, ClientBody::Table { epoch: 0, since: 0 })
            .server(1, table(0, 2, &["foo"], true))
            .client(2, table_since(2))
            .server(2, table(2, 2, &[], true)),
        Script::new("065-tickets", "One for what is offered, none for anything else.", "complete")
            .greeting()
            .client(1, ticket_for("foo"))
            .server(1, ServerBody::Ticket {
                address: WireAddress::V4([192, 168, 1, 155]),
                port: 1401,
                key: Some([0xb0; 32]),
                ticket: Box::new(samples::ticket()),
            })
            .client(2, ticket_for("../foo"))
            .server(2, invalid()),
        Script::new("066-from-client-to-client", "The ticket comes before the file.", "complete")
            .greeting()
            .client(1, ClientBody::Redeem(Box::new(samples::ticket())))
            .server(1, ServerBody::Done)
            .client(2, ClientBody::Download { files: 1 })
            .client(2, names(&["foo"]))
            .server(2, begins(0, "foo", "hello\n"))
            .raw("server data", &[("00 00 00 07 01", "length 7; kind 1: data"), ("68 65 6c 6c 6f 0a", "hello")])
            .server(2, ends("hello\n"))
            .server(2, ServerBody::DownloadEnd),
        Script::new("067-relay-wanted", "A client that cannot be reached is told so on its control connection.", "complete")
            .greeting()
            .client(1, register("B"))
            .server(1, registered())
            .server(0, ServerBody::RelayWanted { id: Secret([0x1d; 32]), address: WireAddress::V4([192, 168, 1, 7]) }),
        Script::new("068-relay-accepted", "On a connection of its own; no frames follow.", "complete")
            .greeting()
            .client(1, accept())
            .server(1, ServerBody::Alive)
            .server(1, ServerBody::Relaying),
        Script::new("070-an-empty-folder-goes", "One in which there is something stays.", "complete")
            .greeting()
            .client(1, ClientBody::RemoveFolder { name: "empty".into() })
            .server(1, ServerBody::Item(WireItem::Folder("empty".into())))
            .client(2, ClientBody::RemoveFolder { name: "full".into() })
            .server(2, refused(ErrorCode::Conflict, "full: it is not empty")),
        Script::new("069-no-relay", "The server relays nothing.", "complete")
            .greeting()
            .client(1, ClientBody::Relay(Box::new(samples::ticket())))
            .server(1, refused(ErrorCode::Forbidden, "this server relays nothing")),
    ]
}

/// The client sends this as the content of a file.
fn squeezed(name: &'static str, about: &str, why: &str, size: u32, zstd: &str) -> Script {
    Script::new(name, about, &format!("server rejects: {why}"))
        .greeting()
        .client(1, ClientBody::Upload { files: 1 })
        .client(1, page(vec![file("a", 65, WireConflict::Refuse)]))
        .server(1, ready(vec![Verdict::Start]))
        .client(1, begin(0))
        .compressed("client", size, zstd)
}

fn violations_of_servers() -> Vec<Script> {
    let welcome = || ServerBody::Welcome {
        software: "example/1".into(),
        role: 2,
    };
    let rejected =
        |name, about, why: &str| Script::new(name, about, &format!("client rejects: {why}"));
    vec![
        rejected(
            "201-answer-before-the-welcome",
            "The greeting is answered first.",
            "an answer before the greeting",
        )
        .prefaces()
        .client(
            0,
            ClientBody::Hello {
                software: "example/1".into(),
                login: None,
            },
        )
        .client(1, ClientBody::Ping)
        .server(1, ServerBody::Pong),
        rejected(
            "202-second-welcome",
            "Welcome comes once.",
            "an answer without a number",
        )
        .greeting()
        .server(0, welcome()),
        rejected(
            "203-answer-to-nothing",
            "Nobody asked.",
            "an answer to a request that was not made",
        )
        .greeting()
        .server(1, ServerBody::Pong),
        rejected(
            "204-answers-out-of-order",
            "The answer to 1 comes first.",
            "an answer to a request that was not made",
        )
        .greeting()
        .client(1, ClientBody::Ping)
        .client(2, ClientBody::Ping)
        .server(2, ServerBody::Pong),
        rejected(
            "205-another-answer",
            "A Pong is no Info.",
            "an answer to another kind of request",
        )
        .greeting()
        .client(1, ClientBody::Info)
        .server(1, ServerBody::Pong),
        rejected(
            "210-file-not-asked-for",
            "One file was named.",
            "a file out of turn",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 2 })
        .client(1, names(&["a"]))
        .server(1, begins(1, "b", "b")),
        rejected(
            "211-data-outside-a-file",
            "No file is open.",
            "file content outside of a file",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .data("server", b'x', 1),
        rejected(
            "212-unaligned-data",
            "The same rule both ways.",
            "file content after a frame that ended off a segment",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .server(1, begins(0, "a", "aa"))
        .data("server", b'a', 1)
        .data("server", b'a', 1),
        rejected(
            "213-end-before-the-last-file",
            "File 1 is still open.",
            "an answer to another kind of request",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 2 })
        .client(1, names(&["a", "b"]))
        .server(1, begins(0, "a", ""))
        .server(1, ends(""))
        .server(1, ServerBody::DownloadEnd),
        rejected(
            "214-nameless-file",
            "A download says what it sends.",
            "a file that nothing is said of",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .server(
            1,
            ServerBody::File(FileMessage::Begin {
                index: 0,
                offset: 0,
                entry: None,
            }),
        ),
        rejected(
            "215-oversized-answer",
            "Only pages may be large.",
            "a frame body of 65537 bytes where at most 65536 are allowed",
        )
        .greeting()
        .client(1, ClientBody::Ping)
        .raw("server Pong", &[("00 01 00 02 00", "length 65538; kind 0")]),
        rejected(
            "220-verdict-too-many",
            "One file was described.",
            "more verdicts than files",
        )
        .greeting()
        .client(1, ClientBody::Upload { files: 1 })
        .client(1, page(vec![file("a", 1, WireConflict::Refuse)]))
        .server(1, ready(vec![Verdict::Start, Verdict::Start])),
        rejected(
            "221-result-too-early",
            "No file has begun.",
            "more results than files",
        )
        .pipe(|script| uploading(script, 1))
        .server(1, results(vec![stored(0, "a", "a")])),
        rejected(
            "222-result-of-another-file",
            "File 1 was skipped or is not begun.",
            "the result of a file that was not sent",
        )
        .pipe(|script| uploading(script, 2))
        .client(1, begin(0))
        .client(1, end(""))
        .server(1, results(vec![stored(1, "b", "")])),
        rejected(
            "223-end-before-the-results",
            "The result of file 0 is missing.",
            "an answer to another kind of request",
        )
        .pipe(|script| uploading(script, 1))
        .client(1, begin(0))
        .client(1, end(""))
        .server(1, ServerBody::UploadEnd),
        rejected(
            "224-empty-results",
            "A message of results has one at least.",
            "more results than files",
        )
        .pipe(|script| uploading(script, 1))
        .server(1, results(vec![])),
        rejected(
            "225-copy-in-a-download",
            "Only uploads are put together.",
            "a part of an upload",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .server(1, begins(0, "a", "a"))
        .server(1, ServerBody::File(FileMessage::Copy(range(0, 1)))),
        rejected(
            "226-more-than-the-parts",
            "Three bytes were asked for.",
            "more of a file than was asked for",
        )
        .pipe(in_parts)
        .data("server", b'x', 4),
        rejected(
            "227-end-before-the-parts",
            "The third byte is missing.",
            "the end of a file before all parts of it came",
        )
        .pipe(in_parts)
        .data("server", b'x', 2)
        .server(1, ends("xxxxx")),
        rejected(
            "228-part-that-goes-on",
            "What comes in parts has no offset.",
            "parts of a file that goes on",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, ranges(0, vec![range(0, 1)]))
        .client(1, names(&["a"]))
        .server(
            1,
            ServerBody::File(FileMessage::Begin {
                index: 0,
                offset: 65_536,
                entry: Some(entry("a", "a")),
            }),
        ),
        rejected(
            "229-compressed-outside-of-a-file",
            "Content without a file.",
            "file content outside of a file",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .compressed("server", 64, A_64),
        rejected(
            "230-compressed-rubbish",
            "It does not begin as zstd does.",
            "compressed content that does not begin as zstd does",
        )
        .greeting()
        .client(1, ClientBody::Download { files: 1 })
        .client(1, names(&["a"]))
        .server(1, begins(0, "a", &"a".repeat(64)))
        .compressed("server", 64, "61 61 61 61 61 61"),
        rejected(
            "235-event-for-nobody",
            "Who is not registered hears of nothing.",
            "an answer without a number",
        )
        .greeting()
        .server(0, ServerBody::Probe),
        rejected(
            "236-event-that-goes-on",
            "An event is one message.",
            "an answer without a number",
        )
        .greeting()
        .client(1, register("B"))
        .server(1, registered())
        .server(0, table(0, 2, &["foo"], false)),
        rejected(
            "237-third-answer-to-two-requests",
            "It was asked twice.",
            "an answer to a request that was not made",
        )
        .greeting()
        .client(1, register("B"))
        .client(1, register("B"))
        .server(1, registered())
        .server(1, registered())
        .server(1, registered()),
        rejected(
            "238-empty-part-of-a-table",
            "It is not the last.",
            "an empty page that is not the last",
        )
        .greeting()
        .client(
            1,
            ClientBody::Table {
                epoch: 4711,
                since: 2,
            },
        )
        .server(1, table(2, 2, &[], false)),
        rejected(
            "239-frame-in-a-relay",
            "Nothing but bytes of the other client comes.",
            "an answer without a number",
        )
        .greeting()
        .client(1, accept())
        .server(1, ServerBody::Relaying)
        .server(0, ServerBody::Probe),
    ]
}

impl Script {
    fn pipe(self, more: impl FnOnce(Script) -> Script) -> Self {
        more(self)
    }
}

/// Run with `cargo test --test integration write_what_is_missing -- --ignored` after adding one.
#[test]
#[ignore = "writes to tests/vectors"]
fn write_what_is_missing() {
    for script in scenarios() {
        let path = vectors::folder().join(format!("{}.hex", script.name));
        if !path.exists() {
            std::fs::write(path, script.text).unwrap();
        }
    }
}

/// The vectors that were written from here are what they were.
#[test]
fn the_vectors_are_what_they_were() {
    for script in scenarios() {
        let path = vectors::folder().join(format!("{}.hex", script.name));
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written, script.text, "{}", script.name);
    }
}
