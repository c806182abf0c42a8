use std::fmt;

use caseless::Caseless;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::Printable;

/// Names that begin with this, in any case, belong to the programs themselves.
pub const RESERVED_PREFIX: &str = ".fileshare";

/// A file's or folder's path below the root (contract sections 2 and 9).
///
/// Invariants, all checked by [`FileName::parse`] and relied upon everywhere:
///
/// 1. It is 1 to 4096 bytes of UTF-8 in Normalization Form C.
/// 2. It is 1 to 128 parts of 1 to 255 bytes with one `/` between two; none before, none after.
/// 3. No part is `.` or `..`.
/// 4. It has no control character, line separator or bidirectional override.
/// 5. No part begins with `.fileshare` in any case, not even with invisible characters mixed in.
///
/// These are the rules of `--names native`. What a name must keep besides to be created under
/// `--names portable` is told by [`FileName::check_portable`]. A name is refused, never repaired.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 4096;
    /// The longest part between two slashes, in bytes: what common file systems store.
    pub const MAX_PART_BYTES: usize = 255;
    /// The most parts. Every folder on the way costs whoever opens, walks or makes it.
    pub const MAX_PARTS: usize = 128;

    /// Checks every invariant and takes the text as a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong);
        }
        if text.starts_with('/') {
            return Err(NameError::Absolute);
        }
        if text.split('/').count() > Self::MAX_PARTS {
            return Err(NameError::TooDeep);
        }
        text.split('/').try_for_each(check_part)?;
        if !is_nfc(text) {
            return Err(NameError::NotNfc);
        }
        Ok(FileName(text.into()))
    }

    /// Converts what a person typed, or a local file's name, to Normalization Form C and parses it.
    ///
    /// Keyboards and file systems differ in the form they give for the same letters; this is the
    /// one place where they are brought to the form that names have. Nothing else is changed.
    pub fn from_typed(text: &str) -> Result<Self, NameError> {
        if text.len() > 4 * Self::MAX_BYTES {
            return Err(NameError::TooLong);
        }
        Self::parse(&text.nfc().collect::<String>())
    }

    /// The name as it stands on the wire and on disk. Use `Display` for terminals.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the slashes, outermost folder first.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part: the name of the file in its folder.
    pub fn leaf(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that the file is in; `None` for the root.
    pub fn folder(&self) -> Option<FileName> {
        self.0
            .rsplit_once('/')
            .map(|(folder, _)| FileName(folder.into()))
    }

    /// Every folder that the file is in, outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = FileName> {
        self.0
            .match_indices('/')
            .map(|(at, _)| FileName(self.0[..at].into()))
    }

    /// The name of `below` inside the folder `folder` (`None` is the root).
    pub fn inside(folder: Option<&FileName>, below: &FileName) -> Result<Self, NameError> {
        match folder {
            None => Ok(below.clone()),
            Some(folder) => Self::parse(&format!("{}/{}", folder.0, below.0)),
        }
    }

    /// What is left of the name inside `folder`, or `None` when it is not in it.
    pub fn relative_to(&self, folder: &FileName) -> Option<FileName> {
        self.0
            .strip_prefix(&*folder.0)
            .and_then(|rest| rest.strip_prefix('/'))
            .map(|rest| FileName(rest.into()))
    }

    /// The text that two names share exactly when they differ in nothing but case or Unicode form
    /// (canonical caseless matching, Unicode 3.13 D145).
    pub fn fold(&self) -> String {
        fold(&self.0)
    }

    /// Whether every common system can store the name: none of `< > : " | ? * \`, no part that
    /// ends in a dot or a space, none of Windows' device names.
    pub fn check_portable(&self) -> Result<(), NameError> {
        self.parts().try_for_each(|part| {
            if let Some(found) = part.chars().find(|c| r#"<>:"|?*\"#.contains(*c)) {
                return Err(NameError::NotPortableCharacter(found));
            }
            if part.ends_with(['.', ' ']) {
                return Err(NameError::NotPortableEnd);
            }
            if is_device_name(part) {
                return Err(NameError::DeviceName);
            }
            Ok(())
        })
    }
}

