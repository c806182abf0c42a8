//! The prompt on a terminal, as far as it needs no server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rexpect::session::{PtySession, spawn_command};

use crate::harness::{CLIENT, NOBODY, RunningServer, clean, serve, serve_in, text};

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

/// A prompt that is connected to a server, in a folder of its own.
fn connected(server: &RunningServer, desk: &Path, arguments: &[&str]) -> PtySession {
    let mut command = server.client(desk, arguments);
    command
        .env("XDG_STATE_HOME", desk)
        // Outlives the server, as the prompt may.
        .env("XDG_CONFIG_HOME", desk)
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::inherit());
    let mut session = spawn_command(command, Some(15_000)).unwrap();
    session.exp_string("Connected to").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session
}

#[test]
fn tab_completes_remote_names_by_position() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("reports")).unwrap();
    std::fs::write(root.path().join("reports/spring 2026.txt"), "spring").unwrap();
    let server = serve(root.path(), &[]);
    let mut session = connected(&server, desk.path(), &[]);
    type_keys(&mut session, "cd rep\t");
    session.exp_string("cd reports").unwrap();
    session.send_line("").unwrap();
    session.exp_string("fileshare:/reports> ").unwrap();
    type_keys(&mut session, "cat sp\t");
    session.exp_string("cat spring\\ 2026.txt").unwrap();
    session.send_line("").unwrap();
    session.exp_string("\nspring").unwrap();
    session.exp_string("fileshare:/reports> ").unwrap();
    session.send_control(CTRL_D).unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn ctrl_c_cancels_the_transfer_and_keeps_the_prompt() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let large = std::fs::File::create(root.path().join("large")).unwrap();
    large.set_len(1 << 30).unwrap();
    std::fs::write(desk.path().join("small"), "small").unwrap();
    let server = serve(root.path(), &[]);
    let mut session = connected(&server, desk.path(), &["--limit-rate", "1M"]);
    session.send_line("get large").unwrap();
    let partial = desk.path().join(".fileshare-large.part");
    for _ in 0..1000 {
        if partial.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(partial.exists());
    session.send_control(CTRL_C).unwrap();
    session.exp_string("Cancelled.").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    // It reconnects by itself, and goes on.
    session.send_line("put small").unwrap();
    session.exp_string("verified").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    assert_eq!(std::fs::read(root.path().join("small")).unwrap(), b"small");
    assert!(!partial.exists() && !desk.path().join("large").exists());
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn the_prompt_outlives_its_server() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a"), "first").unwrap();
    let server = serve(root.path(), &[]);
    let port = server.port.to_string();
    let mut session = connected(&server, desk.path(), &["--retries", "0"]);
    drop(server);
    session.send_line("cat a").unwrap();
    session.exp_string("error: ").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    let server = serve_in(desk.path(), &["--port", &port, text(root.path())]);
    session.send_line("cat a").unwrap();
    session.exp_string("\nfirst").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    drop(server);
}
