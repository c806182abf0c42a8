//! What can stand at the cursor, by position in the line, and which words there are for it.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Arg, CommandFactory};

use super::word::Word;
use crate::cli::client::command::{Line, REMOTE_MARK, canonical};
use crate::types::{FileName, Item};

/// What can stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One of these words.
    Words(Vec<String>),
    /// A name on the server.
    Remote,
    /// A name in the server's trash.
    Kept,
    /// A folder on the server.
    RemoteFolder,
    /// A local path.
    Local,
    /// A local folder.
    LocalFolder,
    /// A folder on either side: what begins so is the server's.
    EitherFolder(&'static str),
    /// Nothing that we know of.
    Nothing,
}

/// What can stand where `word` is being typed, behind the words `before` it.
pub fn wanted(before: &[String], word: &Word) -> Wanted {
    let mut grammar = Line::command();
    grammar.build();
    let at = before.iter().position(|word| !word.starts_with('-'));
    let typed = at.and_then(|at| canonical(before.get(at)?));
    let Some(at) = at else {
        return match word.text.starts_with('-') {
            true => Wanted::Words(options(grammar.get_arguments())),
            false => Wanted::Words(commands()),
        };
    };
    let Some(command) = typed.and_then(|name| grammar.find_subcommand(name).cloned()) else {
        return Wanted::Nothing;
    };
    let arguments = before.get(at + 1..).unwrap_or_default();
    let only_names = arguments.iter().any(|argument| argument == "--");
    if !only_names {
        let last = arguments.last().map(String::as_str).unwrap_or_default();
        let option = command
            .get_arguments()
            .find(|argument| is_option(argument, last) && argument.get_action().takes_values());
        if let Some(option) = option {
            return value_of(option);
        }
        if word.text.starts_with('-') {
            return Wanted::Words(options(command.get_arguments()));
        }
    }
    match command.get_name() {
        "list" | "get" | "rename" | "remove" | "mkdir" | "stat" | "cat" | "edit" | "verify" => {
            Wanted::Remote
        }
        "sync" => Wanted::EitherFolder(REMOTE_MARK),
        "trash" | "restore" => Wanted::Kept,
        "cd" => Wanted::RemoteFolder,
        "put" => Wanted::Local,
        "lcd" | "lls" => Wanted::LocalFolder,
        "help" => Wanted::Words(commands()),
        _ => Wanted::Nothing,
    }
}

/// A word that fits, and whether it ends there (a folder goes on).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The whole word.
    pub text: String,
    /// Whether the word ends there.
    pub finished: bool,
}

/// The words that begin like what was typed. Command words ignore case.
pub fn among(words: &[String], typed: &str) -> Vec<Candidate> {
    words
        .iter()
        .filter(|word| {
            word.get(..typed.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(typed))
        })
        .map(|word| Candidate {
            text: word.clone(),
            finished: true,
        })
        .collect()
}

/// What was typed of a path: the folder, with its slash, and the beginning of the last part.
pub fn split_path(typed: &str) -> (&str, &str) {
    typed.split_at(typed.rfind('/').map_or(0, |slash| slash + 1))
}

/// The globs that list what begins like `leaf` in a folder: files and folders, and what shows
/// that a folder is one.
pub fn patterns(leaf: &str) -> Vec<String> {
    let leaf = globset::escape(leaf);
    vec![format!("{leaf}*"), format!("{leaf}*/**")]
}

/// The names in the folder `below` that the items show, as `folder` was typed.
pub fn remote(
    items: &[Item],
    below: Option<&FileName>,
    typed: &str,
    only_folders: bool,
) -> Vec<Candidate> {
    let (folder, leaf) = split_path(typed);
    let found: BTreeSet<Candidate> = items
        .iter()
        .filter_map(|item| {
            let name = match below {
                None => item.name().clone(),
                Some(below) => item.name().relative_to(below)?,
            };
            let mut parts = name.parts();
            let first = parts.next().filter(|first| first.starts_with(leaf))?;
            let is_folder = parts.next().is_some() || matches!(item, Item::Folder(_));
            Some(candidate(folder, first, is_folder))
        })
        .filter(|candidate| !(only_folders && candidate.finished))
        .collect();
    found.into_iter().collect()
}

/// The local paths that begin like what was typed.
pub fn local(typed: &str, only_folders: bool) -> Vec<Candidate> {
    let (folder, leaf) = split_path(typed);
    let place = if folder.is_empty() { "." } else { folder };
    let Ok(read) = std::fs::read_dir(Path::new(place)) else {
        return Vec::new();
    };
    let mut found: Vec<Candidate> = read
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !leaf.starts_with('.');
            // A name that a terminal would act on cannot be typed either.
            let strange = name.chars().any(char::is_control);
            (name.starts_with(leaf) && !hidden && !strange)
                .then(|| candidate(folder, &name, entry.path().is_dir()))
        })
        .filter(|candidate| !(only_folders && candidate.finished))
        .collect();
    found.sort();
    found
}

fn candidate(folder: &str, name: &str, is_folder: bool) -> Candidate {
    let slash = if is_folder { "/" } else { "" };
    Candidate {
        text: format!("{folder}{name}{slash}"),
        finished: !is_folder,
    }
}

fn commands() -> Vec<String> {
    Line::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect()
}

