use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::Outcome;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::PutArgs;
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::session::{Input, Session};
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::{Source, Upload};
use crate::protocol::ErrorCode;
use crate::types::{FileName, OnConflict, Precondition};

/// `put PATH… [--as NAME] [--to DIR]`
pub async fn run(session: &mut Session, args: PutArgs) -> Outcome {
    check(&args, session.input)?;
    let base = match &args.to {
        Some(to) => session.folder.below(to)?,
        None => session.folder.clone(),
    };
    let mut report = BatchReport::new(&session.output, "put", Doing::Putting(rules(&args)));
    let mut names = HashSet::new();
    let mut uploads = Vec::new();
    for path in &args.paths {
        match plan(&base, path, &args) {
            Ok(upload)
                if !names.insert(upload.name.clone()) && rules(&args) != OnConflict::Rename =>
            {
                let message = format!("two of the files would be stored as {}", upload.name);
                return Err(Failure::usage(message)
                    .advise("put them one by one with --as, or say --on-conflict rename"));
            }
            Ok(upload) => uploads.push(upload),
            // A file that cannot be sent does not keep the others from going.
            Err(failure) => report.failed(&path.to_string_lossy(), &failure),
        }
    }
    if !uploads.is_empty() {
        tracing::debug!(files = uploads.len(), "putting");
        let bars = Bars::show(&session.output);
        let dry_run = args.dry_run.dry_run;
        let sent = session
            .client
            .put(uploads, dry_run, bars.progress(), &mut |file| {
                report.file(file)
            })
            .await?;
        report.sent(sent);
    }
    Ok(report.finish())
}

fn check(args: &PutArgs, input: Input) -> Result<(), Failure> {
    let many = args.paths.len() > 1;
    if many && args.name.is_some() {
        return Err(
            Failure::usage("--as gives one name, and there is more than one PATH")
                .advise("put them one by one, or name a folder with --to"),
        );
    }
    if many && args.version.if_match.is_some() {
        return Err(Failure::usage("--if-match goes with one PATH").advise("put them one by one"));
    }
    if args.paths.iter().any(|path| is_stream(path)) {
        if args.name.is_none() {
            return Err(Failure::usage("standard input has no name of its own")
                .advise("name it with --as NAME, and put nothing else with it"));
        }
        if let Some(taken_by) = input.taken_by() {
            let message = format!("standard input is taken by {taken_by}");
            return Err(Failure::usage(message)
                .advise("give a file, or run fileshare-client with this one command"));
        }
    }
    Ok(())
}

fn plan(base: &RemoteFolder, path: &Path, args: &PutArgs) -> Result<Upload, Failure> {
    let source = if is_stream(path) {
        Source::Stream(Box::new(io::stdin()))
    } else {
        check_file(path)?;
        Source::Path(path.to_owned())
    };
    Ok(Upload {
        source,
        name: match &args.name {
            Some(name) => base.join(name)?,
            None => own_name(base, path)?,
        },
        on_conflict: rules(args),
        basis: None,
        precondition: Precondition {
            if_match: args.version.if_match,
        },
    })
}

/// Whoever names the version to replace has asked for it to be replaced.
fn rules(args: &PutArgs) -> OnConflict {
    match (args.conflict.on_conflict, args.version.if_match) {
        (Some(typed), _) => typed.into(),
        (None, Some(_)) => OnConflict::Overwrite,
        (None, None) => OnConflict::Error,
    }
}

fn check_file(path: &Path) -> Result<(), Failure> {
    let what = shown(path);
    let found = std::fs::metadata(path).map_err(|error| {
        let failure = Failure::io(format_args!("local file {what}"), &error);
        match failure.code {
            ErrorCode::NotFound => {
                failure.advise("see 'lpwd' and 'lls' for where you are and what is there")
            }
            _ => failure,
        }
    })?;
    if found.is_dir() {
        return Err(Failure::usage(format!(
            "{what} is a folder, and this version puts files only"
        ))
        .advise("name the files in it"));
    }
    if !found.is_file() {
        return Err(Failure::usage(format!("{what} is not a regular file"))
            .advise("send its content with: put - --as NAME < FILE"));
    }
    Ok(())
}

