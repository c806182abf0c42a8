//! Cutting files into blocks by their content, so that two files that resemble each other have
//! most of their blocks in common, wherever something was inserted. `docs/PROTOCOL.md` ("Blocks")
//! says where the cuts are; other programs must find the same.

use fastcdc::v2020::{MASKS, cut};

/// The first half of a block's BLAKE3 hash.
pub type BlockHash = [u8; 16];

/// A block of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// How many bytes it has.
    pub length: u32,
    /// Says whether two blocks are the same.
    pub hash: BlockHash,
}

impl Block {
    /// These bytes, which are one block.
    pub fn of(bytes: &[u8]) -> Self {
        let whole = blake3::hash(bytes);
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(whole.as_bytes()) {
            *to = *from;
        }
        Block {
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            hash,
        }
    }
}

/// How large blocks are on average: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSize(u32);

/// How many blocks of average size a file may have, so that the list of its blocks stays small.
const MOST: u64 = 32 * 1024;

/// How much is read at a time at least, in bytes.
const HOP: usize = 4 * 1024 * 1024;

impl BlockSize {
    /// The smallest average.
    pub const MIN: u32 = 64 * 1024;

    /// The largest average.
    pub const MAX: u32 = 4 * 1024 * 1024;

    /// Blocks of this size on average, if that is a size of blocks.
    pub fn new(average: u32) -> Option<Self> {
        let fits = (Self::MIN..=Self::MAX).contains(&average) && average.is_power_of_two();
        fits.then_some(BlockSize(average))
    }

    /// The smallest blocks that a file of so many bytes is not cut into too many of; `None` when it
    /// is too large for any.
    pub fn for_file(size: u64) -> Option<Self> {
        let averages = std::iter::successors(Some(Self::MIN), |average| average.checked_mul(2));
        let mut fitting = averages.filter(|average| size / u64::from(*average) <= MOST);
        fitting.next().and_then(Self::new)
    }

    /// The average, in bytes.
    pub fn average(self) -> u32 {
        self.0
    }

    /// The smallest block, in bytes; only a file's last one may be smaller.
    pub fn smallest(self) -> u32 {
        self.0 / 4
    }

    /// The largest block, in bytes.
    pub fn largest(self) -> u32 {
        self.0 * 4
    }

    /// How many bytes one [`read`](Self::read) takes at most.
    pub fn hop(self) -> usize {
        HOP.max(2 * self.largest() as usize)
    }

    /// Reads from where a block begins, and tells of each block that was read whole. Returns their
    /// bytes together: the next block begins behind them, wherever the reader is. 0 is the end.
    pub fn read<E>(
        self,
        read: impl FnMut(&mut [u8]) -> Result<usize, E>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<usize, E> {
        let (bytes, at_end) = self.fill(read)?;
        Ok(self.cut(&bytes, at_end, &mut each))
    }

    /// As many bytes as one hop takes, and whether the end is behind them.
    pub fn fill<E>(
        self,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(Vec<u8>, bool), E> {
        let mut bytes = vec![0; self.hop()];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match read(room)? {
                0 => break,
                more => filled += more,
            }
        }
        let at_end = filled < bytes.len();
        bytes.truncate(filled);
        Ok((bytes, at_end))
    }

    /// Tells of each block of `bytes`, which begin where a block begins, as far as it is certain
    /// where it ends. Returns their bytes together.
    pub fn cut(self, bytes: &[u8], at_end: bool, each: &mut dyn FnMut(&[u8])) -> usize {
        let (smallest, average, largest) = (
            self.smallest() as usize,
            self.average() as usize,
            self.largest() as usize,
        );
        // Normalization level 1: one bit more is asked for up to the average, one less behind it.
        let bits = self.0.trailing_zeros() as usize;
        let mask = |bits: usize| MASKS.get(bits).copied().unwrap_or_default();
        let (strict, relaxed) = (mask(bits + 1), mask(bits - 1));
        let mut rest = bytes;
        while !rest.is_empty() && (at_end || rest.len() >= largest) {
            let (_, length) = cut(
                rest,
                smallest,
                average,
                largest,
                strict,
                relaxed,
                strict << 1,
                relaxed << 1,
            );
            let (block, after) = rest.split_at(length.clamp(1, rest.len()));
            each(block);
            rest = after;
        }
        bytes.len() - rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest as _, Md5};
    use proptest::prelude::*;

    /// Bytes that look like noise and are the same everywhere: xorshift64 from this seed.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn lengths(size: BlockSize, bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        let cut = size.cut(bytes, true, &mut |block| lengths.push(block.len()));
        assert_eq!(cut, bytes.len());
        lengths
    }

    /// What `docs/PROTOCOL.md` says, in its own words.
    fn as_documented(average: usize, masks: [u64; 2], bytes: &[u8]) -> Vec<usize> {
        let gear: Vec<u64> = (0..=255u8)
            .map(|byte| {
                let digest: [u8; 16] = Md5::digest([byte; 64]).into();
                u64::from_be_bytes(digest[..8].try_into().unwrap())
            })
            .collect();
        let mut lengths = Vec::new();
        let mut begin = 0;
        while begin < bytes.len() {
            let left = (bytes.len() - begin).min(4 * average);
            let mut length = left;
            if left > average / 4 {
                let mut h = 0u64;
                for i in average / 4..left - left % 2 {
                    h = h
                        .wrapping_mul(2)
                        .wrapping_add(gear[usize::from(bytes[begin + i])]);
                    if h & masks[usize::from(i >= average)] == 0 {
                        length = i;
                        break;
                    }
                }
            }
            lengths.push(length);
            begin += length;
        }
        lengths
    }

