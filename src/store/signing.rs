use std::time::Duration;

use super::error::StoreError;
use super::stored_file::StoredFile;
use crate::digest::{Block, BlockSize};

/// A stored file that is being cut into blocks, in hops, for whoever wants to know which it has.
pub struct Signing {
    file: StoredFile,
    size: BlockSize,
    /// Where the next block begins.
    position: u64,
}

/// What came of one hop.
#[derive(Debug, PartialEq, Eq)]
pub enum Signed {
    /// The next blocks.
    Blocks(Vec<Block>),
    /// As many files are being hashed as may be: try again a little later.
    Busy,
    /// There are no more.
    End,
}

impl Signing {
    pub(super) fn new(file: StoredFile, size: BlockSize) -> Self {
        let position = 0;
        Signing {
            file,
            size,
            position,
        }
    }

    /// Reads the next blocks. Nothing of the file is kept in memory from one hop to the next.
    pub fn read_on(&mut self) -> Result<Signed, StoreError> {
        let inner = self.file.inner();
        let Some(_slot) = inner.hash_slots.take_within(Duration::ZERO)? else {
            return Ok(Signed::Busy);
        };
        let (file, mut position) = (&mut self.file, self.position);
        let read = |buffer: &mut [u8]| {
            let read = file.read_at(position, buffer)?;
            position += read as u64;
            Ok(read)
        };
        let mut blocks = Vec::new();
        let bytes = self.size.read(read, |block| blocks.push(Block::of(block)));
        let bytes = bytes.map_err(|error| StoreError::disk(&self.file.entry.name, error))?;
        self.position += bytes as u64;
        if bytes > 0 {
            return Ok(Signed::Blocks(blocks));
        }
        self.file.check_unchanged()?;
        Ok(Signed::End)
    }
}
