//! Rows “readable temporary files” and “case and Unicode twins” of names and paths, and “MD5
//! collisions” of identity and secrets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fileshare::digest::Hasher;

use crate::harness::{CLIENT, SERVER, clean, md5, serve, start, stderr, text};
use crate::tools::surroundings::Surroundings;

/// The permissions of everything below a folder, by path.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // What is staged may go while this looks.
            let Ok(metadata) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            found.push((
                text(&path).to_owned(),
                metadata.permissions().mode() & 0o777,
            ));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn assert_private(folder: &Path) -> usize {
    let mode = std::fs::metadata(folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{}: {mode:o}", folder.display());
    let modes = modes(folder);
    for (path, mode) in &modes {
        // The index is SQLite's to make; nobody else gets to it through the folder.
        if !path.contains("index.sqlite") {
            assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
        }
    }
    modes.len()
}

/// The same command with a umask that keeps nothing from anybody.
fn with_open_umask(program: &str) -> Command {
    let mut command = clean("sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\"", program]);
    command
}

/// Row “readable temporary files”, on the server: state, staging and what is staged belong to
/// their owner alone, whatever the umask is.
#[test]
fn state_and_staging_of_a_server_are_private_whatever_the_umask() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let mut command = with_open_umask(SERVER);
    command.args(["--port", "0", text(root.path())]);
    let mut server = start(command);
    let mut client = server
        .client(desk.path(), &["put", "-", "--as", "half"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &vec![7; 3 << 20]).unwrap();
    let staging = root.path().join(".fileshare/staging");
    let started = Instant::now();
    while std::fs::read_dir(&staging).unwrap().count() == 0 {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(assert_private(&root.path().join(".fileshare")) >= 3);
    drop(stdin);
    assert!(client.wait().unwrap().success());
    assert_private(&root.path().join(".fileshare"));
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
}

/// The same row, on the client: half a file, the history, and what is known of servers.
#[test]
fn partial_files_of_a_client_are_private_whatever_the_umask() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("f"), vec![7; 4 << 20]).unwrap();
    let server = serve(root.path(), &[]);
    let like = server.client(desk.path(), &["--limit-rate", "1M", "get", "f"]);
    let mut command = with_open_umask(CLIENT);
    command.args(like.get_args()).current_dir(desk.path());
    command.env("XDG_CONFIG_HOME", server.config());
    let mut client = command.stdin(Stdio::null()).spawn().unwrap();
    let partial = desk.path().join(".fileshare-f.part");
    let started = Instant::now();
    let mode = loop {
        if let Ok(metadata) = std::fs::metadata(&partial) {
            break metadata.permissions().mode();
        }
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    client.kill().unwrap();
    client.wait().unwrap();
    for (path, mode) in modes(server.config()) {
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

/// Row “case and Unicode twins”: README and readme at once, and exactly one wins.
#[test]
fn of_names_that_differ_only_in_case_or_form_exactly_one_wins() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &["--anonymous", "editor"]);
    std::fs::write(desk.path().join("x"), "x").unwrap();
    for round in 0..5 {
        for twins in [
            ["README", "readme", "ReadMe", "readmE"],
            ["straße", "STRASSE", "Strasse", "strasſe"],
            ["docs/Ä", "Docs/ä", "DOCS/Ä", "docS/ä"],
            ["ΣΑΣ", "σας", "σασ", "Σας"],
        ] {
            let clients = twins.map(|name| {
                let arguments = ["put", "x", "--as", name];
                let mut command = server.client(desk.path(), &arguments);
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().unwrap()
            });
            let outputs = clients.map(|client| client.wait_with_output().unwrap());
            let codes = outputs
                .each_ref()
                .map(|output| output.status.code().unwrap());
            let won = codes.iter().filter(|code| **code == 0).count();
            assert_eq!(won, 1, "{round}: {twins:?} {codes:?}");
            for output in &outputs {
                match output.status.code() {
                    Some(0) => {}
                    code => {
                        assert_eq!(code, Some(6), "{}", stderr(output));
                        assert!(stderr(output).contains("only in case"));
                    }
                }
            }
            let listed = server.ok(desk.path(), &["list"]);
            assert_eq!(listed.lines().count(), 1, "{listed}");
            let name = listed.trim_end().rsplit('\t').next().unwrap();
            server.ok(
                desk.path(),
                &["remove", "-r", name.split('/').next().unwrap()],
            );
        }
    }
}

/// Two blocks with one MD5 (Wang, Feng, Lai and Yu, 2004).
const COLLISION: [&str; 2] = [
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89\
     55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b\
     d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0\
     e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70",
    "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f89\
     55ad340609f4b30283e4888325f1415a085125e8f7cdc99fd91dbd7280373c5b\
     d8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0\
     e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70",
];

fn collision(which: usize) -> Vec<u8> {
    let digits = COLLISION[which].as_bytes();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// Row “MD5 collisions”: an id finds accidents and proves nothing against an attacker. Two files
/// with one id are two files to the store; `verify` cannot tell them apart, as SECURITY.md says;
/// and whoever asks for the id of the one may get the other.
#[test]
fn an_id_is_no_proof_and_no_capability() {
    let surroundings = Surroundings::new();
    let desk = tempfile::tempdir().unwrap();
    let [one, other] = [collision(0), collision(1)];
    assert_ne!(one, other);
    assert_eq!(Hasher::digest_of(&one), Hasher::digest_of(&other));
    let server = serve(&surroundings.root(), &["--anonymous", "editor"]);
    let write = |name: &str, content: &[u8]| {
        std::fs::write(desk.path().join(name), content).unwrap();
    };
    write("one", &one);
    write("other", &other);
    server.ok(desk.path(), &["put", "one", "other"]);
    let stored = |name: &str| std::fs::read(surroundings.root().join(name)).unwrap();
    assert_eq!(
        (stored("one"), stored("other")),
        (one.clone(), other.clone())
    );

    let id = format!("id:{}", md5(&desk.path().join("one")));
    server.ok(desk.path(), &["get", &id, "-o", "which"]);
    let which = std::fs::read(desk.path().join("which")).unwrap();
    assert!(which == one || which == other);
    // What changes something is not left to chance.
    let said = server.fails(desk.path(), &["remove", &id], 4);
    assert!(said.contains("more than one"), "{said}");

    // By name each comes back as it is.
    server.ok(desk.path(), &["get", "other", "-o", "back"]);
    assert_eq!(std::fs::read(desk.path().join("back")).unwrap(), other);

    // What compares ids alone takes the one for the other. This is the limit of MD5.
    write("one", &other);
    server.ok(desk.path(), &["verify", "one"]);
    let said = server.fails(desk.path(), &["put", "one"], 6);
    assert!(said.contains("same content"), "{said}");
    assert_eq!(stored("one"), one);

    // Knowing an id opens nothing: what is not in the root is not served, by any id.
    let secret = Hasher::digest_of(crate::tools::surroundings::SECRET.as_bytes());
    server.fails(desk.path(), &["cat", &format!("id:{secret}")], 4);
    surroundings.assert_untouched();
    let documented = std::fs::read_to_string("docs/SECURITY.md").unwrap();
    assert!(documented.contains("MD5"), "the limit is documented");
}
