//! Row “terminal escapes in names and messages” of names and paths, with real programs on a real
//! terminal: whatever somebody else said is shown, and never obeyed.

use std::path::Path;
use std::process::Command;

use fileshare::protocol::message::{
    ClientBody, FileMessage, ServerBody, ServerInfo, UploadResult, Verdict, WireSession,
};
use fileshare::protocol::{WireEntry, WireItem};
use rexpect::session::spawn_command;

use crate::harness::{noise, stderr, stdout};
use crate::tools::assert_harmless;
use crate::tools::evil_server::{EvilServer, Say, download, entry, say};
use crate::tools::transport::Transport;

/// Sets the clipboard, goes back to the start of the line and 77 lines up, deletes, turns the
/// direction of text, hides, and begins a line of its own.
const BAD: &str =
    "\u{1b}]52;c;RVZJTA==\u{7}\rEVIL\u{1b}[77A\u{9b}77A\u{8}\u{202e}EVIL\u{200b}\nEVIL";

/// What may stand in a name, and is still not to be seen on a terminal.
const SLY: &str = "sly\u{200b}EVIL\u{200e}EVIL\u{ad}EVIL\u{feff}";

/// Runs a program on a terminal and returns all that it wrote there.
fn on_a_terminal(mut command: Command) -> String {
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let mut session = spawn_command(command, Some(20_000)).unwrap();
    session.exp_eof().unwrap()
}

/// The programs move the cursor and colour text themselves; these are not theirs.
fn assert_not_obeyed(said: &str, arguments: &[&str]) {
    let lines = said.replace("\r\n", "\n");
    for hostile in [
        "\u{1b}]52",
        "\u{1b}[77A",
        "\u{9b}",
        "\u{8}",
        "\u{7}",
        "\rEVIL",
        "\nEVIL",
        "\u{202e}",
        "\u{200b}",
        "\u{200e}",
        "\u{ad}",
        "\u{feff}",
    ] {
        assert!(
            !lines.contains(hostile),
            "{arguments:?}: {hostile:?} in {said:?}"
        );
    }
}

/// Runs a client in a pipe, on a terminal, and with `--json`.
fn shows_nothing_hostile(server: &EvilServer, arguments: &[&str], word: &str) {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("f"), "f").unwrap();
    for debug in [false, true] {
        let arguments = match debug {
            true => [arguments, &["--debug"]].concat(),
            false => arguments.to_vec(),
        };
        let output = server.run(desk.path(), &arguments);
        // Results in a pipe are for programs and name files by their names; control characters are
        // in none of those.
        let said = stdout(&output).replace(['\n', '\t'], "");
        assert!(!said.contains(char::is_control), "{said:?}");
        assert_harmless(&stderr(&output));
        let said = said + &stderr(&output);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    let said = on_a_terminal(server.client(desk.path(), arguments));
    assert_not_obeyed(&said, arguments);
    assert!(said.contains(word), "{arguments:?}: {said}");
    if arguments[0] != "cat" {
        let output = server.run(desk.path(), &[arguments, &["--json"]].concat());
        for line in stdout(&output).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        assert_harmless(&stderr(&output));
    }
}

fn info() -> ServerInfo {
    let bad = || BAD.to_owned();
    ServerInfo {
        software: bad(),
        protocol: 1,
        host: bad(),
        identity: Some(bad()),
        uptime: u64::MAX,
        files: u64::MAX,
        bytes: u64::MAX,
        free: Some(u64::MAX),
        max_file_size: Some(u64::MAX),
        quota: Some(u64::MAX),
        max_connections: u32::MAX,
        idle_timeout: u64::MAX,
        portable_names: true,
        durable: true,
        confined: true,
        user: Some(bad()),
        role: 255,
        capabilities: vec![bad(), bad()],
        unhashed_files: u64::MAX,
        unhashed_bytes: u64::MAX,
        left_out_links: u64::MAX,
        left_out_special: u64::MAX,
        left_out_mounts: u64::MAX,
        left_out_names: u64::MAX,
        left_out_twins: u64::MAX,
        left_out_unreadable: u64::MAX,
        trash_files: u64::MAX,
        trash_bytes: u64::MAX,
        keep_removed: u64::MAX,
        keep_removed_size: u64::MAX,
        damaged_files: u64::MAX,
        damaged: vec![bad(), bad()],
    }
}

fn sly() -> WireEntry {
    entry(SLY, b"evil")
}

