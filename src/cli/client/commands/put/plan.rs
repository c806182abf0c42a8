//! What there is to send: the files that are named, and those of trees.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Wish, is_stream, rules};
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::PutArgs;
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::retry_list::{Local, Retry};
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::client::{LocalFolder, Reason, Skipped, Source, Tree, Upload, WalkOptions};
use crate::disk::FileKind;
use crate::protocol::ErrorCode;
use crate::types::{FileName, Precondition};

/// What is to be sent and made.
pub(super) struct Plan {
    walk: WalkOptions,
    pub(super) uploads: Vec<Upload>,
    /// The same, for a list of what failed.
    pub(super) retries: Vec<Retry>,
    /// Empty folders, and where they are here.
    pub(super) folders: Vec<(FileName, PathBuf)>,
    /// Folders of a list of what failed, by their paths.
    tops: HashMap<PathBuf, LocalFolder>,
    names: HashSet<FileName>,
    /// A name that more than one file would get.
    pub(super) twice: Option<FileName>,
}

impl Plan {
    pub(super) fn new(args: &PutArgs) -> Result<Self, Failure> {
        Ok(Plan {
            walk: args.walk.options()?,
            uploads: Vec::new(),
            retries: Vec::new(),
            folders: Vec::new(),
            tops: HashMap::new(),
            names: HashSet::new(),
            twice: None,
        })
    }

    pub(super) async fn add(
        &mut self,
        wish: Wish,
        args: &PutArgs,
        report: &mut BatchReport,
    ) -> Result<(), (Wish, Failure)> {
        let found = match self.look_at(&wish) {
            Ok(found) => found,
            Err(failure) => return Err((wish, failure)),
        };
        let added = match found {
            Found::Folder => self.add_tree(&wish, args, report).await,
            Found::File(source) => self.add_file(&wish, source, args),
        };
        added.map_err(|failure| (wish, failure))
    }

    fn add_file(&mut self, wish: &Wish, source: Source, args: &PutArgs) -> Result<(), Failure> {
        let name = match &wish.name {
            Some(name) => wish.base.join(name)?,
            None => own_name(&wish.base, &wish.path)?,
        };
        if is_leaf_meant(&name, |leaf| self.walk.filter.takes(leaf)) {
            let retry = Retry {
                name: name.as_str().to_owned(),
                ..wish.retry()
            };
            self.upload(name, source, args, retry);
        }
        Ok(())
    }

    async fn add_tree(
        &mut self,
        wish: &Wish,
        args: &PutArgs,
        report: &mut BatchReport,
    ) -> Result<(), Failure> {
        if args.version.if_match.is_some() {
            let message = format!("{} is a folder, and has no id", shown(&wish.path));
            return Err(Failure::usage(message).advise("--if-match goes with one file"));
        }
        let top = match &wish.name {
            Some(name) => Some(wish.base.join_folder(name)?),
            None if wish.top.is_none() && means_contents(&wish.path) => wish.base.name().cloned(),
            None => Some(own_name(&wish.base, &wish.path)?),
        };
        let excludes = |leaf: &FileName| !self.walk.filter.excludes(leaf);
        if top
            .as_ref()
            .is_some_and(|top| !is_leaf_meant(top, excludes))
        {
            return Ok(());
        }
        let tree = Tree::read(&wish.path(), &self.walk).await?;
        let name = |below: &FileName| {
            FileName::inside(top.as_ref(), below)
                .map_err(|error| Failure::name(below.as_str(), error))
        };
        let local = |place: &Path| Some(Local::Below(wish.path(), place.to_owned()));
        for skipped in &tree.skipped {
            let name = skipped.name.as_ref().and_then(|below| name(below).ok());
            let retry = Retry {
                name: name.as_ref().map_or("", FileName::as_str).to_owned(),
                local: local(&skipped.place),
            };
            let path = wish.path().join(&skipped.place);
            tell_skipped(report, &path, skipped, name);
            if skipped.code().is_some() {
                report.failed_list.add(retry);
            }
        }
        let is_bare = tree.files.is_empty() && tree.empty.is_empty();
        for file in tree.files {
            match name(&file.name) {
                Ok(name) => {
                    let retry = Retry {
                        name: name.as_str().to_owned(),
                        local: local(&file.place),
                    };
                    let source = Source::Tree(tree.top.clone(), file.place);
                    self.upload(name, source, args, retry);
                }
                Err(failure) => report.failed(file.name.as_str(), &failure),
            }
        }
        for folder in &tree.empty {
            match name(folder) {
                Ok(name) => {
                    let parts = folder.parts();
                    let path = parts.fold(wish.path(), |path, part| path.join(part));
                    self.folders.push((name, path));
                }
                Err(failure) => report.failed(folder.as_str(), &failure),
            }
        }
        let takes = |leaf: &FileName| self.walk.filter.takes(leaf);
        if let Some(top) = top.filter(|top| is_bare && is_leaf_meant(top, takes)) {
            self.folders.push((top, wish.path()));
        }
        Ok(())
    }