    /// The masks in `docs/PROTOCOL.md`, by average.
    fn documented_masks() -> Vec<(usize, [u64; 2])> {
        let document = std::fs::read_to_string("docs/PROTOCOL.md").unwrap();
        let (_, table) = document.split_once("| n | `average` |").unwrap();
        let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
        let number = |cell: &str| cell.trim().trim_matches('`').replace(',', "");
        rows.map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(number).collect();
            let mask = |at: usize| u64::from_str_radix(&cells[at], 16).unwrap();
            (cells[1].parse().unwrap(), [mask(2), mask(3)])
        })
        .collect()
    }

    #[test]
    fn cuts_are_where_the_document_says() {
        let masks = documented_masks();
        assert_eq!(masks.len(), 7);
        for (average, masks) in masks {
            let size = BlockSize::new(average as u32).unwrap();
            for odd in [0, 1] {
                let bytes = noise(average as u64, 6 * average + 1000 + odd);
                assert_eq!(lengths(size, &bytes), as_documented(average, masks, &bytes));
            }
            for length in [
                1,
                average / 4,
                average / 4 + 1,
                average / 4 + 2,
                average + 1,
            ] {
                let bytes = noise(9, length);
                assert_eq!(lengths(size, &bytes), as_documented(average, masks, &bytes));
            }
        }
        let zeros = vec![0; 1_000_000];
        let size = BlockSize::new(BlockSize::MIN).unwrap();
        let masks = documented_masks()[0].1;
        assert_eq!(lengths(size, &zeros), as_documented(65_536, masks, &zeros));
    }

    /// For other implementations: 1 MiB of xorshift64 (13, 7, 17) from 88172645463325252, each
    /// number little-endian, in blocks of 64 KiB on average.
    #[test]
    fn the_blocks_of_a_fixed_file_stay_what_they_are() {
        let bytes = noise(88_172_645_463_325_252, 1 << 20);
        let mut blocks = Vec::new();
        let size = BlockSize::new(65_536).unwrap();
        size.cut(&bytes, true, &mut |block| blocks.push(Block::of(block)));
        let shown = blocks.iter().map(|block| {
            let hash: String = block
                .hash
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{} {hash}\n", block.length)
        });
        let vector = std::fs::read_to_string("tests/vectors/blocks.txt").unwrap();
        let (_, vector) = vector.split_once("\n\n").unwrap();
        assert_eq!(shown.collect::<String>(), vector);
    }

    #[test]
    fn blocks_are_larger_in_larger_files() {
        let average = |size: u64| BlockSize::for_file(size).map(BlockSize::average);
        assert_eq!(average(0), Some(BlockSize::MIN));
        assert_eq!(average(2 << 30), Some(BlockSize::MIN));
        assert_eq!(average(3 << 30), Some(2 * BlockSize::MIN));
        assert_eq!(average(128 << 30), Some(BlockSize::MAX));
        assert_eq!(average(u64::MAX), None);
        for wrong in [0, 65_535, 65_537, 32_768, 8 << 20, u32::MAX] {
            assert_eq!(BlockSize::new(wrong), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// However the file is read, the blocks are the same.
        #[test]
        fn hops_do_not_move_cuts(seed in 1u64.., length in 0usize..12_000_000, step in 1usize..3_000_000) {
            let bytes = noise(seed, length);
            let size = BlockSize::new(BlockSize::MIN).unwrap();
            let (mut position, mut read) = (0, Vec::new());
            loop {
                let mut rest = &bytes[position..];
                let reader = |buffer: &mut [u8]| {
                    let most = buffer.len().min(step);
                    std::io::Read::read(&mut rest, &mut buffer[..most])
                };
                match size.read(reader, |block| read.push(block.len())).unwrap() {
                    0 => break,
                    more => position += more,
                }
            }
            prop_assert_eq!(position, length);
            prop_assert_eq!(read, lengths(size, &bytes));
        }

        /// What is inserted changes the blocks around it and no others.
        #[test]
        fn an_insertion_leaves_most_blocks_alone(seed in 1u64.., at in 0usize..4_000_000, inserted in 1usize..1000) {
            let before = noise(seed, 4_000_000);
            let mut after = before.clone();
            after.splice(at..at, noise(!seed | 1, inserted));
            let size = BlockSize::new(BlockSize::MIN).unwrap();
            let hashes = |bytes: &[u8]| {
                let mut hashes = Vec::new();
                size.cut(bytes, true, &mut |block| hashes.push(Block::of(block)));
                hashes
            };
            let (old, new) = (hashes(&before), hashes(&after));
            let fresh = new.iter().filter(|block| !old.contains(block));
            let bytes: u64 = fresh.map(|block| u64::from(block.length)).sum();
            prop_assert!(bytes <= 8 * u64::from(size.largest()), "{} bytes", bytes);
        }
    }
}
