use std::fmt;
use std::str::FromStr;

/// The longest name of a user, in bytes.
const MAX_BYTES: usize = 64;

/// The name of an account: 1 to 64 letters, digits, `.`, `_` and `-` (ASCII), the first one a
/// letter or digit. It stands in a line of a file, in a URL and in logs, and needs no escaping there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user's name is 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
)]
pub struct UserNameError;

impl FromStr for UserName {
    type Err = UserNameError;

    fn from_str(text: &str) -> Result<Self, UserNameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        match begins && text.len() <= MAX_BYTES && text.chars().all(fits) {
            true => Ok(UserName(text.to_owned())),
            false => Err(UserNameError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_names_only() {
        for text in ["a", "bob", "Anna.Maria-2", "0x", &"n".repeat(64)] {
            assert_eq!(text.parse::<UserName>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "-bob",
            ".bob",
            "bob smith",
            "bob:x",
            "bob\n",
            "b\0b",
            "böb",
            "bob@nas",
            "#bob",
            &"n".repeat(65),
        ] {
            assert!(text.parse::<UserName>().is_err(), "{text:?}");
        }
    }
}
