use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::ServerAddress;
use super::local::shown;
use crate::disk::{Document, Folder};
use crate::protocol::{ErrorCode, Failure};
use crate::types::{Fingerprint, Printable};

/// The most bytes that the file may have: room for some ten thousand servers.
const MAX_BYTES: u64 = 1024 * 1024;

/// The file of servers that were met, with the key of each: lines `HOST:PORT sha256:HEX`, and
/// comments that begin with `#` (contract section 7).
///
/// A line that cannot be read makes the whole file unusable until a person has looked at it: a key
/// that is not known for certain would be as good as none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownServers {
    path: PathBuf,
}

/// A key that is known for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownKey {
    pub(super) fingerprint: Fingerprint,
    /// The line in the file, counted from 1.
    pub(super) line: usize,
}

/// What became of a key that was to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remembered {
    /// It stands in the file now.
    Written,
    /// Somebody else has remembered one meanwhile.
    Known(KnownKey),
}

impl KnownServers {
    /// The user's own: `$XDG_CONFIG_HOME/fileshare/known_servers`, else
    /// `~/.config/fileshare/known_servers`; `None` when no home folder is known.
    pub fn of_user() -> Option<Self> {
        let base = etcetera::choose_base_strategy().ok()?;
        Some(Self::at(
            base.config_dir().join("fileshare").join("known_servers"),
        ))
    }