fn options<'a>(arguments: impl Iterator<Item = &'a Arg>) -> Vec<String> {
    arguments
        .filter_map(|argument| argument.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

fn is_option(argument: &Arg, typed: &str) -> bool {
    let long = typed.strip_prefix("--");
    let short = typed
        .strip_prefix('-')
        .filter(|rest| rest.len() == 1)
        .and_then(|rest| rest.chars().next());
    (long.is_some() && argument.get_long() == long)
        || (short.is_some() && argument.get_short() == short)
}

fn value_of(option: &Arg) -> Wanted {
    let words: Vec<String> = option
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    match option.get_id().as_str() {
        _ if !words.is_empty() => Wanted::Words(words),
        "output" | "failed" | "retry_from" => Wanted::Local,
        "to" => Wanted::RemoteFolder,
        "name" => Wanted::Remote,
        _ => Wanted::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::super::word::split;
    use super::*;
    use crate::types::{Entry, Timestamp};

    fn wanted_at(line: &str) -> Wanted {
        let (before, word) = split(line);
        wanted(&before, &word)
    }

    fn words_at(line: &str) -> Vec<String> {
        match wanted_at(line) {
            Wanted::Words(words) => words,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn file(name: &str) -> Item {
        Item::File(Entry {
            name: FileName::parse(name).unwrap(),
            id: None,
            size: 0,
            modified: Timestamp::new(0, 0).unwrap(),
            executable: false,
        })
    }

    fn texts(candidates: Vec<Candidate>) -> Vec<String> {
        candidates.into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn folders_and_lists_are_completed_where_they_can_stand() {
        assert_eq!(wanted_at("put --failed "), Wanted::Local);
        assert_eq!(wanted_at("get --retry-from li"), Wanted::Local);
        assert_eq!(wanted_at("put photos --to "), Wanted::RemoteFolder);
        assert_eq!(wanted_at("put --exclude "), Wanted::Nothing);
        assert_eq!(wanted_at("get --exclude x "), Wanted::Remote);
        assert!(words_at("put --f").contains(&"--follow".to_owned()));
    }

    #[test]
    fn the_position_says_what_is_wanted() {
        for (line, expected) in [
            ("get ", Wanted::Remote),
            ("GET a b", Wanted::Remote),
            ("ls do", Wanted::Remote),
            ("mv a ", Wanted::Remote),
            ("--json cat ", Wanted::Remote),
            ("restore do", Wanted::Kept),
            ("trash ", Wanted::Kept),
            ("cd ", Wanted::RemoteFolder),
            ("put ", Wanted::Local),
            ("put a --to ", Wanted::RemoteFolder),
            ("put a --as ", Wanted::Remote),
            ("get a -o ", Wanted::Local),
            ("get a --output x", Wanted::Local),
            ("get -- -", Wanted::Remote),
            ("lcd ", Wanted::LocalFolder),
            ("lls x", Wanted::LocalFolder),
            ("mirror a ser", Wanted::EitherFolder("server:")),
            ("edit ", Wanted::Remote),
            ("put a --if-match ", Wanted::Nothing),
            ("ping ", Wanted::Nothing),
            ("frobnicate ", Wanted::Nothing),
        ] {
            assert_eq!(wanted_at(line), expected, "{line}");
        }
        assert!(words_at("").contains(&"list".to_owned()));
        assert!(words_at("ge").contains(&"get".to_owned()));
        assert!(words_at("help ").contains(&"put".to_owned()));
        assert!(words_at("get -").contains(&"--on-conflict".to_owned()));
        assert!(words_at("put a --").contains(&"--json".to_owned()));
        let values = words_at("get a --on-conflict ");
        assert_eq!(values, ["error", "overwrite", "rename", "skip"]);
    }

    #[test]
    fn words_fit_in_any_case() {
        let words = ["list", "lls", "get"].map(str::to_owned);
        assert_eq!(texts(among(&words, "LI")), ["list"]);
        assert_eq!(texts(among(&words, "l")), ["list", "lls"]);
        assert_eq!(texts(among(&words, "é")), [""; 0]);
    }

    #[test]
    fn remote_names_are_completed_part_by_part() {
        let items = [
            file("docs/a b.txt"),
            file("docs/deep/x"),
            file("docs/deep/y"),
            Item::Folder(FileName::parse("docs/empty").unwrap()),
            file("other"),
        ];
        let docs = FileName::parse("docs").unwrap();
        let all = texts(remote(&items, Some(&docs), "docs/", false));
        assert_eq!(all, ["docs/a b.txt", "docs/deep/", "docs/empty/"]);
        let folders = texts(remote(&items, Some(&docs), "/docs/d", true));
        assert_eq!(folders, ["/docs/deep/"]);
        assert_eq!(texts(remote(&items, None, "o", false)), ["other"]);
        assert_eq!(split_path("docs/a"), ("docs/", "a"));
        assert_eq!(patterns("a[1]"), ["a[[]1[]]*", "a[[]1[]]*/**"]);
    }

    #[test]
    fn local_names_are_completed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a b"), "").unwrap();
        std::fs::write(dir.path().join(".hidden"), "").unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        let folder = format!("{}/", dir.path().to_str().unwrap());
        assert_eq!(
            texts(local(&folder, false)),
            [format!("{folder}a b"), format!("{folder}deep/")]
        );
        assert_eq!(texts(local(&folder, true)), [format!("{folder}deep/")]);
        assert_eq!(
            texts(local(&format!("{folder}.h"), false)),
            [format!("{folder}.hidden")]
        );
        assert!(local("/nowhere/at/all/", false).is_empty());
    }
}
