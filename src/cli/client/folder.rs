use std::fmt;

use crate::cli::failure::Failure;
use crate::protocol::ErrorCode;
use crate::types::{FileName, FileRef, Item, NameError, Patterns, Printable};

/// The current remote folder (`cd`), against which every typed name is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteFolder(Option<FileName>);

impl RemoteFolder {
    /// The folder's name; `None` is the root.
    pub fn name(&self) -> Option<&FileName> {
        self.0.as_ref()
    }

    /// What is left of a full name inside of this folder; `None` when it is not in it.
    pub fn relative(&self, name: &FileName) -> Option<FileName> {
        match &self.0 {
            None => Some(name.clone()),
            Some(folder) => name.relative_to(folder),
        }
    }

    /// The folder that `cd TEXT` leads to. The one place where `..`, `.`, `/` and empty parts mean
    /// something.
    pub fn change(&self, text: &str) -> Result<Self, Failure> {
        let here = self.0.as_ref().filter(|_| !text.starts_with('/'));
        let mut parts: Vec<&str> = here.map(|here| here.parts().collect()).unwrap_or_default();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        match parts.as_slice() {
            [] => Ok(RemoteFolder(None)),
            parts => parse(&parts.join("/"), text).map(|name| RemoteFolder(Some(name))),
        }
    }

    /// The folder that a person calls `text` in this folder, whether it exists or not.
    pub fn below(&self, text: &str) -> Result<Self, Failure> {
        self.join_folder(text).map(|name| RemoteFolder(Some(name)))
    }

    /// Like [`Self::join`], where a folder can be meant: one slash may stand behind its name.
    pub fn join_folder(&self, text: &str) -> Result<FileName, Failure> {
        self.join(without_slash(text))
    }

    /// Like [`Self::reference`], where a folder can be meant: one slash may stand behind its name.
    pub fn place(&self, text: &str) -> Result<FileRef, Failure> {
        match FileRef::id(text) {
            Some(id) => Ok(id),
            None => self.join_folder(text).map(FileRef::Name),
        }
    }

    /// The full name of what a person calls `text` in this folder.
    pub fn join(&self, text: &str) -> Result<FileName, Failure> {
        let below = parse(text, text)?;
        FileName::inside(self.name(), &below).map_err(|error| Failure::name(text, error))
    }

    /// The file that a person calls `text` in this folder: an id, or else a name.
    pub fn reference(&self, text: &str) -> Result<FileRef, Failure> {
        match FileRef::id(text) {
            Some(id) => Ok(id),
            None => self.join(text).map(FileRef::Name),
        }
    }
}

/// Whether a name says of itself that a folder is meant.
pub fn says_folder(text: &str) -> bool {
    without_slash(text).len() < text.len()
}

/// Refuses a file that was called like a folder.
pub fn check_folder(typed: &str, found: &Item) -> Result<(), Failure> {
    match found {
        Item::File(entry) if says_folder(typed) => Err(Failure::new(
            ErrorCode::Conflict,
            format!("{} is a file, not a folder", entry.name),
        )
        .advise("leave out the slash behind it")),
        _ => Ok(()),
    }
}

/// A name without the one slash that says that a folder is meant. A slash alone is no name.
fn without_slash(text: &str) -> &str {
    match text.strip_suffix('/') {
        Some(name) if !name.is_empty() && !name.ends_with('/') => name,
        _ => text,
    }
}

/// As `pwd` prints it: `/` for the root.
impl fmt::Display for RemoteFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("/"),
            Some(name) => write!(f, "/{name}"),
        }
    }
}

/// Checks a glob as far as names are concerned: it may not point anywhere but below its folder.
/// Returns it without the slash that may stand behind the name of a folder, though not behind a
/// glob, which would mean more without it.
pub fn pattern(text: &str) -> Result<&str, Failure> {
    let name = match Patterns::is_wild(text) {
        true => text,
        false => without_slash(text),
    };
    check_pattern(name, text).map(|()| name)
}

