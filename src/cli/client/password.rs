//! Where a password comes from: never from an argument (contract section 4, `--user`).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::commands::shell;
use super::shown;
use crate::access::Password;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::password::{MAX_TEXT, VARIABLE, buffer, first_line, in_environment, read_line};
use crate::cli::terminal::{self, Echo};
use crate::client::ServerAddress;
use crate::protocol::ErrorCode;
use crate::types::UserName;

/// How long a command may take; somebody may have to unlock something.
const PATIENCE: Duration = Duration::from_secs(60);

const WAYS: &str = "give it in FILESHARE_PASSWORD, or by --password-file or --password-command";

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a shell command prints.
    Command(String),
    /// The variable [`VARIABLE`].
    Environment,
    /// Whoever sits at the terminal.
    Terminal,
}

impl PasswordSource {
    /// The environment, if there is a password in it. An empty one is the shell's way of having
    /// none.
    pub fn in_environment() -> Option<Self> {
        let set = std::env::var_os(VARIABLE).is_some_and(|text| !text.is_empty());
        set.then_some(PasswordSource::Environment)
    }

    /// Whether the source is more than an empty variable.
    pub fn is_named(&self) -> bool {
        match self {
            PasswordSource::File(path) => !path.as_os_str().is_empty(),
            PasswordSource::Command(command) => !command.is_empty(),
            PasswordSource::Environment | PasswordSource::Terminal => true,
        }
    }

    /// Gets the password of `user` at `server`.
    pub async fn get(
        &self,
        output: &Output,
        user: &UserName,
        server: &ServerAddress,
    ) -> Result<Password, Failure> {
        let text = match self {
            PasswordSource::File(path) => read_file(path).await?,
            PasswordSource::Command(command) => read_command(command).await?,
            PasswordSource::Environment => in_environment()
                .map_err(|error| none(VARIABLE, &error.to_string()))?
                .unwrap_or_default(),
            PasswordSource::Terminal => {
                let question = format!("Password of {user} at {server}: ");
                let asked = terminal::ask(output, &question, Echo::Off).await;
                let answer = asked.map_err(|error| none("the terminal", &error.to_string()))?;
                answer.ok_or_else(|| {
                    let message = format!(
                        "the password of {user} is needed, and nobody is there to be asked"
                    );
                    Failure::new(ErrorCode::Unauthorized, message).advise(WAYS)
                })?
            }
        };
        Password::new(text.to_string()).map_err(|error| none(self.name(), &error.to_string()))
    }

    fn name(&self) -> &'static str {
        match self {
            PasswordSource::File(_) => "--password-file",
            PasswordSource::Command(_) => "--password-command",
            PasswordSource::Environment => VARIABLE,
            PasswordSource::Terminal => "the terminal",
        }
    }
}

/// No password was to be had.
fn none(source: &str, why: &str) -> Failure {
    Failure::new(
        ErrorCode::Unauthorized,
        format!("no password from {source}: {why}"),
    )
    .advise(WAYS)
}

/// Reads the file on a thread of its own: it may be a FIFO that somebody writes to later.
async fn read_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let source = format!("--password-file {}", shown(path));
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_line(std::fs::File::open(path)?));
    let read = reading.await.map_err(io::Error::other).flatten();
    read.map_err(|error| none(&source, &error.to_string()))
}

/// Runs the command to its end; it sees standard error, and nothing of standard input, which may
/// be a script or a file to upload.
async fn read_command(command: &str) -> Result<Zeroizing<String>, Failure> {
    let source = "--password-command";
    let failed = |error: io::Error| none(source, &error.to_string());
    let mut child = tokio::process::Command::from(shell::shell(command))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let printed = child.stdout.take();
    let running = async {
        let mut text = buffer();
        if let Some(printed) = printed {
            let mut printed = printed.take(MAX_TEXT as u64 + 1);
            printed.read_to_end(&mut text).await.map_err(failed)?;
        }
        if text.len() > MAX_TEXT {
            return Err(none(source, "it prints too much"));
        }
        let status = child.wait().await.map_err(failed)?;
        match status.success() {
            true => first_line(&text).map_err(failed),
            false => Err(none(source, &format!("it failed: {status}"))),
        }
    };
    tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap_or_else(|_| Err(none(source, "it took more than 60 s")))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;

    async fn get(source: PasswordSource) -> Result<String, Failure> {
        let output = Captured::default().output(Look::default());
        let (user, server) = ("bob".parse().unwrap(), ServerAddress::default());
        let password = source.get(&output, &user, &server).await;
        password.map(|password| password.as_str().to_owned())
    }

    #[tokio::test]
    async fn the_first_line_of_a_file_is_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (text, password) in [
            (&b"canary"[..], Some("canary")),
            (b"canary\r\nsecond\n", Some("canary")),
            (b" a b \n", Some(" a b ")),
            (b"", None),
            (b"\ncanary", None),
            (b"can\0ary\n", None),
            (b"can\xffary\n", None),
        ] {
            std::fs::write(&path, text).unwrap();
            let got = get(PasswordSource::File(path.clone())).await;
            match password {
                Some(password) => assert_eq!(got.unwrap(), password),
                None => assert_eq!(got.unwrap_err().code, ErrorCode::Unauthorized),
            }
        }
        std::fs::write(&path, "x".repeat(2000)).unwrap();
        let failure = get(PasswordSource::File(path)).await.unwrap_err();
        assert!(failure.message.contains("at most 1024 bytes"), "{failure}");
        let endless = PasswordSource::File("/dev/zero".into());
        assert!(get(endless).await.is_err());
        let failure = get(PasswordSource::File("/nowhere".into())).await;
        assert!(
            failure
                .unwrap_err()
                .message
                .contains("--password-file /nowhere")
        );
    }

    #[tokio::test]
    async fn a_command_says_the_password_and_is_not_told_another_one() {
        for (command, password) in [
            ("echo canary; echo second", Some("canary")),
            ("printf canary", Some("canary")),
            ("cat; echo canary", Some("canary")),
            ("echo canary; exit 3", None),
            ("exit 0", None),
            ("yes", None),
        ] {
            let got = get(PasswordSource::Command(command.to_owned())).await;
            match password {
                Some(password) => assert_eq!(got.unwrap(), password, "{command}"),
                None => {
                    let failure = got.unwrap_err();
                    assert_eq!(failure.code, ErrorCode::Unauthorized, "{command}");
                    assert!(!failure.message.contains("canary"), "{failure}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_does_not_end_is_ended() {
        let failure = get(PasswordSource::Command("exec sleep 1000".to_owned())).await;
        assert!(failure.unwrap_err().message.contains("60 s"));
    }
}
