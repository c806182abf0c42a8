//! Globs in local paths, for when no shell has expanded them: in quotes, and at the prompt.

use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::shown;
use crate::cli::failure::Failure;
use crate::protocol::ErrorCode;
use crate::types::Patterns;

/// The most paths that a glob may mean.
const MAX_PATHS: usize = 10_000_000;

/// What a typed path means, in order: itself, unless it is a glob and no such file exists. As in a
/// shell, `*` and `?` stay within a part and pass over names that begin with a dot; `**` is every
/// folder below, and links to folders are not searched by it.
pub fn expand(typed: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_glob = typed.to_str().is_some_and(Patterns::is_wild);
    if !is_glob || fs::symlink_metadata(typed).is_ok() {
        return Ok(vec![typed.to_owned()]);
    }
    let mut found = vec![PathBuf::new()];
    for component in typed.components() {
        let part = component.as_os_str();
        let text = part.to_str().filter(|text| Patterns::is_wild(text));
        found = match (component, text) {
            (Component::Normal(_), Some("**")) => found.iter().flat_map(|top| below(top)).collect(),
            (Component::Normal(_), Some(text)) => {
                let glob = Part::parse(text)?;
                found.iter().flat_map(|top| matching(top, &glob)).collect()
            }
            _ => found.into_iter().map(|path| path.join(part)).collect(),
        };
        if found.len() > MAX_PATHS {
            return Err(Failure::usage(format!(
                "{} means too many files",
                shown(typed)
            )));
        }
    }
    // What stands behind a wildcard need not be there.
    found.retain(|path| !path.as_os_str().is_empty() && fs::symlink_metadata(path).is_ok());
    if found.is_empty() {
        let message = format!("nothing here matches '{}'", shown(typed));
        return Err(Failure::new(ErrorCode::NotFound, message)
            .advise("see 'lpwd' and 'lls' for where you are and what is there"));
    }
    Ok(found)
}

/// One part of a glob.
struct Part {
    glob: GlobMatcher,
    means_hidden: bool,
}

impl Part {
    fn parse(text: &str) -> Result<Self, Failure> {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Part {
            glob: glob.compile_matcher(),
            means_hidden: text.starts_with('.'),
        })
    }
}

/// What is in a folder and matches.
fn matching(folder: &Path, part: &Part) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = names(folder)
        .into_iter()
        .filter(|name| part.means_hidden || !is_hidden(name))
        .filter(|name| part.glob.is_match(name))
        .map(|name| folder.join(name))
        .collect();
    found.sort_unstable();
    found
}

/// The folder and all folders below it.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next).cloned() {
        next += 1;
        let names = names(&folder);
        let paths = names
            .iter()
            .filter(|name| !is_hidden(name))
            .map(|name| folder.join(name));
        found.extend(
            paths.filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())),
        );
        if found.len() > MAX_PATHS {
            break;
        }
    }
    found.sort_unstable();
    found
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let Ok(read) = fs::read_dir(folder) else {
        return Vec::new();
    };
    read.flatten()
        .map(|entry| entry.file_name().into())
        .collect()
}

fn is_hidden(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(top: &Path, glob: &str) -> Vec<String> {
        let found = expand(&top.join(glob)).unwrap_or_default();
        let names = found.iter().map(|path| path.strip_prefix(top).unwrap());
        names
            .map(|name| name.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn expands_as_a_shell_does() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        fs::create_dir_all(top.join("docs/deep")).unwrap();
        for file in [
            "a.txt",
            "b.txt",
            ".c.txt",
            "docs/d.txt",
            "docs/deep/e.txt",
            "[x].txt",
            "x.txt",
        ] {
            fs::write(top.join(file), file).unwrap();
        }
        for (glob, names) in [
            ("*.txt", &["[x].txt", "a.txt", "b.txt", "x.txt"][..]),
            (".*.txt", &[".c.txt"]),
            ("?.txt", &["a.txt", "b.txt", "x.txt"]),
            ("[ab].txt", &["a.txt", "b.txt"]),
            ("[x].txt", &["[x].txt"]),
            ("d*", &["docs"]),
            ("*/d.txt", &["docs/d.txt"]),
            ("do*/*", &["docs/d.txt", "docs/deep"]),
            (
                "**/*.txt",
                &[
                    "[x].txt",
                    "a.txt",
                    "b.txt",
                    "x.txt",
                    "docs/d.txt",
                    "docs/deep/e.txt",
                ],
            ),
            ("docs/**/e.txt", &["docs/deep/e.txt"]),
            ("a.txt", &["a.txt"]),
            ("*.pdf", &[]),
        ] {
            assert_eq!(expanded(top, glob), names, "{glob}");
        }
        assert!(expand(&top.join("*.pdf")).is_err());
        assert!(expand(&top.join("[")).is_err());
        assert_eq!(expand(Path::new("no")).unwrap(), [Path::new("no")]);
    }
}
