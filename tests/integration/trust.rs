//! Whom a client trusts, as a user sees it: first contact, known servers, changed keys, keys in the
//! address, and servers that speak something else (contract section 7).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fileshare::protocol::message::{ServerBody, WireSession};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::harness::{CLIENT, clean, stderr, stdout};
use crate::tools::evil_server::{EvilServer, say};
use crate::tools::transport::{Transport, acceptor, new_identity};

const POLICIES: [&str; 3] = ["accept-new", "ask", "strict"];

/// A server that answers every request with a pong.
fn pong() -> EvilServer {
    EvilServer::start(Transport::Tls, |_| vec![say(ServerBody::Pong)])
}

/// A client's desk: its folder, and where it keeps known servers.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Desk {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn known(&self) -> PathBuf {
        self.config().join("fileshare/known_servers")
    }

    /// Writes the file as a person would.
    fn write_known(&self, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.known().parent().unwrap()).unwrap();
        std::fs::write(self.known(), text).unwrap();
    }

    fn read_known(&self) -> String {
        std::fs::read_to_string(self.known()).unwrap()
    }

    fn client(&self, address: &str, arguments: &[&str]) -> Command {
        let mut command = clean(CLIENT);
        command
            .args(["--server", address])
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.config())
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, address: &str, arguments: &[&str]) -> Output {
        self.client(address, arguments).output().unwrap()
    }

    fn pings(&self, address: &str, arguments: &[&str]) -> String {
        let output = self.run(address, &[arguments, &["ping"]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        said
    }

    fn fails(&self, address: &str, arguments: &[&str], exit: i32) -> String {
        let output = self.run(address, &[arguments, &["ping"]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }

    /// The key in the only line of the file.
    fn only_key(&self) -> String {
        let text = self.read_known();
        assert_eq!(text.lines().count(), 1, "{text}");
        text.trim_end().split_once(' ').unwrap().1.to_owned()
    }
}

/// Another key than this one.
fn other(key: &str) -> String {
    let (start, last) = key.split_at(key.len() - 1);
    let last = if last == "0" { "1" } else { "0" };
    format!("{start}{last}")
}

#[test]
fn first_contact_is_told_and_the_second_is_silent() {
    let (server, desk) = (pong(), Desk::new());
    let output = desk.run(server.address(), &["--json", "ping"]);
    assert!(stdout(&output).starts_with(r#"{"v":1,"type":"ping""#));
    assert_eq!(stdout(&output).lines().count(), 1);
    let key = desk.only_key();
    let said = stderr(&output);
    for part in [
        &format!("First contact with {}", server.address()),
        &key,
        desk.known().to_str().unwrap(),
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(desk.read_known(), format!("{} {key}\n", server.address()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&desk.known()), 0o600);
        assert_eq!(mode(desk.known().parent().unwrap()), 0o700);
    }
    for policy in POLICIES {
        assert_eq!(desk.pings(server.address(), &["--trust", policy]), "");
    }
    assert_eq!(Desk::new().pings(server.address(), &["-q"]), "");
}

#[test]
fn a_changed_key_is_refused_with_file_and_line() {
    let (server, desk) = (pong(), Desk::new());
    desk.pings(server.address(), &[]);
    let key = desk.only_key();
    let text = format!(
        "# mine\nnas:1 {key}\n{} {}\n",
        server.address(),
        other(&key)
    );
    desk.write_known(&text);
    for policy in POLICIES {
        let began = Instant::now();
        let said = desk.fails(server.address(), &["--trust", policy, "--retries", "9"], 5);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it is not tried again"
        );
        let place = format!("{}, line 3,", desk.known().display());
        for part in [
            server.address(),
            &place,
            &key,
            &other(&key),
            "remove that line",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let output = desk.run(server.address(), &["--json", "ping"]);
    assert!(stdout(&output).contains(r#""code":"identity_changed""#));
    assert_eq!(desk.read_known(), text);
    // The advice is right.
    desk.write_known(format!("# mine\nnas:1 {key}\n"));
    desk.pings(server.address(), &[]);
}

#[test]
fn strict_refuses_strangers_and_says_how_to_trust_them() {
    let (server, desk) = (pong(), Desk::new());
    let said = desk.fails(server.address(), &["--trust", "strict"], 5);
    let start = said.find("fileshare://").unwrap();
    let url = said[start..].split_whitespace().next().unwrap();
    assert!(url.contains("#sha256:"), "{said}");
    assert_eq!(desk.pings(url, &["--trust", "strict"]), "");
    assert!(!desk.config().exists(), "nothing was kept");
    let output = desk.run(server.address(), &["--trust", "strict", "--json", "ping"]);
    assert!(stdout(&output).contains(r#""code":"untrusted""#));
    let environment = desk
        .client(server.address(), &["ping"])
        .env("FILESHARE_TRUST", "strict")
        .output();
    assert_eq!(environment.unwrap().status.code(), Some(5));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let (server, desk) = (pong(), Desk::new());
    let said = desk.fails(server.address(), &["--trust", "ask"], 5);
    for part in ["no terminal", "--trust accept-new", "fileshare://"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!desk.config().exists());
}

#[test]
fn a_key_in_the_address_decides_alone() {
    let (server, desk) = (pong(), Desk::new());
    desk.pings(server.address(), &[]);
    let key = desk.only_key();
    desk.write_known("garbage");
    let url = |key: &str| format!("fileshare://{}/#{key}", server.address());
    for policy in POLICIES {
        assert_eq!(desk.pings(&url(&key), &["--trust", policy]), "");
        let said = desk.fails(&url(&other(&key)), &["--trust", policy], 5);
        assert!(said.contains(&key) && said.contains(&other(&key)), "{said}");
    }
    assert_eq!(desk.read_known(), "garbage");
    desk.fails(
        &format!("fileshare://{}#{}", server.address(), &key[..40]),
        &[],
        2,
    );
    let said = desk.fails(&url(&key), &["--plaintext"], 2);
    assert!(said.contains("plaintext"), "{said}");
}

/// Row “changed key taken for an error to ignore”: whatever keeps the file from being read, nothing
/// is trusted and nothing is repaired.
#[test]
fn a_list_that_cannot_be_read_is_no_reason_to_trust() {
    let (server, desk) = (pong(), Desk::new());
    desk.pings(server.address(), &[]);
    let line = desk.read_known();
    for (text, place) in [
        (format!("{line}nas:1\n").into_bytes(), "line 2"),
        (line.replace("sha256:", "sha256").into_bytes(), "line 1"),
        (line.as_bytes()[..40].to_vec(), "line 1"),
        ([line.as_bytes(), b"\xff\xfe\x00"].concat(), "line 2"),
        (vec![0; 300], "line 1"),
        (vec![b'\n'; 2 << 20], "too large"),
    ] {
        desk.write_known(&text);
        for policy in POLICIES {
            let said = desk.fails(server.address(), &["--trust", policy], 5);
            assert!(said.contains(place), "{said}");
            assert!(said.contains(desk.known().to_str().unwrap()), "{said}");
        }
        assert_eq!(std::fs::read(desk.known()).unwrap(), text);
    }
    std::fs::remove_file(desk.known()).unwrap();
    std::fs::create_dir(desk.known()).unwrap();
    desk.fails(server.address(), &[], 5);
    #[cfg(unix)]
    {
        std::fs::remove_dir(desk.known()).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            desk.known(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        desk.fails(server.address(), &[], 5);
    }
}

#[test]
fn a_key_that_cannot_be_kept_is_refused() {
    let (server, desk) = (pong(), Desk::new());
    // A file stands where the folder must go: nobody can make it, root included.
    std::fs::write(desk.config(), "").unwrap();
    let said = desk.fails(server.address(), &[], 5);
    assert!(said.contains(desk.known().to_str().unwrap()), "{said}");
    #[cfg(target_os = "linux")]
    {
        let output = desk
            .client(server.address(), &["ping"])
            .env("XDG_CONFIG_HOME", "/proc/self")
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(
            said.contains("/proc/self/fileshare/known_servers"),
            "{said}"
        );
        assert!(said.contains("fileshare://127.0.0.1:"), "{said}");
    }
}

#[test]
fn of_many_clients_at_first_contact_all_agree() {
    let (server, desk) = (pong(), Desk::new());
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut client = desk.client(server.address(), &["ping"]);
            client
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut told = 0;
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        told += said.matches("First contact").count();
    }
    assert_eq!(told, 1);
    desk.only_key();
}

#[test]
fn one_server_under_two_names_is_met_twice() {
    let (server, desk) = (pong(), Desk::new());
    let port = server.address().rsplit_once(':').unwrap().1;
    assert!(
        desk.pings(&format!("LocalHost:{port}"), &[])
            .contains("First contact")
    );
    assert_eq!(desk.pings(&format!("localhost:{port}"), &[]), "");
    assert!(desk.read_known().starts_with("localhost:"));
    assert!(desk.pings(server.address(), &[]).contains("First contact"));
    assert_eq!(desk.read_known().lines().count(), 2);
}

/// Row “certificate pinned but signature not checked”: everybody can get at the certificate.
#[test]
fn a_server_without_the_key_of_its_certificate_is_refused() {
    let (certificate, _) = new_identity();
    let (_, key) = new_identity();
    let acceptor = acceptor(certificate, key);
    let server = EvilServer::start_as(Transport::Tls, acceptor, |_| vec![say(ServerBody::Pong)]);
    let desk = Desk::new();
    let said = desk.fails(server.address(), &[], 5);
    assert!(said.contains("does not hold the key"), "{said}");
    assert!(!desk.config().exists());
}

/// A server for `names` whose certificate an authority has issued, and the authority's certificate.
fn issued(names: &[&str]) -> (EvilServer, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let acceptor = acceptor(leaf.der().clone(), key);
    let server = EvilServer::start_as(Transport::Tls, acceptor, |_| vec![say(ServerBody::Pong)]);
    (server, root.pem())
}

#[test]
fn whom_the_systems_authorities_vouch_for_needs_no_list() {
    let (server, root) = issued(&["localhost", "127.0.0.1"]);
    let desk = Desk::new();
    let file = desk.folder.path().join("root.pem");
    std::fs::write(&file, root).unwrap();
    let port = server.address().rsplit_once(':').unwrap().1;
    let ping = |host: &str, roots: &Path, policy: &str| {
        desk.client(&format!("{host}:{port}"), &["--trust", policy, "ping"])
            .env("SSL_CERT_FILE", roots)
            .output()
            .unwrap()
    };
    for host in ["localhost", "127.0.0.1"] {
        for policy in POLICIES {
            let output = ping(host, &file, policy);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            assert_eq!(stderr(&output), "");
        }
    }
    assert!(!desk.config().exists(), "nothing was kept");
    // Not for another host, and not by another authority.
    let (_, stranger) = issued(&["localhost"]);
    let others = desk.folder.path().join("others.pem");
    std::fs::write(&others, stranger).unwrap();
    assert_eq!(ping("localhost", &others, "strict").status.code(), Some(5));
    let (named, root) = issued(&["elsewhere.example"]);
    std::fs::write(&file, root).unwrap();
    let output = desk
        .client(named.address(), &["--trust", "strict", "ping"])
        .env("SSL_CERT_FILE", &file)
        .output();
    assert_eq!(output.unwrap().status.code(), Some(5));
}

/// A program at a port that says `words` to whoever connects, reads what comes, and hangs up.
fn speaker(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream, words);
        }
    });
    address
}

fn answer(mut stream: TcpStream, words: &[u8]) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = stream.write_all(words);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
}

#[test]
fn whoever_speaks_something_else_gets_one_clear_error() {
    let desk = Desk::new();
    for (words, what) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (
            b"220 ftp ready\r\n",
            "does not speak the fileshare protocol",
        ),
        (
            b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09",
            "does not speak",
        ),
    ] {
        let address = speaker(words);
        for arguments in [&[][..], &["--plaintext"]] {
            let said = desk.fails(&address, arguments, 10);
            assert!(said.contains(what) && said.contains(&address), "{said}");
        }
    }
    let said = desk.fails(
        &speaker(b"\x15\x03\x03\x00\x02\x02\x46"),
        &["--plaintext"],
        10,
    );
    assert!(said.contains("TLS"), "{said}");
    let said = desk.fails(
        &speaker(b"\x15\x03\x03\x00\x02\x02\x46FSHR\0\x01\0\x05"),
        &[],
        10,
    );
    assert!(said.contains("speaks plaintext: add --plaintext"), "{said}");
    let said = desk.fails(&speaker(b"FSHR\0\x01\0\x04"), &["--plaintext"], 10);
    assert!(
        said.contains("requires TLS: leave out --plaintext"),
        "{said}"
    );
    for arguments in [&["--retries", "0"][..], &["--retries", "0", "--plaintext"]] {
        desk.fails(&speaker(b""), arguments, 3);
    }
    assert!(!desk.config().exists());
}

#[test]
fn whoever_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let desk = Desk::new();
    for arguments in [
        &["--timeout", "1s"][..],
        &["--timeout", "1s", "--plaintext"],
    ] {
        let began = Instant::now();
        let said = desk.fails(&address, arguments, 3);
        assert!(said.contains("in time"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(15));
    }
}

/// Whoever is not trusted hears nothing but the handshake.
#[test]
fn a_server_that_is_not_trusted_is_told_nothing() {
    let (certificate, key) = new_identity();
    let acceptor = acceptor(certificate, key);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (listener, address) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    });
    let heard = runtime.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut heard = Vec::new();
        // It may hang up without a word.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard).await;
        heard
    });
    let desk = Desk::new();
    let output = desk
        .client(&address, &["--trust", "strict", "--user", "bob", "ping"])
        .env("FILESHARE_PASSWORD", "canary")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    let heard =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), heard).await });
    assert_eq!(heard.unwrap().unwrap(), b"");
}

