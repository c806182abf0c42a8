//! Hostile names through every request and every command: nothing outside the root is touched.
//!
//! Rows “traversal on the server”, “NUL, CR LF, look-alike slashes”, “Windows names, streams,
//! trailing dots” and “shell and argument injection” of names and paths.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use fileshare::digest::Hasher;
use fileshare::net::{Frame, NetError};
use fileshare::protocol::WireRef;
use fileshare::protocol::frame::FrameKind;
use fileshare::protocol::message::{
    ClientBody, FileMessage, ServerBody, UploadFile, UploadResult, Verdict,
};
use serde_json::Value;

use crate::harness::{RunningServer, stderr, stdout};
use crate::tools::names::{self, Class, HostileName};
use crate::tools::surroundings::{SECRET, Surroundings};
use crate::tools::transport::Transport;
use crate::wire::{RawClient, begin, encoded, end, upload_file};

const INVALID_NAME: u16 = 11;
const NOT_FOUND: u16 = 30;
const PROTOCOL: u16 = 80;

/// Everything that a client can name a file in.
const PLACES: [&str; 9] = [
    "list folder",
    "stat",
    "rename from",
    "rename to",
    "remove",
    "make folder",
    "download",
    "upload",
    "list pattern",
];

/// The message that carries the name, and what has to be said before it.
fn request(place: &str, name: &str) -> (Option<ClientBody>, ClientBody) {
    let text = name.to_owned();
    let reference = || WireRef::Name(name.to_owned());
    let alone = |body| (None, body);
    match place {
        "list folder" => alone(ClientBody::List {
            folder: Some(text),
            patterns: Vec::new(),
            limit: 10,
        }),
        "list pattern" => alone(ClientBody::List {
            folder: None,
            patterns: vec![text],
            limit: 10,
        }),
        "stat" => alone(ClientBody::Stat {
            file: reference(),
            wait_for_id: false,
        }),
        "rename from" => alone(ClientBody::Rename {
            from: reference(),
            to: "target".to_owned(),
            if_match: None,
            dry_run: false,
        }),
        "rename to" => alone(ClientBody::Rename {
            from: WireRef::Name("source".to_owned()),
            to: text,
            if_match: None,
            dry_run: false,
        }),
        "remove" => alone(ClientBody::Remove {
            file: reference(),
            recursive: true,
            if_match: None,
            dry_run: false,
        }),
        "make folder" => alone(ClientBody::MakeFolder {
            name: text,
            dry_run: false,
        }),
        "download" => (
            Some(ClientBody::Download { files: 1 }),
            ClientBody::DownloadPage {
                files: vec![reference()],
            },
        ),
        "upload" => {
            let files: Vec<UploadFile> = vec![upload_file(name, Some(4))];
            (
                Some(ClientBody::Upload { files: 1 }),
                ClientBody::UploadPage { files },
            )
        }
        other => panic!("{other}"),
    }
}

/// A client that counts its requests.
struct Asker {
    client: RawClient<()>,
    number: u32,
}

impl Asker {
    async fn new(server: &RunningServer) -> Self {
        Asker {
            client: RawClient::dial(server).await,
            number: 0,
        }
    }

    async fn receive(&mut self) -> ServerBody {
        let answer = self.client.receive().await.unwrap();
        assert_eq!(answer.number, self.number);
        answer.body
    }

    /// Puts the name into a request. Returns the code of its refusal, 0 when it was done.
    async fn ask(&mut self, place: &str, name: &str) -> u16 {
        self.number += 1;
        let (opening, body) = request(place, name);
        if let Some(opening) = opening {
            self.client.send(self.number, opening).await;
        }
        self.client.send(self.number, body).await;
        match place {
            "download" => self.take_download().await,
            "upload" => self.finish_upload().await,
            _ => loop {
                match self.receive().await {
                    ServerBody::Page { last: false, .. } => {}
                    ServerBody::Page { .. } | ServerBody::Item(_) | ServerBody::Removed { .. } => {
                        return 0;
                    }
                    ServerBody::Refused { code, .. } => return code,
                    other => panic!("{place} {name:?}: {other:?}"),
                }
            },
        }
    }

