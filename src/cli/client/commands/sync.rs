use std::path::{Path, PathBuf};

use super::Outcome;
use super::put::tell_skipped;
use crate::cli::advice::Doing;
use crate::cli::client::batch::{BatchReport, Removal};
use crate::cli::client::command::{REMOTE_MARK, SyncArgs};
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::session::Session;
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::{ClientError, Direction, Sync, SyncReport, SyncSummary};
use crate::types::FileName;

/// `sync SRC DST`
pub async fn run(session: &mut Session, args: SyncArgs) -> Outcome {
    let dry_run = args.dry_run.dry_run;
    let sync = plan(&session.folder, &args)?;
    let output = session.output.clone();
    let mut report = BatchReport::new(&output, "sync", Doing::Syncing);
    let bars = Bars::show(&output);
    let synced = session
        .client
        .sync(&sync, bars.progress(), &mut |event| match event {
            SyncReport::File(file) => report.file(file),
            SyncReport::Made { name, outcome } => match outcome {
                Ok(()) => report.folder(&name, dry_run),
                Err(error) => report.failed(name.as_str(), &explain(error)),
            },
            SyncReport::Removed {
                name,
                path,
                size,
                outcome,
            } => {
                let removal = Removal {
                    name: &name,
                    path: path.as_deref(),
                    size,
                    dry_run,
                };
                report.removed(removal, outcome.map_err(Failure::from));
            }
            SyncReport::Skipped(skipped) => {
                let path = sync.local.join(&skipped.place);
                match sync.direction {
                    Direction::Up => tell_skipped(&mut report, &path, &skipped, None),
                    // It is not what is to be sent, and only left alone.
                    Direction::Down => {
                        report.left_out(&path.to_string_lossy(), &path, &skipped.reason);
                    }
                }
            }
        })
        .await;
    drop(bars);
    let summary = synced.map_err(explain)?;
    finish(session, report, &summary)
}

fn finish(session: &Session, mut report: BatchReport, summary: &SyncSummary) -> Outcome {
    let output = &session.output;
    report.equal(summary.equal, summary.equal_bytes);
    report.sent(summary.sent);
    let verdict = report.finish();
    if let Some(trash) = &summary.trash {
        output.note(format_args!("what was removed is kept in {}", shown(trash)));
    }
    if summary.spared > 0 {
        let spared = summary.spared;
        output.note(format_args!(
            "not removed, because something failed: {spared} files and folders"
        ));
    }
    verdict
}

fn explain(error: ClientError) -> Failure {
    Failure::from(error).while_doing(Doing::Syncing)
}

fn plan(folder: &RemoteFolder, args: &SyncArgs) -> Result<Sync, Failure> {
    let source = Side::parse(folder, &args.source)?;
    let destination = Side::parse(folder, &args.destination)?;
    let (direction, local, remote) = match (source, destination) {
        (Side::Local(local), Side::Remote(remote)) => (Direction::Up, local, remote),
        (Side::Remote(remote), Side::Local(local)) => (Direction::Down, local, remote),
        (Side::Local(_), Side::Local(_)) => {
            return Err(Failure::usage("both folders are local ones")
                .advise("mark the server's with 'server:', as in: sync photos server:photos"));
        }
        (Side::Remote(_), Side::Remote(_)) => {
            return Err(Failure::usage("both folders are on the server")
                .advise("leave out one 'server:'; a local folder of that name is ./server:…"));
        }
    };
    Ok(Sync {
        direction,
        local,
        remote,
        walk: args.walk.options()?,
        checksum: args.checksum,
        delete: args.delete,
        max_delete: args.max_delete,
        dry_run: args.dry_run.dry_run,
    })
}

/// One of the two folders.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Local(PathBuf),
    /// `None` is the root.
    Remote(Option<FileName>),
}

impl Side {
    fn parse(folder: &RemoteFolder, typed: &Path) -> Result<Self, Failure> {
        let Some(remote) = typed
            .to_str()
            .and_then(|text| text.strip_prefix(REMOTE_MARK))
        else {
            return Ok(Side::Local(typed.to_owned()));
        };
        if remote.is_empty() {
            return Ok(Side::Remote(folder.name().cloned()));
        }
        // A slash behind the name says nothing; one alone is no name.
        let name = match remote.trim_end_matches('/') {
            "" => remote,
            name => name,
        };
        let failed = |failure: Failure| {
            failure.advise("'server:' alone is the current remote folder, see 'cd' and 'pwd'")
        };
        folder
            .join(name)
            .map(Some)
            .map(Side::Remote)
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::command::{Command, parse_line};
    use crate::protocol::ErrorCode;

    fn planned(line: &str, folder: &str) -> Result<(Direction, String, String), ErrorCode> {
        let folder = RemoteFolder::default().change(folder).unwrap();
        let line = parse_line(shlex::split(line).unwrap()).unwrap();
        let Command::Sync(args) = line.command else {
            panic!("{line:?}");
        };
        let sync = plan(&folder, &args).map_err(|failure| failure.code)?;
        let remote = sync.remote.map(|name| name.as_str().to_owned());
        let local = sync.local.to_str().unwrap().to_owned();
        Ok((sync.direction, local, remote.unwrap_or_default()))
    }

    #[test]
    fn the_server_s_side_is_marked_and_slashes_behind_a_name_mean_nothing() {
        use Direction::{Down, Up};
        for (line, folder, direction, local, remote) in [
            ("sync a server:", "/", Up, "a", ""),
            ("sync a server:", "/docs", Up, "a", "docs"),
            ("mirror server: .", "/docs", Down, ".", "docs"),
            ("sync server:b/c// a", "/docs", Down, "a", "docs/b/c"),
            ("sync ./server:x server:x/", "/", Up, "./server:x", "x"),
        ] {
            let expected = (direction, local.to_owned(), remote.to_owned());
            assert_eq!(planned(line, folder), Ok(expected), "{line}");
        }
        for (line, code) in [
            ("sync a b", ErrorCode::Usage),
            ("sync server:a server:b", ErrorCode::Usage),
            ("sync a server:/", ErrorCode::InvalidName),
            ("sync a server:/b", ErrorCode::InvalidName),
            ("sync a server:../b", ErrorCode::InvalidName),
            ("sync a server:b --include '['", ErrorCode::Usage),
        ] {
            assert_eq!(planned(line, "/docs"), Err(code), "{line}");
        }
    }
}
