use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::local::{self, LocalFile, LocalPlace, blocking};
use super::{Client, ListQuery, Rules, Tree, WalkOptions};
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::Progress;
use crate::types::{Digest, Entry, FileName, FileRef, Item, Patterns, Printable};

/// How a local file compares with the server's ([`Client::verify`]).
#[derive(Debug)]
pub struct Verification {
    /// The full name on the server.
    pub name: FileName,
    /// The local file.
    pub path: PathBuf,
    /// The server's entry, when there is one.
    pub entry: Option<Entry>,
    /// `Ok` when both have the same content; else why not: `DigestMismatch` (they differ),
    /// `NotFound` (missing on either side), or what kept us from comparing.
    pub outcome: Result<(), Failure>,
}

pub(super) async fn verify(
    client: &mut Client,
    query: &ListQuery,
    local: &Path,
    options: &WalkOptions,
    progress: Arc<dyn Progress>,
    report: &mut (dyn FnMut(Verification) + Send),
) -> Result<(), Failure> {
    let Here { files, rules } = local_files(query, local, options).await?;
    let here = files;
    let mut there = BTreeMap::new();
    let listed = client
        .list(query, &mut |item| {
            if let Item::File(entry) = item
                && relative(query, &entry.name).is_none_or(|name| rules.takes(&name, false))
            {
                there.insert(entry.name.clone(), entry);
            }
        })
        .await;
    match listed {
        // That nothing matches there is a finding, not a failure: it may be here.
        Err(failure) if failure.code == ErrorCode::NotFound => {}
        other => other?,
    }
    for pattern in &query.patterns {
        let meant = parse(std::slice::from_ref(pattern))?;
        let mut names = there.keys().chain(here.keys());
        if !names.any(|name| relative(query, name).is_some_and(|name| meant.is_match(&name))) {
            report(nothing(query, local, pattern)?);
        }
    }
    let bytes = there.values().map(|entry| entry.size).sum();
    progress.batch(there.len() as u64, bytes);
    for (index, name) in (0..).zip(here.keys().filter(|name| !there.contains_key(*name))) {
        let path = here.get(name).map_or_else(PathBuf::new, LocalPlace::path);
        let message = format!("{name} is not on the server");
        progress.end(index);
        report(Verification {
            name: name.clone(),
            path,
            entry: None,
            outcome: Err(Failure::new(ErrorCode::NotFound, message)),
        });
    }
    for (index, (name, mut entry)) in (0..).zip(there) {
        let place = match here.get(&name) {
            Some(place) => place.clone(),
            // A link that is not followed may be as good as the file.
            None => LocalPlace::Path(below(
                local,
                &relative(query, &name).unwrap_or_else(|| name.clone()),
            )),
        };
        let outcome = compare(client, &place, &mut entry, index, &progress).await;
        progress.end(index);
        report(Verification {
            name,
            path: place.path(),
            entry: Some(entry),
            outcome,
        });
    }
    Ok(())
}

/// The name as the patterns see it: inside of the folder that the query is about.
fn relative(query: &ListQuery, name: &FileName) -> Option<FileName> {
    match &query.folder {
        Some(folder) => name.relative_to(folder),
        None => Some(name.clone()),
    }
}

fn parse(patterns: &[String]) -> Result<Patterns, Failure> {
    Patterns::parse(patterns).map_err(|error| Failure::new(ErrorCode::Usage, error.to_string()))
}

/// What is said of a pattern that means nothing on either side.
fn nothing(query: &ListQuery, local: &Path, pattern: &str) -> Result<Verification, Failure> {
    let shown = Printable(pattern);
    let message = format!("{shown} is neither here nor on the server");
    let missing = Failure::new(ErrorCode::NotFound, message);
    let text = pattern.strip_suffix('/').unwrap_or(pattern);
    match FileName::parse(text) {
        Ok(name) => Ok(Verification {
            path: below(local, &name),
            name: FileName::inside(query.folder.as_ref(), &name).unwrap_or(name),
            entry: None,
            outcome: Err(missing),
        }),
        Err(_) => Err(missing),
    }
}

async fn compare(
    client: &mut Client,
    place: &LocalPlace,
    entry: &mut Entry,
    index: u32,
    progress: &Arc<dyn Progress>,
) -> Result<(), Failure> {
    let (file, name, path) = (place.clone(), entry.name.clone(), place.path());
    let opened = blocking(move || match LocalFile::open(&file) {
        Err(failure) if failure.code == ErrorCode::NotFound => Err(Failure::new(
            ErrorCode::NotFound,
            format!("{name} is not here ({})", local::shown(&file.path())),
        )),
        other => other,
    });
    let mut opened = opened.await?;
    let name = &entry.name;
    let differs = || {
        let path = local::shown(&path);
        Failure::new(
            ErrorCode::DigestMismatch,
            format!("{path} differs from {name}"),
        )
    };
    if opened.facts.size != entry.size {
        return Err(differs());
    }
    progress.begin(index, &entry.name.to_string(), Some(entry.size), 0);
    let hashing = progress.clone();
    let digest: Digest =
        blocking(move || opened.hash(|bytes| hashing.advance(index, bytes as u64))).await?;
    let id = match entry.id {
        Some(id) => Some(id),
        None => match client.stat_with(&FileRef::Name(name.clone()), true).await? {
            Item::File(now) => now.id,
            Item::Folder(_) => None,
        },
    };
    if id != Some(digest) {
        return Err(differs());
    }
    entry.id = id;
    Ok(())
}

/// What there is here of what a query means.
#[derive(Default)]
struct Here {
    /// The files, under the names that they would have on the server.
    files: BTreeMap<FileName, LocalPlace>,
    /// Which other names are meant, seen from here.
    rules: Rules,
}

/// Looks for the local files that the query means.
async fn local_files(
    query: &ListQuery,
    local: &Path,
    options: &WalkOptions,
) -> Result<Here, Failure> {
    let patterns = parse(&query.patterns)?;
    // Where nothing but spelled-out names is meant, nothing else is walked through.
    let tree = Tree::read_within(local, patterns.spelled_out(), options).await;
    let tree = match tree {
        // A folder that does not exist has no files.
        Err(failure) if failure.code == ErrorCode::NotFound => return Ok(Here::default()),
        tree => tree?,
    };
    let mut files = BTreeMap::new();
    for file in tree.files {
        if let (true, Ok(name)) = (
            patterns.is_match(&file.name),
            FileName::inside(query.folder.as_ref(), &file.name),
        ) {
            files.insert(name, LocalPlace::Found(tree.top.clone(), file.place));
        }
    }
    Ok(Here {
        files,
        rules: tree.rules,
    })
}

/// The local path of a name below `local`.
fn below(local: &Path, name: &FileName) -> PathBuf {
    name.parts()
        .fold(local.to_owned(), |path, part| path.join(part))
}
