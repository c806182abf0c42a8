//! The prompt on a terminal, as far as it needs no server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rexpect::session::{PtySession, spawn_command};

use crate::harness::{CLIENT, NOBODY, clean};

const CTRL_C: char = 'c';
const CTRL_D: char = 'd';

fn prompt(state: &Path, arguments: &[&str]) -> PtySession {
    let mut command = clean(CLIENT);
    command
        .args(["--server", NOBODY])
        .args(arguments)
        .env("XDG_STATE_HOME", state)
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .current_dir(state);
    let mut session = spawn_command(command, Some(10_000)).unwrap();
    session.exp_string("the next command tries again").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session
}

fn type_keys(session: &mut PtySession, keys: &str) {
    session.send(keys).unwrap();
    session.flush().unwrap();
}

#[test]
fn the_prompt_opens_without_a_server_and_survives_errors() {
    let state = tempfile::tempdir().unwrap();
    let mut session = prompt(state.path(), &[]);
    session.send_line("frobnicate").unwrap();
    session.exp_string("Invalid operation").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("ping").unwrap();
    session.exp_string("error: ").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("PWD").unwrap();
    session.exp_string("\n/\r").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_control(CTRL_C).unwrap();
    session.exp_string("Ctrl-D").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_control(CTRL_D).unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn the_history_is_kept_for_its_owner_only() {
    let state = tempfile::tempdir().unwrap();
    let mut session = prompt(state.path(), &[]);
    session.send_line("pwd").unwrap();
    session.exp_string("\n/\r").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    let path = state.path().join("fileshare/history");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().any(|line| line == "pwd"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tab_completes_commands_options_and_local_paths() {
    let state = tempfile::tempdir().unwrap();
    std::fs::create_dir(state.path().join("a folder")).unwrap();
    let mut session = prompt(state.path(), &[]);
    type_keys(&mut session, "lc\t");
    session.exp_string("lcd ").unwrap();
    type_keys(&mut session, "a\t");
    session.exp_string("a\\ folder/").unwrap();
    session.send_line("").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("lpwd").unwrap();
    session.exp_string("/a folder").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    type_keys(&mut session, "list --re\t");
    session.exp_string("--reverse ").unwrap();
    session.send_control(CTRL_C).unwrap();
}
