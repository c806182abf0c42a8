//! `lcd`, `lpwd` and `lls`: the local folder.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cli::client::shown;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, LocalEntryLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::types::Timestamp;

/// `lcd [DIR]`
pub fn change(dir: Option<&Path>) -> Outcome {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => etcetera::home_dir()
            .map_err(|error| Failure::usage(format!("no home folder is known: {error}")))?,
    };
    std::env::set_current_dir(&dir).map_err(|error| local(&dir, &error))?;
    Ok(Verdict::Done)
}

/// `lpwd`
pub fn print(output: &Output) -> Outcome {
    let dir = std::env::current_dir().map_err(|error| local(Path::new("."), &error))?;
    output.object(Body::LocalFolder {
        path: &dir.to_string_lossy(),
    });
    output.line(shown(&dir));
    Ok(Verdict::Done)
}

/// `lls [DIR]`
pub fn list(output: &Output, dir: Option<&Path>) -> Outcome {
    let dir = dir.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let read = fs::read_dir(&dir).map_err(|error| local(&dir, &error))?;
    let mut entries = read
        .collect::<Result<Vec<DirEntry>, _>>()
        .map_err(|error| local(&dir, &error))?;
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        tell(output, &entry);
    }
    Ok(Verdict::Done)
}

fn tell(output: &Output, entry: &DirEntry) {
    // A link shows as what it leads to; one that leads nowhere as what it is.
    let data = fs::metadata(entry.path())
        .or_else(|_| entry.metadata())
        .ok();
    let kind = match &data {
        Some(data) if data.is_dir() => "folder",
        Some(data) if data.is_file() => "file",
        _ => "other",
    };
    let size = data
        .as_ref()
        .filter(|data| data.is_file())
        .map(|data| data.len());
    let modified = data
        .and_then(|data| data.modified().ok())
        .map(Timestamp::from);
    let name = entry.file_name();
    output.object(Body::LocalEntry(LocalEntryLine {
        name: &name.to_string_lossy(),
        kind,
        size,
        modified: modified.map(units::utc),
    }));
    let slash = if kind == "folder" { "/" } else { "" };
    let name = shown(&name);
    let dash = || "-".to_owned();
    if output.look().terminal {
        output.line(format_args!(
            "{:>11}  {:19}  {name}{slash}",
            size.map_or_else(dash, units::size),
            modified.map_or_else(dash, units::local),
        ));
    } else {
        output.line(format_args!(
            "{}\t{}\t{name}{slash}",
            size.map_or_else(dash, |size| size.to_string()),
            modified.map_or_else(dash, units::utc),
        ));
    }
}

fn local(dir: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::io(format_args!("local folder {}", shown(dir)), error);
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure,
        _ => failure.advise("see 'lpwd' and 'lls' for where you are and what is there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;
    use crate::protocol::ErrorCode;

    #[test]
    fn lists_a_folder_with_escaped_names() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b.txt"), "12345").unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        #[cfg(unix)]
        fs::write(dir.path().join("c\u{1b}[2J\n"), "").unwrap();
        let captured = Captured::default();
        let output = captured.output(Look::default());
        list(&output, Some(dir.path())).unwrap();
        output.flush();
        let text = captured.results();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("-\t") && lines[0].ends_with("Z\ta/"));
        assert!(lines[1].starts_with("5\t") && lines[1].ends_with("\tb.txt"));
        #[cfg(unix)]
        assert!(lines[2].ends_with("\tc\\u{1b}[2J\\u{a}"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_found() {
        let output = Captured::default().output(Look::default());
        let dir = tempfile::tempdir().unwrap();
        let failure = list(&output, Some(&dir.path().join("x"))).unwrap_err();
        assert_eq!(failure.code, ErrorCode::NotFound);
    }
}
