use std::time::{Duration, Instant};

use bytes::Bytes;

use super::gauge::{Packing, Took};
use crate::protocol::{Compressor, Content};

/// Compresses the pieces of files, as far as that is wanted and as they get smaller.
///
/// What a file is called says little about that: its first piece is tried, and when that does not
/// get smaller the next ones are left alone, and one is tried again now and then.
#[derive(Default)]
pub(super) struct Packer {
    compressor: Option<Compressor>,
    /// How many pieces of the file to leave alone now, and how many after the next one that is
    /// tried in vain.
    left_alone: u32,
    next: u32,
    tried: usize,
    compressing: Duration,
}

/// At most so many pieces are left alone at a time.
const LEFT_ALONE: u32 = 32;

impl Packer {
    /// Another file begins, of which nothing is known.
    pub(super) fn begin(&mut self) {
        (self.left_alone, self.next) = (0, 1);
    }

    pub(super) fn pack(&mut self, piece: Bytes, packing: Packing) -> Content {
        let size = piece.len();
        let (least, limit) = match packing {
            Packing::Nothing => return Content::Plain(piece),
            Packing::From(least) => (least, size - size / 8),
            Packing::All => (0, size),
        };
        if size < least {
            return Content::Plain(piece);
        }
        if packing != Packing::All && self.left_alone > 0 {
            self.left_alone -= 1;
            return Content::Plain(piece);
        }
        let started = Instant::now();
        let packed = self.compress(&piece, limit);
        self.tried += size;
        self.compressing += started.elapsed();
        match packed {
            Some(packed) => {
                self.begin();
                packed
            }
            None => {
                self.left_alone = self.next;
                self.next = (2 * self.next).min(LEFT_ALONE);
                Content::Plain(piece)
            }
        }
    }

    /// What `bytes` of files took, since they were begun to be read.
    pub(super) fn took(&mut self, bytes: usize, since: Instant, packing: Packing) -> Took {
        let compressing = std::mem::take(&mut self.compressing);
        Took {
            bytes,
            reading: since.elapsed().saturating_sub(compressing),
            tried: std::mem::take(&mut self.tried),
            compressing,
            packs: packing != Packing::Nothing,
        }
    }

    fn compress(&mut self, piece: &[u8], limit: usize) -> Option<Content> {
        if self.compressor.is_none() {
            self.compressor = Compressor::new();
        }
        self.compressor.as_mut()?.compress(piece, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(size: usize, mut seed: u64) -> Bytes {
        let byte = |_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        };
        (0..size).map(byte).collect()
    }

    fn is_packed(content: &Content) -> bool {
        matches!(content, Content::Compressed { .. })
    }

    #[test]
    fn what_does_not_get_smaller_is_left_alone_and_tried_again_now_and_then() {
        let mut packer = Packer::default();
        packer.begin();
        let noise = noise(10_000, 7);
        for _ in 0..1000 {
            let packed = packer.pack(noise.clone(), Packing::From(0));
            assert_eq!(packed, Content::Plain(noise.clone()));
        }
        let tried = packer.tried / noise.len();
        assert!((30..45).contains(&tried), "{tried}");
        let text = Bytes::from(vec![b'a'; 10_000]);
        let mut packed = 0;
        for _ in 0..100 {
            packed += usize::from(is_packed(&packer.pack(text.clone(), Packing::From(0))));
        }
        assert!(packed >= 100 - LEFT_ALONE as usize, "{packed}");
        packer.pack(noise.clone(), Packing::From(0));
        packer.begin();
        assert!(
            is_packed(&packer.pack(text, Packing::From(0))),
            "another file"
        );
    }

    #[test]
    fn it_compresses_what_it_is_told_to() {
        let mut packer = Packer::default();
        packer.begin();
        // Half of it noise: not an eighth smaller with so much of it, but smaller.
        let text = Bytes::from(vec![b'a'; 1000]);
        let mixed: Bytes = [&noise(9500, 3)[..], &text[..500]].concat().into();
        assert!(!is_packed(&packer.pack(text.clone(), Packing::Nothing)));
        assert!(!is_packed(&packer.pack(text.clone(), Packing::From(1001))));
        assert!(is_packed(&packer.pack(text.clone(), Packing::From(1000))));
        assert!(!is_packed(&packer.pack(mixed.clone(), Packing::From(0))));
        assert!(is_packed(&packer.pack(mixed, Packing::All)), "at once");
    }
}
