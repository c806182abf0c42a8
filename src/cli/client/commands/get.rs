use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::GetArgs;
use crate::cli::client::folder::{RemoteFolder, says_folder};
use crate::cli::client::remote_names::{self, Kind, Meant};
use crate::cli::client::retry_list::{self, Local, Retry};
use crate::cli::client::session::Session;
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::{Client, Download, FileReport, LocalFolder, Target};
use crate::protocol::ErrorCode;
use crate::types::{Entry, FileName, FileRef, Filter, Item, OnConflict};

/// `get NAME… [-o PATH]`
pub async fn run(session: &mut Session, args: GetArgs) -> Outcome {
    let wishes = wishes(&session.folder, &args)?;
    let prints = wishes
        .iter()
        .any(|wish| matches!(wish.place, Place::Output));
    if prints && session.output.look().json {
        return Err(Failure::usage("-o - prints a file and has no JSON form")
            .advise("leave out --json, or give a file to write to"));
    }
    let on_conflict = rules(&args);
    let mut report = BatchReport::new(&session.output, "get", Doing::Getting(on_conflict))
        .listing_failures(args.retry.failed.as_deref());
    if prints {
        report = report.only_failures();
    }
    let filter = args.filter.filter()?;
    let (listed, named): (Vec<_>, Vec<_>) = wishes
        .into_iter()
        .partition(|wish| wish.needs_listing(&filter));
    let mut batch = Batch::default();
    for wish in named {
        match wish.here.reference(&wish.word) {
            Ok(file) => batch.add_named(wish, file),
            // A name that is none does not keep the others from coming.
            Err(failure) => wish.failed(&mut report, &failure),
        }
    }
    look_up(session, listed, &filter, &mut batch, &mut report).await?;
    if let Some(path) = batch
        .landed_twice()
        .filter(|_| on_conflict != OnConflict::Rename)
    {
        let message = format!("two of the files would land in {}", shown(&path));
        return Err(Failure::usage(message)
            .advise("get them one by one with -o, or say --on-conflict rename"));
    }
    let folders = fetch(session, batch, &args, &mut report).await?;
    if !folders.is_empty() {
        let mut batch = Batch::default();
        look_up(session, folders, &filter, &mut batch, &mut report).await?;
        fetch(session, batch, &args, &mut report).await?;
    }
    report.finish()
}

fn rules(args: &GetArgs) -> OnConflict {
    let typed = args.conflict.on_conflict;
    typed.map_or(OnConflict::Error, OnConflict::from)
}

/// Something to get: what it is called there, and where it is to go.
#[derive(Debug, Clone)]
struct Wish {
    word: String,
    here: RemoteFolder,
    place: Place,
    /// Whether the word can only be a name.
    is_name: bool,
}

impl Wish {
    /// Whether what it means is seen in a listing only. A file that is named is asked for as it is
    /// now, and a listing may lag.
    fn needs_listing(&self, filter: &Filter) -> bool {
        let is_glob = remote_names::is_glob(&self.word) && !self.is_name;
        is_glob
            || says_folder(&self.word)
            || (!filter.takes_all() && FileRef::id(&self.word).is_none())
    }

    fn failed(&self, report: &mut BatchReport, failure: &Failure) {
        report.failed(&self.word, failure);
        let (name, local) = match self.here.place(&self.word) {
            Ok(FileRef::Name(name)) => {
                let slash = if says_folder(&self.word) { "/" } else { "" };
                let file = FileRef::Name(name.clone());
                let local = self.place.spot(None).local(&file);
                (format!("{}{slash}", name.as_str()), local)
            }
            _ => (self.word.clone(), None),
        };
        report.failed_list.add(Retry { name, local });
    }
}

/// What the arguments ask for.
fn wishes(here: &RemoteFolder, args: &GetArgs) -> Result<Vec<Wish>, Failure> {
    if let Some(list) = &args.retry.retry_from {
        return retry_list::read(list)?.into_iter().map(again).collect();
    }
    // A glob may mean many.
    let many = args.names.len() > 1 || args.names.iter().any(|word| remote_names::is_glob(word));
    let place = Place::choose(args.output.as_deref(), many)?;
    let wish = |word: &String| Wish {
        word: word.clone(),
        here: here.clone(),
        place: place.clone(),
        is_name: false,
    };
    Ok(args.names.iter().map(wish).collect())
}

/// What a line of a list asks for: its names are full ones.
fn again(retry: Retry) -> Result<Wish, Failure> {
    let place = match retry.local {
        None => Place::Folder(PathBuf::from(".")),
        Some(Local::Path(path)) => Place::File(path),
        Some(Local::Below(top, below)) => {
            let name = below.to_str().map(FileName::parse);
            match name {
                Some(Ok(name)) => Place::Below(top, name),
                _ => Place::File(top.join(below)),
            }
        }
    };
    Ok(Wish {
        word: retry.name,
        here: RemoteFolder::default(),
        place,
        is_name: true,
    })
}

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
struct Batch {
    files: Vec<Planned>,
    /// Empty folders: their full names, and where they are to be.
    folders: Vec<(FileName, Spot)>,
}

/// A file that is to come.
struct Planned {
    file: FileRef,
    known: Option<Entry>,
    spot: Spot,
    wish: Wish,
}

/// Where one file or folder goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Spot {
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
    fn path(&self, file: &FileRef) -> Option<PathBuf> {
        match (self, file) {
            (Spot::Path(path), _) => Some(path.clone()),
            (Spot::Folder(folder), FileRef::Name(name)) => Some(folder.join(name.leaf())),
            (Spot::Below(top, below), _) => Some(joined(top, below.as_ref())),
            (Spot::Folder(_), FileRef::Id(_)) | (Spot::Output, _) => None,
        }
    }
}

