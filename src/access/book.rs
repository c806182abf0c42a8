use std::fmt;

use super::{PasswordHash, Role};
use crate::types::UserName;

/// How a new accounts file begins.
const HEADER: &str = "# The users of this server, one a line: NAME:ROLE:HASH. \
    Best changed with 'fileshare-server user'.";

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name to log in with.
    pub name: UserName,
    /// What the user may do.
    pub role: Role,
    /// The password that the user needs.
    pub hash: PasswordHash,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.role, self.hash.as_str())
    }
}

/// The lines of an accounts file: one for each account, and between them comments and blank ones,
/// which stay as somebody wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBook {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Comment(String),
    Account(Account),
}

/// A line that is no account, no comment and not blank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct AccountBookError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it. Never a part of the line: it may be a secret.
    pub what: String,
}

/// A book without accounts, with a line that says what it is.
impl Default for AccountBook {
    fn default() -> Self {
        AccountBook {
            lines: vec![Line::Comment(HEADER.to_owned())],
        }
    }
}

impl AccountBook {
    /// Reads the text of an accounts file.
    pub fn parse(text: &[u8]) -> Result<Self, AccountBookError> {
        let text = std::str::from_utf8(text).map_err(|error| {
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            AccountBookError {
                line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
                what: "it is not UTF-8".to_owned(),
            }
        })?;
        let mut book = AccountBook { lines: Vec::new() };
        let mut names = std::collections::HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what: String| AccountBookError {
                line: index + 1,
                what,
            };
            let plain = line.trim();
            if plain.is_empty() || plain.starts_with('#') {
                book.lines.push(Line::Comment(line.to_owned()));
                continue;
            }
            let account = parse_account(plain).map_err(wrong)?;
            if !names.insert(account.name.clone()) {
                return Err(wrong(format!("a second line for {}", account.name)));
            }
            book.lines.push(Line::Account(account));
        }
        Ok(book)
    }

    /// The accounts, in the order of their lines.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.lines.iter().filter_map(|line| match line {
            Line::Account(account) => Some(account),
            Line::Comment(_) => None,
        })
    }

    /// Adds an account at the end, unless its name is taken; returns whether it was free.
    pub fn add(&mut self, account: Account) -> bool {
        let free = self.accounts().all(|known| known.name != account.name);
        if free {
            self.lines.push(Line::Account(account));
        }
        free
    }

    /// The account of `user`, to be changed.
    pub fn account_mut(&mut self, user: &UserName) -> Option<&mut Account> {
        self.lines.iter_mut().find_map(|line| match line {
            Line::Account(account) if account.name == *user => Some(account),
            _ => None,
        })
    }

    /// Removes the account of `user`; returns whether there was one.
    pub fn remove(&mut self, user: &UserName) -> bool {
        let before = self.lines.len();
        let is_it = |line: &Line| matches!(line, Line::Account(known) if known.name == *user);
        self.lines.retain(|line| !is_it(line));
        self.lines.len() < before
    }
}

/// The text of the file.
impl fmt::Display for AccountBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| match line {
            Line::Comment(text) => writeln!(f, "{text}"),
            Line::Account(account) => writeln!(f, "{account}"),
        })
    }
}

fn parse_account(line: &str) -> Result<Account, String> {
    let mut parts = line.splitn(3, ':');
    let (Some(name), Some(role), Some(hash)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it is not NAME:ROLE:HASH".to_owned());
    };
    let role = Role::from_name(role).filter(|role| *role != Role::None);
    Ok(Account {
        name: name.parse().map_err(|error| format!("{error}"))?,
        role: role.ok_or("a role is reader, contributor, editor or admin")?,
        hash: hash.parse().map_err(|error| format!("{error}"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(name: &str, role: Role) -> Account {
        Account {
            name: name.parse().unwrap(),
            role,
            hash: PasswordHash::of_nobody().unwrap(),
        }
    }

    #[test]
    fn comments_and_blank_lines_stay_as_they_are() {
        let (bob, eve) = (account("bob", Role::Editor), account("eve", Role::Reader));
        let text = format!("# mine\n\n  # indented \n{bob}\r\n{eve}\n#end");
        let mut book = AccountBook::parse(text.as_bytes()).unwrap();
        assert_eq!(book.accounts().collect::<Vec<_>>(), [&bob, &eve]);
        assert!(!book.add(account("bob", Role::Admin)));
        assert!(book.remove(&eve.name));
        assert!(!book.remove(&eve.name));
        book.account_mut(&bob.name).unwrap().role = Role::Admin;
        let hash = bob.hash.as_str();
        let expected = format!("# mine\n\n  # indented \nbob:admin:{hash}\n#end\n");
        assert_eq!(book.to_string(), expected);
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let good = account("good", Role::Reader).to_string();
        for (wrong, what) in [
            ("canary", "NAME:ROLE:HASH"),
            ("a:reader", "NAME:ROLE:HASH"),
            ("a:reader:canary", "Argon2id"),
            ("-a:reader:canary", "a user's name"),
            ("a:none:canary", "a role is"),
            ("a:Reader:canary", "a role is"),
            ("a::canary", "a role is"),
            (":reader:canary", "a user's name"),
            (good.as_str(), "a second line for good"),
            (
                "a:reader:$argon2id$v=19$m=1048577,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
                "too much",
            ),
        ] {
            let text = format!("# x\n{good}\n{wrong}\n");
            let error = AccountBook::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, 3, "{wrong}");
            assert!(error.what.contains(what), "{wrong}: {error}");
            assert!(!error.what.contains("canary"), "{wrong}");
        }
        let error = AccountBook::parse(b"# x\n\xff").unwrap_err();
        assert_eq!(error.to_string(), "line 2: it is not UTF-8");
        assert_eq!(AccountBook::parse(b"").unwrap().accounts().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(book) = AccountBook::parse(&bytes) {
                let again = AccountBook::parse(book.to_string().as_bytes());
                prop_assert_eq!(again, Ok(book));
            }
        }

        #[test]
        fn what_is_written_is_read(
            names in proptest::collection::btree_set("[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}", 0..8),
            comments in proptest::collection::vec("#[^\r\n]{0,20}", 0..8),
        ) {
            let mut book = AccountBook::default();
            for (index, name) in names.iter().enumerate() {
                let role = Role::ALL[1 + index % 4];
                prop_assert!(book.add(account(name, role)));
            }
            let comments: String = comments.iter().map(|line| format!("{line}\n")).collect();
            let text = format!("{comments}{book}");
            let read = AccountBook::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.to_string(), text);
            prop_assert_eq!(read.accounts().count(), names.len());
        }
    }
}
