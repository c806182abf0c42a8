//! Where a client's password comes from, where it goes, and where it never shows (contract section
//! 4, `--user`).

use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fileshare::net::{Connection, Frame, Patience, accept_preface};
use fileshare::protocol::ErrorCode;
use fileshare::protocol::codec;
use fileshare::protocol::frame::BodyLimits;
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{ClientBody, ClientMessage, ServerBody, ServerMessage};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::harness::{CLIENT, NOBODY, clean, stderr, stdout};
use crate::tools::transport::{AnyStream, acceptor, new_identity};

/// A password that must not show anywhere.
const CANARY: &str = "canary-4711";

/// A server that notes who logs in, takes the canary only, and answers every request with a pong.
struct Gate {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
    plaintext: bool,
    desk: tempfile::TempDir,
    _runtime: Runtime,
}

impl Gate {
    fn open(plaintext: bool) -> Self {
        let runtime = Runtime::new().unwrap();
        let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(bind).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (certificate, key) = new_identity();
        let tls = (!plaintext).then(|| acceptor(certificate, key));
        let log = heard.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, tls.clone(), log.clone()));
            }
        });
        Gate {
            address,
            heard,
            plaintext,
            desk: tempfile::tempdir().unwrap(),
            _runtime: runtime,
        }
    }

    /// The logins since the last call: `user:password`, or `-`.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = clean(CLIENT);
        if self.plaintext {
            command.arg("--plaintext");
        }
        command
            .args(["-q", "--server", &self.address])
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.desk.path())
            .env("XDG_STATE_HOME", self.desk.path())
            .current_dir(self.desk.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut client = self.client(arguments);
        client.envs(environment.iter().copied()).output().unwrap()
    }

    /// Runs a client that must log in once, like this.
    fn logs_in(&self, arguments: &[&str], environment: &[(&str, &str)], login: &str) {
        let output = self.run(arguments, environment);
        let said = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert_eq!(self.heard(), [login], "{arguments:?} {environment:?}");
    }

    /// Runs a client that must fail before it has told the server anything.
    fn fails(&self, arguments: &[&str], environment: &[(&str, &str)], exit: i32) -> String {
        let output = self.run(arguments, environment);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
        assert_eq!(self.heard(), [""; 0], "{arguments:?}");
        assert!(!said.contains(CANARY), "{said}");
        said
    }

    /// A file on the desk.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.desk.path().join(name), text).unwrap();
    }
}

