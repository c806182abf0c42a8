//! The commands of the server's program, and their effect on a server that runs.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use fileshare::net::secure;
use fileshare::protocol::message::{ClientBody, ServerBody};
use tokio::net::TcpStream;

use super::{expect_end, make_folder, refusal};
use crate::harness::{
    RunningServer, SERVER, clean, noise, serve, serve_plaintext, start, stderr, stdout, text,
};
use crate::wire::{RawClient, login};

/// Runs a command with this on standard input.
fn run_with(arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Output {
    let mut child = clean(SERVER)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that fails early does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs `user …` on a root.
fn user(root: &Path, arguments: &[&str], password: &str) -> Output {
    let arguments = [&["user"], arguments, &["--root", text(root)]].concat();
    run_with(&arguments, password, &[])
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

async fn connect(server: &RunningServer) -> RawClient<()> {
    let stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    RawClient::prefaced(Box::new(stream), ()).await
}

async fn log_in(server: &RunningServer, user: &str, password: &str) -> (RawClient<()>, ServerBody) {
    let mut client = connect(server).await;
    let answer = client.hello(0, Some(login(user, password))).await;
    (client, answer.body)
}

#[test]
fn users_come_and_go_and_mistakes_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let root = &folder.path().join("new/root");
    // Only adding a user makes the folder.
    let mut made = false;
    for (arguments, password, code, word) in [
        (&["list"][..], "", 4, "there is no folder"),
        (&["remove", "bob"], "", 4, "there is no folder"),
        (&["add", "bob"], "secret\n", 0, ""),
        (&["add", "bob"], "secret\n", 6, "a user bob already"),
        (&["add", "eve", "--role", "admin"], "x", 0, ""),
        (&["add", "joe"], "", 2, "must not be empty"),
        (&["add", "joe"], "\nsecret\n", 2, "must not be empty"),
        (&["add", "joe"], "a\0b\n", 2, "NUL"),
        (&["add", "joe", "--role", "king"], "x", 2, "a role is"),
        (&["add", "joe", "--role", "none"], "x", 2, "a role is"),
        (&["add", "-joe"], "x", 2, "-j"),
        (&["add", "joe smith"], "x", 2, "a user's name"),
        (&["add", "joe", "secret"], "x", 2, "secret"),
        (&["add"], "x", 2, "NAME"),
        (&["role", "joe", "admin"], "", 4, "no user joe"),
        (&["role", "bob", "editor"], "", 0, ""),
        (&["passwd", "joe"], "x", 4, "no user joe"),
        (&["passwd", "bob"], "", 2, "must not be empty"),
        (&["passwd", "bob"], "another\r\n", 0, ""),
        (&["remove", "joe"], "", 4, "no user joe"),
        (&["remove", "eve"], "", 0, ""),
        (&["frobnicate"], "", 2, "frobnicate"),
    ] {
        let output = user(root, arguments, password);
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(word), "{arguments:?}: {errors}");
        let makes = !matches!(arguments, ["list"] | ["remove", "bob"]);
        made |= makes;
        assert_eq!(root.exists(), made, "{arguments:?}");
    }
    assert_eq!(ok(&user(root, &["list"], "")), "bob\teditor\n");
    let file = root.join(".fileshare/accounts");
    let content = std::fs::read_to_string(&file).unwrap();
    assert!(content.contains("\nbob:editor:$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(!content.contains("another"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // What somebody wrote into it stays; what makes no sense is named with its line.
    std::fs::write(&file, format!("# mine\n{content}\nnonsense\n")).unwrap();
    let output = user(root, &["role", "bob", "admin"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("accounts, line 5:"),
        "{}",
        stderr(&output)
    );
    std::fs::write(&file, format!("# mine\n{content}")).unwrap();
    ok(&user(root, &["role", "bob", "admin"], ""));
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("# mine\n")
    );
}

#[tokio::test]
async fn a_password_comes_from_a_file_or_the_environment_or_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let root = text(&root);
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "from the file\nmore\n").unwrap();
    let environment = ("FILESHARE_PASSWORD", "from the environment");
    let add = |name, more: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["user", "add", name, "--root", root], more].concat();
        ok(&run_with(&arguments, "from standard input\n", environment));
    };
    add("file", &["--password-file", text(&secret)], &[environment]);
    add("environment", &[], &[environment]);
    add("input", &[], &[("FILESHARE_PASSWORD", "")]);
    let missing = [
        "user",
        "add",
        "x",
        "--root",
        root,
        "--password-file",
        "/nowhere",
    ];
    let output = run_with(&missing, "", &[environment]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nowhere"));

    let server = serve_plaintext(Path::new(root), &[]);
    for (user, password) in [
        ("file", "from the file"),
        ("environment", "from the environment"),
        ("input", "from standard input"),
    ] {
        let (_, answer) = log_in(&server, user, password).await;
        assert!(matches!(answer, ServerBody::Welcome { .. }), "{user}");
    }
}

