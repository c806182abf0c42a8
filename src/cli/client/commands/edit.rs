use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{Outcome, refused, shell};
use crate::access::{Action, Denied, Role, check};
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::EditArgs;
use crate::cli::client::draft::Draft;
use crate::cli::client::session::{Input, Session, TerminalLent};
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::cli::terminal;
use crate::client::{Done, Download, FileReport, Source, Status, Target, Upload};
use crate::protocol::ErrorCode;
use crate::types::{Entry, FileName, FileRef, Item, OnConflict, Precondition, Printable};

/// `edit NAME`
pub async fn run(session: &mut Session, args: &EditArgs) -> Outcome {
    let typed = &args.name.name;
    let editor = choose_editor()?;
    let (name, standing) = match look(session, typed).await {
        Ok(found) => found,
        Err(failure) => return Ok(refused(&session.output, "edit", typed, &failure)),
    };
    let mut report = BatchReport::new(&session.output, "edit", Doing::Editing);
    let tell = |status, standing: Option<Entry>| FileReport {
        index: 0,
        name: FileRef::Name(name.clone()),
        path: None,
        outcome: Ok(Done {
            status,
            size: standing.as_ref().map(|entry| entry.size),
            entry: standing,
            sent: 0,
        }),
    };
    if args.dry_run.dry_run {
        report.file(tell(Status::WouldTransfer, standing));
        return report.finish();
    }
    let mut draft = Draft::new(&session.output, &name)?;
    let standing = match standing {
        Some(entry) => Some(download(session, entry, draft.path()).await?),
        None => None,
    };
    let executable = standing.as_ref().is_some_and(|entry| entry.executable);
    draft.begin(executable)?;
    let edited = open(session, &editor, draft.path()).await;
    if let Err(failure) = edited {
        let changed = draft.is_changed().unwrap_or(true);
        let failure = match changed {
            true => kept(failure, draft, &name),
            false => failure,
        };
        report.failed(name.as_str(), &failure);
        return report.finish();
    }
    if !draft.is_changed()? {
        draft.discard();
        report.file(tell(Status::Unchanged, standing));
        return report.finish();
    }
    draft.restore_permissions(executable)?;
    let (sent, uploaded) = upload(session, draft.path(), &name, standing.as_ref()).await;
    report.sent(sent);
    match uploaded {
        Ok(done) => {
            draft.discard();
            report.file(FileReport {
                outcome: Ok(done),
                ..tell(Status::Done, None)
            });
        }
        Err(failure) => report.failed(name.as_str(), &kept(failure, draft, &name)),
    }
    report.finish()
}

/// What is to be edited, and whether this user may put it back: better now than when it is written.
async fn look(session: &mut Session, typed: &str) -> Result<(FileName, Option<Entry>), Failure> {
    let file = session.folder.reference(typed)?;
    let found = match (session.client.stat(&file).await, &file) {
        (Ok(Item::File(entry)), _) => (entry.name.clone(), Some(entry)),
        (Ok(Item::Folder(name)), _) => {
            let failure = Failure::usage(format!("{name} is a folder"));
            return Err(failure.advise("name a file in it, as 'list' shows them"));
        }
        (Err(error), FileRef::Name(name)) if error.code == ErrorCode::NotFound => {
            (name.clone(), None)
        }
        (Err(error), _) => return Err(Failure::from(error).about(&file)),
    };
    let action = match found.1 {
        Some(_) => Action::Overwrite,
        None => Action::Add,
    };
    let info = session.client.info().await?;
    // A role of a later version may do whatever it may.
    if let Some(role) = Role::from_level(info.role) {
        let denied = |denied: Denied| Failure::new(ErrorCode::Forbidden, denied.to_string());
        check(role, action).map_err(denied)?;
    }
    Ok(found)
}

/// Fetches the file, and tells what it is that came.
async fn download(session: &mut Session, entry: Entry, path: &Path) -> Result<Entry, Failure> {
    let download = Download {
        file: FileRef::Name(entry.name.clone()),
        known: Some(entry),
        target: Target::Path(path.to_owned()),
        on_conflict: OnConflict::Error,
    };
    let bars = Bars::show(&session.output);
    let mut outcome = None;
    let mut tell = |file: FileReport| outcome = Some(file.outcome);
    let progress = bars.progress();
    let fetched = session
        .client
        .get(vec![download], false, progress, &mut tell);
    fetched.await?;
    match outcome {
        Some(Ok(Done {
            entry: Some(entry), ..
        })) => Ok(entry),
        Some(Err(error)) => Err(error.into()),
        _ => Err(Failure::new(ErrorCode::Internal, "nothing was fetched")),
    }
}

