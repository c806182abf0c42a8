use std::fmt;
use std::str::FromStr;

use super::hex;

/// The digest of a file's bytes, together with the algorithm that made it.
///
/// A file's id is its plain MD5 as `md5sum` prints it (contract section 2). The algorithm is part
/// of the value, so that another one can be added without a second kind of id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// MD5 (RFC 1321): finds accidents, not attackers.
    Md5([u8; 16]),
}

impl Digest {
    /// The raw bytes of the digest, in the order in which they are printed.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Digest::Md5(bytes) => bytes,
        }
    }
}

/// Prints lower-case hex digits, as `md5sum` does.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Md5({self})")
    }
}

/// The text is not 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 hex digits, as md5sum prints them")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        hex::read(text).map(Digest::Md5).ok_or(DigestError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses() {
        let text = "d41d8cd98f00b204e9800998ecf8427e";
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.bytes()[0], 0xd4);
        assert_eq!(text.to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn refuses_anything_but_32_hex_digits() {
        for text in [
            "",
            "d41d8c",
            "g41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427e0",
            "+41d8cd98f00b204e9800998ecf8427e",
            "ééééééééééééééééé",
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError), "{text}");
        }
    }
}
