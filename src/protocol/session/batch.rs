use std::collections::VecDeque;

use super::Violation;
use crate::protocol::limits::{
    DATA_CHUNK, MAX_BATCH_FILES, MAX_DATA_BODY, MAX_PAGE_ITEMS, PAGE_WINDOW, SEGMENT,
};
use crate::protocol::message::FileMessage;

const _: () = assert!(DATA_CHUNK.is_multiple_of(SEGMENT) && DATA_CHUNK <= MAX_DATA_BODY);

/// The files of one upload or download, as both sides count them.
///
/// Files are named in pages and closed in order, each exactly once. At most [`PAGE_WINDOW`] pages
/// are named and not yet closed, which bounds what either side must remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    total: u32,
    listed: u32,
    closed: u32,
    /// Where each page ends that is not closed yet.
    open_pages: VecDeque<u32>,
    open_file: Option<OpenFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenFile {
    position: u64,
}

impl Batch {
    /// A batch of `total` files, none of them named yet.
    pub fn new(total: u32) -> Result<Self, Violation> {
        if total == 0 || total > MAX_BATCH_FILES {
            return Err(Violation("a batch of no files, or of too many"));
        }
        Ok(Batch {
            total,
            listed: 0,
            closed: 0,
            open_pages: VecDeque::new(),
            open_file: None,
        })
    }

    /// Whether another page may be named now.
    pub fn may_list(&self) -> bool {
        self.listed < self.total && self.open_pages.len() < PAGE_WINDOW
    }

    /// How many files the batch has in all.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many files are named so far: the index of the first file of the next page.
    pub fn listed(&self) -> u32 {
        self.listed
    }

    /// How many files are closed: the index of the file that is open or may be opened next.
    pub fn closed(&self) -> u32 {
        self.closed
    }

    /// Whether every file of the batch is closed.
    pub fn is_complete(&self) -> bool {
        self.closed == self.total
    }

    /// Whether data frames may come now.
    pub fn has_open_file(&self) -> bool {
        self.open_file.is_some()
    }

    /// A page of `files` files is named.
    pub fn list(&mut self, files: usize) -> Result<(), Violation> {
        if !self.may_list() {
            return Err(Violation("a page more than the batch has or may have open"));
        }
        let left = (self.total - self.listed) as usize;
        if files == 0 || files > MAX_PAGE_ITEMS.min(left) {
            return Err(Violation("a page of no files, or of too many"));
        }
        self.listed += files as u32;
        self.open_pages.push_back(self.listed);
        Ok(())
    }

    /// The receiver has the beginning of a file that the next page is going to name.
    pub fn check_resume(&self, index: u32, offset: u64) -> Result<(), Violation> {
        let page_ends = self.listed.saturating_add(MAX_PAGE_ITEMS as u32);
        if !(self.listed..page_ends.min(self.total)).contains(&index) {
            return Err(Violation(
                "the beginning of a file that no next page can name",
            ));
        }
        if offset == 0 || !offset.is_multiple_of(SEGMENT as u64) {
            return Err(Violation(
                "the beginning of a file that is no whole segments",
            ));
        }
        Ok(())
    }

    /// Something is said of the file that is being sent.
    pub fn file(&mut self, message: &FileMessage) -> Result<(), Violation> {
        match message {
            FileMessage::Begin { index, offset, .. } => {
                self.check_next(*index)?;
                if !offset.is_multiple_of(SEGMENT as u64) {
                    return Err(Violation("a file that does not begin on a segment"));
                }
                self.open_file = Some(OpenFile { position: *offset });
                Ok(())
            }
            FileMessage::End { .. } => {
                self.open_file
                    .take()
                    .ok_or(Violation("the end of a file that was not begun"))?;
                self.close()
            }
            FileMessage::Abort { index, .. } if self.open_file.is_some() => {
                if *index != self.closed {
                    return Err(Violation("the abort of another file than the open one"));
                }
                self.open_file = None;
                self.close()
            }
            FileMessage::Abort { index, .. } => self.skip(*index),
            FileMessage::Patch { .. } | FileMessage::Copy(_) => {
                Err(Violation("a file that is put together"))
            }
        }
    }

    /// The file is not sent at all.
    pub fn skip(&mut self, index: u32) -> Result<(), Violation> {
        self.check_next(index)?;
        self.close()
    }

