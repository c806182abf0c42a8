use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::GetArgs;
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::session::Session;
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::progress::Bars;
use crate::client::{Client, Download, FileReport, Target};
use crate::protocol::ErrorCode;
use crate::types::{FileName, FileRef, Item, OnConflict};

/// `get NAME… [-o PATH]`
pub async fn run(session: &mut Session, args: GetArgs) -> Outcome {
    let place = Place::choose(args.output.as_deref(), args.names.len())?;
    if matches!(place, Place::Output) && session.output.look().json {
        return Err(Failure::usage("-o - prints a file and has no JSON form")
            .advise("leave out --json, or give a file to write to"));
    }
    let on_conflict = args
        .conflict
        .on_conflict
        .map_or(OnConflict::Error, OnConflict::from);
    let output = session.output.clone();
    let Plan { downloads, refused } =
        plan(&session.folder, &args.names, &place, on_conflict, &output)?;
    let mut report = BatchReport::new(&output, "get", Doing::Getting(on_conflict));
    if matches!(place, Place::Output) {
        report = report.only_failures();
    }
    // A name that is none does not keep the others from coming.
    for (name, failure) in &refused {
        report.failed(name, failure);
    }
    if downloads.is_empty() {
        return Ok(report.finish());
    }
    tracing::debug!(files = downloads.len(), "getting");
    let mut doubtful = Vec::new();
    let prints = downloads
        .iter()
        .any(|download| matches!(download.target, Target::Stream(_)));
    let bars = match prints {
        true => Bars::beside_content(&output),
        false => Bars::show(&output),
    };
    let sent = session
        .client
        .get(
            downloads,
            args.dry_run.dry_run,
            bars.progress(),
            &mut |file| match is_doubtful(&file) {
                true => doubtful.push(file),
                false => report.file(file),
            },
        )
        .await?;
    report.sent(sent);
    for file in doubtful {
        match folder_instead(&mut session.client, &file).await {
            Some(folder) => {
                let failure = Failure::usage(format!(
                    "{folder} is a folder, and this version gets files only"
                ));
                let failure = failure.advise("name the files in it, as 'list' shows them");
                report.failed(folder.as_str(), &failure);
            }
            None => report.file(file),
        }
    }
    Ok(report.finish())
}

/// Where downloads go (contract section 5, "Where things land").
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Into this folder, made when missing, under their own names.
    Folder(PathBuf),
    /// To this very name.
    File(PathBuf),
    /// To standard output.
    Output,
}

impl Place {
    /// What `typed` means for so many files.
    pub fn choose(typed: Option<&Path>, files: usize) -> Result<Self, Failure> {
        let Some(path) = typed else {
            return Ok(Place::Folder(PathBuf::from(".")));
        };
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() {
            return Err(Failure::usage("-o needs a PATH"));
        }
        if bytes == b"-" {
            return Ok(Place::Output);
        }
        let asks_for_folder = bytes.last().is_some_and(|last| {
            char::from(*last) == '/' || std::path::is_separator(char::from(*last))
        });
        let found = std::fs::metadata(path.components().as_path()).ok();
        match found {
            Some(found) if found.is_dir() => Ok(Place::Folder(path.to_owned())),
            Some(_) if asks_for_folder || files > 1 => {
                let message = format!("{} is a file, and a folder must go there", shown(path));
                Err(Failure::new(ErrorCode::Conflict, message)
                    .advise("give -o another PATH, or move that file away"))
            }
            // Many files cannot have one name.
            _ if asks_for_folder || files > 1 => Ok(Place::Folder(path.to_owned())),
            _ => Ok(Place::File(path.to_owned())),
        }
    }
}

/// What to download, and which of the names are none.
#[derive(Default)]
struct Plan<'a> {
    downloads: Vec<Download>,
    refused: Vec<(&'a str, Failure)>,
}