fn session(id: u64) -> WireSession {
    WireSession {
        id,
        user: (id == 2).then(|| "eve\u{1b}[2J".to_owned()),
        role: 1,
        address: "127.0.0.1:5\u{202e}".to_owned(),
        connected: 5,
        activity: "download".to_owned(),
        file: Some("a\tb".to_owned()),
        received: 1,
        sent: 2,
    }
}

#[test]
fn sessions_come_in_pages_and_are_escaped() {
    let server = EvilServer::start(Transport::Tls, |request| match request {
        fileshare::protocol::message::ClientBody::Kick { id } => {
            vec![say(ServerBody::Sessions {
                sessions: vec![session(*id)],
                last: true,
            })]
        }
        _ => [1, 2]
            .map(|id| {
                say(ServerBody::Sessions {
                    sessions: vec![session(id)],
                    last: id == 2,
                })
            })
            .to_vec(),
    });
    let desk = Desk::new();
    let text = stdout(&desk.run(server.address(), &["sessions"]));
    assert_eq!(
        text,
        "1\t-\treader\t127.0.0.1:5\\u{202e}\t5\t1\t2\tdownload\ta\\u{9}b\n\
         2\teve\\u{1b}[2J\treader\t127.0.0.1:5\\u{202e}\t5\t1\t2\tdownload\ta\\u{9}b\n"
    );
    let json = stdout(&desk.run(server.address(), &["sessions", "--json"]));
    assert_eq!(json.lines().count(), 2);
    let first = r#"{"v":1,"type":"session","id":1,"user":null,"role":"reader","address":"#;
    assert!(json.starts_with(first), "{json}");
    let text = stdout(&desk.run(server.address(), &["kick", "2"]));
    assert!(
        text.starts_with("ended session 2: eve\\u{1b}[2J from "),
        "{text}"
    );
    let json = stdout(&desk.run(server.address(), &["kick", "2", "--json"]));
    assert!(json.contains(r#""action":"kick","id":2"#), "{json}");
    assert!(json.contains(r#""status":"done""#), "{json}");
    assert_eq!(
        desk.run(server.address(), &["kick", "x"]).status.code(),
        Some(2)
    );
}

#[cfg(unix)]
mod terminal {
    use super::*;
    use rexpect::session::{PtySession, spawn_command};

    /// The same client with a person at a terminal.
    fn at_a_terminal(desk: &Desk, address: &str, arguments: &[&str]) -> PtySession {
        let mut command = desk.client(address, arguments);
        command
            .env("XDG_STATE_HOME", desk.config())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(std::process::Stdio::inherit());
        spawn_command(command, Some(15_000)).unwrap()
    }

    fn exits_with(session: &PtySession, code: i32) {
        let status = format!("{:?}", session.process().wait().unwrap());
        assert!(status.ends_with(&format!(", {code})")), "{status}");
    }

    #[test]
    fn a_person_is_asked_and_may_say_yes() {
        let (server, desk) = (pong(), Desk::new());
        let ask = ["--trust", "ask", "ping"];
        let mut session = at_a_terminal(&desk, server.address(), &ask);
        session.exp_string("sha256:").unwrap();
        session.exp_string("[y/N] ").unwrap();
        assert!(!desk.known().exists());
        session.send_line("yes").unwrap();
        session.exp_string("First contact").unwrap();
        session.exp_string(" ms").unwrap();
        session.exp_eof().unwrap();
        exits_with(&session, 0);
        desk.only_key();
        let mut session = at_a_terminal(&desk, server.address(), &ask);
        let said = session.exp_eof().unwrap();
        assert!(said.contains(" ms") && !said.contains("[y/N]"), "{said}");
    }

    #[test]
    fn whatever_is_not_yes_is_no() {
        let (server, desk) = (pong(), Desk::new());
        let ask = ["--trust", "ask", "ping"];
        for answer in ["", "n", "maybe"] {
            let mut session = at_a_terminal(&desk, server.address(), &ask);
            session.exp_string("[y/N] ").unwrap();
            session.send_line(answer).unwrap();
            session.exp_string("was not accepted").unwrap();
            session.exp_eof().unwrap();
            exits_with(&session, 5);
        }
        let mut session = at_a_terminal(&desk, server.address(), &ask);
        session.exp_string("[y/N] ").unwrap();
        session.send_control('c').unwrap();
        session.exp_string("interrupted").unwrap();
        session.exp_eof().unwrap();
        exits_with(&session, 130);
        assert!(!desk.known().exists());
    }

    #[test]
    fn the_prompt_asks_before_it_opens_and_outlives_a_no() {
        let (server, desk) = (pong(), Desk::new());
        let mut session = at_a_terminal(&desk, server.address(), &["--trust", "ask"]);
        session.exp_string("[y/N] ").unwrap();
        session.send_line("n").unwrap();
        session.exp_string("Not connected to").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        // Nobody is asked in the middle of a line.
        session.send("get a\t").unwrap();
        session.flush().unwrap();
        session.send_control('c').unwrap();
        session.exp_string("Ctrl-D").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_line("ping").unwrap();
        session.exp_string("[y/N] ").unwrap();
        session.send_control('c').unwrap();
        session.exp_string("Cancelled.").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_line("ping").unwrap();
        session.exp_string("[y/N] ").unwrap();
        session.send_line("y").unwrap();
        session.exp_string(" ms").unwrap();
        session.exp_string("fileshare:/> ").unwrap();
        session.send_control('d').unwrap();
        session.exp_eof().unwrap();
        exits_with(&session, 0);
    }
}