/// Puts the file back, unless the server's is another one by now. Tells how much was sent, too.
async fn upload(
    session: &mut Session,
    path: &Path,
    name: &FileName,
    standing: Option<&Entry>,
) -> (u64, Result<Done, Failure>) {
    let upload = Upload {
        source: Source::Path(path.to_owned()),
        name: name.clone(),
        on_conflict: match standing {
            Some(_) => OnConflict::Overwrite,
            None => OnConflict::Error,
        },
        precondition: Precondition {
            if_match: standing.and_then(|entry| entry.id),
        },
        basis: None,
    };
    let bars = Bars::show(&session.output);
    let mut outcome = None;
    let mut tell = |file: FileReport| outcome = Some(file.outcome);
    let progress = bars.progress();
    let put = session.client.put(vec![upload], false, progress, &mut tell);
    match (put.await, outcome) {
        (Ok(sent), Some(outcome)) => (sent, outcome.map_err(Failure::from)),
        (Ok(sent), None) => {
            let failure = Failure::new(ErrorCode::Internal, "nothing was sent");
            (sent, Err(failure))
        }
        (Err(error), _) => (0, Err(error.into())),
    }
}

/// The same failure, which also says where the text is.
fn kept(failure: Failure, draft: Draft, name: &FileName) -> Failure {
    let path = draft.keep();
    let message = format!("{}; your text is kept in {}", failure.message, shown(&path));
    let text = path.to_string_lossy();
    let quoted = |text| shlex::try_quote(text).map_or_else(|_| text.to_owned(), Into::into);
    let advice = match failure.code {
        ErrorCode::Conflict | ErrorCode::AlreadyExists => format!(
            "compare it with what is there now ('cat {}'), then: put {} --as {} --on-conflict overwrite",
            quoted(name.as_str()),
            quoted(&text),
            quoted(name.as_str()),
        ),
        _ => format!(
            "put it when that is mended: put {} --as {}",
            quoted(&text),
            quoted(name.as_str()),
        ),
    };
    Failure::new(failure.code, message).advise(advice)
}

/// The user's editor: `$VISUAL`, else `$EDITOR`, else the usual one, which needs a terminal.
fn choose_editor() -> Result<String, Failure> {
    let named = |variable| std::env::var(variable).ok();
    let named = named("VISUAL")
        .filter(|editor| !editor.trim().is_empty())
        .or_else(|| named("EDITOR").filter(|editor| !editor.trim().is_empty()));
    match named {
        Some(editor) => Ok(editor),
        None if cfg!(windows) => Ok("notepad".to_owned()),
        None if terminal::open().is_some() => Ok("vi".to_owned()),
        None => Err(Failure::usage("there is no terminal for an editor")
            .advise("set VISUAL or EDITOR to a program that needs none")),
    }
}

/// Opens the file in the editor, and waits until that is left.
async fn open(session: &Session, editor: &str, path: &Path) -> Result<(), Failure> {
    session.output.flush();
    let mut command = Command::from(shell::with_file(editor, path));
    command.stdin(match session.input {
        // The rest of the script is not the editor's to read.
        Input::Script => terminal::open().map_or_else(Stdio::null, Stdio::from),
        Input::CommandLine | Input::Prompt => Stdio::inherit(),
    });
    // What an editor prints is no result.
    if !io::stdout().is_terminal() {
        command.stdout(standard_error());
    }
    let _mode = terminal::Restored::later();
    let _lent = TerminalLent::begin();
    let ended = match command.spawn() {
        Ok(mut editor) => editor.wait().await,
        Err(error) => Err(error),
    };
    let shown = Printable(editor);
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(
            ErrorCode::Io,
            format!("the editor '{shown}' failed ({status}), and nothing was uploaded"),
        )
        .advise("see what it printed; VISUAL or EDITOR says which editor is used")),
        Err(error) => Err(Failure::io(
            format_args!("no shell could be started for the editor '{shown}'"),
            &error,
        )),
    }
}

#[cfg(unix)]
fn standard_error() -> Stdio {
    use std::os::fd::AsFd;
    let copied = io::stderr().as_fd().try_clone_to_owned();
    copied.map_or_else(|_| Stdio::null(), |copied| Stdio::from(File::from(copied)))
}

#[cfg(not(unix))]
fn standard_error() -> Stdio {
    Stdio::null()
}
