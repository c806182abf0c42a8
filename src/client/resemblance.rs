//! What the server has that a file resembles, so that only what differs need cross the wire.

use super::link::{self, Link};
use crate::digest::{Block, BlockSize};
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::Blocks;
use crate::types::{Digest, Entry, FileRef, Item};

/// From this size on, in bytes, it is worth asking: less is sent in the time of a question.
pub(super) const ALIKE_FROM: u64 = 1024 * 1024;

/// How many files of one round are asked about, and how many bytes they have together: their blocks
/// are in memory until they are through, and what is here is read before anything moves. More files
/// go in the next round. No more than what may be asked at a time.
const ASKED_ABOUT: usize = 32;
const ASKED_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// The files of a round that the server is asked about.
pub(super) struct Asked<T> {
    files: Vec<T>,
    bytes: u64,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        let (files, bytes) = (Vec::new(), 0);
        Asked { files, bytes }
    }
}

impl<T> Asked<T> {
    /// Adds a file of so many bytes, unless there are enough.
    pub(super) fn add(&mut self, file: T, bytes: u64) -> bool {
        let is_full = self.files.len() >= ASKED_ABOUT
            || self.bytes.saturating_add(bytes) > ASKED_BYTES && !self.files.is_empty();
        if !is_full {
            self.bytes = self.bytes.saturating_add(bytes);
            self.files.push(file);
        }
        !is_full
    }

    /// All of them.
    pub(super) fn into_all(self) -> Vec<T> {
        self.files
    }
}

/// Whether a file that could not be put together may be moved whole all the same.
pub(super) fn could_go_whole(why: ErrorCode) -> bool {
    matches!(
        why,
        ErrorCode::NotFound
            | ErrorCode::AmbiguousId
            | ErrorCode::Conflict
            | ErrorCode::DigestMismatch
            | ErrorCode::Io
            | ErrorCode::Protocol
    )
}

impl Link {
    /// The files as they stand on the server; none for what is no file there. Asks for all at once.
    pub(super) async fn stat_all(
        &mut self,
        files: &[FileRef],
    ) -> Result<Vec<Option<Entry>>, Failure> {
        let bodies = files.iter().map(|file| ClientBody::Stat {
            file: file.into(),
            wait_for_id: false,
        });
        let mut standing = Vec::new();
        for number in self.request_all(bodies).await? {
            let (_, body) = self.answer(number).await?;
            standing.push(match body {
                ServerBody::Item(item) => {
                    match Item::try_from(item).map_err(|error| link::broken(&error))? {
                        Item::File(entry) => Some(entry),
                        Item::Folder(_) => None,
                    }
                }
                _ => None,
            });
        }
        Ok(standing)
    }

    /// The blocks of files with these ids and sizes; none for those that the server does not tell
    /// of, or that are too large. Asks for all at once.
    pub(super) async fn blocks_of(
        &mut self,
        files: &[(Digest, u64)],
    ) -> Result<Vec<Option<Blocks>>, Failure> {
        let sizes = files.iter().map(|(_, size)| BlockSize::for_file(*size));
        let sizes: Vec<_> = sizes.collect();
        let asked = files.iter().zip(&sizes).filter_map(|((id, _), size)| {
            Some(ClientBody::Signature {
                id: (*id).into(),
                average: size.as_ref()?.average(),
            })
        });
        let mut numbers = self.request_all(asked).await?.into_iter();
        let mut all = Vec::new();
        for ((_, bytes), size) in files.iter().zip(sizes) {
            // What was not asked has no number.
            let asked = match size {
                Some(size) => numbers.next().map(|number| (size, number)),
                None => None,
            };
            all.push(match asked {
                Some((size, number)) => self.read_blocks(number, size, *bytes).await?,
                None => None,
            });
        }
        Ok(all)
    }

    /// Reads the blocks of a file of so many bytes. What does not add up is not believed.
    async fn read_blocks(
        &mut self,
        number: u32,
        size: BlockSize,
        bytes: u64,
    ) -> Result<Option<Blocks>, Failure> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut left = bytes;
        loop {
            let (answer, body) = self.answer(number).await?;
            let ServerBody::Signature { blocks: page, .. } = body else {
                // It is gone, or has changed, or must not be read.
                return Ok(None);
            };
            for block in page {
                let fits = (1..=size.largest()).contains(&block.length)
                    && blocks
                        .last()
                        .is_none_or(|last| last.length >= size.smallest());
                left = left
                    .checked_sub(u64::from(block.length))
                    .filter(|_| fits)
                    .ok_or_else(|| link::broken("blocks that the file cannot have"))?;
                blocks.push(Block {
                    length: block.length,
                    hash: block.hash,
                });
            }
            if answer == Answer::Final {
                return match left {
                    0 => Ok(Some(Blocks::new(size, blocks))),
                    _ => Err(link::broken("blocks that are not all of the file")),
                };
            }
        }
    }
}
