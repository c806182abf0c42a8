//! The list of what failed (`--failed FILE`), and the way back from it (`--retry-from FILE`).
//!
//! One file a line: its full name on the server, a tab, and the absolute local path. `/./` in the
//! path stands behind the folder that was walked through or is written into: from there on links
//! do not lead out of it. `\\`, `\t`, `\n` and `\r` are escaped so, and every byte that is not UTF-8
//! as `\xff`: a line can be cut out and looked at, whatever the names are. Lines that are empty or
//! begin with `#` say nothing, and a line may be a name alone.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::shown;
use crate::cli::failure::Failure;
use crate::types::Printable;

const HEAD: &str = "# fileshare: server's name, tab, local path; \\t \\n \\\\ \\xff are escapes\n";

/// The largest list that is read, in bytes: ten million lines of a hundred bytes.
const MAX_LIST: u64 = 1 << 30;

/// A file to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The server's full name for it; empty when it could not have one.
    pub name: String,
    /// Where it is here, or is to be.
    pub local: Option<Local>,
}

/// A local path, seen from where a command was told to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// A path that was given as it is.
    Path(PathBuf),
    /// A path below a folder that was given.
    Below(PathBuf, PathBuf),
}

/// What failed of what was planned.
#[derive(Debug, Default)]
pub struct FailedList {
    to: Option<PathBuf>,
    planned: Vec<Retry>,
    failed: Vec<Retry>,
}

impl FailedList {
    /// The list that is to be written to this file, if to any. That it can be is found out before
    /// anything is done.
    pub fn new(to: Option<&Path>) -> Result<Self, Failure> {
        if let Some(to) = to {
            let opened = fs::File::options().append(true).create(true).open(to);
            opened.map_err(|error| {
                Failure::usage(format!("--failed {}: {error}", shown(to)))
                    .advise("name a file that can be written")
            })?;
        }
        Ok(FailedList {
            to: to.map(Path::to_owned),
            ..FailedList::default()
        })
    }

    /// What the files of a batch are, in its order.
    pub fn plan(&mut self, planned: Vec<Retry>) {
        self.planned = planned;
    }

    /// A file of the batch has failed.
    pub fn failed(&mut self, index: u32) {
        self.failed
            .extend(self.planned.get(index as usize).cloned());
    }

    /// All of the batch has failed.
    pub fn all_failed(&mut self) {
        self.failed.append(&mut self.planned);
    }

    /// Something outside of a batch has failed.
    pub fn add(&mut self, retry: Retry) {
        self.failed.push(retry);
    }

    /// Writes the list, be it empty. What came from standard input cannot be sent again.
    pub fn write(&self) -> Result<(), Failure> {
        let Some(to) = &self.to else { return Ok(()) };
        let stream = Some(Local::Path("-".into()));
        let failed = self.failed.iter().filter(|retry| retry.local != stream);
        let mut text = String::new();
        for retry in failed {
            if text.is_empty() {
                text.push_str(HEAD);
            }
            text.push_str(&line(retry));
        }
        fs::write(to, text).map_err(|error| Failure::io(format_args!("list {}", shown(to)), &error))
    }
}

/// Reads a list.
pub fn read(from: &Path) -> Result<Vec<Retry>, Failure> {
    let failed = |error: io::Error| {
        Failure::usage(format!("--retry-from {}: {error}", shown(from)))
            .advise("name a list that --failed has written")
    };
    if fs::metadata(from).map_err(failed)?.len() > MAX_LIST {
        return Err(Failure::usage(format!(
            "{} is too large for a list",
            shown(from)
        )));
    }
    let text = fs::read_to_string(from).map_err(failed)?;
    let mut retries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        retries.push(parse(line).ok_or_else(|| {
            let (from, line) = (shown(from), Printable(line));
            Failure::usage(format!(
                "{from}, line {number}: '{line}' cannot be understood"
            ))
            .advise("a line is a name, and after a tab a local path; \\ is written as \\\\")
        })?);
    }
    Ok(retries)
}

