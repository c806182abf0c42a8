//! The programs, run as a user runs them.
use std::process::{Command, Output};

pub const CLIENT: &str = env!("CARGO_BIN_EXE_fileshare-client");
pub const SERVER: &str = env!("CARGO_BIN_EXE_fileshare-server");

/// An address where nobody listens: the discard service is long gone.
pub const NOBODY: &str = "127.0.0.1:9";

/// A program without what the tester's own environment says.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FILESHARE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