fn check_pattern(text: &str, typed: &str) -> Result<(), Failure> {
    let refuse = |error| {
        let shown = Printable(typed);
        let mut failure = Failure::name(typed, error);
        failure.message = format!("invalid pattern '{shown}': {error}");
        Err(failure
            .advise("patterns are relative to the remote folder that 'pwd' prints; see 'cd'"))
    };
    if text.is_empty() {
        return refuse(NameError::Empty);
    }
    if text.len() > FileName::MAX_BYTES {
        return refuse(NameError::TooLong);
    }
    if text.starts_with('/') {
        return refuse(NameError::Absolute);
    }
    match text.split('/').find(|part| ["", ".", ".."].contains(part)) {
        Some("") => refuse(NameError::EmptyPart),
        Some(_) => refuse(NameError::DotPart),
        None => Ok(()),
    }
}

fn parse(name: &str, typed: &str) -> Result<FileName, Failure> {
    FileName::from_typed(name).map_err(|error| {
        let failure = Failure::name(typed, error);
        match error {
            NameError::Absolute => failure.advise(
                "names are relative to the remote folder that 'pwd' prints; use 'cd /' first",
            ),
            NameError::EmptyPart => failure.advise("leave out the slash that is too many"),
            NameError::DotPart => failure.advise("only 'cd' understands '.' and '..'"),
            _ => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> RemoteFolder {
        RemoteFolder::default().change(text).unwrap()
    }

    #[test]
    fn cd_understands_dots_and_slashes() {
        for (here, typed, there) in [
            ("/", "docs", "/docs"),
            ("/", "docs/", "/docs"),
            ("/", "/docs//a/.", "/docs/a"),
            ("/docs/a", "..", "/docs"),
            ("/docs/a", "../b", "/docs/b"),
            ("/docs/a", "../../..", "/"),
            ("/docs/a", "/", "/"),
            ("/docs/a", "/b", "/b"),
            ("/docs", "", "/docs"),
            ("/", "...", "/..."),
            ("/", "x/../y", "/y"),
        ] {
            assert_eq!(folder(here).change(typed).unwrap().to_string(), there);
        }
        for bad in [".fileshare", "a\0b", "../.FILESHARE/x"] {
            let failure = folder("/docs").change(bad).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidName, "{bad:?}");
        }
    }

    #[test]
    fn names_are_read_in_the_current_folder() {
        assert_eq!(folder("/").join("a/b").unwrap().as_str(), "a/b");
        assert_eq!(folder("/docs").join("a").unwrap().as_str(), "docs/a");
        // Letters arrive in whichever form the keyboard gives.
        assert_eq!(folder("/").join("e\u{301}").unwrap().as_str(), "\u{e9}");
    }

    #[test]
    fn nothing_but_cd_understands_dots_and_slashes() {
        for bad in [
            "",
            "/",
            "/a",
            "..",
            ".",
            "../a",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "a\u{1b}[2J",
        ] {
            let failure = folder("/docs").join(bad).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidName, "{bad:?}");
            assert!(!failure.message.contains('\u{1b}'));
        }
        for bad in ["", "/", "/a", "..", "../*", "a//b", "a//", "a*/"] {
            assert!(pattern(bad).is_err(), "{bad:?}");
        }
        for good in ["*", "docs", "docs/*.txt", "**", "[a-z]?"] {
            assert_eq!(pattern(good).unwrap(), good);
        }
        assert_eq!(pattern("docs/").unwrap(), "docs");
    }

    #[test]
    fn one_slash_behind_a_name_says_that_a_folder_is_meant() {
        let docs = folder("/docs");
        assert_eq!(docs.join_folder("a/").unwrap().as_str(), "docs/a");
        assert_eq!(docs.join_folder("a").unwrap().as_str(), "docs/a");
        assert_eq!(docs.below("a/").unwrap().to_string(), "/docs/a");
        assert!(matches!(docs.place("a/"), Ok(FileRef::Name(_))));
        assert!(says_folder("a/") && !says_folder("a") && !says_folder("/"));
        for bad in ["/", "//", "a//", "../", "./"] {
            assert!(docs.join_folder(bad).is_err(), "{bad:?}");
        }
        assert!(docs.reference("a/").is_err());
    }

    #[test]
    fn ids_are_taken_wherever_names_are() {
        let docs = folder("/docs");
        assert!(matches!(docs.reference("id:d41d8c"), Ok(FileRef::Id(_))));
        match docs.reference("id:notes").unwrap() {
            FileRef::Name(name) => assert_eq!(name.as_str(), "docs/id:notes"),
            FileRef::Id(_) => panic!("a name"),
        }
    }
}
