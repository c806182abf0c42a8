//! The folders that a batch is written into, opened once the whole batch is known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::landing::{Batch, Spot, joined};
use super::{Wish, rules};
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::GetArgs;
use crate::cli::client::retry_list::Retry;
use crate::cli::client::session::Session;
use crate::cli::failure::Failure;
use crate::client::{Download, LocalFolder, Target};
use crate::protocol::ErrorCode;
use crate::types::{FileName, FileRef, OnConflict};

/// A batch with the folders open that it is written into.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) downloads: Vec<Download>,
    pub(super) retries: Vec<Retry>,
    pub(super) wishes: Vec<Wish>,
    /// Those folders, by their paths; `None` for one that a dry run does not make.
    tops: HashMap<PathBuf, Option<LocalFolder>>,
}

impl Ready {
    pub(super) fn open(
        &mut self,
        batch: Batch,
        session: &Session,
        args: &GetArgs,
        report: &mut BatchReport,
    ) -> Result<(), Failure> {
        let dry_run = args.dry_run.dry_run;
        let twins = self.twins(&batch, dry_run);
        let mut landed = HashSet::new();
        for file in batch.files {
            let path = file.spot.path(&file.file);
            let is_twin = path.as_ref().is_some_and(|path| twins.contains(path));
            let again = path.is_some_and(|path| !landed.insert(path));
            let target = match &file.spot {
                _ if is_twin || (again && rules(args) != OnConflict::Rename) => {
                    let message = "another of the files would land under the same name";
                    Err(Failure::new(ErrorCode::AlreadyExists, message))
                }
                Spot::Path(path) => Ok(Target::Path(path.clone())),
                Spot::Folder(folder) => Ok(Target::Folder(folder.clone())),
                Spot::Output => Ok(Target::Stream(session.output.content())),
                Spot::Below(top, below) => self.target(top, below.as_ref(), dry_run),
            };
            match target {
                Ok(target) => {
                    self.retries.push(file.retry());
                    self.wishes.push(file.wish);
                    self.downloads.push(Download {
                        file: file.file,
                        known: file.known,
                        target,
                        on_conflict: rules(args),
                    });
                }
                Err(failure) => {
                    let retry = file.retry();
                    report.failed(&retry.name, &failure);
                    report.failed_list.add(retry);
                }
            }
        }
        for (name, spot) in batch.folders {
            let Spot::Below(top, below) = &spot else {
                continue;
            };
            let made = match (self.top(top, dry_run), below) {
                (Ok(Some(top)), Some(below)) if !dry_run => top.make(below).map_err(Failure::from),
                (opened, _) => opened.map(drop),
            };
            match made {
                Ok(()) => report.folder(&name, dry_run),
                Err(failure) => {
                    report.failed(name.as_str(), &failure);
                    report.failed_list.add(Retry {
                        name: format!("{}/", name.as_str()),
                        local: spot.local(&FileRef::Name(name)),
                    });
                }
            }
        }
        Ok(())
    }
}

impl Ready {
    /// Opens a folder that is written into; `None` for one that a dry run would make.
    pub(super) fn top(
        &mut self,
        path: &Path,
        dry_run: bool,
    ) -> Result<Option<LocalFolder>, Failure> {
        if let Some(top) = self.tops.get(path) {
            return Ok(top.clone());
        }
        let top = match dry_run {
            false => Some(LocalFolder::create(path)?),
            true => match LocalFolder::open(path) {
                Err(error) if error.code == ErrorCode::NotFound => None,
                opened => Some(opened?),
            },
        };
        self.tops.insert(path.to_owned(), top.clone());
        Ok(top)
    }

    pub(super) fn target(
        &mut self,
        top: &Path,
        below: Option<&FileName>,
        dry_run: bool,
    ) -> Result<Target, Failure> {
        Ok(match (self.top(top, dry_run)?, below) {
            (Some(top), Some(name)) => Target::Tree(top, name.clone()),
            _ => Target::Path(joined(top, below)),
        })
    }

    /// The files that would land where an earlier one does, because the file system there takes two
    /// names for one.
    pub(super) fn twins(&mut self, batch: &Batch, dry_run: bool) -> HashSet<PathBuf> {
        let mut tops: HashMap<&Path, Vec<&FileName>> = HashMap::new();
        for file in &batch.files {
            if let Spot::Below(top, Some(below)) = &file.spot {
                tops.entry(top).or_default().push(below);
            }
        }
        let mut twins = HashSet::new();
        for (path, names) in tops {
            let alike = lookalikes(&names);
            if alike.is_empty() {
                continue;
            }
            // What cannot be opened is told of with every file that would go there.
            if let Ok(Some(top)) = self.top(path, dry_run)
                && !top.folder.tells_case_apart()
            {
                twins.extend(alike.into_iter().map(|name| joined(path, Some(name))));
            }
        }
        twins
    }
}

/// The names that differ only in case from an earlier one, or from a folder of one.
fn lookalikes<'a>(names: &[&'a FileName]) -> Vec<&'a FileName> {
    let mut folded: BTreeMap<String, FileName> = BTreeMap::new();
    let mut alike = Vec::new();
    for name in names {
        let mut parts = name.ancestors().chain([(*name).clone()]);
        if parts.any(|part| *folded.entry(part.fold()).or_insert_with(|| part.clone()) != part) {
            alike.push(*name);
        }
    }
    alike
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_one_file_system_may_take_for_one_are_found() {
        let names = ["A", "a", "b/c", "B/d", "b/e", "f"].map(|text| FileName::parse(text).unwrap());
        let alike = lookalikes(&names.each_ref());
        assert_eq!(alike, [&names[1], &names[3]]);
    }
}