    /// A data frame with `size` bytes of the open file.
    pub fn data(&mut self, size: usize) -> Result<(), Violation> {
        let file = self
            .open_file
            .as_mut()
            .ok_or(Violation("file content outside of a file"))?;
        if size == 0 {
            return Err(Violation("an empty data frame"));
        }
        if !file.position.is_multiple_of(SEGMENT as u64) {
            return Err(Violation(
                "file content after a frame that ended off a segment",
            ));
        }
        file.position = file
            .position
            .checked_add(size as u64)
            .ok_or(Violation("a file without end"))?;
        Ok(())
    }

    fn check_next(&self, index: u32) -> Result<(), Violation> {
        if self.open_file.is_some() {
            return Err(Violation("a file before the end of the one before it"));
        }
        if index != self.closed || index >= self.listed {
            return Err(Violation("a file out of turn"));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Violation> {
        self.closed += 1;
        while self
            .open_pages
            .front()
            .is_some_and(|end| *end <= self.closed)
        {
            self.open_pages.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WireDigest;
    use proptest::prelude::*;

    fn begin(index: u32) -> FileMessage {
        FileMessage::Begin {
            index,
            offset: 0,
            entry: None,
        }
    }

    fn end() -> FileMessage {
        FileMessage::End {
            digest: WireDigest::from(crate::types::Digest::Md5([0; 16])),
        }
    }

    fn abort(index: u32) -> FileMessage {
        FileMessage::Abort {
            index,
            code: 1,
            detail: String::new(),
        }
    }

    #[test]
    fn files_are_closed_once_each_and_in_order() {
        let mut batch = Batch::new(4).unwrap();
        assert!(batch.file(&begin(0)).is_err(), "not named yet");
        batch.list(4).unwrap();
        assert!(batch.file(&begin(1)).is_err(), "out of turn");
        batch.file(&begin(0)).unwrap();
        assert!(batch.file(&begin(1)).is_err(), "one is open");
        assert!(batch.skip(0).is_err(), "it is open");
        batch.data(SEGMENT).unwrap();
        batch.data(5).unwrap();
        assert!(batch.data(1).is_err(), "after an unaligned frame");
        batch.file(&end()).unwrap();
        assert!(batch.file(&end()).is_err(), "closed already");
        assert!(batch.data(1).is_err(), "nothing open");
        batch.skip(1).unwrap();
        batch.file(&abort(2)).unwrap();
        batch.file(&begin(3)).unwrap();
        assert!(batch.file(&abort(2)).is_err(), "not the open one");
        assert!(!batch.is_complete());
        batch.file(&abort(3)).unwrap();
        assert!(batch.is_complete());
        assert!(batch.skip(4).is_err());
        assert!(batch.list(1).is_err());
    }

    #[test]
    fn pages_are_bounded() {
        assert!(Batch::new(0).is_err());
        assert!(Batch::new(MAX_BATCH_FILES + 1).is_err());
        let mut batch = Batch::new(10).unwrap();
        assert!(batch.list(0).is_err());
        assert!(batch.list(11).is_err());
        batch.list(2).unwrap();
        batch.list(2).unwrap();
        assert!(!batch.may_list() && batch.list(2).is_err());
        batch.skip(0).unwrap();
        batch.skip(1).unwrap();
        batch.list(6).unwrap();
        assert!(batch.list(1).is_err());
        let mut large = Batch::new(MAX_BATCH_FILES).unwrap();
        assert!(large.list(MAX_PAGE_ITEMS + 1).is_err());
    }

    proptest! {
        /// Whatever happens in whatever order, the counts never contradict each other.
        #[test]
        fn counts_hold_under_any_sequence(steps in proptest::collection::vec((0u8..6, 0u32..6, 0usize..200_000), 0..60)) {
            let mut batch = Batch::new(5).unwrap();
            for (step, index, size) in steps {
                let before = batch.clone();
                let legal = match step {
                    0 => batch.list(size % 7),
                    1 => batch.file(&begin(index)),
                    2 => batch.file(&end()),
                    3 => batch.file(&abort(index)),
                    4 => batch.skip(index),
                    _ => batch.data(size),
                };
                if legal.is_err() {
                    prop_assert_eq!(&batch, &before);
                }
                prop_assert!(batch.closed() <= batch.listed() && batch.listed() <= batch.total());
                prop_assert!(batch.open_pages.len() <= PAGE_WINDOW);
            }
        }
    }
}
