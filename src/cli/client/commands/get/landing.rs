//! Where what is got lands: for each file and folder, before anything is opened.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Wish;
use crate::cli::client::remote_names::{Kind, Meant};
use crate::cli::client::retry_list::{Local, Retry};
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::protocol::ErrorCode;
use crate::types::{Entry, FileName, FileRef, Filter};

/// Where downloads go (contract section 5, "Where things land").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Into this folder, made when missing, under their own names.
    Folder(PathBuf),
    /// To this very name.
    File(PathBuf),
    /// To this very name below a folder, and never out of that.
    Below(PathBuf, FileName),
    /// To standard output.
    Output,
}

impl Place {
    /// What `typed` means for one thing, or for many.
    pub fn choose(typed: Option<&Path>, many: bool) -> Result<Self, Failure> {
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
            Some(_) if asks_for_folder || many => {
                let message = format!("{} is a file, and a folder must go there", shown(path));
                Err(Failure::new(ErrorCode::Conflict, message)
                    .advise("give -o another PATH, or move that file away"))
            }
            // Many files cannot have one name.
            _ if asks_for_folder || many => Ok(Place::Folder(path.to_owned())),
            _ => Ok(Place::File(path.to_owned())),
        }
    }
}

/// What is to come.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) files: Vec<Planned>,
    /// Empty folders: their full names, and where they are to be.
    pub(super) folders: Vec<(FileName, Spot)>,
}

/// A file that is to come.
pub(super) struct Planned {
    pub(super) file: FileRef,
    pub(super) known: Option<Entry>,
    pub(super) spot: Spot,
    pub(super) wish: Wish,
}

/// Where one file or folder goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// To this path.
    Path(PathBuf),
    /// Into this folder, under its own name.
    Folder(PathBuf),
    /// Below this folder, to this name, or to be the folder itself.
    Below(PathBuf, Option<FileName>),
    /// To standard output.
    Output,
}

impl Spot {
    /// The path, as far as it is known yet.
    pub(super) fn path(&self, file: &FileRef) -> Option<PathBuf> {
        match (self, file) {
            (Spot::Path(path), _) => Some(path.clone()),
            (Spot::Folder(folder), FileRef::Name(name)) => Some(folder.join(name.leaf())),
            (Spot::Below(top, below), _) => Some(joined(top, below.as_ref())),
            (Spot::Folder(_), FileRef::Id(_)) | (Spot::Output, _) => None,
        }
    }
}

pub(super) fn joined(top: &Path, below: Option<&FileName>) -> PathBuf {
    let parts = below.into_iter().flat_map(FileName::parts);
    parts.fold(top.to_owned(), |path, part| path.join(part))
}

impl Place {
    /// Where a file goes whose base name, as far as it is known, is this.
    pub(super) fn spot(&self, leaf: Option<&FileName>) -> Spot {
        match (self, leaf) {
            (Place::Folder(folder), Some(leaf)) => Spot::Below(folder.clone(), Some(leaf.clone())),
            (Place::Folder(folder), None) => Spot::Folder(folder.clone()),
            (Place::File(path), _) => Spot::Path(path.clone()),
            (Place::Below(top, name), _) => Spot::Below(top.clone(), Some(name.clone())),
            (Place::Output, _) => Spot::Output,
        }
    }

    /// Where something in a folder with this base name goes, or that folder itself.
    pub(super) fn spot_in(
        &self,
        leaf: &FileName,
        below: Option<&FileName>,
    ) -> Result<Spot, Failure> {
        let (top, folder) = match self {
            Place::Folder(top) => (top, Some(leaf)),
            Place::File(top) => (top, None),
            Place::Below(top, folder) => (top, Some(folder)),
            Place::Output => {
                let message = format!("{leaf} is a folder, which cannot be printed");
                return Err(Failure::usage(message).advise("name the files in it"));
            }
        };
        let name = match (folder, below) {
            (folder, Some(below)) => Some(
                FileName::inside(folder, below)
                    .map_err(|error| Failure::name(below.as_str(), error))?,
            ),
            (folder, None) => folder.cloned(),
        };
        Ok(Spot::Below(top.clone(), name))
    }
}

impl Spot {
    /// The same for a list of what failed.
    pub(super) fn local(&self, file: &FileRef) -> Option<Local> {
        match (self, file) {
            (Spot::Folder(folder), FileRef::Name(name)) => {
                Some(Local::Below(folder.clone(), name.leaf().into()))
            }
            (Spot::Below(top, Some(below)), _) => {
                Some(Local::Below(top.clone(), below.as_str().into()))
            }
            (spot, file) => spot.path(file).map(Local::Path),
        }
    }
}

impl Planned {
    pub(super) fn retry(&self) -> Retry {
        Retry {
            name: match &self.file {
                FileRef::Name(name) => name.as_str().to_owned(),
                FileRef::Id(prefix) => format!("id:{prefix}"),
            },
            local: self.spot.local(&self.file),
        }
    }
}

impl Batch {
    /// A file that was named. What it is will show when it comes.
    pub(super) fn add_named(&mut self, wish: Wish, file: FileRef) {
        self.files.push(Planned {
            spot: wish.place.spot(None),
            known: None,
            file,
            wish,
        });
    }

