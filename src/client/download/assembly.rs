use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

use super::{Pending, Place};
use crate::client::link::Link;
use crate::client::local::{self, LocalFile, Part};
use crate::client::resemblance::Asked;
use crate::client::rounds::Rounds;
use crate::digest::{Block, BlockHash};
use crate::protocol::limits::MAX_RANGES;
use crate::protocol::message::WireRange;
use crate::protocol::{Content, Failure};
use crate::transfer::{Blocks, Incoming, Sink};
use crate::types::Digest;

/// How a file is put together from the one that it replaces and from parts that the server sends.
pub(super) struct Assembly {
    /// The server's file.
    pub(super) id: Digest,
    pub(super) size: u64,
    /// How much of it an earlier try has left.
    pub(super) offset: u64,
    /// The file that it replaces.
    pub(super) basis: LocalFile,
    /// What is asked of the server.
    pub(super) ranges: Vec<WireRange>,
    pub(super) steps: Steps,
}

/// What makes up the rest of a file that is put together, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps(VecDeque<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A part of the file that is replaced.
    Copy(Range<u64>),
    /// So many of the bytes that come.
    Fetch(u64),
}

/// Looks for files of a round that resemble those that they replace, and tells how many files the
/// round has: as many as may be asked about.
pub(super) async fn find(
    link: &mut Link,
    rounds: &mut Rounds<'_, Pending>,
) -> Result<usize, Failure> {
    let mut count = 0;
    let mut asked = Asked::default();
    for (place, file) in (0_u32..).zip(rounds.files()) {
        if let Some((id, size)) = file.alike
            && !asked.add((place, id, size), size)
        {
            break;
        }
        count += 1;
    }
    let asked = asked.into_all();
    let files: Vec<_> = asked.iter().map(|(_, id, size)| (*id, *size)).collect();
    let found = link.blocks_of(&files).await?;
    for ((place, id, size), blocks) in asked.into_iter().zip(found) {
        let Some((blocks, file)) = blocks.zip(rounds.get(place)) else {
            continue;
        };
        let Place::File(path, part) = &mut file.target else {
            continue;
        };
        let (path, part) = (path.clone(), part.take());
        let plan = move || Ok(Assembly::plan(path, part, id, size, &blocks));
        let (part, assembly) = local::blocking(plan).await?;
        if let Place::File(_, known) = &mut file.target {
            *known = part;
        }
        file.assembly = assembly.map(Box::new);
    }
    Ok(count)
}

impl Assembly {
    /// Reads what is here. The part is given back: with an assembly, cut to what it begins behind.
    fn plan(
        path: PathBuf,
        mut part: Option<Box<Part>>,
        id: Digest,
        size: u64,
        blocks: &Blocks,
    ) -> (Option<Box<Part>>, Option<Self>) {
        // What cannot be read is of no use, and the whole file comes.
        let Ok(mut basis) = LocalFile::open(&path) else {
            return (part, None);
        };
        let Ok(here) = places(&mut basis, blocks) else {
            return (part, None);
        };
        let offset = part.as_mut().map_or(0, |part| part.agree_with(blocks));
        let (steps, ranges) = steps(offset, size, blocks, &here);
        let is_worth_it = steps.copied() > 0 || offset > 0;
        let assembly = (is_worth_it && ranges.len() <= MAX_RANGES).then_some(Assembly {
            id,
            size,
            offset,
            basis,
            ranges,
            steps,
        });
        (part, assembly)
    }
}

/// Where in the local file which blocks of the server's file are.
fn places(
    file: &mut LocalFile,
    blocks: &Blocks,
) -> Result<HashMap<BlockHash, Range<u64>>, Failure> {
    let mut places = HashMap::new();
    let mut position = 0_u64;
    loop {
        let mut begins = position;
        let bytes = file.read_blocks(position, blocks.size(), |bytes| {
            let block = Block::of(bytes);
            let ends = begins.saturating_add(bytes.len() as u64);
            if blocks.find(block, None).is_some() {
                places.entry(block.hash).or_insert(begins..ends);
            }
            begins = ends;
        })?;
        if bytes == 0 {
            return Ok(places);
        }
        position = begins;
    }
}

/// What is to be copied and what to be fetched behind `offset`, where a block begins. Something is
/// fetched always: nothing cannot be asked for.
fn steps(
    offset: u64,
    size: u64,
    blocks: &Blocks,
    here: &HashMap<BlockHash, Range<u64>>,
) -> (Steps, Vec<WireRange>) {
    let mut steps = Steps::default();
    let mut ranges: Vec<WireRange> = Vec::new();
    for (place, block) in blocks.iter().filter(|(place, _)| place.start >= offset) {
        match here.get(&block.hash) {
            Some(copied) => steps.copy(copied.clone()),
            None => {
                let length = place.end - place.start;
                steps.fetch(length);
                match ranges.last_mut() {
                    Some(last) if last.offset + last.length == place.start => {
                        last.length += length;
                    }
                    _ => ranges.push(WireRange {
                        offset: place.start,
                        length,
                    }),
                }
            }
        }
    }
    if ranges.is_empty() && steps.give_up_last_byte() {
        steps.fetch(1);
        ranges.push(WireRange {
            offset: size.saturating_sub(1),
            length: 1,
        });
    }
    (steps, ranges)
}

