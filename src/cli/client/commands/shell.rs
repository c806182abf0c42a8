//! `!CMD`: a local shell command, in the prompt and in scripts.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::cli::client::session::Input;
use crate::cli::exit::{Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::password::VARIABLE;
use crate::protocol::ErrorCode;

/// Runs `command` in the user's shell and waits for it. Ctrl-C is for the command, not for us.
pub fn run(command: &str, input: Input) -> Ended {
    let status = shell(command)
        .stdin(match input {
            // The rest of the script is not the command's to read.
            Input::Script => Stdio::null(),
            Input::CommandLine | Input::Prompt => Stdio::inherit(),
        })
        .status();
    match status {
        Ok(status) if status.success() => Ended::Finished(Ok(Verdict::Done)),
        Ok(status) if input == Input::Script && interrupted(status) => Ended::Interrupted,
        Ok(status) => Ended::Finished(Err(Failure::new(
            ErrorCode::Io,
            format!("the shell command failed: {status}"),
        )
        .advise("see what it printed"))),
        Err(error) => Ended::Finished(Err(Failure::new(
            ErrorCode::Io,
            format!("no shell could be started: {error}"),
        )
        .advise("check the variable SHELL"))),
    }
}

/// The user's shell, about to run `command`. It does not get to see this program's password.
pub fn shell(command: &str) -> Command {
    let mut shell = bare_shell(command);
    shell.env_remove(VARIABLE);
    shell
}

/// The system's shell, about to run the program `words` (with its arguments, as they would be typed)
/// on a file. It does not get to see this program's password.
pub fn with_file(words: &str, file: &Path) -> Command {
    let mut shell = bare_with_file(words, file);
    shell.env_remove(VARIABLE);
    shell
}

#[cfg(unix)]
fn bare_with_file(words: &str, file: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    // Ctrl-C is for the program; the shell only waits for it.
    shell
        .arg("-c")
        .arg(format!("trap : INT\n{words} \"$@\""))
        .arg(words)
        .arg(file);
    shell
}

#[cfg(not(unix))]
fn bare_with_file(words: &str, file: &Path) -> Command {
    let mut shell = bare_shell(words);
    shell.arg(file);
    shell
}

#[cfg(unix)]
fn bare_shell(command: &str) -> Command {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let mut shell = Command::new(shell.unwrap_or_else(|| OsString::from("/bin/sh")));
    shell.arg("-c").arg(command);
    shell
}

#[cfg(not(unix))]
fn bare_shell(command: &str) -> Command {
    let shell = std::env::var_os("COMSPEC").unwrap_or_else(|| OsString::from("cmd"));
    let mut shell = Command::new(shell);
    shell.arg("/C").arg(command);
    shell
}

#[cfg(unix)]
fn interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(rustix::process::Signal::INT.as_raw())
}

#[cfg(not(unix))]
fn interrupted(_: ExitStatus) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::cli::exit;

    #[test]
    fn a_failing_command_fails_the_line() {
        assert_eq!(exit::of_end(&run("exit 0", Input::Script)), 0);
        assert_eq!(exit::of_end(&run("exit 7", Input::Script)), 1);
        assert_eq!(exit::of_end(&run("kill -INT $$", Input::Script)), 130);
        // A script is not eaten by what it starts.
        assert_eq!(exit::of_end(&run("test -z \"$(cat)\"", Input::Script)), 0);
    }
}