/// Escaped for terminals; [`FileName::as_str`] gives the name itself.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0).fmt(f)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Why a text is not a name, or not one that may be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Over [`FileName::MAX_BYTES`] in all.
    #[error("a name is at most 4096 bytes long")]
    TooLong,
    /// One part is over [`FileName::MAX_PART_BYTES`].
    #[error("each part of a name is at most 255 bytes long")]
    PartTooLong,
    /// It has more than [`FileName::MAX_PARTS`] parts.
    #[error("a name has at most 128 parts")]
    TooDeep,
    /// It begins with a slash.
    #[error("a name does not begin with '/'")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("a name has no empty part (no '//' and no '/' at the end)")]
    EmptyPart,
    /// A part is `.` or `..`.
    #[error("a name has no '.' or '..' part")]
    DotPart,
    /// A control character, line separator or bidirectional override.
    #[error("a name has no control characters and no text direction overrides")]
    ControlCharacter,
    /// A part begins with `.fileshare`.
    #[error("names that begin with '.fileshare' belong to the program itself")]
    Reserved,
    /// Not in Unicode Normalization Form C.
    #[error("a name must be in Unicode Normalization Form C")]
    NotNfc,
    /// A character that some systems cannot store.
    #[error(
        "'{0}' cannot be stored on every system (the server was started with --names portable)"
    )]
    NotPortableCharacter(char),
    /// A part ends in a dot or a space.
    #[error(
        "a name that ends in a dot or a space cannot be stored on every system (the server was started with --names portable)"
    )]
    NotPortableEnd,
    /// A part is one of Windows' device names.
    #[error(
        "a device name of Windows cannot be stored on every system (the server was started with --names portable)"
    )]
    DeviceName,
}

fn check_part(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::EmptyPart);
    }
    if part == "." || part == ".." {
        return Err(NameError::DotPart);
    }
    if part.len() > FileName::MAX_PART_BYTES {
        return Err(NameError::PartTooLong);
    }
    if part.chars().any(is_refused) {
        return Err(NameError::ControlCharacter);
    }
    if is_reserved(part) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

fn is_refused(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether some file system could take the part for one of the program's own names: compared
/// caselessly and without the characters that HFS+ ignores.
fn is_reserved(part: &str) -> bool {
    let ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let first = part.chars().find(|c| !ignored(c));
    // Only a dot folds to a dot, so almost every name is done here.
    first == Some('.')
        && fold(&part.chars().filter(|c| !ignored(c)).collect::<String>())
            .starts_with(RESERVED_PREFIX)
}

fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().default_case_fold().nfd().collect()
}