/// What an evil server can put words into, and what asks for it.
fn answers() -> Vec<(&'static [&'static str], &'static str, Vec<Say>)> {
    let refused = || {
        let detail = BAD.to_owned();
        vec![say(ServerBody::Refused { code: 30, detail })]
    };
    let abort = ServerBody::File(FileMessage::Abort {
        index: 0,
        code: 1,
        detail: BAD.to_owned(),
    });
    let verdict = |verdict| {
        let verdicts = vec![verdict];
        vec![say(ServerBody::UploadReady { verdicts })]
    };
    let result = |result| {
        let results = vec![result];
        vec![
            say(ServerBody::UploadReady {
                verdicts: vec![Verdict::Start],
            }),
            say(ServerBody::UploadResults { results }),
        ]
    };
    let page = ServerBody::Page {
        items: vec![
            WireItem::File(sly()),
            WireItem::Folder(format!("{SLY}/{SLY}")),
        ],
        last: true,
    };
    let item = || vec![say(ServerBody::Item(WireItem::File(sly())))];
    let removed = || {
        let item = WireItem::File(sly());
        vec![say(ServerBody::Removed { item, kept: false })]
    };
    let failed = UploadResult::Failed {
        index: 0,
        code: 1,
        detail: BAD.to_owned(),
    };
    let session = WireSession {
        id: 7,
        user: Some(BAD.to_owned()),
        role: 1,
        address: BAD.to_owned(),
        connected: 1,
        activity: BAD.to_owned(),
        file: Some(BAD.to_owned()),
        received: 1,
        sent: 1,
    };
    let sessions = ServerBody::Sessions {
        sessions: vec![session],
        last: true,
    };
    vec![
        (&["sessions"], "EVIL", vec![say(sessions.clone())]),
        (&["kick", "7"], "", vec![say(sessions)]),
        (&["list"], "EVIL", vec![say(page.clone())]),
        (&["list", "--sort", "size"], "EVIL", vec![say(page)]),
        (
            &["info"],
            "EVIL",
            vec![say(ServerBody::Info(Box::new(info())))],
        ),
        (&["stat", "a"], "EVIL", item()),
        (&["rename", "a", "b"], "", item()),
        (&["remove", "a"], "", removed()),
        (&["mkdir", "a"], "", item()),
        (&["list"], "EVIL", refused()),
        (&["stat", "a"], "EVIL", refused()),
        (&["info"], "EVIL", refused()),
        (&["ping"], "EVIL", refused()),
        (&["rename", "a", "b"], "EVIL", refused()),
        (&["remove", "a"], "EVIL", refused()),
        (&["verify", "f"], "", refused()),
        (
            &["get", "a"],
            "EVIL",
            vec![say(abort), say(ServerBody::DownloadEnd)],
        ),
        (&["cat", "a"], "EVIL", download(sly(), b"evil")),
        (&["get", "a"], "EVIL", download(sly(), b"evil")),
        (
            &["put", "f"],
            "EVIL",
            verdict(Verdict::Refused {
                code: 1,
                detail: BAD.to_owned(),
            }),
        ),
        (&["put", "f"], "", verdict(Verdict::Exists(Box::new(sly())))),
        (&["put", "f"], "EVIL", result(failed)),
        (
            &["put", "f"],
            "",
            result(UploadResult::Stored {
                index: 0,
                entry: sly(),
            }),
        ),
    ]
}

#[test]
fn nothing_that_a_server_says_is_obeyed_by_a_terminal() {
    for transport in Transport::ALL {
        for (arguments, word, answer) in answers() {
            let server = EvilServer::start(*transport, move |request| match request {
                ClientBody::Download { .. } | ClientBody::Upload { .. } => Vec::new(),
                // To an upload, the verdict comes first, and the rest when the file is over.
                ClientBody::UploadPage { .. } => answer[..1].to_vec(),
                ClientBody::File(FileMessage::End { .. }) | ClientBody::Skip { .. } => {
                    [&answer[1..], &[say(ServerBody::UploadEnd)]].concat()
                }
                ClientBody::File(_) => Vec::new(),
                _ => answer.clone(),
            });
            shows_nothing_hostile(&server, arguments, word);
        }
    }
}

/// What may stand in a name of a file that others have stored is escaped in every line about it,
/// in those of the progress too.
#[test]
fn names_that_others_chose_are_escaped_wherever_they_are_shown() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(SLY), noise(1, 300_000)).unwrap();
    std::fs::create_dir(root.path().join(format!("{SLY}folder"))).unwrap();
    let server = Transport::ALL[0].serve(root.path(), &["--anonymous", "editor"]);
    let folder = format!("{SLY}new");
    for arguments in [
        &["list"][..],
        &["stat", SLY],
        &["get", "--limit-rate", "200K", SLY],
        &["get", SLY],
        &["verify"],
        &["put", SLY],
        &["put", "--limit-rate", "200K", SLY, "--as", &folder],
        &["rename", SLY, "b"],
        &["rename", "b", SLY],
        &["stat", &format!("{SLY}none")],
        &["remove", SLY],
        &["list", SLY],
        &["cd", SLY],
    ] {
        let said = on_a_terminal(server.client(desk.path(), arguments));
        assert_not_obeyed(&said, arguments);
    }
    let arguments = ["put", "--limit-rate", "200K", SLY, "--as", "again"];
    let said = on_a_terminal(server.client(desk.path(), &arguments));
    // The bar was there.
    assert!(said.contains("\\u{200b}"), "{said:?}");
}

/// Names of local files may have come out of an archive that somebody else has packed.
#[test]
fn names_of_local_files_are_escaped_too() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let name = BAD.replace('/', "_");
    std::fs::create_dir(desk.path().join(&name)).unwrap();
    std::fs::write(desk.path().join(&name).join("f"), "f").unwrap();
    let file = format!("{name}-file");
    std::fs::write(desk.path().join(&file), "f").unwrap();
    let server = Transport::ALL[0].serve(root.path(), &["--anonymous", "editor"]);
    let inside = format!("{name}/f");
    for arguments in [
        &["put", &file][..],
        &["put", &name],
        &["put", &inside],
        &["put", &inside, "--as", "x/"],
        &["get", "f", "-o", &file],
        &["get", "f", "-o", &name],
        &["get", "nothing", "-o", &inside],
        &["verify"],
        &["verify", &file],
        &["lls"],
        &["lls", &name],
        &["lcd", &file],
        &[&file],
        &["put", "--as", &file, &inside],
        &["--server", &file, "ping"],
        &["--config", &file],
    ] {
        let said = on_a_terminal(server.client(desk.path(), arguments));
        assert_not_obeyed(&said, arguments);
        let output = server.run(desk.path(), arguments);
        assert_harmless(&stderr(&output));
    }
    assert!(Path::new(root.path()).join("f").exists());
}
