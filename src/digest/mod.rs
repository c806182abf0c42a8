//! Hashing while bytes pass by.

use md5::{Digest as _, Md5};

use crate::types::Digest;

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

#[cfg(test)]
mod tests {
    use super::*;

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