fn line(retry: &Retry) -> String {
    let mut line = escaped(OsStr::new(&retry.name));
    if line.starts_with('#') {
        line.replace_range(..1, "\\x23");
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(local) = &retry.local {
        line.push('\t');
        match local {
            Local::Path(path) => line.push_str(&escaped(absolute(path).as_os_str())),
            Local::Below(top, below) => {
                let top = escaped(absolute(top).as_os_str());
                line.push_str(top.trim_end_matches('/'));
                line.push_str("/./");
                line.push_str(&escaped(below.as_os_str()));
            }
        }
    }
    line.push('\n');
    line
}

fn parse(line: &str) -> Option<Retry> {
    let (name, local) = match line.split_once('\t') {
        Some((name, local)) => (name, Some(local)),
        None => (line, None),
    };
    let local = match local.map(|local| (local, local.split_once("/./"))) {
        None => None,
        Some((_, Some((top, below)))) => {
            let top = if top.is_empty() { "/" } else { top };
            Some(Local::Below(
                unescaped(top)?.into(),
                unescaped(below)?.into(),
            ))
        }
        Some((path, None)) => Some(Local::Path(unescaped(path)?.into())),
    };
    let name = unescaped(name)?.into_string().ok()?;
    Some(Retry { name, local })
}

/// What stands in a line for a text.
fn escaped(text: &OsStr) -> String {
    let mut line = String::new();
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => line.push_str("\\\\"),
                '\t' => line.push_str("\\t"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                other => line.push(other),
            }
        }
        for byte in chunk.invalid() {
            line.push_str(&format!("\\x{byte:02x}"));
        }
    }
    line
}

fn unescaped(line: &str) -> Option<OsString> {
    let mut bytes = Vec::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next()? {
            '\\' => bytes.push(b'\\'),
            't' => bytes.push(b'\t'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                let hex =
                    digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(&digits, 16).ok().filter(|_| hex)?);
            }
            _ => return None,
        }
    }
    os_string(bytes)
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(retry: &Retry) {
        let line = line(retry);
        assert!(
            line.ends_with('\n') && line.lines().count() == 1,
            "{line:?}"
        );
        assert_eq!(
            parse(line.trim_end_matches('\n')).as_ref(),
            Some(retry),
            "{line:?}"
        );
    }

    #[test]
    fn a_line_is_what_it_looks_like() {
        let retry = Retry {
            name: "docs/a b".to_owned(),
            local: Some(Local::Below("/home/me/docs/".into(), "a b".into())),
        };
        assert_eq!(line(&retry), "docs/a b\t/home/me/docs/./a b\n");
        let alone = parse("a.txt").unwrap();
        assert_eq!((alone.name.as_str(), alone.local), ("a.txt", None));
        for bad in ["a\\", "a\\q", "a\t\\x", "a\\xf", "a\\xzz", "a\\x+1"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn odd_names_survive() {
        use std::os::unix::ffi::OsStrExt;
        for bytes in [
            &b"a\nb\tc\rd\\e"[..],
            b"\xff\xfe",
            b"#x",
            "e\u{301}👩".as_bytes(),
        ] {
            let odd = PathBuf::from(OsStr::from_bytes(bytes));
            for local in [
                None,
                Some(Local::Path(Path::new("/x").join(&odd))),
                Some(Local::Below("/".into(), odd.clone())),
                Some(Local::Below(Path::new("/y").join(&odd), odd.clone())),
            ] {
                for name in ["", "#a", "\\a", "é"] {
                    let name = name.to_owned();
                    there_and_back(&Retry {
                        name,
                        local: local.clone(),
                    });
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_called(name: String, top in "[a-z\\\\\t\n#]{1,9}", below: String) {
            prop_assume!(!below.contains("/./") && !below.starts_with("./"));
            let local = Some(Local::Below(Path::new("/").join(top), below.into()));
            there_and_back(&Retry { name, local });
        }
    }
}
