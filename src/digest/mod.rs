//! Hashing while bytes pass by.

pub mod lanes;
mod single;

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind, Read};

use aws_lc_rs::hmac;

use crate::types::Digest;

use lanes::{Block, Lanes, START, State, Stream};

/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// How many bytes MD5 takes in at a time.
const BLOCK_BYTES: usize = size_of::<Block>();

/// Where in the last block the length of the whole begins.
const LENGTH_AT: usize = BLOCK_BYTES - size_of::<u64>();

/// What fills the last blocks up to there: a one bit and zeros.
const PADDING: Block = {
    let mut padding = [0; BLOCK_BYTES];
    padding[0] = 0x80;
    padding
};

/// Computes the [`Digest`] of bytes that arrive in pieces.
#[derive(Clone)]
pub struct Hasher {
    /// After every whole block so far.
    state: State,
    /// The bytes since then, at the beginning of it.
    rest: Block,
    /// How many bytes there were in all.
    length: u64,
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new() -> Self {
        Hasher {
            state: START,
            rest: [0; BLOCK_BYTES],
            length: 0,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let blocks = self.take_to_block(bytes);
        single::compress(&mut self.state, blocks);
    }

    /// Gives each of several hashers its next bytes: much faster than one after the other.
    pub fn update_all(updates: &mut [(&mut Hasher, &[u8])]) {
        let mut streams = Vec::with_capacity(updates.len());
        for (hasher, bytes) in &mut *updates {
            let blocks = hasher.take_to_block(bytes);
            streams.push(Stream {
                state: hasher.state,
                blocks,
            });
        }
        Lanes::fastest().compress(&mut streams);
        for ((hasher, _), stream) in updates.iter_mut().zip(streams) {
            hasher.state = stream.state;
        }
    }

    /// Takes the next bytes except for the whole blocks among them, which are left to be compressed.
    fn take_to_block<'a>(&mut self, bytes: &'a [u8]) -> &'a [Block] {
        let filled = (self.length % BLOCK_BYTES as u64) as usize;
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let room = self.rest.get_mut(filled..).unwrap_or_default();
        let mut bytes = bytes;
        if filled > 0 {
            let Some((completing, after)) = bytes.split_at_checked(room.len()) else {
                fill(room, bytes);
                return &[];
            };
            fill(room, completing);
            single::compress(&mut self.state, &[self.rest]);
            bytes = after;
        }
        let (blocks, rest) = bytes.as_chunks();
        fill(&mut self.rest, rest);
        blocks
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
    pub fn finish(mut self) -> Digest {
        let length = self.length.wrapping_mul(8).to_le_bytes();
        let filled = (self.length % BLOCK_BYTES as u64) as usize;
        let room = BLOCK_BYTES + LENGTH_AT - filled;
        let padding = if room > BLOCK_BYTES {
            room - BLOCK_BYTES
        } else {
            room
        };
        self.update(PADDING.get(..padding).unwrap_or_default());
        self.update(&length);
        let mut digest = [0; 16];
        for (to, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *to = word.to_le_bytes();
        }
        Digest::Md5(digest)
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

/// Copies bytes to the beginning of others.
fn fill(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
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
    fill(&mut hash, context.sign().as_ref());
    hash
}