    async fn take_download(&mut self) -> u16 {
        let ServerBody::File(first) = self.receive().await else {
            panic!("a file was expected");
        };
        let code = match first {
            FileMessage::Abort { code, .. } => code,
            _ => {
                let Frame::Data(content) = self.client.receive_frame().await.unwrap() else {
                    panic!("content was expected");
                };
                assert_eq!(content.body(), b"mine");
                let ended = self.receive().await;
                assert!(matches!(ended, ServerBody::File(FileMessage::End { .. })));
                0
            }
        };
        assert_eq!(self.receive().await, ServerBody::DownloadEnd);
        code
    }

    /// Sends the file even where the verdict is against it: what counts is the result.
    async fn finish_upload(&mut self) -> u16 {
        let ServerBody::UploadReady { verdicts } = self.receive().await else {
            panic!("a verdict was expected");
        };
        let number = self.number;
        self.client.send(number, begin(0)).await;
        self.client.send_data(b"mine").await;
        self.client
            .send(number, end(Hasher::digest_of(b"mine")))
            .await;
        let ServerBody::UploadResults { results } = self.receive().await else {
            panic!("a result was expected");
        };
        assert_eq!(self.receive().await, ServerBody::UploadEnd);
        match (&verdicts[..], &results[..]) {
            ([Verdict::Start], [UploadResult::Stored { .. }]) => 0,
            ([Verdict::Refused { code: first, .. }], [UploadResult::Failed { code, .. }]) => {
                assert_eq!(first, code);
                *code
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Row “traversal on the server”: every name through every request, under both rules and over
/// every transport.
#[tokio::test]
async fn hostile_names_through_every_request() {
    for transport in Transport::ALL {
        for rules in ["portable", "native"] {
            let surroundings = Surroundings::new();
            let options = [
                "--anonymous",
                "editor",
                "--durability",
                "none",
                "--names",
                rules,
            ];
            let server = transport.serve(&surroundings.root(), &options);
            let mut asker = Asker::new(&server).await;
            for name in names::all() {
                match name.text() {
                    None => not_text_ends_the_connection(&server, &name).await,
                    Some(text) => text_through_every_request(&mut asker, rules, &name, text).await,
                }
            }
            assert_eq!(asker.ask("stat", "nothing").await, NOT_FOUND);
            assert_eq!(surroundings.left(), [] as [&str; 0]);
            surroundings.assert_untouched();
        }
    }
}

async fn text_through_every_request(
    asker: &mut Asker,
    rules: &str,
    name: &HostileName,
    text: &str,
) {
    let creatable = match name.class {
        Class::Never | Class::NotText => false,
        Class::Native => rules == "native",
        Class::Allowed => true,
    };
    if creatable {
        return odd_name_works(asker, text).await;
    }
    let reading = match name.class {
        Class::Never => INVALID_NAME,
        _ => NOT_FOUND,
    };
    assert_eq!(asker.ask("upload", "source").await, 0);
    for place in PLACES {
        let expected = match place {
            // A pattern that fits nothing lists nothing; one that is no pattern says so.
            "list pattern" => {
                asker.ask(place, text).await;
                continue;
            }
            "rename to" | "make folder" | "upload" => INVALID_NAME,
            _ => reading,
        };
        let code = asker.ask(place, text).await;
        assert_eq!(code, expected, "{rules}: {place} {text:?}");
    }
    assert_eq!(asker.ask("remove", "source").await, 0);
}

/// Through the whole life of a file, and of a folder.
async fn odd_name_works(asker: &mut Asker, text: &str) {
    for (place, name) in [
        ("make folder", text),
        ("list folder", text),
        ("remove", text),
        ("upload", text),
        ("stat", text),
        ("download", text),
        ("rename from", text),
    ] {
        assert_eq!(asker.ask(place, name).await, 0, "{place} {text:?}");
    }
    // Now it is called "target".
    let root = text.split('/').next().unwrap();
    let back = ClientBody::Rename {
        from: WireRef::Name("target".to_owned()),
        to: text.to_owned(),
        if_match: None,
        dry_run: false,
    };
    asker.number += 1;
    let number = asker.number;
    let answer = asker.client.ask(number, back).await;
    assert!(matches!(answer, ServerBody::Item(_)), "{text:?} {answer:?}");
    assert_eq!(asker.ask("remove", root).await, 0, "{text:?}");
}

/// Row “NUL, CR LF, look-alike slashes”: what is no UTF-8 is refused at decode.
async fn not_text_ends_the_connection(server: &RunningServer, name: &HostileName) {
    // The message is made with as many other bytes, which are then replaced.
    let place_holder = vec![1; name.bytes.len()];
    let text = std::str::from_utf8(&place_holder).unwrap();
    for place in PLACES {
        let mut client = RawClient::dial(server).await;
        let (opening, body) = request(place, text);
        if let Some(opening) = opening {
            client.send(1, opening).await;
        }
        let mut bytes = encoded(1, body);
        let with_length = [&(text.len() as u64).to_le_bytes()[..], &place_holder].concat();
        let at = bytes
            .windows(with_length.len())
            .position(|window| window == with_length)
            .unwrap();
        bytes[at + 8..at + with_length.len()].copy_from_slice(&name.bytes);
        client.outbox.send_frame(FrameKind::Message, &bytes).await;
        let answer = client.receive().await.unwrap();
        let ServerBody::Refused { code, .. } = answer.body else {
            panic!("{place} {name:?}: {answer:?}");
        };
        assert_eq!((answer.number, code), (0, PROTOCOL), "{place} {name:?}");
        assert!(matches!(client.receive().await, Err(NetError::Closed)));
    }
}

/// A local folder with one file, for clients to work in.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("x"), "mine").unwrap();
    desk
}

/// Runs a script and returns what became of each command, leaving out sums.
fn script(server: &RunningServer, desk: &Path, lines: &[String]) -> Vec<Value> {
    let mut child = server
        .client(desk, &["--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = lines.join("\n");
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["type"] != "summary")
        .collect()
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// Row “traversal on the server”, as far as a client's own commands can carry a name.
#[test]
fn hostile_names_through_every_command() {
    let surroundings = Surroundings::new();
    let desk = desk();
    let server = Transport::Plaintext.serve(&surroundings.root(), &["--anonymous", "editor"]);
    let mut lines = Vec::new();
    for name in names::all() {
        let Some(text) = name.text() else { continue };
        // What the client brings to Form C, and the slash that says "folder", are not hostile; a
        // line cannot hold an end of line.
        let typed = fileshare::types::FileName::from_typed(text.trim_end_matches('/'));
        if name.class != Class::Never || typed.is_ok() || text.contains(['\n', '\0']) {
            continue;
        }
        let name = quoted(text);
        for command in [
            "-put x --as N",
            "-put x --to N",
            "-get N",
            "-get -o got N",
            "-stat N",
            "-rename N target",
            "-rename x N",
            "-remove -r N",
            "-mkdir N",
        ] {
            lines.push(command.replace('N', &name));
        }
    }
    let results = script(&server, desk.path(), &lines);
    assert_eq!(results.len(), lines.len());
    for (line, result) in lines.iter().zip(&results) {
        let code = result["error"]["code"].as_str();
        let told = matches!(code, Some("invalid_name" | "usage"));
        assert!(told, "{line}: {result}");
    }
    assert_eq!(std::fs::read_dir(desk.path()).unwrap().count(), 1);
    assert_eq!(surroundings.left(), [] as [&str; 0]);
    surroundings.assert_untouched();
}

/// Row “shell and argument injection”: odd names are names like any other, behind `--` too.
#[test]
fn odd_names_work_in_every_command() {
    let surroundings = Surroundings::new();
    let desk = desk();
    let server = Transport::Plaintext.serve(&surroundings.root(), &["--anonymous", "editor"]);
    let mut lines = Vec::new();
    for name in names::all() {
        let Some(text) = name.text().filter(|_| name.class == Class::Allowed) else {
            continue;
        };
        let top = quoted(text.split('/').next().unwrap());
        let name = quoted(text);
        for command in [
            format!("put --as={name} -- x"),
            format!("stat -- {name}"),
            format!("rename -- {name} x"),
            format!("rename -- x {name}"),
            format!("remove -r -- {top}"),
        ] {
            lines.push(command);
        }
    }
    let results = script(&server, desk.path(), &lines);
    assert_eq!(results.len(), lines.len());
    assert_eq!(std::fs::read_dir(desk.path()).unwrap().count(), 1);
    assert_eq!(surroundings.left(), [] as [&str; 0]);
    surroundings.assert_untouched();
}

/// Row “shell and argument injection”, as arguments of real processes: no shell sees them, and no
/// program takes them for options.
#[test]
fn no_shell_and_no_option_parser_takes_a_name_for_its_own() {
    let surroundings = Surroundings::new();
    let desk = desk();
    let server = Transport::Plaintext.serve(&surroundings.root(), &["--anonymous", "editor"]);
    for name in [
        "-rf",
        "--",
        "--help",
        "-o",
        "$(touch owned)",
        "`touch owned`",
        ";touch owned",
        "& touch owned &",
        "$HOME",
        "~",
        "!touch owned",
        "%s%n",
    ] {
        std::fs::write(desk.path().join(name), "mine").unwrap();
        server.ok(desk.path(), &["put", "--", name]);
        std::fs::remove_file(desk.path().join(name)).unwrap();
        server.ok(desk.path(), &["get", "--", name]);
        let back = desk.path().join(name);
        assert_eq!(std::fs::read(&back).unwrap(), b"mine", "{name}");
        std::fs::remove_file(back).unwrap();
        assert_eq!(server.ok(desk.path(), &["cat", "--", name]), "mine");
        server.ok(desk.path(), &["rename", "--", name, "plain"]);
        server.ok(desk.path(), &["rename", "--", "plain", name]);
        server.ok(desk.path(), &["remove", "--", name]);
    }
    assert_eq!(std::fs::read_dir(desk.path()).unwrap().count(), 1);
    assert_eq!(surroundings.left(), [] as [&str; 0]);
    surroundings.assert_untouched();
}

/// Rows “Windows names, streams, trailing dots” and “NUL, CR LF, look-alike slashes”: what other
/// systems cannot store is created under `--names native` alone, and what is no text never.
#[test]
fn what_only_some_systems_can_store_needs_native_names() {
    for rules in ["portable", "native"] {
        let surroundings = Surroundings::new();
        let desk = desk();
        let options = ["--anonymous", "editor", "--names", rules];
        let server = Transport::Plaintext.serve(&surroundings.root(), &options);
        let mut lines = Vec::new();
        for name in names::all() {
            if let Some(text) = name.text().filter(|_| name.class == Class::Native) {
                let top = quoted(text.split('/').next().unwrap());
                lines.push(format!("-put x --as {}", quoted(text)));
                // Where nothing was put, there is nothing to remove.
                lines.push(format!("-remove -r -- {top}"));
            }
        }
        let results = script(&server, desk.path(), &lines);
        for (line, result) in lines.iter().zip(&results).step_by(2) {
            match rules {
                "native" => assert_eq!(result["status"], "done", "{line}: {result}"),
                _ => assert_eq!(result["error"]["code"], "invalid_name", "{line}: {result}"),
            }
        }
        for name in names::all() {
            if name.text().is_some_and(|text| !text.contains('\n')) || name.bytes.contains(&0) {
                continue;
            }
            let mut client = server.client(desk.path(), &["put", "x", "--as"]);
            let output = client.arg(OsStr::from_bytes(&name.bytes)).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{name:?}");
            assert!(!stderr(&output).contains(SECRET));
        }
        // To `remove`, that one means an id.
        let left: &[&str] = match rules {
            "native" => &["\"id:d41d8c\""],
            _ => &[],
        };
        assert_eq!(surroundings.left(), left);
        surroundings.assert_untouched();
    }
}