fn joined(top: &Path, below: Option<&FileName>) -> PathBuf {
    let parts = below.into_iter().flat_map(FileName::parts);
    parts.fold(top.to_owned(), |path, part| path.join(part))
}

impl Place {
    /// Where a file goes whose base name, as far as it is known, is this.
    fn spot(&self, leaf: Option<&FileName>) -> Spot {
        match (self, leaf) {
            (Place::Folder(folder), Some(leaf)) => Spot::Below(folder.clone(), Some(leaf.clone())),
            (Place::Folder(folder), None) => Spot::Folder(folder.clone()),
            (Place::File(path), _) => Spot::Path(path.clone()),
            (Place::Below(top, name), _) => Spot::Below(top.clone(), Some(name.clone())),
            (Place::Output, _) => Spot::Output,
        }
    }

    /// Where something in a folder with this base name goes, or that folder itself.
    fn spot_in(&self, leaf: &FileName, below: Option<&FileName>) -> Result<Spot, Failure> {
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
    fn local(&self, file: &FileRef) -> Option<Local> {
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
    fn retry(&self) -> Retry {
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
    fn add_named(&mut self, wish: Wish, file: FileRef) {
        self.files.push(Planned {
            spot: wish.place.spot(None),
            known: None,
            file,
            wish,
        });
    }

    /// Something that a listing has shown.
    fn add_listed(&mut self, wish: &Wish, meant: Meant, filter: &Filter) -> Result<(), Failure> {
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

    fn add(&mut self, wish: &Wish, entry: Entry, spot: Spot) {
        self.files.push(Planned {
            file: FileRef::Name(entry.name.clone()),
            known: Some(entry),
            spot,
            wish: wish.clone(),
        });
    }

    /// A path that more than one file would get.
    fn landed_twice(&self) -> Option<PathBuf> {
        let mut landed = HashSet::new();
        let mut paths = self
            .files
            .iter()
            .filter_map(|file| file.spot.path(&file.file));
        paths.find(|path| !landed.insert(path.clone()))
    }
}

/// Looks up what the words stand for, and adds that to the batch.
async fn look_up(
    session: &mut Session,
    wishes: Vec<Wish>,
    filter: &Filter,
    batch: &mut Batch,
    report: &mut BatchReport,
) -> Result<(), Failure> {
    // All of them are read in one folder, that of the session or the root.
    let Some(here) = wishes.first().map(|wish| wish.here.clone()) else {
        return Ok(());
    };
    let words: Vec<&str> = wishes.iter().map(|wish| wish.word.as_str()).collect();
    let found = remote_names::look_up(&mut session.client, &here, &words).await?;
    for (wish, found) in wishes.iter().zip(found) {
        let added = found.and_then(|found| {
            let mut found = found.into_iter();
            found.try_for_each(|meant| batch.add_listed(wish, meant, filter))
        });
        if let Err(failure) = added {
            wish.failed(report, &failure);
        }
    }
    Ok(())
}

/// Gets the batch; returns what turned out to be folders.
async fn fetch(
    session: &mut Session,
    batch: Batch,
    args: &GetArgs,
    report: &mut BatchReport,
) -> Result<Vec<Wish>, Failure> {
    let dry_run = args.dry_run.dry_run;
    let mut ready = Ready::default();
    ready.open(batch, session, args, report)?;
    if ready.downloads.is_empty() {
        return Ok(Vec::new());
    }
    tracing::debug!(files = ready.downloads.len(), "getting");
    let prints = ready
        .wishes
        .iter()
        .any(|wish| matches!(wish.place, Place::Output));
    let bars = match prints {
        true => Bars::beside_content(&session.output),
        false => Bars::show(&session.output),
    };
    report.failed_list.plan(ready.retries);
    let mut doubtful = Vec::new();
    let sent = session
        .client
        .get(
            ready.downloads,
            dry_run,
            bars.progress(),
            &mut |file| match is_doubtful(&file) {
                true => doubtful.push(file),
                false => report.file(file),
            },
        )
        .await;
    match sent {
        Ok(sent) => report.sent(sent),
        Err(error) => return Err(report.give_up(error)),
    }
    let mut folders = Vec::new();
    for file in doubtful {
        let wish = ready.wishes.get(file.index as usize);
        match (folder_instead(&mut session.client, &file).await, wish) {
            (Some(_), Some(wish)) => folders.push(wish.clone()),
            _ => report.file(file),
        }
    }
    Ok(folders)
}

/// A batch with the folders open that it is written into.
#[derive(Default)]
struct Ready {
    downloads: Vec<Download>,
    retries: Vec<Retry>,
    wishes: Vec<Wish>,
    /// Those folders, by their paths; `None` for one that a dry run does not make.
    tops: HashMap<PathBuf, Option<LocalFolder>>,
}

impl Ready {
    fn open(
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
    fn top(&mut self, path: &Path, dry_run: bool) -> Result<Option<LocalFolder>, Failure> {
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

    fn target(
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
    fn twins(&mut self, batch: &Batch, dry_run: bool) -> HashSet<PathBuf> {
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
    fn names_that_one_file_system_may_take_for_one_are_found() {
        let names = ["A", "a", "b/c", "B/d", "b/e", "f"].map(name);
        let alike = lookalikes(&names.each_ref());
        assert_eq!(alike, [&names[1], &names[3]]);
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
