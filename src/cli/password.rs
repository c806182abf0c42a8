//! What client and server have in common about where a password comes from: never from an argument,
//! which everybody on the machine could read (contract sections 4 and 7).

use std::env::VarError;
use std::io::{self, ErrorKind, Read};

use zeroize::Zeroizing;

/// The variable that a password can be in. No child of these programs gets to see it.
pub const VARIABLE: &str = "FILESHARE_PASSWORD";

/// How much a source may say besides the password, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;

/// The password in the environment. An empty variable is the shell's way of having none.
pub fn in_environment() -> io::Result<Option<Zeroizing<String>>> {
    match std::env::var(VARIABLE) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(not_utf8()),
    }
}

/// Reads the first line, and little more: the rest may not be there yet. Blocks.
pub fn read_line(source: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = buffer();
    let mut source = source.take(MAX_TEXT as u64);
    let mut piece = Zeroizing::new([0; 1024]);
    while !text.contains(&b'\n') {
        match source.read(&mut *piece) {
            Ok(0) => break,
            Ok(bytes) => text.extend_from_slice(piece.get(..bytes).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    first_line(&text)
}

/// The first line of what a source said, without its end.
pub fn first_line(text: &[u8]) -> io::Result<Zeroizing<String>> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = str::from_utf8(line).map_err(|_| not_utf8())?;
    Ok(Zeroizing::new(line.to_owned()))
}

/// Memory that is overwritten at the end, with room for everything from the beginning: a vector
/// that grows leaves copies behind.
pub fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(MAX_TEXT + 1024))
}

fn not_utf8() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (text, line) in [
            (&b"canary"[..], Some("canary")),
            (b"canary\n", Some("canary")),
            (b"canary\r\nmore\n", Some("canary")),
            (b" a b \n", Some(" a b ")),
            (b"\ncanary", Some("")),
            (b"", Some("")),
            (b"\xff\n", None),
        ] {
            let read = read_line(text).ok();
            assert_eq!(read.as_ref().map(|line| line.as_str()), line);
        }
        assert_eq!(read_line(io::repeat(b'x')).unwrap().len(), MAX_TEXT);
    }
}
