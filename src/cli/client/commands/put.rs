use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::PutArgs;
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::local_glob;
use crate::cli::client::retry_list::{self, Local, Retry};
use crate::cli::client::session::{Input, Session};
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::{ClientError, LocalFolder, Reason, Skipped, Source, Tree, Upload, WalkOptions};
use crate::disk::FileKind;
use crate::protocol::ErrorCode;
use crate::types::{FileName, OnConflict, Precondition};

/// `put PATH… [--as NAME] [--to DIR]`
pub async fn run(session: &mut Session, args: PutArgs) -> Outcome {
    check(&args, session.input)?;
    let mut plan = Plan::new(&args)?;
    let mut report = BatchReport::new(&session.output, "put", Doing::Putting(rules(&args)))
        .listing_failures(args.retry.failed.as_deref());
    for wish in wishes(&session.folder, &args, &mut report)? {
        // What cannot be sent does not keep the others from going.
        if let Err((wish, failure)) = plan.add(wish, &args, &mut report).await {
            report.failed(&wish.path().to_string_lossy(), &failure);
            report.failed_list.add(wish.retry());
        }
    }
    if let Some(name) = plan.twice.filter(|_| rules(&args) != OnConflict::Rename) {
        let message = format!("two of the files would be stored as {name}");
        return Err(Failure::usage(message)
            .advise("put them one by one with --as, or say --on-conflict rename"));
    }
    let dry_run = args.dry_run.dry_run;
    if !plan.uploads.is_empty() {
        tracing::debug!(files = plan.uploads.len(), "putting");
        report.failed_list.plan(plan.retries);
        let bars = Bars::show(&session.output);
        let sent = session
            .client
            .put(plan.uploads, dry_run, bars.progress(), &mut |file| {
                report.file(file)
            })
            .await;
        match sent {
            Ok(sent) => report.sent(sent),
            Err(error) => return Err(report.give_up(error)),
        }
    }
    make_folders(session, &plan.folders, dry_run, &mut report).await;
    report.finish()
}

/// Makes the empty folders.
async fn make_folders(
    session: &mut Session,
    folders: &[(FileName, PathBuf)],
    dry_run: bool,
    report: &mut BatchReport,
) {
    let names: Vec<FileName> = folders.iter().map(|(name, _)| name.clone()).collect();
    let mut tell = |place: usize, made: Result<(), ClientError>| {
        let Some((name, path)) = folders.get(place) else {
            return;
        };
        let Err(error) = made else {
            return report.folder(name, dry_run);
        };
        report.failed(name.as_str(), &Failure::from(error));
        report.failed_list.add(Retry {
            name: name.as_str().to_owned(),
            local: Some(Local::Path(path.clone())),
        });
    };
    let made = session
        .client
        .make_folders(&names, dry_run, &mut tell)
        .await;
    if let Err(error) = made {
        (0..folders.len()).for_each(|place| tell(place, Err(error.clone())));
    }
}