#[tokio::test]
async fn changes_take_effect_on_a_running_server_and_its_open_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let server = serve_plaintext(root, &[]);
    let mut nobody = connect(&server).await;
    nobody.hello(0, None).await;
    assert!(matches!(
        nobody.ask(1, make_folder("a")).await,
        ServerBody::Item(_)
    ));
    ok(&user(root, &["add", "bob", "--role", "reader"], "secret"));
    assert_eq!(
        refusal(&nobody.ask(2, make_folder("b")).await).unwrap().0,
        40
    );
    let (mut bob, answer) = log_in(&server, "bob", "secret").await;
    assert!(matches!(answer, ServerBody::Welcome { role: 1, .. }));
    assert_eq!(refusal(&bob.ask(1, make_folder("b")).await).unwrap().0, 41);
    ok(&user(root, &["role", "bob", "contributor"], ""));
    assert!(matches!(
        bob.ask(2, make_folder("b")).await,
        ServerBody::Item(_)
    ));
    ok(&user(root, &["passwd", "bob"], "another"));
    expect_end(&mut bob, 40, "log in again").await;
    let (mut bob, answer) = log_in(&server, "bob", "another").await;
    assert!(matches!(answer, ServerBody::Welcome { role: 2, .. }));
    ok(&user(root, &["remove", "bob"], ""));
    expect_end(&mut bob, 40, "log in again").await;
}

#[tokio::test]
async fn a_password_is_in_no_argument_and_no_log() {
    let canary = "canary-7f3a";
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let output = run_with(
        &["user", "add", "bob", "--root", text(&root)],
        "",
        &[("FILESHARE_PASSWORD", canary)],
    );
    assert!(!format!("{}{}", ok(&output), stderr(&output)).contains(canary));
    let log = folder.path().join("log");
    let mut command = clean(SERVER);
    command
        .args(["--port", "0", "--plaintext", "--debug", "-vv", text(&root)])
        .env("RUST_LOG", "trace")
        .stderr(File::create(&log).unwrap());
    let server = start(command);
    let (mut bob, answer) = log_in(&server, "bob", canary).await;
    assert!(matches!(answer, ServerBody::Welcome { .. }));
    bob.ask(1, ClientBody::Ping).await;
    let wrong = format!("{canary}-wrong");
    log_in(&server, "bob", &wrong).await;
    log_in(&server, &wrong, canary).await;
    #[cfg(target_os = "linux")]
    {
        let seen = std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap();
        assert!(!String::from_utf8_lossy(&seen).contains(canary));
    }
    drop(server);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("logged in") && log.contains("a login failed"),
        "{log}"
    );
    let leaks: Vec<&str> = log.lines().filter(|line| line.contains(canary)).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    assert!(!log.contains("$argon2id"));
}

#[test]
fn the_identity_is_made_once_and_printed_by_all() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    // A folder that is not there is a mistake.
    let typo = run_with(&["identity", text(&root)], "", &[]);
    assert_eq!(typo.status.code(), Some(4), "{}", stderr(&typo));
    std::fs::create_dir(&root).unwrap();
    let identity = || ok(&run_with(&["identity", text(&root)], "", &[]));
    let fingerprint = identity();
    assert!(fingerprint.starts_with("sha256:") && fingerprint.len() == 72);
    for _ in 0..2 {
        let server = serve(&root, &[]);
        let lines: Vec<String> = (0..7).map(|_| server.line()).collect();
        let said = lines.join("\n");
        let fingerprint = fingerprint.trim();
        assert!(
            said.contains(&format!("Fingerprint: {fingerprint}")),
            "{said}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("fileshare://")
                && line.ends_with(&format!("#{fingerprint}")))
        );
        assert_eq!(identity().trim(), fingerprint);
    }
    // A key that cannot be used is named and left as it is.
    let key = root.join(".fileshare/identity.pem");
    std::fs::write(&key, "nonsense").unwrap();
    for arguments in [
        &["identity", text(&root)][..],
        &["--port", "0", text(&root)],
    ] {
        let output = run_with(arguments, "", &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("identity.pem"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(std::fs::read(&key).unwrap(), b"nonsense");
}

#[test]
fn a_certificate_of_ones_own_is_used_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    ok(&run_with(&["identity", text(&root)], "", &[]));
    // It holds both, so it can be either file.
    let own = folder.path().join("own.pem");
    std::fs::rename(root.join(".fileshare/identity.pem"), &own).unwrap();
    let (own, root, cert, key) = (text(&own), text(&root), "--tls-cert", "--tls-key");
    for (arguments, word) in [
        (&[cert, own][..], "--tls-key"),
        (&[key, own], "--tls-cert"),
        (&[cert, "/nowhere", key, own], "/nowhere"),
        (&[cert, own, key, "/nowhere"], "/nowhere"),
        (&[cert, SERVER, key, own], SERVER),
        (&[cert, own, key, own, "--plaintext"], "--plaintext"),
    ] {
        let output = run_with(&[&["--port", "0"], arguments, &[root]].concat(), "", &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    let server = serve(Path::new(root), &[cert, own, key, own]);
    let said: Vec<String> = (0..4).map(|_| server.line()).collect();
    // What clients see is what `identity` prints, told of the certificate or not.
    let printed = ok(&run_with(&["identity", root], "", &[]));
    assert!(said.join("\n").contains(printed.trim()), "{said:?}");
    assert!(!Path::new(root).join(".fileshare/identity.pem").exists());
}

#[tokio::test]
async fn a_login_inside_tls_from_the_server_that_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    ok(&user(root, &["add", "bob"], "secret"));
    let promised = ok(&run_with(&["identity", text(root)], "", &[]));
    let server = serve(root, &["--max-connections", "1"]);
    let dial = || async {
        let stream = TcpStream::connect(("127.0.0.1", server.port))
            .await
            .unwrap();
        secure(stream, "127.0.0.1").await.unwrap()
    };
    let (stream, key) = dial().await;
    assert_eq!(key.fingerprint().to_string(), promised.trim());
    let mut bob = RawClient::prefaced(Box::new(stream), ()).await;
    let answer = bob.hello(0, Some(login("bob", "secret"))).await;
    assert!(matches!(answer.body, ServerBody::Welcome { role: 2, .. }));
    let ServerBody::Info(info) = bob.ask(1, ClientBody::Info).await else {
        panic!("facts were expected");
    };
    assert_eq!(info.identity.as_deref(), Some(promised.trim()));
    assert_eq!(info.user.as_deref(), Some("bob"));
    assert_eq!(info.role, 2);

    // There is no room for a second one, which is told so inside TLS.
    let (mut stream, _) = dial().await;
    let refused = fileshare::net::offer_preface(&mut stream)
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            fileshare::net::NetError::Refused {
                reason: fileshare::protocol::preface::Refusal::Busy,
                ..
            }
        ),
        "{refused:?}"
    );
}