    fn upload(&mut self, name: FileName, source: Source, args: &PutArgs, retry: Retry) {
        if !self.names.insert(name.clone()) {
            self.twice.get_or_insert(name.clone());
        }
        self.retries.push(retry);
        self.uploads.push(Upload {
            source,
            name,
            on_conflict: rules(args),
            basis: None,
            precondition: Precondition {
                if_match: args.version.if_match,
            },
        });
    }

    /// What there is to send, so far as it is not a tree.
    fn look_at(&mut self, wish: &Wish) -> Result<Found, Failure> {
        if let Some(top) = &wish.top {
            let opened = match self.tops.get(top) {
                Some(opened) => opened.clone(),
                None => LocalFolder::open(top)?,
            };
            self.tops.insert(top.clone(), opened.clone());
            let facts = opened.folder.facts_below(&wish.path);
            let facts = facts.map_err(|error| local_failure(&wish.path(), &error))?;
            return Ok(match facts.kind {
                FileKind::Folder => Found::Folder,
                _ => Found::File(Source::Tree(opened, wish.path.clone())),
            });
        }
        if is_stream(&wish.path) {
            return Ok(Found::File(Source::Stream(Box::new(io::stdin()))));
        }
        let found = std::fs::metadata(&wish.path);
        let found = found.map_err(|error| local_failure(&wish.path, &error))?;
        if found.is_dir() {
            return Ok(Found::Folder);
        }
        if !found.is_file() {
            let message = format!("{} is not a regular file", shown(&wish.path));
            return Err(
                Failure::usage(message).advise("send its content with: put - --as NAME < FILE")
            );
        }
        Ok(Found::File(Source::Path(wish.path.clone())))
    }
}

/// What stands at a local path.
enum Found {
    Folder,
    File(Source),
}

fn local_failure(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io(format_args!("local file {}", shown(path)), error);
    match failure.code {
        ErrorCode::NotFound => {
            failure.advise("see 'lpwd' and 'lls' for where you are and what is there")
        }
        _ => failure,
    }
}

/// Tells of something in a tree that is not sent: it is left out, or that is a failure.
pub fn tell_skipped(
    report: &mut BatchReport,
    path: &Path,
    skipped: &Skipped,
    name: Option<FileName>,
) {
    let name = name.map_or_else(
        || path.to_string_lossy().into_owned(),
        |name| name.as_str().to_owned(),
    );
    let Some(code) = skipped.code() else {
        return report.left_out(&name, path, &skipped.reason);
    };
    let failure = Failure::new(code, format!("{}: {}", shown(path), skipped.reason));
    report.failed(
        &name,
        &match skipped.reason {
            Reason::Unreadable(_) => failure.beside(Some(path)),
            _ => failure.advise("rename it, or leave it out with --exclude"),
        },
    );
}

/// Whether what is named is meant, going by its base name.
fn is_leaf_meant(name: &FileName, meant: impl Fn(&FileName) -> bool) -> bool {
    FileName::parse(name.leaf()).is_ok_and(|leaf| meant(&leaf))
}

/// Whether a path to a folder has no name of its own, and so means what is in the folder: `.`, `..`,
/// and whatever ends in them, as for `cp` and `scp`.
fn means_contents(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    let text = String::from_utf8_lossy(bytes);
    matches!(
        text.trim_end_matches('/').rsplit('/').next(),
        Some("." | "..")
    )
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
