//! What both programs say to arguments, before any connection is made.

use std::net::TcpListener;
use std::process::{Output, Stdio};

use crate::harness::{CLIENT, SERVER, clean, stderr, stdout};

fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    clean(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn help_and_version_are_results() {
    for (program, word) in [(CLIENT, "LIST_FILES"), (SERVER, "--anonymous")] {
        for argument in ["--help", "-h", "--version"] {
            let output = run(program, &[argument], &[]);
            assert_eq!(output.status.code(), Some(0), "{argument}");
            assert_eq!(stderr(&output), "", "{argument}");
        }
        assert!(stdout(&run(program, &["--help"], &[])).contains(word));
    }
    for words in [&["help"][..], &["?"], &["HELP", "Get"], &["get", "--help"]] {
        let output = run(CLIENT, words, &[]);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(stdout(&output).contains("Usage:"), "{words:?}");
    }
}

#[test]
fn a_word_that_is_no_command_is_an_invalid_operation() {
    for words in [
        &["frobnicate"][..],
        &["frobnicate", "--json", "x"],
        &["help", "frobnicate"],
    ] {
        let output = run(CLIENT, words, &[]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains("Invalid operation"), "{words:?}");
        assert_eq!(stdout(&output), "", "{words:?}");
    }
    let output = run(CLIENT, &["--json", "frobnicate"], &[]);
    assert_eq!(
        stdout(&output),
        "{\"v\":1,\"type\":\"error\",\"error\":{\"code\":\"usage\",\"message\":\"Invalid operation 'frobnicate'\"}}\n"
    );
}

#[test]
fn wrong_usage_exits_2_and_is_an_object_under_json() {
    for words in [
        &["get"][..],
        &["GET", "--frob"],
        &["--frob"],
        &["list", "--sort", "x"],
    ] {
        let output = run(CLIENT, words, &[]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(stdout(&output), "", "{words:?}");
        assert!(stderr(&output).starts_with("error: "), "{words:?}");
        let output = run(CLIENT, words, &[("FILESHARE_JSON", "1")]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let start = r#"{"v":1,"type":"error","error":{"code":"usage","message":""#;
        assert!(stdout(&output).starts_with(start), "{words:?}");
    }
    let output = run(CLIENT, &["get", "\u{1b}]0;x\u{7}", "--\u{1b}[2J"], &[]);
    assert!(!stderr(&output).contains('\u{1b}'));
}

#[test]
fn a_bad_port_of_the_client_says_so() {
    for (arguments, environment) in [
        (&["--port", "0", "ping"][..], &[][..]),
        (&["ping", "--port", "65536"], &[]),
        (&["ping", "--port", "-1"], &[]),
        (&["--port=x", "ping"], &[]),
        (&["--server", "nas:0", "ping"], &[]),
        (&["ping"], &[("FILESHARE_PORT", "x")]),
        (&["ping"], &[("FILESHARE_SERVER", "nas:99999")]),
    ] {
        let output = run(CLIENT, arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains("[Invalid server port]"),
            "{arguments:?}"
        );
    }
    let output = run(CLIENT, &["--json", "--port", "x", "ping"], &[]);
    assert!(stdout(&output).contains(r#""code":"invalid_port""#));
}

#[test]
fn a_port_and_an_address_may_not_disagree() {
    let output = run(CLIENT, &["--server", "nas:1", "--port", "2", "ping"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--server says port 1, --port says 2"));
}

#[test]
fn a_bad_port_of_the_server_says_so() {
    for (arguments, environment) in [
        (&["--port", "80"][..], &[][..]),
        (&["--port", "1023"], &[]),
        (&["--port", "65536"], &[]),
        (&["--port", "-1"], &[]),
        (&["--port", "abc"], &[]),
        (&["--port", ""], &[]),
        (&[], &[("FILESHARE_PORT", "80")]),
    ] {
        let output = run(SERVER, arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains("[Invalid server port]"),
            "{arguments:?}"
        );
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn flag_beats_environment_beats_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.toml");
    let config = config.to_str().unwrap();
    std::fs::write(config, "port = 80\nmax-connections = 7\n").unwrap();
    // A port in use shows which one was chosen, without a server that has to be stopped.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let chosen = |arguments: &[&str], environment: &[(&str, &str)]| {
        let always = ["--config", config, "--bind", "127.0.0.1"];
        let arguments: Vec<&str> = always.iter().chain(arguments).copied().collect();
        let output = run(SERVER, &arguments, environment);
        let text = stderr(&output);
        match output.status.code() {
            Some(2) if text.contains("[Invalid server port]") => "file",
            Some(1) if text.contains(&format!("port {port} is in use")) => "taken",
            _ => panic!("{text}"),
        }
    };
    assert_eq!(chosen(&[], &[]), "file");
    assert_eq!(chosen(&[], &[("FILESHARE_PORT", &port)]), "taken");
    assert_eq!(
        chosen(&["--port", &port], &[("FILESHARE_PORT", "81")]),
        "taken"
    );
    assert_eq!(
        chosen(&["--port", "81"], &[("FILESHARE_PORT", &port)]),
        "file"
    );
}

#[test]
fn a_wrong_config_file_is_named_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.toml");
    std::fs::write(&config, "prot = 2222\n").unwrap();
    let output = run(SERVER, &["--config", config.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("server.toml"));
    assert!(stderr(&output).contains("prot"));
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_nobody_can_take() {
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let status = clean(CLIENT).arg("help").stdout(full()).status().unwrap();
    assert_eq!(status.code(), Some(8));
    // A reader that has gone is no failure.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = clean(CLIENT)
        .arg("help")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_typed_port_beats_an_address_of_the_environment() {
    let environment = [("FILESHARE_SERVER", "127.0.0.1:2")];
    let output = run(CLIENT, &["--port", "9", "ping"], &environment);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("127.0.0.1:9"));
}

#[test]
fn what_cannot_be_read_is_wrong_usage() {
    let output = run(CLIENT, &["ping"], &[("FILESHARE_JSON", "maybe")]);
    assert_eq!(output.status.code(), Some(2));
    for path in ["/nowhere/at/all.toml", "/"] {
        let output = run(SERVER, &["--config", path], &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(&format!("--config {path} cannot be read")));
    }
    let output = run(CLIENT, &["get", "-5"], &[]);
    assert!(!stderr(&output).contains("-- -5"));
}