    /// The file at `path`, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        KnownServers { path: path.into() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of this server, if it is known. Reads the file: it blocks.
    pub(super) fn find(&self, server: &ServerAddress) -> Result<Option<KnownKey>, Failure> {
        let known = match self.document(Folder::open) {
            Ok(document) => document.read(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let known = known.map_err(|error| self.unusable("read", &error))?;
        self.search(known.as_deref().unwrap_or_default(), server)
    }

    /// Adds the key of this server, unless one is known by now. Writes the file: it blocks.
    pub(super) fn remember(
        &self,
        server: &ServerAddress,
        key: Fingerprint,
    ) -> Result<Remembered, Failure> {
        let document = self.document(Folder::create_private);
        let document = document.map_err(|error| self.unusable("written", &error))?;
        let mut remembered = Remembered::Written;
        let updated = document.update(|known| -> Result<Vec<u8>, Unwritten> {
            let mut known = known.unwrap_or_default();
            if let Some(key) = self.search(&known, server)? {
                remembered = Remembered::Known(key);
                return Ok(known);
            }
            if !known.is_empty() && !known.ends_with(b"\n") {
                known.push(b'\n');
            }
            known.extend(format!("{} {key}\n", server.known_as()).into_bytes());
            Ok(known)
        });
        match updated {
            Ok(()) => Ok(remembered),
            Err(Unwritten::Unusable(failure)) => Err(failure),
            Err(Unwritten::Io(error)) => Err(self.unusable("written", &error)),
        }
    }

    /// The file behind a link, if it is one: people keep their settings elsewhere.
    fn document(&self, open: impl FnOnce(&Path) -> io::Result<Folder>) -> io::Result<Document> {
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let (folder, leaf) = path
            .parent()
            .zip(path.file_name().and_then(|leaf| leaf.to_str()))
            .ok_or(ErrorKind::InvalidFilename)?;
        Ok(Document::new(&open(folder)?, leaf, MAX_BYTES))
    }

    fn search(&self, known: &[u8], server: &ServerAddress) -> Result<Option<KnownKey>, Failure> {
        let wanted = server.known_as();
        let mut found: Option<KnownKey> = None;
        for (number, line) in known.split(|byte| *byte == b'\n').enumerate() {
            let line_number = number + 1;
            let line = parse(line).map_err(|()| self.unreadable(line_number))?;
            let Some((name, fingerprint)) = line.filter(|(name, _)| *name == wanted) else {
                continue;
            };
            match found {
                Some(first) if first.fingerprint != fingerprint => {
                    return Err(self.contradiction(&name, first.line, line_number));
                }
                Some(_) => {}
                None => {
                    found = Some(KnownKey {
                        fingerprint,
                        line: line_number,
                    });
                }
            }
        }
        Ok(found)
    }

    fn unusable(&self, what: &str, error: &io::Error) -> Failure {
        self.failure(format_args!(": cannot be {what}: {error}"))
    }

    fn unreadable(&self, line: usize) -> Failure {
        self.failure(format_args!(
            ", line {line}: not 'HOST:PORT sha256:HEX'; no key is taken from this file until the line is corrected or removed"
        ))
    }

    fn contradiction(&self, name: &str, first: usize, second: usize) -> Failure {
        self.failure(format_args!(
            ", lines {first} and {second}: two keys for {name}; remove the line that is wrong"
        ))
    }

    /// The failure to get a key from the file; `what` follows its name.
    fn failure(&self, what: fmt::Arguments<'_>) -> Failure {
        let message = format!("{}{what}", shown(&self.path));
        Failure::new(ErrorCode::Untrusted, message)
    }
}

/// Why the file was not changed.
enum Unwritten {
    Unusable(Failure),
    Io(io::Error),
}

impl From<Failure> for Unwritten {
    fn from(failure: Failure) -> Self {
        Unwritten::Unusable(failure)
    }
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Unwritten::Io(error)
    }
}

/// Reads a line: a server and its key, or nothing of the kind.
fn parse(line: &[u8]) -> Result<Option<(String, Fingerprint)>, ()> {
    let line = str::from_utf8(line).map_err(drop)?.trim_ascii();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (place, key) = line.split_once([' ', '\t']).ok_or(())?;
    let server: ServerAddress = place.parse().map_err(drop)?;
    // A character that nobody sees would make another server of it.
    let visible = Printable(place).to_string() == place;
    let plain = visible && !place.contains("://") && has_port(place, server.port);
    match key.trim_ascii_start().parse() {
        Ok(key) if plain => Ok(Some((server.known_as(), key))),
        _ => Err(()),
    }
}

/// Whether the port is written out: a line that was cut short must not mean another server.
fn has_port(place: &str, port: u16) -> bool {
    let written = place.rsplit_once(':').map(|(_, port)| port);
    let bare = place.parse::<std::net::Ipv6Addr>().is_ok();
    !bare && written == Some(&port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: u8) -> Fingerprint {
        Fingerprint::new([digit; 32])
    }

    fn server(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    fn known(text: impl AsRef<[u8]>) -> (tempfile::TempDir, KnownServers) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_servers");
        std::fs::write(&path, text).unwrap();
        (folder, KnownServers::at(path))
    }

    #[test]
    fn what_is_remembered_is_found_under_every_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::at(folder.path().join("a/b/known_servers"));
        assert_eq!(servers.find(&server("nas")), Ok(None));
        assert!(!folder.path().join("a").exists(), "reading makes nothing");
        for (number, place) in ["NAS", "nas:1", "[::1]:2", "127.0.0.1"].iter().enumerate() {
            let key = key(number as u8);
            let remembered = servers.remember(&server(place), key);
            assert_eq!(remembered, Ok(Remembered::Written), "{place}");
        }
        for (place, line) in [
            ("nas", 1),
            ("Nas:2222", 1),
            ("nas:1", 2),
            ("[0:0::1]:2", 3),
            ("127.0.0.1:2222", 4),
        ] {
            let found = servers.find(&server(place)).unwrap().unwrap();
            assert_eq!((found.line, found.fingerprint), (line, key(line as u8 - 1)));
        }
        assert_eq!(servers.find(&server("[::1]:3")), Ok(None));
        let text = std::fs::read_to_string(servers.path()).unwrap();
        assert!(text.starts_with("nas:2222 sha256:0000"), "{text}");
        assert!(text.contains("\n[::1]:2 sha256:0202"), "{text}");
    }