    /// Something that a listing has shown.
    pub(super) fn add_listed(
        &mut self,
        wish: &Wish,
        meant: Meant,
        filter: &Filter,
    ) -> Result<(), Failure> {
        let Ok(leaf) = FileName::parse(meant.name.leaf()) else {
            return Ok(());
        };
        match meant.kind {
            Kind::File(entry) => {
                if filter.takes(&leaf) {
                    self.add(wish, entry, wish.place.spot(Some(&leaf)));
                }
                Ok(())
            }
            Kind::Folder { files, empty } if !filter.excludes(&leaf) => {
                let spot = |name: &FileName| {
                    let below = name.relative_to(&meant.name);
                    if below.as_ref().is_some_and(|below| !filter.takes(below)) {
                        return Ok(None);
                    }
                    wish.place.spot_in(&leaf, below.as_ref()).map(Some)
                };
                for entry in files {
                    if let Some(spot) = spot(&entry.name)? {
                        self.add(wish, entry, spot);
                    }
                }
                for name in empty {
                    if let Some(spot) = spot(&name)? {
                        self.folders.push((name, spot));
                    }
                }
                Ok(())
            }
            Kind::Folder { .. } => Ok(()),
        }
    }

    pub(super) fn add(&mut self, wish: &Wish, entry: Entry, spot: Spot) {
        self.files.push(Planned {
            file: FileRef::Name(entry.name.clone()),
            known: Some(entry),
            spot,
            wish: wish.clone(),
        });
    }

    /// A path that more than one file would get.
    pub(super) fn landed_twice(&self) -> Option<PathBuf> {
        let mut landed = HashSet::new();
        let mut paths = self
            .files
            .iter()
            .filter_map(|file| file.spot.path(&file.file));
        paths.find(|path| !landed.insert(path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::again;
    use super::*;
    use crate::cli::client::folder::RemoteFolder;

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
            let chosen = Place::choose(Some(&path(typed)), files > 1);
            assert_eq!(chosen.map_err(|failure| failure.code), expected, "{typed}");
        }
        assert_eq!(Place::choose(None, false), Ok(Place::Folder(".".into())));
        assert_eq!(
            Place::choose(Some(Path::new("-")), false),
            Ok(Place::Output)
        );
        assert!(Place::choose(Some(Path::new("")), false).is_err());
    }

    fn batch(words: &[&str], place: &Place) -> Batch {
        let mut batch = Batch::default();
        for word in words {
            let wish = Wish {
                word: (*word).to_owned(),
                here: RemoteFolder::default(),
                place: place.clone(),
                is_name: false,
            };
            batch.add_named(wish, FileRef::parse(word).unwrap());
        }
        batch
    }

    #[test]
    fn no_two_files_may_land_in_one_place() {
        let here = Place::Folder(".".into());
        let twice = batch(&["a/x", "b/x"], &here).landed_twice();
        assert_eq!(twice.unwrap(), Path::new("./x"));
        assert_eq!(batch(&["a/x", "b/y"], &here).landed_twice(), None);
        assert_eq!(batch(&["a", "b"], &Place::Output).landed_twice(), None);
    }

    fn entry(text: &str) -> Entry {
        Entry {
            name: name(text),
            id: None,
            size: 1,
            modified: crate::types::Timestamp::new(0, 0).unwrap(),
            executable: false,
        }
    }

    fn name(text: &str) -> FileName {
        FileName::parse(text).unwrap()
    }

    /// Where the files and folders of docs/sub land.
    fn landed(place: Place, exclude: &[&str]) -> Result<Vec<String>, ErrorCode> {
        let meant = Meant {
            name: name("docs/sub"),
            kind: Kind::Folder {
                files: vec![entry("docs/sub/a"), entry("docs/sub/deep/b")],
                empty: vec![name("docs/sub/none")],
            },
        };
        let wish = Wish {
            word: "docs/sub".to_owned(),
            here: RemoteFolder::default(),
            place,
            is_name: false,
        };
        let mut batch = Batch::default();
        let filter = Filter::parse(&[], exclude).unwrap();
        let added = batch.add_listed(&wish, meant, &filter);
        added.map_err(|failure| failure.code)?;
        let files = batch.files.iter().map(|file| file.spot.path(&file.file));
        let folders = batch
            .folders
            .iter()
            .map(|(name, spot)| spot.path(&FileRef::Name(name.clone())));
        let paths = files.chain(folders).flatten();
        Ok(paths
            .map(|path| path.to_str().unwrap().to_owned())
            .collect())
    }

    #[test]
    fn a_folder_lands_under_its_base_name_or_the_new_one() {
        for (place, exclude, expected) in [
            (
                Place::Folder("in".into()),
                &[][..],
                &["in/sub/a", "in/sub/deep/b", "in/sub/none"][..],
            ),
            (
                Place::File("new".into()),
                &[],
                &["new/a", "new/deep/b", "new/none"],
            ),
            (
                Place::Below("in".into(), name("x")),
                &[],
                &["in/x/a", "in/x/deep/b", "in/x/none"],
            ),
            (Place::File("new".into()), &["deep", "/none"], &["new/a"]),
            (Place::File("new".into()), &["sub"], &[]),
        ] {
            let expected = expected.iter().map(|&path| path.to_owned()).collect();
            assert_eq!(landed(place.clone(), exclude), Ok(expected), "{place:?}");
        }
        assert_eq!(landed(Place::Output, &[]), Err(ErrorCode::Usage));
    }

    #[test]
    fn a_list_of_what_failed_leads_to_the_same_places() {
        let place = Place::Folder("/in".into());
        let planned = batch(&["docs/a"], &place).files.remove(0).retry();
        assert_eq!(planned.name, "docs/a");
        let wish = again(planned.clone()).unwrap();
        assert!(wish.is_name);
        assert_eq!(wish.place, Place::Below("/in".into(), name("a")));
        let mut batch = Batch::default();
        batch.add_named(wish, FileRef::Name(name("docs/a")));
        assert_eq!(batch.files.remove(0).retry(), planned);
    }
}
