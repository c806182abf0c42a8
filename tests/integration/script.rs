//! Commands from a pipe, as far as they need no server.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::harness::{CLIENT, NOBODY, clean, stderr, stdout};

fn script(text: &str, arguments: &[&str]) -> Output {
    let mut child = clean(CLIENT)
        .args(["--server", NOBODY])
        .args(arguments)
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that stops early does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_script_stops_at_the_first_failure_with_its_code() {
    for (text, code, results) in [
        ("", 0, ""),
        ("\n# nothing\n   \n", 0, ""),
        ("pwd\nPWD\n", 0, "/\n/\n"),
        ("pwd\nfrobnicate\npwd\n", 2, "/\n"),
        ("-frobnicate\npwd", 0, "/\n"),
        ("- get\npwd\n", 0, "/\n"),
        ("get\npwd\n", 2, ""),
        ("pwd\nexit\nfrobnicate\n", 0, "/\n"),
        ("DISCONNECT\nfrobnicate\n", 0, ""),
        ("lls /nowhere/at/all\npwd\n", 4, ""),
        ("list 'a\npwd\n", 2, ""),
        ("put - --as x\npwd\n", 2, ""),
        ("ping\npwd\n", 3, ""),
        ("-ping\npwd\n", 0, "/\n"),
        (
            "--json frobnicate x\npwd\n",
            2,
            "{\"v\":1,\"type\":\"error\",\"error\":{\"code\":\"usage\",\"message\":\"Invalid operation 'frobnicate'\"}}\n",
        ),
        ("cd ..\ncd /\npwd\n", 0, "/\n"),
    ] {
        let output = script(text, &[]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{text}\n{}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), results, "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_shell_command_runs_in_the_local_folder_and_does_not_eat_the_script() {
    let output = script("lcd /\n!pwd; cat\n!exit 3\npwd\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "/\n");
}

#[test]
fn a_line_can_ask_for_json_alone() {
    let output = script("pwd --json\npwd\n-frobnicate --json\n", &[]);
    assert_eq!(
        stdout(&output),
        "{\"v\":1,\"type\":\"folder\",\"name\":\"\"}\n/\n"
    );
    let output = script("frobnicate\n", &["--json"]);
    assert!(stdout(&output).contains(r#""code":"usage""#));
}