/// The base name of a local file, as a name on the server.
fn own_name(base: &RemoteFolder, path: &Path) -> Result<FileName, Failure> {
    let advice = "give the name to store it under with --as";
    let Some(name) = path.file_name() else {
        let message = format!("{} has no name of its own", shown(path));
        return Err(Failure::new(ErrorCode::InvalidName, message).advise(advice));
    };
    match name.to_str() {
        Some(name) => base.join(name).map_err(|failure| failure.advise(advice)),
        None => Err(Failure::new(
            ErrorCode::InvalidName,
            format!("the name of {} is not UTF-8", shown(path)),
        )
        .advise(advice)),
    }
}

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::command::{Command, parse_line};

    fn args(line: &str) -> PutArgs {
        match parse_line(shlex::split(line).unwrap()).unwrap().command {
            Command::Put(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn name(line: &str, path: &str, folder: &str) -> Result<String, ErrorCode> {
        let base = RemoteFolder::default().change(folder).unwrap();
        let args = args(line);
        let base = match &args.to {
            Some(to) => base.below(to).map_err(|failure| failure.code)?,
            None => base,
        };
        plan(&base, Path::new(path), &args)
            .map(|upload| upload.name.as_str().to_owned())
            .map_err(|failure| failure.code)
    }

    #[test]
    fn stores_the_base_name_below_the_remote_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "x").unwrap();
        let path = path.to_str().unwrap();
        for (line, folder, expected) in [
            ("put x", "/", "a.txt"),
            ("put x", "/docs", "docs/a.txt"),
            ("put x --to in", "/docs", "docs/in/a.txt"),
            ("put x --as b", "/", "b"),
            ("put x --as c/b", "/docs", "docs/c/b"),
            ("put x --to in --as b", "/", "in/b"),
        ] {
            assert_eq!(name(line, path, folder).as_deref(), Ok(expected), "{line}");
        }
        for line in [
            "put x --as ../b",
            "put x --as /b",
            "put x --to ..",
            "put x --as b/",
        ] {
            assert_eq!(name(line, path, "/"), Err(ErrorCode::InvalidName), "{line}");
        }
    }

    #[test]
    fn refuses_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(
            name("put x", missing.to_str().unwrap(), "/"),
            Err(ErrorCode::NotFound)
        );
        assert_eq!(
            name("put x", dir.path().to_str().unwrap(), "/"),
            Err(ErrorCode::Usage)
        );
        #[cfg(unix)]
        assert_eq!(name("put x", "/dev/null", "/"), Err(ErrorCode::Usage));
    }

    #[cfg(unix)]
    #[test]
    fn a_local_name_that_no_server_takes_says_what_to_do() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        for bytes in [&b"a\xff"[..], b"a\nb", b".fileshare-x"] {
            let path = dir.path().join(std::ffi::OsStr::from_bytes(bytes));
            std::fs::write(&path, "x").unwrap();
            let failure = plan(&RemoteFolder::default(), &path, &args("put x")).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidName);
            assert!(failure.advice.unwrap().contains("--as"));
            assert!(!failure.message.contains('\n'));
        }
    }

    #[test]
    fn standard_input_needs_a_name_and_must_be_free() {
        let check = |line, input| check(&args(line), input).map_err(|failure| failure.code);
        assert_eq!(check("put - --as a", Input::CommandLine), Ok(()));
        for (line, input) in [
            ("put -", Input::CommandLine),
            ("put - b --as a", Input::CommandLine),
            ("put a b --as c", Input::CommandLine),
            ("put - --as a", Input::Script),
            ("put - --as a", Input::Prompt),
        ] {
            assert_eq!(check(line, input), Err(ErrorCode::Usage), "{line}");
        }
    }

    #[test]
    fn naming_the_version_to_replace_asks_for_it() {
        let id = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(rules(&args("put a")), OnConflict::Error);
        assert_eq!(
            rules(&args(&format!("put a --if-match {id}"))),
            OnConflict::Overwrite
        );
        let line = format!("put a --if-match {id} --on-conflict skip");
        assert_eq!(rules(&args(&line)), OnConflict::Skip);
    }
}