fn check(args: &PutArgs, input: Input) -> Result<(), Failure> {
    let many = args.paths.len() > 1 || args.retry.retry_from.is_some();
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

/// Something to put: where it is, and what it is to be called.
#[derive(Debug)]
struct Wish {
    path: PathBuf,
    /// The folder of a tree that the path is below, if it must stay in it.
    top: Option<PathBuf>,
    /// The remote folder to put it into.
    base: RemoteFolder,
    /// Its name there; `None` is the one that it has here.
    name: Option<String>,
}

impl Wish {
    /// The whole path.
    fn path(&self) -> PathBuf {
        match &self.top {
            Some(top) => top.join(&self.path),
            None => self.path.clone(),
        }
    }

    fn retry(&self) -> Retry {
        let name = self
            .name
            .as_ref()
            .and_then(|name| self.base.join_folder(name).ok());
        Retry {
            name: name.map_or(String::new(), |name| name.as_str().to_owned()),
            local: Some(match &self.top {
                Some(top) => Local::Below(top.clone(), self.path.clone()),
                None => Local::Path(self.path.clone()),
            }),
        }
    }
}

/// What the arguments ask for. A glob that means nothing fails alone.
fn wishes(
    here: &RemoteFolder,
    args: &PutArgs,
    report: &mut BatchReport,
) -> Result<Vec<Wish>, Failure> {
    if let Some(list) = &args.retry.retry_from {
        return retry_list::read(list)?.into_iter().map(again).collect();
    }
    let base = match &args.to {
        Some(to) => here.below(to)?,
        None => here.clone(),
    };
    let mut wishes = Vec::new();
    for typed in &args.paths {
        let wish = |path| Wish {
            path,
            top: None,
            base: base.clone(),
            name: args.name.clone(),
        };
        match local_glob::expand(typed) {
            Ok(paths) => wishes.extend(paths.into_iter().map(wish)),
            Err(failure) => report.failed(&typed.to_string_lossy(), &failure),
        }
    }
    if args.name.is_some() && wishes.len() > 1 {
        return Err(
            Failure::usage("--as gives one name, and the glob means more than one file")
                .advise("name a folder with --to"),
        );
    }
    Ok(wishes)
}

/// What a line of a list asks for: its names are full ones.
fn again(retry: Retry) -> Result<Wish, Failure> {
    let name = Some(retry.name).filter(|name| !name.is_empty());
    let (top, path) = match (retry.local, &name) {
        (Some(Local::Path(path)), _) => (None, path),
        (Some(Local::Below(top, below)), _) => (Some(top), below),
        (None, Some(name)) => (None, PathBuf::from(name)),
        (None, None) => {
            return Err(Failure::usage(
                "the list has a line without a name and a path",
            ));
        }
    };
    Ok(Wish {
        path,
        top,
        base: RemoteFolder::default(),
        name,
    })
}

/// What is to be sent and made.
struct Plan {
    walk: WalkOptions,
    uploads: Vec<Upload>,
    /// The same, for a list of what failed.
    retries: Vec<Retry>,
    /// Empty folders, and where they are here.
    folders: Vec<(FileName, PathBuf)>,
    /// Folders of a list of what failed, by their paths.
    tops: HashMap<PathBuf, LocalFolder>,
    names: HashSet<FileName>,
    /// A name that more than one file would get.
    twice: Option<FileName>,
}

impl Plan {
    fn new(args: &PutArgs) -> Result<Self, Failure> {
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

    async fn add(
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
            precondition: Precondition {
                if_match: args.version.if_match,
            },
            basis: None,
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
pub(super) fn tell_skipped(
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

/// Whoever names the version to replace has asked for it to be replaced.
fn rules(args: &PutArgs) -> OnConflict {
    match (args.conflict.on_conflict, args.version.if_match) {
        (Some(typed), _) => typed.into(),
        (None, Some(_)) => OnConflict::Overwrite,
        (None, None) => OnConflict::Error,
    }
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

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::command::{Command, parse_line};
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;

    fn args(line: &str) -> PutArgs {
        match parse_line(shlex::split(line).unwrap()).unwrap().command {
            Command::Put(args) => args,
            other => panic!("{other:?}"),
        }
    }

    async fn plan(line: &str, path: &Path, folder: &str) -> (Plan, Result<(), Failure>) {
        let here = RemoteFolder::default().change(folder).unwrap();
        let mut args = args(line);
        args.paths = vec![path.to_owned()];
        let output = Captured::default().output(Look::default());
        let mut report = BatchReport::new(&output, "put", Doing::Putting(OnConflict::Error));
        let mut plan = Plan::new(&args).unwrap();
        let mut added = Ok(());
        match wishes(&here, &args, &mut report) {
            Err(failure) => added = Err(failure),
            Ok(wishes) => {
                for wish in wishes {
                    let this = plan.add(wish, &args, &mut report).await;
                    added = added.and(this.map_err(|(_, failure)| failure));
                }
            }
        }
        (plan, added)
    }

    /// The names that the path would be stored under; folders with a slash.
    async fn names(line: &str, path: &Path, folder: &str) -> Result<Vec<String>, ErrorCode> {
        let (plan, added) = plan(line, path, folder).await;
        added.map_err(|failure| failure.code)?;
        let files = plan
            .uploads
            .iter()
            .map(|upload| upload.name.as_str().to_owned());
        let folders = plan
            .folders
            .iter()
            .map(|(name, _)| format!("{}/", name.as_str()));
        Ok(files.chain(folders).collect())
    }

    #[tokio::test]
    async fn stores_the_base_name_below_the_remote_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "x").unwrap();
        for (line, folder, expected) in [
            ("put x", "/", "a.txt"),
            ("put x", "/docs", "docs/a.txt"),
            ("put x --to in", "/docs", "docs/in/a.txt"),
            ("put x --as b", "/", "b"),
            ("put x --as c/b", "/docs", "docs/c/b"),
            ("put x --to in --as b", "/", "in/b"),
        ] {
            let stored = names(line, &path, folder).await;
            assert_eq!(stored, Ok(vec![expected.to_owned()]), "{line}");
        }
        for line in [
            "put x --as ../b",
            "put x --as /b",
            "put x --to ..",
            "put x --as b/",
        ] {
            let stored = names(line, &path, "/").await;
            assert_eq!(stored, Err(ErrorCode::InvalidName), "{line}");
        }
    }

    #[tokio::test]
    async fn a_folder_is_stored_below_its_base_name_and_a_dot_has_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("docs/none")).unwrap();
        std::fs::write(dir.path().join("docs/a.txt"), "x").unwrap();
        for (line, path, expected) in [
            ("put x", "docs", ["docs/a.txt", "docs/none/"]),
            ("put x", "docs/", ["docs/a.txt", "docs/none/"]),
            ("put x", "docs/.", ["a.txt", "none/"]),
            ("put x", "docs/./", ["a.txt", "none/"]),
            ("put x", "docs/none/..", ["a.txt", "none/"]),
            ("put x --as new", "docs", ["new/a.txt", "new/none/"]),
            ("put x --as new/", "docs", ["new/a.txt", "new/none/"]),
            ("put x --to in", "docs", ["in/docs/a.txt", "in/docs/none/"]),
            ("put x --to in", "docs/.", ["in/a.txt", "in/none/"]),
            (
                "put x --to in --as new",
                "docs/.",
                ["in/new/a.txt", "in/new/none/"],
            ),
        ] {
            let stored = names(line, &dir.path().join(path), "/").await;
            assert_eq!(
                stored,
                Ok(expected.map(str::to_owned).to_vec()),
                "{line} {path}"
            );
        }
        let none = names("put x", &dir.path().join("docs/none"), "/").await;
        assert_eq!(none, Ok(vec!["none/".to_owned()]));
        let id = "d41d8cd98f00b204e9800998ecf8427e";
        let line = format!("put x --if-match {id}");
        let refused = names(&line, &dir.path().join("docs"), "/").await;
        assert_eq!(refused, Err(ErrorCode::Usage));
    }

    #[tokio::test]
    async fn what_is_named_is_meant_by_its_base_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("docs/b")).unwrap();
        for file in ["docs/a.txt", "docs/a.o", "docs/b/c.txt"] {
            std::fs::write(dir.path().join(file), "x").unwrap();
        }
        for (line, path, expected) in [
            (
                "put x --exclude *.o",
                "docs",
                &["docs/a.txt", "docs/b/c.txt"][..],
            ),
            ("put x --include *.o", "docs", &["docs/a.o"]),
            ("put x --exclude /b", "docs", &["docs/a.o", "docs/a.txt"]),
            ("put x --exclude docs", "docs", &[]),
            ("put x --exclude a.*", "docs/a.txt", &[]),
            ("put x --include *.o", "docs/*", &["a.o"]),
        ] {
            let stored = names(line, &dir.path().join(path), "/").await;
            let expected = expected.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(stored, Ok(expected), "{line} {path}");
        }
    }

    #[tokio::test]
    async fn refuses_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let missing = names("put x", &dir.path().join("missing"), "/").await;
        assert_eq!(missing, Err(ErrorCode::NotFound));
        #[cfg(unix)]
        {
            let device = names("put x", Path::new("/dev/null"), "/").await;
            assert_eq!(device, Err(ErrorCode::Usage));
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_local_name_that_no_server_takes_says_what_to_do() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        for bytes in [&b"a\xff"[..], b"a\nb", b".fileshare-x"] {
            let path = dir.path().join(std::ffi::OsStr::from_bytes(bytes));
            std::fs::write(&path, "x").unwrap();
            let failure = plan("put x", &path, "/").await.1.unwrap_err();
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