impl Steps {
    fn copy(&mut self, part: Range<u64>) {
        match self.0.back_mut() {
            Some(Step::Copy(last)) if last.end == part.start => last.end = part.end,
            _ => self.0.push_back(Step::Copy(part)),
        }
    }

    fn fetch(&mut self, length: u64) {
        match self.0.back_mut() {
            Some(Step::Fetch(last)) => *last += length,
            _ => self.0.push_back(Step::Fetch(length)),
        }
    }

    /// Copies one byte less at the end.
    fn give_up_last_byte(&mut self) -> bool {
        let Some(Step::Copy(part)) = self.0.back_mut() else {
            return false;
        };
        part.end -= 1;
        if part.is_empty() {
            self.0.pop_back();
        }
        true
    }

    fn copied(&self) -> u64 {
        let copied = self.0.iter().map(|step| match step {
            Step::Copy(part) => part.end - part.start,
            Step::Fetch(_) => 0,
        });
        copied.sum()
    }

    /// Whether nothing is missing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What can be done without another byte: the next copies.
    pub(super) fn copies<S: Sink>(&mut self) -> Vec<Incoming<S>> {
        let mut copies = Vec::new();
        while let Some(Step::Copy(part)) = self.0.front() {
            copies.push(Incoming::Copy(part.clone()));
            self.0.pop_front();
        }
        copies
    }

    /// Bytes came: what they are, and the copies that follow them.
    pub(super) fn take<S: Sink>(&mut self, mut bytes: Bytes) -> Vec<Incoming<S>> {
        let mut taken = self.copies();
        while let Some(Step::Fetch(left)) = self.0.front_mut()
            && !bytes.is_empty()
        {
            let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            *left -= length as u64;
            if *left == 0 {
                self.0.pop_front();
            }
            taken.push(Incoming::Data(Content::Plain(bytes.split_to(length))));
            taken.append(&mut self.copies());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BlockSize;
    use crate::protocol::ErrorCode;
    use crate::transfer::Done;
    use proptest::prelude::*;

    struct Never;

    impl Sink for Never {
        type Receipt = ();
        fn write(&mut self, _: &[u8]) -> Result<(), Failure> {
            Err(Failure::new(ErrorCode::Internal, "never"))
        }
        fn finish(self, _: Digest, _: Done<()>) {}
        fn discard(self) {}
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn blocks(bytes: &[u8]) -> Blocks {
        let size = BlockSize::new(BlockSize::MIN).unwrap();
        let mut blocks = Vec::new();
        size.cut(bytes, true, &mut |block| blocks.push(Block::of(block)));
        Blocks::new(size, blocks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// What is here and what comes make the server's file, however it comes, and what an earlier
        /// try has left counts as far as it is right.
        #[test]
        fn what_is_put_together_is_the_server_s_file(
            seed in any::<u64>(),
            length in 1..2_000_000_usize,
            at in 0..2_000_000_usize,
            removed in 0..200_000_usize,
            inserted in 0..200_000_usize,
            left in proptest::option::of((0..2_000_000_usize, any::<bool>())),
            frame in 1..300_000_usize,
        ) {
            let mine = noise(seed, length);
            let at = at % length;
            let mut theirs = mine.clone();
            theirs.splice(at..(at + removed).min(length), noise(!seed, inserted));
            prop_assume!(!theirs.is_empty());
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f");
            std::fs::write(&path, &mine).unwrap();
            let part = left.and_then(|(length, is_right)| {
                let mut bytes = theirs[..length.min(theirs.len())].to_vec();
                if !is_right && let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                std::fs::write(folder.path().join(".fileshare-f.part"), bytes).unwrap();
                Part::find(&path)
            });
            let size = theirs.len() as u64;
            let id = crate::digest::Hasher::digest_of(&theirs);
            let (part, plan) = Assembly::plan(path, part, id, size, &blocks(&theirs));
            let Some(mut plan) = plan else {
                // Nothing is the same.
                return Ok(());
            };
            let mut made = theirs[..plan.offset as usize].to_vec();
            prop_assert!(plan.offset == 0 || part.is_some());
            let mut coming = Vec::new();
            let mut end = 0;
            for range in &plan.ranges {
                prop_assert!(range.offset >= end && range.length > 0);
                end = range.offset + range.length;
                prop_assert!(end <= size);
                coming.extend_from_slice(&theirs[range.offset as usize..end as usize]);
            }
            prop_assert!(!plan.ranges.is_empty());
            let mut incoming: Vec<Incoming<Never>> = plan.steps.copies();
            for frame in coming.chunks(frame) {
                incoming.extend(plan.steps.take(Bytes::copy_from_slice(frame)));
            }
            prop_assert!(plan.steps.is_empty());
            for incoming in incoming {
                match incoming {
                    Incoming::Data(content) => made.extend_from_slice(content.body()),
                    Incoming::Copy(part) => {
                        made.extend_from_slice(&mine[part.start as usize..part.end as usize]);
                    }
                    _ => prop_assert!(false),
                }
            }
            prop_assert!(made == theirs);
        }
    }
}
