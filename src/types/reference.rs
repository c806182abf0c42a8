use std::fmt;

use super::{Digest, FileName, NameError};

/// How a command names a file: by name, or by id (contract section 2, "id").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRef {
    /// By its path below the root.
    Name(FileName),
    /// By its id or the beginning of it, written `id:d41d8c`.
    Id(IdPrefix),
}

impl FileRef {
    /// The id that `text` spells as `id:` and 6 to 32 hex digits, if it does.
    ///
    /// Anything else is a name, so that a file called `id:notes` can still be named.
    pub fn id(text: &str) -> Option<Self> {
        text.strip_prefix("id:")
            .and_then(IdPrefix::parse)
            .map(FileRef::Id)
    }

    /// Reads `text` as an id or else as a full name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match Self::id(text) {
            Some(id) => Ok(id),
            None => FileName::parse(text).map(FileRef::Name),
        }
    }
}

/// The file with this whole id.
impl From<Digest> for FileRef {
    fn from(id: Digest) -> Self {
        FileRef::Id(IdPrefix(id.to_string()))
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileRef::Name(name) => name.fmt(f),
            FileRef::Id(prefix) => write!(f, "id:{prefix}"),
        }
    }
}

/// 6 to 32 lower-case hex digits: an id, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// How many digits are needed at least: fewer would match by chance.
    pub const MIN_DIGITS: usize = 6;

    /// Reads the digits in either case; `None` when they are too few, too many or not hex.
    pub fn parse(digits: &str) -> Option<Self> {
        let fits = (Self::MIN_DIGITS..=32).contains(&digits.len());
        (fits && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .then(|| IdPrefix(digits.to_ascii_lowercase()))
    }

    /// The digits, lower-case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The smallest and the largest id that begin with these digits.
    pub fn range(&self) -> (Digest, Digest) {
        let bound = |filler: char| {
            let digits: String = self
                .0
                .chars()
                .chain(std::iter::repeat(filler))
                .take(32)
                .collect();
            digits
                .parse()
                .unwrap_or(Digest::Md5([if filler == '0' { 0 } else { 0xff }; 16]))
        };
        (bound('0'), bound('f'))
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ids_from_names() {
        assert!(matches!(FileRef::parse("id:d41d8c"), Ok(FileRef::Id(_))));
        assert!(matches!(FileRef::parse("ID:d41d8c"), Ok(FileRef::Name(_))));
        assert!(matches!(FileRef::parse("id:d41d8"), Ok(FileRef::Name(_))));
        assert!(matches!(FileRef::parse("id:notes1"), Ok(FileRef::Name(_))));
        assert!(FileRef::parse("../x").is_err());
    }

    #[test]
    fn a_prefix_covers_every_id_that_begins_with_it() {
        let (low, high) = IdPrefix::parse("D41D8cd").unwrap().range();
        assert_eq!(low.to_string(), "d41d8cd0000000000000000000000000");
        assert_eq!(high.to_string(), "d41d8cdfffffffffffffffffffffffff");
    }
}
