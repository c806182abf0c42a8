//! Every command in the README is run, and what it prints is what the README says.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::harness::{CLIENT, RunningServer, clean, serve_in, stderr, stdout, text};

/// A command of the README and the lines that it prints, `…` standing for anything.
struct Step {
    command: String,
    exit: i32,
    output: Vec<String>,
}

fn steps() -> Vec<Step> {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => {
                    let (command, exit) = match command.split_once("# exit ") {
                        Some((command, exit)) => (command.trim(), exit.parse().unwrap()),
                        None => (command, 0),
                    };
                    steps.push(Step {
                        command: command.to_owned(),
                        exit,
                        output: Vec::new(),
                    });
                }
                None => steps.last_mut().unwrap().output.push(line.to_owned()),
            },
        }
    }
    steps
}

/// Whether `line` is what `pattern` says, `…` standing for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split('…');
    let first = pieces.next().unwrap();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn every_command_in_the_readme_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let programs = std::path::Path::new(CLIENT).parent().unwrap();
    let path = format!("{}:{}", text(programs), std::env::var("PATH").unwrap());
    let server: Arc<Mutex<Option<RunningServer>>> = Arc::default();
    let mut ran = 0;
    for step in steps() {
        let command = &step.command;
        if command.starts_with("cargo ") {
            // These build the crate that is being tested; .ci/run runs them.
            let ci = std::fs::read_to_string(".ci/run").unwrap();
            assert!(ci.contains(command), "{command} is not in .ci/run");
            continue;
        }
        ran += 1;
        let serving = command
            .strip_prefix("fileshare-server ")
            .filter(|arguments| !arguments.starts_with("user "));
        if let Some(arguments) = serving {
            // The port is the system's choice here, so that tests can run beside each other.
            let arguments = arguments.replace("--port 2222", "--port 0");
            let arguments: Vec<&str> = arguments.split(' ').collect();
            let running = serve_in(folder.path(), &arguments);
            let port = running.port.to_string();
            assert!(fits(
                "fileshare-server listening on 0.0.0.0:2222",
                &step.output[0]
            ));
            for expected in &step.output[1..] {
                let said = running.line().replace(&port, "2222");
                assert!(fits(expected, &said), "{expected}\n{said}");
            }
            *server.lock().unwrap() = Some(running);
            continue;
        }
        if command.starts_with("export FILESHARE_SERVER=") {
            continue;
        }
        let (address, config) = {
            let server = server.lock().unwrap();
            let server = server.as_ref().unwrap();
            (server.address(), server.config().to_owned())
        };
        let output = clean("sh")
            .args(["-c", command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("FILESHARE_SERVER", address)
            .env("XDG_CONFIG_HOME", config)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (stdout(&output), stderr(&output));
        let said = format!("{command}\n{out}{err}");
        assert_eq!(output.status.code(), Some(step.exit), "{said}");
        let lines: Vec<&str> = out.lines().chain(err.lines()).collect();
        for expected in &step.output {
            assert!(
                lines.iter().any(|line| fits(expected, line)),
                "{expected}\n{said}"
            );
        }
    }
    assert!(ran >= 12, "only {ran} commands were found");
}

#[test]
fn the_readme_s_tables_are_true() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    for code in fileshare::protocol::ErrorCode::ALL {
        assert!(readme.contains(&format!("`{}`", code.name())), "{code}");
    }
    let help = clean(CLIENT).arg("help").output().unwrap();
    let help = stdout(&help);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let word = line.split_whitespace().next().unwrap();
        let named = [
            format!("`{word}`"),
            format!("`{word} "),
            format!("`{word}, "),
        ];
        assert!(named.iter().any(|name| readme.contains(name)), "{word}");
    }
}

#[test]
fn dots_stand_for_anything() {
    assert!(fits("a…c", "abc") && fits("a…c", "ac") && fits("…", "x") && fits("a", "a"));
    assert!(!fits("a…c", "ab") && !fits("a", "ab") && !fits("…b…", "ac"));
}
