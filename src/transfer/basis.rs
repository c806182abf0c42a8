use std::collections::HashMap;
use std::ops::Range;

use crate::digest::{Block, BlockHash, BlockSize};
use crate::types::Digest;

/// A file that the receiver has, as the sender knows it: what of it a new file can be put together
/// from.
#[derive(Debug, Clone)]
pub struct Basis {
    /// Its whole id.
    pub id: Digest,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// The new file is the same.
    Same,
    Blocks(Blocks),
}

/// Where the blocks of a file are.
#[derive(Debug, Clone)]
pub struct Blocks {
    size: BlockSize,
    /// In the order of the file, with where each begins.
    all: Vec<(u64, Block)>,
    /// Where each is first.
    first: HashMap<BlockHash, usize>,
}

impl Basis {
    /// A file that the new one is a copy of.
    pub fn same(id: Digest) -> Self {
        let content = Content::Same;
        Basis { id, content }
    }

    /// A file that the new one may resemble.
    pub fn alike(id: Digest, blocks: Blocks) -> Self {
        let content = Content::Blocks(blocks);
        Basis { id, content }
    }

    /// Whether the new file is a copy of it.
    pub fn is_same(&self) -> bool {
        matches!(self.content, Content::Same)
    }

    /// Its blocks, unless the new file is a copy of it.
    pub(super) fn blocks(&self) -> Option<&Blocks> {
        match &self.content {
            Content::Same => None,
            Content::Blocks(blocks) => Some(blocks),
        }
    }
}

impl Blocks {
    /// The blocks of a file, in its order.
    pub fn new(size: BlockSize, blocks: impl IntoIterator<Item = Block>) -> Self {
        let mut position = 0_u64;
        let place = |block: Block| {
            let begins = position;
            position = position.saturating_add(u64::from(block.length));
            (begins, block)
        };
        let all: Vec<_> = blocks.into_iter().map(place).collect();
        let mut first = HashMap::with_capacity(all.len());
        for (at, (_, block)) in all.iter().enumerate() {
            first.entry(block.hash).or_insert(at);
        }
        Blocks { size, all, first }
    }

    /// How the file is cut.
    pub fn size(&self) -> BlockSize {
        self.size
    }

    /// Which block this is: if it can be the one at `next`, that one, so that what is one run in both
    /// files is found as one.
    pub fn find(&self, block: Block, next: Option<usize>) -> Option<usize> {
        let is_here = |at: &usize| self.all.get(*at).is_some_and(|(_, here)| *here == block);
        let first = || self.first.get(&block.hash).copied();
        next.filter(is_here).or_else(|| first().filter(is_here))
    }

    /// Where a block is.
    pub fn place(&self, at: usize) -> Option<Range<u64>> {
        let (begins, block) = self.all.get(at)?;
        Some(*begins..begins.saturating_add(u64::from(block.length)))
    }

    /// All blocks with their places, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u64>, Block)> {
        let place = |(begins, block): &(u64, Block)| {
            let ends = begins.saturating_add(u64::from(block.length));
            (*begins..ends, *block)
        };
        self.all.iter().map(place)
    }
}