fn plan<'a>(
    folder: &RemoteFolder,
    names: &'a [String],
    place: &Place,
    on_conflict: OnConflict,
    output: &Output,
) -> Result<Plan<'a>, Failure> {
    let mut leaves = HashSet::new();
    let mut plan = Plan::default();
    for text in names {
        let file = match folder.reference(text) {
            Ok(file) => file,
            Err(failure) => {
                plan.refused.push((text.as_str(), failure));
                continue;
            }
        };
        if let (FileRef::Name(name), Place::Folder(_)) = (&file, place)
            && on_conflict != OnConflict::Rename
            && !leaves.insert(name.leaf().to_owned())
        {
            let message = format!("two of the files would land in {}", shown(name.leaf()));
            return Err(Failure::usage(message)
                .advise("get them one by one with -o, or say --on-conflict rename"));
        }
        plan.downloads.push(Download {
            file,
            target: match place {
                Place::Folder(path) => Target::Folder(path.clone()),
                Place::File(path) => Target::Path(path.clone()),
                Place::Output => Target::Stream(output.content()),
            },
            on_conflict,
        });
    }
    Ok(plan)
}

/// Whether a folder may stand under the name that could not be downloaded.
fn is_doubtful(file: &FileReport) -> bool {
    let doubtful = [ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::Usage];
    matches!(file.name, FileRef::Name(_))
        && matches!(&file.outcome, Err(error) if doubtful.contains(&error.code))
}

/// The folder that was taken for a file. Whoever cannot tell lets the first error stand.
async fn folder_instead(client: &mut Client, file: &FileReport) -> Option<FileName> {
    match client.stat(&file.name).await {
        Ok(Item::Folder(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;

    #[test]
    fn chooses_where_downloads_land() {
        let dir = tempfile::tempdir().unwrap();
        let path = |text: &str| dir.path().join(text);
        std::fs::create_dir(path("there")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        let folder = |text| Ok(Place::Folder(path(text)));
        let conflict = Err(ErrorCode::Conflict);
        for (typed, files, expected) in [
            ("there", 1, folder("there")),
            ("there/", 1, folder("there/")),
            ("new/", 1, folder("new/")),
            ("new", 1, Ok(Place::File(path("new")))),
            ("new", 2, folder("new")),
            ("file", 1, Ok(Place::File(path("file")))),
            ("file/", 1, conflict),
            ("file", 2, Err(ErrorCode::Conflict)),
        ] {
            let chosen = Place::choose(Some(&path(typed)), files);
            assert_eq!(chosen.map_err(|failure| failure.code), expected, "{typed}");
        }
        assert_eq!(Place::choose(None, 1), Ok(Place::Folder(".".into())));
        assert_eq!(Place::choose(Some(Path::new("-")), 1), Ok(Place::Output));
        assert!(Place::choose(Some(Path::new("")), 1).is_err());
    }

    #[test]
    fn no_two_files_may_land_in_one_place() {
        let output = Captured::default().output(Look::default());
        let names = ["a/x", "b/x"].map(str::to_owned);
        let plan = |on_conflict| {
            let place = Place::Folder(".".into());
            plan(
                &RemoteFolder::default(),
                &names,
                &place,
                on_conflict,
                &output,
            )
        };
        assert_eq!(
            plan(OnConflict::Overwrite).err().unwrap().code,
            ErrorCode::Usage
        );
        assert_eq!(plan(OnConflict::Rename).unwrap().downloads.len(), 2);
    }

    #[test]
    fn a_name_that_is_none_fails_alone() {
        let output = Captured::default().output(Look::default());
        let names = ["../x", "a", "/b"].map(str::to_owned);
        let place = Place::Folder(".".into());
        let root = RemoteFolder::default();
        let Plan { downloads, refused } =
            plan(&root, &names, &place, OnConflict::Error, &output).unwrap();
        assert_eq!(downloads.len(), 1);
        assert_eq!(refused.len(), 2);
        assert!(
            refused
                .iter()
                .all(|(_, failure)| failure.code == ErrorCode::InvalidName)
        );
    }
}
