//! Hashing while bytes pass by, and cutting them into blocks.

mod blocks;

use std::io::{self, ErrorKind, Read};

use aws_lc_rs::hmac;
use md5::{Digest as _, Md5};

use crate::types::Digest;

pub use blocks::{Block, BlockHash, BlockSize};

/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Computes the [`Digest`] of bytes that arrive in pieces.
#[derive(Clone)]
pub struct Hasher(Md5);

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new() -> Self {
        Hasher(Md5::new())
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes the next `bytes` bytes of a reader, and tells how many there were: fewer only at its
    /// end.
    pub fn update_from(&mut self, reader: &mut impl Read, bytes: u64) -> io::Result<u64> {
        let mut buffer = vec![0; READ_BYTES];
        let mut left = bytes;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let read = match reader.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            self.update(buffer.get(..read).unwrap_or_default());
            left -= read as u64;
        }
        Ok(bytes - left)
    }

    /// The digest of everything that was taken.
    pub fn finish(self) -> Digest {
        Digest::Md5(self.0.finalize().into())
    }

    /// The digest of bytes that are all there already.
    pub fn digest_of(bytes: &[u8]) -> Digest {
        let mut hasher = Self::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// A hash of several byte strings that nobody without the key can compute (HMAC-SHA-256). Each goes
/// in with its length, so that no two lists of strings look alike.
pub fn keyed(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyed_hash_depends_on_the_key_and_on_each_part() {
        let hash = keyed(b"key", &[b"ab", b"c"]);
        assert_eq!(hash, keyed(b"key", &[b"ab", b"c"]));
        assert_ne!(hash, keyed(b"other", &[b"ab", b"c"]));
        assert_ne!(hash, keyed(b"key", &[b"a", b"bc"]));
        assert_ne!(hash, keyed(b"key", &[b"ab", b"c", b""]));
    }

    #[test]
    fn takes_as_much_of_a_reader_as_there_is() {
        let bytes = vec![7; READ_BYTES + 10];
        let mut hasher = Hasher::new();
        let mut reader = bytes.as_slice();
        assert_eq!(hasher.update_from(&mut reader, 4).unwrap(), 4);
        let rest = bytes.len() as u64 - 4;
        assert_eq!(hasher.update_from(&mut reader, u64::MAX).unwrap(), rest);
        assert_eq!(hasher.finish(), Hasher::digest_of(&bytes));
    }

    #[test]
    fn agrees_with_rfc_1321() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "abcdefghijklmnopqrstuvwxyz",
                "c3fcd3d76192e4007dfb496cca67e13b",
            ),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(Hasher::digest_of(text.as_bytes()).to_string(), digest);
        }
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        let mut hasher = Hasher::default();
        bytes.chunks(77).for_each(|piece| hasher.update(piece));
        assert_eq!(hasher.finish(), Hasher::digest_of(&bytes));
    }
}
