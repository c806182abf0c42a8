use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::client::local::{LocalFolder, io_failure, shown};
use crate::client::tree::LocalEntry;
use crate::disk::{Folder, Replace};
use crate::protocol::{ErrorCode, Failure};
use crate::types::FileName;

/// Where the local files are kept that a sync removes, in the folder that is synchronised: on the
/// same file system, so that nothing is copied, and under a name that is never sent.
const LEAF: &str = ".fileshare-trash";

/// How a run's folder in it is called: the time in UTC.
const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// How many runs may begin in one second.
const MAX_RUNS: u32 = 1000;

/// The local trash of one run. Each run has a folder of its own there, with what it removed under
/// the names that it had; nothing is ever removed from it.
pub(super) struct Attic {
    top: LocalFolder,
    run: Option<(PathBuf, Folder)>,
}

impl Attic {
    pub(super) fn new(top: &LocalFolder) -> Self {
        Attic {
            top: top.clone(),
            run: None,
        }
    }

    /// Where this run has put something, if it has.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.run.as_ref().map(|(path, _)| path.clone())
    }

    /// Moves a file there, unless it is not the one any more that was seen.
    pub(super) fn keep(&mut self, file: &LocalEntry) -> Result<(), Failure> {
        let path = self.top.path.join(&file.place);
        let failed = |error: io::Error| io_failure(&path, &error);
        let (parent, leaf) = self.open_parent(&file.place).map_err(failed)?;
        let facts = parent.facts(leaf).map_err(failed)?;
        if !facts.same_file(&file.facts) {
            let message = format!("{} changed meanwhile, and is not removed", shown(&path));
            return Err(Failure::new(ErrorCode::Conflict, message));
        }
        let mut to = self.run_folder().map_err(failed)?;
        if let Some(folder) = file.name.folder() {
            to = to.make_folders(&folder).map_err(failed)?.0;
        }
        let kept = parent.rename(leaf, &to, file.name.leaf(), Replace::Never);
        kept.map_err(failed)
    }

    /// Removes a folder that has nothing in it; tells whether it is gone.
    pub(super) fn remove_folder(&self, name: &FileName) -> Result<bool, Failure> {
        let place: PathBuf = name.parts().collect();
        let removed = self
            .open_parent(&place)
            .and_then(|(parent, leaf)| parent.remove_folder(leaf));
        match removed {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Ok(true),
                // What is excluded is in it, or somebody has put something there.
                ErrorKind::DirectoryNotEmpty => Ok(false),
                _ => Err(io_failure(&self.top.path.join(place), &error)),
            },
        }
    }

    fn open_parent<'a>(&self, place: &'a Path) -> io::Result<(Folder, &'a str)> {
        let leaf = place.file_name().and_then(OsStr::to_str);
        let leaf = leaf.ok_or(ErrorKind::InvalidFilename)?;
        let parent = place.parent().unwrap_or(Path::new(""));
        Ok((self.top.folder.folder_below(parent)?, leaf))
    }

    fn run_folder(&mut self) -> io::Result<Folder> {
        if let Some((_, folder)) = &self.run {
            return Ok(folder.clone());
        }
        let trash = self.top.folder.make_private_folder(LEAF)?;
        let now = jiff::Timestamp::now().strftime(FORMAT).to_string();
        for number in 0..MAX_RUNS {
            let leaf = match number {
                0 => now.clone(),
                number => format!("{now}-{number}"),
            };
            match trash.make_folder(&leaf) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    let folder = made.and_then(|()| trash.subfolder(&leaf))?;
                    let path = self.top.path.join(LEAF).join(&leaf);
                    self.run = Some((path, folder.clone()));
                    return Ok(folder);
                }
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Tree, WalkOptions};

    #[tokio::test]
    async fn keeps_what_was_seen_under_its_name_and_nothing_else() {
        let desk = tempfile::tempdir().unwrap();
        let path = |name: &str| desk.path().join(name);
        std::fs::create_dir_all(path("a/b")).unwrap();
        std::fs::write(path("a/b/c"), "old").unwrap();
        std::fs::write(path("d"), "seen").unwrap();
        let options = WalkOptions::default();
        let tree = Tree::read(desk.path(), &options).await.unwrap();
        std::fs::write(path("d"), "changed").unwrap();

        let mut attic = Attic::new(&tree.top);
        assert_eq!(attic.path(), None);
        attic.keep(&tree.files[0]).unwrap();
        let failure = attic.keep(&tree.files[1]).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Conflict);
        assert!(path("d").exists() && !path("a/b/c").exists());
        let kept = attic.path().unwrap();
        assert_eq!(std::fs::read(kept.join("a/b/c")).unwrap(), b"old");
        let name = |text| FileName::parse(text).unwrap();
        assert_eq!(attic.remove_folder(&name("a")), Ok(false));
        assert_eq!(attic.remove_folder(&name("a/b")), Ok(true));
        assert_eq!(attic.remove_folder(&name("a")), Ok(true));

        // Another run, in the same second perhaps, has a folder of its own.
        std::fs::write(path("d"), "again").unwrap();
        let tree = Tree::read(desk.path(), &options).await.unwrap();
        let mut again = Attic::new(&tree.top);
        again.keep(&tree.files[0]).unwrap();
        assert_ne!(again.path(), Some(kept));
        assert!(
            Tree::read(desk.path(), &options)
                .await
                .unwrap()
                .skipped
                .is_empty()
        );
    }
}
