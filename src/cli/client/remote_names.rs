//! What typed words stand for on the server: files, folders, and what globs match.

use std::collections::BTreeMap;

use super::folder::{self, RemoteFolder, says_folder};
use crate::cli::failure::Failure;
use crate::client::{Client, ListQuery, Listing};
use crate::protocol::ErrorCode;
use crate::protocol::limits::MAX_PATTERNS;
use crate::types::{Entry, FileName, FileRef, Patterns, Printable};

/// Something on the server that a word stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// Its full name.
    pub name: FileName,
    /// What it is.
    pub kind: Kind,
}

/// What something on the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File(Entry),
    /// A folder, the files in it, however deep, and the empty folders among those in it.
    Folder {
        /// The files.
        files: Vec<Entry>,
        /// The empty folders; the folder itself when it is one.
        empty: Vec<FileName>,
    },
}

/// Whether a word is a glob, and no id. One that cannot be understood as a glob is a name.
pub fn is_glob(word: &str) -> bool {
    Patterns::is_wild(word) && FileRef::id(word).is_none() && Patterns::parse(&[word]).is_ok()
}

/// What each of the words stands for in the folder, as listings show it: a name for itself, and a
/// glob for whatever it matches, a folder with all that is in it. A name that is there is no glob.
pub async fn look_up(
    client: &mut Client,
    here: &RemoteFolder,
    words: &[&str],
) -> Result<Vec<Result<Vec<Meant>, Failure>>, Failure> {
    let mut meant = Vec::new();
    for words in words.chunks(MAX_PATTERNS) {
        let patterns: Vec<_> = words.iter().map(|word| folder::pattern(word)).collect();
        let query = ListQuery {
            folder: here.name().cloned(),
            patterns: patterns
                .iter()
                .flatten()
                .map(|&text| text.to_owned())
                .collect(),
            limit: 0,
        };
        let listing = match query.patterns.is_empty() {
            true => Listing::default(),
            false => match client.list_all(&query).await {
                // Each word is told of by itself.
                Err(error) if error.code == ErrorCode::NotFound => Listing::default(),
                other => other?,
            },
        };
        for (word, pattern) in words.iter().zip(patterns) {
            meant.push(pattern.and_then(|pattern| pick(&listing, here, word, pattern)));
        }
    }
    Ok(meant)
}

/// What a word stands for among what was listed.
fn pick(
    listing: &Listing,
    here: &RemoteFolder,
    word: &str,
    pattern: &str,
) -> Result<Vec<Meant>, Failure> {
    let glob = Patterns::parse(&[pattern]).map_err(|error| Failure::usage(error.to_string()))?;
    let spelled = here.join_folder(pattern).ok();
    let mut found: BTreeMap<FileName, Kind> = BTreeMap::new();
    let files = listing.files.iter().map(|file| (&file.name, Some(file)));
    let empty = listing.empty.iter().map(|name| (name, None));
    for (name, file) in files.chain(empty) {
        let Some(outermost) = outermost(here, &glob, name) else {
            continue;
        };
        let is_itself = outermost == *name;
        let kind = found.entry(outermost).or_insert_with(|| match file {
            Some(file) if is_itself => Kind::File(file.clone()),
            _ => Kind::Folder {
                files: Vec::new(),
                empty: Vec::new(),
            },
        });
        if let Kind::Folder { files, empty } = kind {
            match file {
                Some(file) => files.push(file.clone()),
                None => empty.push(name.clone()),
            }
        }
    }
    if let Some((name, kind)) = spelled.and_then(|name| found.remove_entry(&name)) {
        found = BTreeMap::from([(name, kind)]);
    }
    if says_folder(word) {
        found.retain(|_, kind| matches!(kind, Kind::Folder { .. }));
    }
    if found.is_empty() {
        let message = format!("nothing on the server matches '{}'", Printable(word));
        return Err(Failure::new(ErrorCode::NotFound, message));
    }
    let meant = found.into_iter().map(|(name, kind)| Meant { name, kind });
    Ok(meant.collect())
}

/// The outermost of a name and its folders that the glob means, seen from here.
fn outermost(here: &RemoteFolder, glob: &Patterns, name: &FileName) -> Option<FileName> {
    let below = here.relative(name)?;
    let mut candidates = below.ancestors().chain([below.clone()]);
    let meant = candidates.find(|candidate| glob.is_match(candidate))?;
    FileName::inside(here.name(), &meant).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn name(text: &str) -> FileName {
        FileName::parse(text).unwrap()
    }

    fn listing(files: &[&str], empty: &[&str]) -> Listing {
        let entry = |text: &&str| Entry {
            name: name(text),
            id: None,
            size: 1,
            modified: Timestamp::new(0, 0).unwrap(),
            executable: false,
        };
        Listing {
            files: files.iter().map(entry).collect(),
            empty: empty.iter().map(|text| name(text)).collect(),
        }
    }

    /// What is meant, with how much is in it where it is a folder.
    fn meant(cd: &str, word: &str) -> Vec<String> {
        let files = ["[x].txt", "a.txt", "docs/b.txt", "docs/deep/c.txt", "x.txt"];
        let listing = listing(&files, &["docs/none", "none"]);
        let here = RemoteFolder::default().change(cd).unwrap();
        let found = match folder::pattern(word).and_then(|text| pick(&listing, &here, word, text)) {
            Ok(found) => found,
            Err(failure) => return vec![failure.code.to_string()],
        };
        found
            .iter()
            .map(|meant| match &meant.kind {
                Kind::File(_) => meant.name.as_str().to_owned(),
                Kind::Folder { files, empty } => {
                    format!("{}/ {}+{}", meant.name.as_str(), files.len(), empty.len())
                }
            })
            .collect()
    }

    #[test]
    fn what_cannot_be_a_glob_is_a_name() {
        assert!(is_glob("*.txt") && is_glob("[ab]") && is_glob("a\\*"));
        for name in ["a", "last\\", "\\", "[a", "id:d41d8c"] {
            assert!(!is_glob(name), "{name}");
        }
    }

    #[test]
    fn a_glob_means_the_outermost_things_that_it_matches() {
        for (cd, word, found) in [
            (
                "/",
                "*",
                &["[x].txt", "a.txt", "docs/ 2+1", "none/ 0+1", "x.txt"][..],
            ),
            (
                "/",
                "docs/**",
                &["docs/b.txt", "docs/deep/ 1+0", "docs/none/ 0+1"],
            ),
            (
                "/",
                "**/*.txt",
                &["[x].txt", "a.txt", "docs/b.txt", "docs/deep/c.txt", "x.txt"],
            ),
            (
                "/docs",
                "*",
                &["docs/b.txt", "docs/deep/ 1+0", "docs/none/ 0+1"],
            ),
            ("/", "docs", &["docs/ 2+1"]),
            ("/", "docs/", &["docs/ 2+1"]),
            ("/", "none", &["none/ 0+1"]),
            ("/", "[x].txt", &["[x].txt"]),
            ("/", "a.txt/", &["not_found"]),
            ("/", "*.pdf", &["not_found"]),
            ("/", "../*", &["invalid_name"]),
        ] {
            assert_eq!(meant(cd, word), found, "{word}");
        }
    }
}
