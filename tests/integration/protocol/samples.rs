//! One value of every message, with everything in it that can be in it: what `docs/PROTOCOL.md`
//! shows.

use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, Login, ServerBody, ServerInfo, ServerMessage,
    UndoOutcome, UploadFile, UploadResult, Verdict, WireBlock, WireConflict, WireGone, WireKept,
    WireOffer, WireOffered, WirePeer, WireRange, WireSession, WireUndone,
};
use fileshare::protocol::{
    ErrorCode, Secret, Terms, Ticket, WireAddress, WireDigest, WireEntry, WireItem, WireRef,
};
use fileshare::types::Digest;

/// The MD5 of `text`, as every digest in the samples.
pub fn md5(text: &str) -> WireDigest {
    let mut hasher = fileshare::digest::Hasher::new();
    hasher.update(text.as_bytes());
    Digest::into(hasher.finish())
}

/// The entry of a file that contains `content`.
pub fn entry(name: &str, content: &str) -> WireEntry {
    WireEntry {
        name: name.to_owned(),
        id: Some(md5(content)),
        size: content.len() as u64,
        modified_seconds: 1_767_225_600,
        modified_nanoseconds: 500_000_000,
        executable: false,
    }
}

fn undone(name: &str, outcome: UndoOutcome) -> WireUndone {
    WireUndone {
        name: text(name),
        outcome,
    }
}

/// The key of the tickets for files of B.
pub const TICKET_KEY: Secret = Secret([0x4b; 32]);

