//! Three terminals side by side.

use rexpect::session::{PtySession, spawn_command};

use super::Desk;
use crate::harness::{RunningServer, noise, serve};

const PROMPT: &str = "fileshare:/> ";

fn terminal(desk: &Desk, server: &RunningServer) -> PtySession {
    let mut command = desk.client(server, &[]);
    command
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::inherit());
    let mut session = spawn_command(command, Some(30_000)).unwrap();
    session.exp_string("'help' lists the commands").unwrap();
    session.exp_string(PROMPT).unwrap();
    session
}

/// Types a line and waits for all of these, in order, and for the prompt.
fn types(session: &mut PtySession, line: &str, answers: &[&str]) {
    session.send_line(line).unwrap();
    for answer in answers {
        let found = session.exp_string(answer);
        found.unwrap_or_else(|error| panic!("{line}: {answer:?}: {error}"));
    }
    session.exp_string(PROMPT).unwrap();
}

fn sees(session: &mut PtySession, lines: &[&str]) {
    for line in lines {
        let found = session.exp_string(line);
        found.unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
}

#[test]
fn three_people_offer_request_and_leave() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let [a, b, c] = [Desk::new(), Desk::new(), Desk::new()];
    let large = noise(3, 4_000_000);
    b.shelf(&[("foo", b"hello"), ("large", &large)]);
    let [mut at_a, mut at_b, mut at_c] = [&a, &b, &c].map(|desk| terminal(desk, &server));

    types(&mut at_a, "register A", &["[Welcome, You are registered.]"]);
    let rejected = "[Registration rejected: Client username already in use.]";
    types(&mut at_b, "register A", &[rejected]);
    types(
        &mut at_b,
        "REGISTER B --port 80",
        &["[Invalid client TCP port]"],
    );
    types(&mut at_b, "register B", &["[Welcome, You are registered.]"]);
    sees(&mut at_a, &["[Client table updated.]"]);
    types(&mut at_c, "register C", &["[Welcome, You are registered.]"]);

    let not_set = "Directory not set. Set directory using setdir command.";
    types(&mut at_b, "offer foo", &[not_set]);
    types(
        &mut at_b,
        "setdir nowhere",
        &["[setdir failed: nowhere does not exist.]"],
    );
    let set = "as the directory for searching offered files.]";
    types(&mut at_b, "setdir shelf", &["[Successfully set /", set]);
    types(
        &mut at_b,
        "offer foo",
        &["[Offer Message received by Server.]"],
    );
    sees(&mut at_c, &["[Client table updated.]"]);
    types(&mut at_b, "offer", &["[Offer Message received by Server.]"]);

    let heading = "FILENAME  OWNER  IP ADDRESS";
    types(
        &mut at_a,
        "offers",
        &[heading, "foo", "B", "127.0.0.1", "large"],
    );
    let nothing = "No files available at the moment.";
    types(&mut at_a, "list", &[nothing, heading, "foo", "large"]);
    types(&mut at_a, "peers", &["NAME", "A", "online", "B", "C"]);
    types(&mut at_c, "request bar B", &["[Invalid Request]"]);
    types(&mut at_c, "request foo X", &["[Invalid Request]"]);
    types(
        &mut at_c,
        "request foo B",
        &[
            "< Connection with client B established. >",
            "< Downloading foo... >",
            "< foo downloaded successfully! >",
            "< Connection with client B closed. >",
        ],
    );
    assert_eq!(c.read("foo"), b"hello");
    sees(
        &mut at_b,
        &[
            "< Accepting connection request from 127.0.0.1. >",
            "< Transferring foo... >",
            "< foo transferred successfully! >",
            "< Connection with client C closed. >",
        ],
    );

    // Somebody types while files go out above the line, and nothing of it is lost.
    at_b.send("pw").unwrap();
    at_b.flush().unwrap();
    types(
        &mut at_a,
        "request large B",
        &["< large downloaded successfully! >"],
    );
    assert!(a.read("large") == large);
    sees(
        &mut at_b,
        &[
            "< large transferred successfully! >",
            "< Connection with client A closed. >",
            "fileshare:/> pw",
        ],
    );
    at_b.send("d\r").unwrap();
    at_b.flush().unwrap();
    sees(&mut at_b, &["\n/\r", PROMPT]);

    types(&mut at_b, "dereg A", &["A is not this client's name"]);
    types(&mut at_b, "dereg", &["[You are Offline. Bye.]"]);
    sees(&mut at_c, &["[Client table updated.]"]);
    let none = "[No files available for download at the moment.]";
    types(&mut at_c, "offers", &[none]);
    types(&mut at_c, "request foo B -o again", &["[Invalid Request]"]);
    types(&mut at_c, "peers", &["B", "offline"]);
    types(
        &mut at_b,
        "register B2",
        &["[Welcome, You are registered.]"],
    );
    for session in [&mut at_a, &mut at_b, &mut at_c] {
        session.send_line("exit").unwrap();
        session.exp_eof().unwrap();
    }
}