async fn converse(
    stream: tokio::net::TcpStream,
    tls: Option<TlsAcceptor>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let mut stream: AnyStream = match tls {
        None => Box::new(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    if accept_preface(&mut stream).await.is_err() {
        return;
    }
    let Connection {
        mut reader,
        mut writer,
    } = Connection::new(stream, None);
    let patience = Patience::Idle(Duration::from_secs(10));
    while let Ok(Frame::Message(body)) = reader.next(BodyLimits::WIDEST, patience).await {
        let request: ClientMessage = codec::decode(&body).unwrap();
        let body = match request.body {
            ClientBody::Hello { login, .. } => {
                let right = login.as_ref().is_none_or(|login| login.password == CANARY);
                let login = login.map(|login| format!("{}:{}", login.user, login.password));
                heard.lock().unwrap().push(login.unwrap_or("-".to_owned()));
                match right {
                    true => ServerBody::Welcome {
                        software: "gate".to_owned(),
                        role: 1,
                    },
                    false => ServerBody::Refused {
                        code: ErrorCode::Unauthorized.number(),
                        detail: "the user or the password is wrong".to_owned(),
                    },
                }
            }
            _ => ServerBody::Pong,
        };
        let number = request.number;
        let answer = ServerMessage { number, body };
        if writer.message(&answer, MAX_PAGE_BODY).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

#[test]
fn a_password_comes_from_the_options_then_the_environment() {
    let gate = Gate::open(false);
    gate.write("right", &format!("{CANARY}\nnot this line\n"));
    gate.write("wrong", "wrong\n");
    let login = format!("bob:{CANARY}");
    let print = format!("echo {CANARY}");
    let variable = ("FILESHARE_PASSWORD", CANARY);
    let bob = ["--user", "bob", "ping"];
    let with = |more: &[&'static str]| [&bob[..], more].concat();
    gate.logs_in(&bob, &[variable], &login);
    gate.logs_in(&with(&["--password-file", "right"]), &[], &login);
    gate.logs_in(
        &[&bob[..], &["--password-command", &print]].concat(),
        &[],
        &login,
    );
    // What was typed beats the environment; in the environment, the password itself comes first.
    let wrong = ("FILESHARE_PASSWORD", "wrong");
    gate.logs_in(&with(&["--password-file", "right"]), &[wrong], &login);
    gate.logs_in(
        &with(&["--password-file", "right"]),
        &[("FILESHARE_PASSWORD_COMMAND", "echo wrong")],
        &login,
    );
    gate.logs_in(
        &bob,
        &[variable, ("FILESHARE_PASSWORD_FILE", "wrong")],
        &login,
    );
    gate.logs_in(&bob, &[("FILESHARE_PASSWORD_FILE", "right")], &login);
    gate.logs_in(&bob, &[("FILESHARE_PASSWORD_COMMAND", &print)], &login);
    gate.logs_in(
        &bob,
        &[
            ("FILESHARE_PASSWORD", ""),
            ("FILESHARE_PASSWORD_FILE", "right"),
        ],
        &login,
    );
    for two in [
        ["--password-file", "right", "--password-command", "x"],
        ["--password-command", "x", "--password-file", "right"],
    ] {
        gate.fails(&with(&two), &[], 2);
    }
}

#[test]
fn a_user_comes_from_the_option_the_environment_or_the_address() {
    let gate = Gate::open(false);
    let login = format!("bob:{CANARY}");
    let variable = ("FILESHARE_PASSWORD", CANARY);
    let url = |user: &str| format!("fileshare://{user}@{}", gate.address);
    gate.logs_in(&["ping"], &[variable, ("FILESHARE_USER", "bob")], &login);
    gate.logs_in(&["ping", "--server", &url("bob")], &[variable], &login);
    // Typed beats the environment, and two that were typed must agree.
    gate.logs_in(
        &["ping", "--server", &url("bob")],
        &[variable, ("FILESHARE_USER", "eve")],
        &login,
    );
    gate.logs_in(
        &["ping", "--server", &url("bob"), "--user", "bob"],
        &[variable],
        &login,
    );
    let disagree = ["ping", "--server", &url("bob"), "--user", "eve"];
    let said = gate.fails(&disagree, &[variable], 2);
    assert!(said.contains("bob") && said.contains("eve"), "{said}");
    gate.fails(&["ping", "--user", "b b"], &[variable], 2);
    gate.fails(&["ping", "--user", ""], &[variable], 2);
    // A password in an address is not even repeated.
    let with_password = format!("fileshare://bob:{CANARY}@{}", gate.address);
    gate.fails(&["ping", "--server", &with_password], &[], 2);
    // A password without a user is nobody's.
    gate.logs_in(&["ping"], &[variable], "-");
    gate.logs_in(&["ping"], &[variable, ("FILESHARE_USER", "")], "-");
    gate.fails(&["ping", "--password-file", "x"], &[], 2);
}

#[test]
fn a_wrong_password_is_refused_once() {
    let gate = Gate::open(false);
    let output = gate.run(
        &["--user", "bob", "--json", "--retries", "9", "list"],
        &[("FILESHARE_PASSWORD", "wrong")],
    );
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(gate.heard(), ["bob:wrong"]);
    assert!(stdout(&output).contains(r#""code":"unauthorized""#));
    let said = stderr(&output);
    assert!(said.contains("refuses the login of bob"), "{said}");
}

#[test]
fn without_a_password_nobody_is_connected_to() {
    let gate = Gate::open(false);
    let bob = ["--user", "bob", "ping"];
    let said = gate.fails(&bob, &[], 5);
    for way in [
        "FILESHARE_PASSWORD",
        "--password-file",
        "--password-command",
    ] {
        assert!(said.contains(way), "{said}");
    }
    // It is needed before anything else is tried.
    let nobody = ["--user", "bob", "ping", "--server", NOBODY];
    gate.fails(&nobody, &[], 5);
    for (source, why) in [
        (["--password-file", "/nowhere/x"], "/nowhere/x"),
        (["--password-file", "/dev/zero"], "--password-file"),
        (["--password-command", "echo canary-4711; exit 3"], "3"),
        (["--password-command", "yes canary-4711"], "too much"),
        (["--password-command", "true"], "empty"),
    ] {
        let said = gate.fails(&[&bob[..], &source].concat(), &[], 5);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn what_needs_no_server_needs_no_password() {
    let gate = Gate::open(false);
    let missing = ["--user", "bob", "--password-file", "/nowhere"];
    for command in [&["lpwd"][..], &["lls"], &["pwd"], &["help", "get"]] {
        let output = gate.run(&[&missing[..], command].concat(), &[]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(gate.heard(), [""; 0]);
}

/// Runs a script with the canary in the environment.
fn script(gate: &Gate, arguments: &[&str], lines: &str) -> Output {
    use std::io::Write;

    let mut child = gate
        .client(arguments)
        .env("FILESHARE_PASSWORD", CANARY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_script_logs_in_at_its_first_command_for_the_server() {
    let gate = Gate::open(false);
    gate.write("password", CANARY);
    let login = format!("bob:{CANARY}");
    let count = [
        "--user",
        "bob",
        "--password-command",
        "echo x >> asked; cat password",
    ];
    let output = script(&gate, &count, "lpwd\n");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(gate.heard(), [""; 0]);
    assert!(!gate.desk.path().join("asked").exists());
    let output = script(&gate, &count, "lpwd\nping\nping\n");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(gate.heard(), [login]);
    let asked = std::fs::read_to_string(gate.desk.path().join("asked"));
    assert_eq!(asked.unwrap(), "x\n", "it is asked for once");
}

/// Row “secrets in arguments, logs, Debug”.
#[cfg(target_os = "linux")]
#[test]
fn a_password_shows_nowhere() {
    let gate = Gate::open(false);
    let login = format!("bob:{CANARY}");
    let verbose = ["--user", "bob", "-vvvv", "--debug"];
    // The script's own children see neither the variable nor the password in an argument.
    let look = "!env; tr '\\0' ' ' < /proc/$PPID/cmdline\n";
    let output = script(&gate, &verbose, &format!("ping\n{look}"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(gate.heard(), std::slice::from_ref(&login));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(said.contains("--user bob"), "the child looked: {said}");
    assert!(said.contains("saying"), "everything is logged: {said}");
    assert!(!said.contains(CANARY), "{said}");
    assert!(!said.contains("FILESHARE_PASSWORD"), "{said}");
    // Nor does a password command, and even RUST_LOG does not make other crates say it.
    let peek = format!("env > peeked; echo {CANARY}");
    let output = gate.run(
        &["--user", "bob", "--password-command", &peek, "ping"],
        &[
            ("FILESHARE_PASSWORD", "canary-unused"),
            ("RUST_LOG", "trace"),
        ],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(gate.heard(), [login]);
    let peeked = std::fs::read_to_string(gate.desk.path().join("peeked")).unwrap();
    assert!(peeked.contains("XDG_CONFIG_HOME") && !peeked.contains("canary"));
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(said.contains("TRACE"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn on_this_machine_a_password_may_go_in_plaintext() {
    let gate = Gate::open(true);
    let login = format!("bob:{CANARY}");
    let variable = ("FILESHARE_PASSWORD", CANARY);
    gate.logs_in(&["--user", "bob", "ping"], &[variable], &login);
}

/// Row “stripping TLS”: somebody in between answers in plaintext, and gets no password.
#[test]
fn a_server_that_answers_in_plaintext_gets_no_password() {
    let mut gate = Gate::open(true);
    // The client is not told that it should speak plaintext.
    gate.plaintext = false;
    let bob = ["--user", "bob", "ping"];
    let said = gate.fails(&bob, &[("FILESHARE_PASSWORD", CANARY)], 10);
    assert!(said.contains("add --plaintext"), "{said}");
}

#[cfg(unix)]
mod terminal {
    use super::*;
    use rexpect::session::{PtySession, spawn_command};

    /// A client that logs in as bob, at a terminal that shows what is typed until it is told not to.
    fn at_a_terminal(gate: &Gate, command: &str, then: &str) -> PtySession {
        let address = &gate.address;
        let line = format!(
            "trap : INT; stty echo; {CLIENT} --server {address} --user bob {command}; {then}"
        );
        let mut shell = clean("/bin/sh");
        shell
            .args(["-c", &line])
            .env("XDG_CONFIG_HOME", gate.desk.path())
            .env("XDG_STATE_HOME", gate.desk.path())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1");
        let mut session = spawn_command(shell, Some(15_000)).unwrap();
        session.exp_string("Password of bob at 127.0.0.1:").unwrap();
        session.exp_string(": ").unwrap();
        session
    }

    #[test]
    fn a_person_is_asked_and_nothing_is_echoed() {
        let gate = Gate::open(false);
        let login = format!("bob:{CANARY}");
        let mut session = at_a_terminal(&gate, "ping", "cat");
        session.send_line(CANARY).unwrap();
        let said = session.exp_string(" ms").unwrap();
        assert!(!said.contains(CANARY), "{said}");
        assert_eq!(gate.heard(), std::slice::from_ref(&login));
        // What is typed shows again.
        session.send_line("hello").unwrap();
        session.exp_string("hello\r\nhello").unwrap();
        session.send_control('d').unwrap();
        session.exp_eof().unwrap();
        // The prompt asks before it opens.
        let mut session = at_a_terminal(&gate, "", ":");
        session.send_line(CANARY).unwrap();
        let said = session.exp_string("fileshare:/> ").unwrap();
        assert!(!said.contains(CANARY), "{said}");
        session.send_line("ping").unwrap();
        session.exp_string(" ms").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_line("exit").unwrap();
        session.exp_eof().unwrap();
        assert_eq!(gate.heard(), [login]);
    }

    #[test]
    fn an_interrupted_question_leaves_the_terminal_as_it_was() {
        let gate = Gate::open(false);
        let mut session = at_a_terminal(&gate, "ping", "echo exit $?; stty -a");
        session.send_control('c').unwrap();
        session.exp_string("exit 130").unwrap();
        let modes = session.exp_eof().unwrap();
        assert!(modes.contains(" echo "), "{modes}");
        assert!(modes.contains("-echonl"), "{modes}");
        assert_eq!(gate.heard(), [""; 0]);
    }

    #[test]
    fn a_prompt_whose_question_was_cancelled_asks_again_and_is_never_nobody() {
        let gate = Gate::open(false);
        let mut session = at_a_terminal(&gate, "", ":");
        session.send_control('c').unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_line("lpwd").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_line("ping").unwrap();
        session.exp_string("Password of bob").unwrap();
        session.exp_string(": ").unwrap();
        session.send_line(CANARY).unwrap();
        session.exp_string(" ms").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_line("exit").unwrap();
        session.exp_eof().unwrap();
        assert_eq!(gate.heard(), [format!("bob:{CANARY}")]);
    }
}