/// C may fetch foo from B.
pub fn ticket() -> Ticket {
    let terms = Terms {
        owner: text("B"),
        file: text("foo"),
        size: 6,
        id: md5("hello\n"),
        requester: Some(text("C")),
        key: Some([0xc0; 32]),
        expires: 90_000,
    };
    Ticket::new(terms, &TICKET_KEY).unwrap()
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Every client message, in the order of the variants, [`FileMessage`] by [`FileMessage`].
pub fn client() -> Vec<ClientMessage> {
    let if_match = || Some(md5("old\n"));
    let bodies = [
        ClientBody::Hello {
            software: text("fileshare/0.1.0"),
            login: Some(Login {
                user: text("anna"),
                password: text("open sesame"),
            }),
        },
        ClientBody::Ping,
        ClientBody::Info,
        ClientBody::List {
            folder: Some(text("docs")),
            patterns: vec![text("*.txt")],
            limit: 100,
        },
        ClientBody::Stat {
            file: WireRef::Name(text("docs/a.txt")),
            wait_for_id: true,
        },
        ClientBody::Rename {
            from: WireRef::Id(text("5d4140")),
            to: text("docs/b.txt"),
            if_match: if_match(),
            dry_run: false,
        },
        ClientBody::Remove {
            file: WireRef::Name(text("old")),
            recursive: true,
            if_match: if_match(),
            dry_run: true,
        },
        ClientBody::MakeFolder {
            name: text("new/folder"),
            dry_run: false,
        },
        ClientBody::Download { files: 2 },
        ClientBody::DownloadPage {
            files: vec![WireRef::Name(text("a.txt")), WireRef::Id(text("5d4140"))],
        },
        ClientBody::Upload { files: 1 },
        ClientBody::UploadPage {
            files: vec![UploadFile {
                name: text("docs/a.txt"),
                size: Some(6),
                modified: Some((1_767_225_600, 500_000_000)),
                executable: false,
                on_conflict: WireConflict::Replace,
                if_match: if_match(),
                token: 81_985_529_216_486_895,
            }],
        },
        ClientBody::File(FileMessage::Begin {
            index: 0,
            offset: 0,
            entry: None,
        }),
        ClientBody::File(FileMessage::End {
            digest: md5("hello\n"),
        }),
        ClientBody::File(FileMessage::Abort {
            index: 0,
            code: ErrorCode::Io.number(),
            detail: text("a.txt cannot be read"),
        }),
        ClientBody::File(FileMessage::Patch {
            index: 0,
            offset: 0,
            basis: md5("old\n"),
        }),
        ClientBody::File(FileMessage::Copy(WireRange {
            offset: 65_536,
            length: 131_072,
        })),
        ClientBody::Skip { index: 0 },
        ClientBody::Alive,
        ClientBody::Sessions,
        ClientBody::Kick { id: 12 },
        ClientBody::Command {
            id: 81_985_529_216_486_895,
        },
        ClientBody::Trash {
            folder: Some(text("docs")),
            patterns: vec![text("*.txt")],
        },
        ClientBody::Restore {
            name: text("docs/a.txt"),
            version: 1,
            dry_run: false,
        },
        ClientBody::Undo { dry_run: true },
        ClientBody::Resume {
            index: 0,
            offset: 65_536,
            digest: md5(&"x".repeat(65_536)),
        },
        ClientBody::Compression { mode: 1 },
        ClientBody::Signature {
            id: md5("old\n"),
            average: 65_536,
        },
        ClientBody::Ranges {
            index: 0,
            ranges: vec![
                WireRange {
                    offset: 0,
                    length: 70_000,
                },
                WireRange {
                    offset: 200_000,
                    length: 20_000,
                },
            ],
        },
        ClientBody::Register {
            name: text("C"),
            port: 1402,
            key: Some([0xc0; 32]),
            secret: Secret([0x5e; 32]),
        },
        ClientBody::Deregister {
            name: Some(text("C")),
        },
        ClientBody::Offer {
            files: vec![WireOffered {
                name: text("foo"),
                size: 6,
                id: md5("hello\n"),
            }],
        },
        ClientBody::Withdraw {
            names: vec![text("foo")],
        },
        ClientBody::Table {
            epoch: 4711,
            since: 7,
        },
        ClientBody::Ticket {
            owner: text("B"),
            file: text("foo"),
            key: Some([0xc0; 32]),
        },
        ClientBody::Redeem(Box::new(ticket())),
        ClientBody::Relay(Box::new(ticket())),
        ClientBody::RelayAccept {
            id: Secret([0x1d; 32]),
        },
        ClientBody::RemoveFolder {
            name: text("old/folder"),
        },
    ];
    let number = |body: &ClientBody| {
        if matches!(body, ClientBody::Hello { .. }) {
            0
        } else {
            7
        }
    };
    let message = |body| ClientMessage {
        number: number(&body),
        body,
    };
    bodies.into_iter().map(message).collect()
}

/// Every server message, likewise.
pub fn server() -> Vec<ServerMessage> {
    let bodies = [
        ServerBody::Welcome {
            software: text("fileshare/0.1.0"),
            role: 2,
        },
        ServerBody::Refused {
            code: ErrorCode::NotFound.number(),
            detail: text("no such file"),
        },
        ServerBody::Pong,
        ServerBody::Info(Box::new(ServerInfo {
            software: text("fileshare/0.1.0"),
            protocol: 1,
            host: text("attic"),
            identity: Some(text("sha256:00ff")),
            uptime: 3600,
            files: 2,
            bytes: 12,
            free: Some(1 << 40),
            max_file_size: Some(1 << 32),
            quota: Some(1 << 41),
            max_connections: 16_384,
            idle_timeout: 1800,
            portable_names: true,
            durable: true,
            confined: true,
            user: Some(text("anna")),
            role: 2,
            capabilities: vec![text("example")],
            unhashed_files: 1,
            unhashed_bytes: 6,
            left_out_links: 1,
            left_out_special: 2,
            left_out_mounts: 3,
            left_out_names: 4,
            left_out_twins: 5,
            left_out_unreadable: 6,
            trash_files: 1,
            trash_bytes: 4,
            keep_removed: 604_800,
            keep_removed_size: 1 << 30,
            damaged_files: 1,
            damaged: vec![text("b.txt")],
        })),
        ServerBody::Page {
            items: vec![
                WireItem::File(entry("docs/a.txt", "hello\n")),
                WireItem::Folder(text("docs/empty")),
            ],
            last: true,
        },
        ServerBody::Item(WireItem::File(entry("docs/a.txt", "hello\n"))),
        ServerBody::File(FileMessage::Begin {
            index: 0,
            offset: 0,
            entry: Some(entry("a.txt", "hello\n")),
        }),
        ServerBody::File(FileMessage::End {
            digest: md5("hello\n"),
        }),
        ServerBody::File(FileMessage::Abort {
            index: 1,
            code: ErrorCode::NotFound.number(),
            detail: text("no such file"),
        }),
        ServerBody::DownloadEnd,
        ServerBody::UploadReady {
            verdicts: vec![
                Verdict::Start,
                Verdict::Exists(Box::new(entry("b.txt", "old\n"))),
                Verdict::Refused {
                    code: ErrorCode::InvalidName.number(),
                    detail: text("a name has no '.' or '..' part"),
                },
                Verdict::Resume {
                    offset: 65_536,
                    digest: md5(&"x".repeat(65_536)),
                },
            ],
        },
        ServerBody::UploadResults {
            results: vec![
                UploadResult::Stored {
                    index: 0,
                    entry: entry("a.txt", "hello\n"),
                },
                UploadResult::Failed {
                    index: 1,
                    code: ErrorCode::DiskFull.number(),
                    detail: text("the disk is full"),
                },
            ],
        },
        ServerBody::UploadEnd,
        ServerBody::Alive,
        ServerBody::Sessions {
            sessions: vec![WireSession {
                id: 12,
                user: Some(text("bob")),
                role: 2,
                address: text("192.168.1.7:50612"),
                connected: 90,
                activity: text("upload"),
                file: Some(text("docs/a.txt")),
                received: 65_536,
                sent: 0,
            }],
            last: true,
        },
        ServerBody::Trash {
            files: vec![WireKept {
                name: text("docs/a.txt"),
                version: 1,
                size: 4,
                modified_seconds: 1_767_225_600,
                modified_nanoseconds: 500_000_000,
                kept_seconds: 1_767_312_000,
                kept_nanoseconds: 0,
            }],
            last: true,
        },
        ServerBody::Undone {
            changes: vec![
                undone("new.txt", UndoOutcome::Removed),
                undone("docs/a.txt", UndoOutcome::Restored),
                undone("b.txt", UndoOutcome::Renamed),
                undone(
                    "c.txt",
                    UndoOutcome::Failed {
                        code: ErrorCode::Conflict.number(),
                        detail: text("it was changed since"),
                    },
                ),
            ],
            last: true,
        },
        ServerBody::Removed {
            item: WireItem::File(entry("old.txt", "old\n")),
            kept: true,
        },
        ServerBody::Signature {
            blocks: vec![WireBlock {
                length: 4,
                hash: *b"\x87\xb8\x6a\x9f\x9e\x06\x00\x7d\xc8\x8b\xef\x0b\x92\xd8\xf0\x46",
            }],
            last: true,
        },
        ServerBody::Done,
        ServerBody::Registered {
            epoch: 4711,
            address: WireAddress::V4([192, 168, 1, 155]),
            ticket_key: TICKET_KEY,
            clock: 30_000,
        },
        ServerBody::Table {
            epoch: 4711,
            since: 7,
            version: 10,
            peers: vec![
                WirePeer {
                    name: text("B"),
                    address: WireAddress::V4([192, 168, 1, 155]),
                    port: 1401,
                    online: true,
                },
                WirePeer {
                    name: text("D"),
                    address: WireAddress::V6([
                        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                    ]),
                    port: 1403,
                    online: false,
                },
            ],
            offers: vec![WireOffer {
                owner: text("B"),
                file: text("foo"),
                size: 6,
                id: md5("hello\n"),
            }],
            gone: vec![
                WireGone {
                    owner: text("C"),
                    file: Some(text("bar")),
                },
                WireGone {
                    owner: text("E"),
                    file: None,
                },
            ],
            last: true,
        },
        ServerBody::Changed {
            epoch: 4711,
            version: 12,
        },
        ServerBody::Probe,
        ServerBody::Ticket {
            address: WireAddress::V4([192, 168, 1, 155]),
            port: 1401,
            key: Some([0xb0; 32]),
            ticket: Box::new(ticket()),
        },
        ServerBody::RelayWanted {
            id: Secret([0x1d; 32]),
            address: WireAddress::V4([192, 168, 1, 7]),
        },
        ServerBody::Relaying,
    ];
    let number = |body: &ServerBody| match body {
        ServerBody::Welcome { .. }
        | ServerBody::Changed { .. }
        | ServerBody::Probe
        | ServerBody::RelayWanted { .. } => 0,
        _ => 7,
    };
    let message = |body| ServerMessage {
        number: number(&body),
        body,
    };
    bodies.into_iter().map(message).collect()
}

/// What the document calls the message. No wildcard: a new variant stops the build here, and then
/// the tests until it has a sample.
pub fn client_name(body: &ClientBody) -> &'static str {
    match body {
        ClientBody::Hello { .. } => "Hello",
        ClientBody::Ping => "Ping",
        ClientBody::Info => "Info",
        ClientBody::List { .. } => "List",
        ClientBody::Stat { .. } => "Stat",
        ClientBody::Rename { .. } => "Rename",
        ClientBody::Remove { .. } => "Remove",
        ClientBody::MakeFolder { .. } => "MakeFolder",
        ClientBody::RemoveFolder { .. } => "RemoveFolder",
        ClientBody::Download { .. } => "Download",
        ClientBody::DownloadPage { .. } => "DownloadPage",
        ClientBody::Upload { .. } => "Upload",
        ClientBody::UploadPage { .. } => "UploadPage",
        ClientBody::File(file) => file_name(file),
        ClientBody::Skip { .. } => "Skip",
        ClientBody::Alive => "Alive",
        ClientBody::Sessions => "Sessions",
        ClientBody::Kick { .. } => "Kick",
        ClientBody::Command { .. } => "Command",
        ClientBody::Trash { .. } => "Trash",
        ClientBody::Restore { .. } => "Restore",
        ClientBody::Undo { .. } => "Undo",
        ClientBody::Resume { .. } => "Resume",
        ClientBody::Compression { .. } => "Compression",
        ClientBody::Signature { .. } => "Signature",
        ClientBody::Ranges { .. } => "Ranges",
        ClientBody::Register { .. } => "Register",
        ClientBody::Deregister { .. } => "Deregister",
        ClientBody::Offer { .. } => "Offer",
        ClientBody::Withdraw { .. } => "Withdraw",
        ClientBody::Table { .. } => "Table",
        ClientBody::Ticket { .. } => "Ticket",
        ClientBody::Redeem(_) => "Redeem",
        ClientBody::Relay(_) => "Relay",
        ClientBody::RelayAccept { .. } => "RelayAccept",
    }
}