    #[test]
    fn what_is_known_is_not_replaced() {
        let (_folder, servers) = known(format!("# mine\r\n\nnas:1\t {}\r\n", key(1)));
        let first = KnownKey {
            fingerprint: key(1),
            line: 3,
        };
        assert_eq!(servers.find(&server("nas:1")), Ok(Some(first)));
        let remembered = servers.remember(&server("nas:1"), key(2));
        assert_eq!(remembered, Ok(Remembered::Known(first)));
        // A last line without an end is not run into.
        std::fs::write(servers.path(), format!("nas:1 {}", key(1))).unwrap();
        servers.remember(&server("nas:2"), key(2)).unwrap();
        assert_eq!(servers.find(&server("nas:2")).unwrap().unwrap().line, 2);
        assert_eq!(servers.find(&server("nas:1")).unwrap().unwrap().line, 1);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_left_alone() {
        let good = format!("nas:1 {}", key(1));
        let half = &key(2).to_string()[..60];
        for line in [
            "nas:1".to_owned(),
            format!("nas {}", key(2)),
            format!("::1 {}", key(2)),
            format!("[::1] {}", key(2)),
            format!("nas:01 {}", key(2)),
            format!("nas:0 {}", key(2)),
            format!(":1 {}", key(2)),
            format!("fileshare://nas:1 {}", key(2)),
            format!("bob@nas:1 {}", key(2)),
            format!("nas:1 {half}"),
            format!("nas:1 {} x", key(2)),
            format!("nas:1  {}#", key(2)),
            format!("nas:1 {} nas:2 {}", key(2), key(2)),
            "\u{feff}# no comment".to_owned(),
            format!("\u{feff}nas:1 {}", key(2)),
            format!("nas\u{200b}:1 {}", key(2)),
            "\0\0\0\0".to_owned(),
            "<<<<<<< ours".to_owned(),
        ] {
            let text = format!("{good}\n{line}\n");
            let (_folder, servers) = known(&text);
            for asked in ["nas:1", "other:1"] {
                for failure in [
                    servers.find(&server(asked)).unwrap_err(),
                    servers.remember(&server(asked), key(1)).unwrap_err(),
                ] {
                    assert_eq!(failure.code, ErrorCode::Untrusted, "{line:?}");
                    let place = format!("{}, line 2: ", servers.path().display());
                    assert!(failure.message.starts_with(&place), "{failure}");
                }
            }
            assert_eq!(std::fs::read_to_string(servers.path()).unwrap(), text);
        }
        let (_folder, servers) = known([good.as_bytes(), b"\n\xff\xfe\n"].concat());
        let failure = servers.find(&server("nas:1")).unwrap_err();
        assert!(failure.message.contains("line 2"), "{failure}");
    }

    #[test]
    fn two_keys_for_one_server_are_none() {
        let text = format!("nas:1 {}\nnas:2 {}\nNAS:1 {}\n", key(1), key(2), key(3));
        let (_folder, servers) = known(text);
        let failure = servers.find(&server("nas:1")).unwrap_err();
        assert!(failure.message.contains("lines 1 and 3"), "{failure}");
        assert!(servers.find(&server("nas:2")).unwrap().is_some());
    }

    #[test]
    fn what_is_no_file_to_be_read_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_servers");
        std::fs::create_dir(&path).unwrap();
        let below_a_file = folder.path().join("file/known_servers");
        std::fs::write(folder.path().join("file"), "").unwrap();
        let (_too_large, large) = known(vec![b'\n'; MAX_BYTES as usize + 1]);
        for servers in [
            KnownServers::at(path),
            KnownServers::at(below_a_file),
            large,
        ] {
            let failure = servers.find(&server("nas")).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Untrusted);
            let shown = servers.path().display().to_string();
            assert!(failure.message.starts_with(&shown), "{failure}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_to_where_it_leads_and_nowhere_else() {
        let (folder, servers) = known(format!("nas:1 {}\n", key(1)));
        let link = |name: &str, to: &Path| {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            KnownServers::at(path)
        };
        let linked = link("linked", servers.path());
        linked.remember(&server("nas:2"), key(2)).unwrap();
        assert!(linked.path().is_symlink());
        assert!(servers.find(&server("nas:2")).unwrap().is_some());
        let dangling = link("dangling", Path::new("nowhere"));
        assert!(dangling.find(&server("nas:1")).is_err());
        assert!(dangling.remember(&server("nas:1"), key(1)).is_err());
    }

    #[test]
    fn of_many_at_first_contact_one_writes_and_all_agree() {
        let folder = tempfile::tempdir().unwrap();
        let servers = KnownServers::at(folder.path().join("known_servers"));
        let results: Vec<Remembered> = std::thread::scope(|scope| {
            let each: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| servers.remember(&server("nas"), key(7)).unwrap()))
                .collect();
            each.into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let writers = results.iter().filter(|one| **one == Remembered::Written);
        assert_eq!(writers.count(), 1);
        let text = std::fs::read_to_string(servers.path()).unwrap();
        assert_eq!(text, format!("nas:2222 {}\n", key(7)));
    }
}