/// Windows reserves these whatever follows the first dot, and ignores spaces before it.
fn is_device_name(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    ["COM", "LPT"]
        .iter()
        .filter_map(|device| stem.strip_prefix(device))
        .any(|number| {
            let mut characters = number.chars();
            matches!(characters.next(), Some('0'..='9' | '¹' | '²' | '³'))
                && characters.next().is_none()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_ordinary_names_as_they_are() {
        let longest = format!("{}.txt", "x".repeat(251));
        for text in [
            "a",
            "docs/a.txt",
            "-rf",
            "$(x)",
            ";x",
            "a b",
            "é/漢字.txt",
            "...",
            "..a",
            "a..",
            ".hidden",
            ".files",
            "id:notes",
            "👩\u{200d}🚀.png",
            &longest,
        ] {
            assert_eq!(FileName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_every_way_out_of_the_root() {
        use NameError::*;
        for (text, why) in [
            ("", Empty),
            ("/", Absolute),
            ("/etc/passwd", Absolute),
            ("..", DotPart),
            (".", DotPart),
            ("../a", DotPart),
            ("a/../b", DotPart),
            ("a/..", DotPart),
            ("./a", DotPart),
            ("a//b", EmptyPart),
            ("a/", EmptyPart),
            ("a\0b", ControlCharacter),
            ("a\nb", ControlCharacter),
            ("a\u{7f}", ControlCharacter),
            ("a\u{9b}2J", ControlCharacter),
            ("a\u{202e}gpj", ControlCharacter),
            ("a\u{2028}", ControlCharacter),
            (".fileshare", Reserved),
            (".FileShare/index", Reserved),
            ("docs/.fileshare-a.part", Reserved),
            (".\u{200c}fileshare", Reserved),
            (".file\u{17f}hare", Reserved),
            (".\u{fb01}leshare", Reserved),
            ("e\u{301}", NotNfc),
        ] {
            assert_eq!(FileName::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(FileName::parse(&"x".repeat(256)), Err(PartTooLong));
        let deep = vec!["x".repeat(200); 21].join("/");
        assert_eq!(FileName::parse(&deep), Err(TooLong));
        let deepest = vec!["d"; FileName::MAX_PARTS].join("/");
        assert!(FileName::parse(&deepest).is_ok());
        assert_eq!(FileName::parse(&format!("{deepest}/d")), Err(TooDeep));
    }

    #[test]
    fn typed_names_are_brought_to_nfc() {
        let name = FileName::from_typed("cafe\u{301}").unwrap();
        assert_eq!(name.as_str(), "caf\u{e9}");
    }

    #[test]
    fn portable_refuses_what_some_system_cannot_store() {
        use NameError::*;
        for (text, why) in [
            ("a:b", NotPortableCharacter(':')),
            ("a\\b", NotPortableCharacter('\\')),
            ("what?", NotPortableCharacter('?')),
            ("a*", NotPortableCharacter('*')),
            ("\"a\"", NotPortableCharacter('"')),
            ("<a>", NotPortableCharacter('<')),
            ("a|b", NotPortableCharacter('|')),
            ("a.", NotPortableEnd),
            ("a ", NotPortableEnd),
            ("dir./a", NotPortableEnd),
            ("con", DeviceName),
            ("NUL.txt", DeviceName),
            ("aux .tar.gz", DeviceName),
            ("com1", DeviceName),
            ("LPT¹.txt", DeviceName),
            ("docs/prn", DeviceName),
            ("CONIN$", DeviceName),
        ] {
            let name = FileName::parse(text).unwrap();
            assert_eq!(name.check_portable(), Err(why), "{text:?}");
        }
        for text in [
            "console", "com", "com10", "comma", "nul1", "a.b", "-rf", "é",
        ] {
            assert_eq!(FileName::parse(text).unwrap().check_portable(), Ok(()));
        }
    }

    #[test]
    fn folds_case_and_form() {
        let fold = |text: &str| FileName::parse(text).unwrap().fold();
        assert_eq!(fold("README"), fold("readme"));
        assert_eq!(fold("STRASSE"), fold("straße"));
        assert_eq!(fold("Ä"), fold("ä"));
        assert_ne!(fold("a"), fold("b"));
    }

    #[test]
    fn knows_its_folders() {
        let name = FileName::parse("a/b/c.txt").unwrap();
        assert_eq!(name.leaf(), "c.txt");
        assert_eq!(name.folder().unwrap().as_str(), "a/b");
        let ancestors: Vec<_> = name.ancestors().map(|a| a.as_str().to_owned()).collect();
        assert_eq!(ancestors, ["a", "a/b"]);
        let a = FileName::parse("a").unwrap();
        assert_eq!(name.relative_to(&a).unwrap().as_str(), "b/c.txt");
        assert_eq!(FileName::parse("ab").unwrap().relative_to(&a), None);
        let back = FileName::inside(Some(&a), &FileName::parse("b/c.txt").unwrap());
        assert_eq!(back.unwrap(), name);
    }

    proptest! {
        #[test]
        fn whatever_parses_keeps_the_invariants(text in any::<String>()) {
            if let Ok(name) = FileName::parse(&text) {
                prop_assert!(name.parts().all(|p| !p.is_empty() && p != "." && p != ".."));
                prop_assert!(!name.as_str().contains('\0'));
                prop_assert!(!name.fold().split('/').any(|p| p.starts_with(RESERVED_PREFIX)));
                prop_assert_eq!(FileName::parse(name.as_str()).unwrap(), name);
            }
        }
    }
}