/// The same for the server's messages.
pub fn server_name(body: &ServerBody) -> &'static str {
    match body {
        ServerBody::Welcome { .. } => "Welcome",
        ServerBody::Refused { .. } => "Refused",
        ServerBody::Pong => "Pong",
        ServerBody::Info(_) => "Info",
        ServerBody::Page { .. } => "Page",
        ServerBody::Item(_) => "Item",
        ServerBody::File(file) => file_name(file),
        ServerBody::DownloadEnd => "DownloadEnd",
        ServerBody::UploadReady { .. } => "UploadReady",
        ServerBody::UploadResults { .. } => "UploadResults",
        ServerBody::UploadEnd => "UploadEnd",
        ServerBody::Alive => "Alive",
        ServerBody::Sessions { .. } => "Sessions",
        ServerBody::Trash { .. } => "Trash",
        ServerBody::Undone { .. } => "Undone",
        ServerBody::Removed { .. } => "Removed",
        ServerBody::Signature { .. } => "Signature",
        ServerBody::Done => "Done",
        ServerBody::Registered { .. } => "Registered",
        ServerBody::Table { .. } => "Table",
        ServerBody::Changed { .. } => "Changed",
        ServerBody::Probe => "Probe",
        ServerBody::Ticket { .. } => "Ticket",
        ServerBody::RelayWanted { .. } => "RelayWanted",
        ServerBody::Relaying => "Relaying",
    }
}

fn file_name(file: &FileMessage) -> &'static str {
    match file {
        FileMessage::Begin { .. } => "File Begin",
        FileMessage::End { .. } => "File End",
        FileMessage::Abort { .. } => "File Abort",
        FileMessage::Patch { .. } => "File Patch",
        FileMessage::Copy(_) => "File Copy",
    }
}