/// A session that an administrator has ended does not begin again by itself, in the middle of a
/// transfer either.
#[test]
fn a_download_that_is_kicked_does_not_come_back() {
    let (root, desk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(root.path().join("big"), noise(1, 16 << 20)).unwrap();
    ok(&user(root.path(), &["add", "bob"], "secret"));
    ok(&user(
        root.path(),
        &["add", "eve", "--role", "admin"],
        "secret",
    ));
    let server = serve(root.path(), &[]);
    let client = |arguments: &[&str]| {
        let mut client = server.client(desk.path(), arguments);
        client.env("FILESHARE_PASSWORD", "secret");
        client
    };
    let getting = client(&["--user", "bob", "--limit-rate", "1M", "get", "big"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let admin = |arguments: &[&str]| {
        let arguments = [&["--user", "eve"], arguments].concat();
        ok(&client(&arguments).output().unwrap())
    };
    let under_way = (0..200).find_map(|_| {
        let listed = admin(&["sessions"]);
        let mut sessions = listed
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>());
        let bob = sessions.find(|session| session[1] == "bob" && session[6] != "0");
        bob.map(|session| session[0].to_owned())
    });
    admin(&["kick", &under_way.expect("a download that is under way")]);
    let kicked = getting.wait_with_output().unwrap();
    let said = stderr(&kicked);
    assert_eq!(kicked.status.code(), Some(5), "{said}");
    assert!(
        said.contains("an administrator ended this session"),
        "{said}"
    );
    assert!(!desk.path().join("big").exists());
}

#[cfg(unix)]
mod terminal {
    use super::*;
    use rexpect::session::{PtySession, spawn_command};

    /// Adds bob at a terminal that shows what is typed until it is told not to.
    fn add_at_a_terminal(root: &Path) -> PtySession {
        let root = text(root);
        let line = format!(
            "trap : INT; stty echo; {SERVER} user add bob --root {root}; echo exit $?; stty -a"
        );
        let mut shell = clean("/bin/sh");
        shell.args(["-c", &line]).env("TERM", "xterm");
        let mut session = spawn_command(shell, Some(15_000)).unwrap();
        session.exp_string("Password for bob: ").unwrap();
        session
    }

    /// Fails unless the terminal is as it was, and everything else was said but the password.
    fn ends(mut session: PtySession, code: i32) {
        let said = session.exp_string(&format!("exit {code}")).unwrap();
        assert!(!said.contains("canary"), "{said}");
        let modes = session.exp_eof().unwrap();
        assert!(modes.contains(" echo "), "{modes}");
    }

    #[test]
    fn a_person_is_asked_twice_and_nothing_is_echoed() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = add_at_a_terminal(folder.path());
        session.send_line("canary").unwrap();
        session.exp_string("The same again: ").unwrap();
        session.send_line("canery").unwrap();
        session.exp_string("the two passwords differ").unwrap();
        ends(session, 2);

        let mut session = add_at_a_terminal(folder.path());
        session.send_line("canary").unwrap();
        session.exp_string("The same again: ").unwrap();
        session.send_line("canary").unwrap();
        ends(session, 0);
        assert_eq!(
            ok(&user(folder.path(), &["list"], "")),
            "bob\tcontributor\n"
        );
    }

    #[test]
    fn an_interrupted_question_adds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = add_at_a_terminal(folder.path());
        session.send_control('c').unwrap();
        ends(session, 130);
        assert_eq!(ok(&user(folder.path(), &["list"], "")), "");
    }
}
