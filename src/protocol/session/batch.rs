use std::collections::VecDeque;

use super::Violation;
use crate::protocol::limits::{
    DATA_CHUNK, MAX_BATCH_FILES, MAX_DATA_BODY, MAX_PAGE_ITEMS, MAX_RANGES, PAGE_WINDOW, SEGMENT,
};
use crate::protocol::message::{FileMessage, WireRange};

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
    /// The files that are to come in parts and are not closed yet, in order.
    in_parts: VecDeque<InParts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenFile {
    position: u64,
    content: Content,
}

/// What makes up the content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Whole segments up to the last frame.
    Segments,
    /// Data and copies, of any size.
    Patch,
    /// Data of any size, so many bytes more.
    Ranges(u64),
}

/// The parts of a file that are to come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InParts {
    index: u32,
    ranges: usize,
    bytes: u64,
    /// Where the last one ends.
    end: u64,
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
            in_parts: VecDeque::new(),
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
        if !self.may_be_next(index) {
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

    /// The receiver wants only these parts of a file that the next page is going to name.
    pub fn add_ranges(&mut self, index: u32, ranges: &[WireRange]) -> Result<(), Violation> {
        if !self.may_be_next(index) {
            return Err(Violation("parts of a file that no next page can name"));
        }
        let last = self.in_parts.back();
        if last.is_some_and(|last| last.index > index) {
            return Err(Violation("parts of a file out of turn"));
        }
        let fresh = InParts {
            index,
            ranges: 0,
            bytes: 0,
            end: 0,
        };
        let known = last.filter(|last| last.index == index).cloned();
        let is_new = known.is_none();
        let mut parts = known.unwrap_or(fresh);
        if ranges.is_empty() || ranges.len() > self.room_for_ranges() {
            return Err(Violation("no parts of a file, or too many"));
        }
        for range in ranges {
            if range.offset < parts.end || range.length == 0 {
                return Err(Violation("parts of a file that are empty or out of order"));
            }
            let end = range.offset.checked_add(range.length);
            parts.end = end.ok_or(Violation("a part of a file without end"))?;
            parts.bytes += range.length;
        }
        parts.ranges += ranges.len();
        if !is_new {
            self.in_parts.pop_back();
        }
        self.in_parts.push_back(parts);
        Ok(())
    }

    /// How many more parts of files may be asked for now.
    pub fn room_for_ranges(&self) -> usize {
        let taken = self.in_parts.iter().map(|parts| parts.ranges);
        MAX_RANGES.saturating_sub(taken.sum())
    }

    fn may_be_next(&self, index: u32) -> bool {
        let page_ends = self.listed.saturating_add(MAX_PAGE_ITEMS as u32);
        (self.listed..page_ends.min(self.total)).contains(&index)
    }

    /// Something is said of the file that is being sent.
    pub fn file(&mut self, message: &FileMessage) -> Result<(), Violation> {
        match message {
            FileMessage::Begin { index, offset, .. } => {
                let parts = self.in_parts.front();
                let parts = parts.filter(|parts| parts.index == *index);
                match parts.map(|parts| parts.bytes) {
                    Some(bytes) if *offset == 0 => self.open(*index, 0, Content::Ranges(bytes)),
                    Some(_) => Err(Violation("parts of a file that goes on")),
                    None => self.open(*index, *offset, Content::Segments),
                }
            }
            FileMessage::Patch { index, offset, .. } => self.open(*index, *offset, Content::Patch),
            FileMessage::Copy(range) => self.copy(range),
            FileMessage::End { .. } => {
                let open = self.open_file.as_ref();
                let open = open.ok_or(Violation("the end of a file that was not begun"))?;
                if matches!(open.content, Content::Ranges(1..)) {
                    return Err(Violation("the end of a file before all parts of it came"));
                }
                self.open_file = None;
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
        }
    }

    fn open(&mut self, index: u32, position: u64, content: Content) -> Result<(), Violation> {
        self.check_next(index)?;
        if !position.is_multiple_of(SEGMENT as u64) {
            return Err(Violation("a file that does not begin on a segment"));
        }
        self.open_file = Some(OpenFile { position, content });
        Ok(())
    }

    /// A part of another file goes here.
    fn copy(&mut self, range: &WireRange) -> Result<(), Violation> {
        let file = self.open_file.as_mut();
        let file = file.filter(|file| file.content == Content::Patch);
        let file = file.ok_or(Violation("a copy outside of a file that is put together"))?;
        if range.length == 0 || range.offset.checked_add(range.length).is_none() {
            return Err(Violation("a copy of nothing, or without end"));
        }
        file.position = advanced(file.position, range.length)?;
        Ok(())
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
        match &mut file.content {
            Content::Segments if !file.position.is_multiple_of(SEGMENT as u64) => {
                return Err(Violation(
                    "file content after a frame that ended off a segment",
                ));
            }
            Content::Segments | Content::Patch => {}
            Content::Ranges(left) => {
                let less = left.checked_sub(size as u64);
                *left = less.ok_or(Violation("more of a file than was asked for"))?;
            }
        }
        file.position = advanced(file.position, size as u64)?;
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
            .in_parts
            .front()
            .is_some_and(|parts| parts.index < self.closed)
        {
            self.in_parts.pop_front();
        }
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

fn advanced(position: u64, bytes: u64) -> Result<u64, Violation> {
    let advanced = position.checked_add(bytes);
    advanced.ok_or(Violation("a file without end"))
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

    fn patch(index: u32, offset: u64) -> FileMessage {
        let basis = WireDigest::from(crate::types::Digest::Md5([0; 16]));
        FileMessage::Patch {
            index,
            offset,
            basis,
        }
    }

    fn range(offset: u64, length: u64) -> WireRange {
        WireRange { offset, length }
    }

    fn copy(offset: u64, length: u64) -> FileMessage {
        FileMessage::Copy(range(offset, length))
    }

    #[test]
    fn a_patch_is_data_of_any_size_and_copies() {
        let mut batch = Batch::new(2).unwrap();
        batch.list(2).unwrap();
        assert!(batch.file(&copy(0, 1)).is_err(), "nothing is open");
        assert!(batch.file(&patch(0, 1)).is_err(), "off a segment");
        batch.file(&patch(0, SEGMENT as u64)).unwrap();
        batch.data(1).unwrap();
        batch.file(&copy(5, 7)).unwrap();
        batch.data(3).unwrap();
        batch.data(1).unwrap();
        assert!(batch.data(0).is_err());
        for (offset, length) in [(0, 0), (1, u64::MAX), (u64::MAX, 1)] {
            assert!(batch.file(&copy(offset, length)).is_err());
        }
        assert!(
            batch.file(&copy(0, u64::MAX)).is_err(),
            "no file is so long"
        );
        batch.file(&end()).unwrap();
        batch.file(&begin(1)).unwrap();
        assert!(batch.file(&copy(0, 1)).is_err(), "it is no patch");
    }

    #[test]
    fn what_comes_in_parts_is_what_was_asked_for() {
        let mut batch = Batch::new(3).unwrap();
        batch.add_ranges(0, &[range(0, 1), range(1, 2)]).unwrap();
        batch.add_ranges(0, &[range(10, 3)]).unwrap();
        for wrong in [range(12, 1), range(13, 0), range(20, u64::MAX)] {
            let before = batch.clone();
            assert!(batch.add_ranges(0, &[wrong]).is_err());
            assert_eq!(batch, before);
        }
        assert!(batch.add_ranges(0, &[]).is_err());
        batch.add_ranges(2, &[range(7, 1)]).unwrap();
        assert!(batch.add_ranges(1, &[range(0, 1)]).is_err(), "out of turn");
        assert!(batch.add_ranges(3, &[range(0, 1)]).is_err(), "no such file");
        batch.list(3).unwrap();
        assert!(
            batch.add_ranges(2, &[range(9, 1)]).is_err(),
            "named already"
        );
        batch.file(&begin(0)).unwrap();
        batch.data(1).unwrap();
        batch.data(3).unwrap();
        assert!(batch.file(&end()).is_err(), "two bytes are missing");
        assert!(batch.data(3).is_err(), "one too many");
        batch.data(2).unwrap();
        batch.file(&end()).unwrap();
        batch.file(&begin(1)).unwrap();
        batch.data(9).unwrap();
        assert!(batch.data(1).is_err(), "it comes whole");
        batch.file(&abort(1)).unwrap();
        batch.file(&abort(2)).unwrap();
        assert_eq!(batch.room_for_ranges(), MAX_RANGES);
    }

    #[test]
    fn parts_are_bounded_over_all_files_that_are_not_closed() {
        let parts = |from: usize, count: usize| -> Vec<_> {
            let from = from..from + count;
            from.map(|at| range(2 * at as u64, 1)).collect()
        };
        let mut batch = Batch::new(2).unwrap();
        batch.add_ranges(0, &parts(0, MAX_RANGES - 1)).unwrap();
        assert_eq!(batch.room_for_ranges(), 1);
        assert!(batch.add_ranges(1, &parts(0, 2)).is_err());
        batch.list(1).unwrap();
        assert!(batch.add_ranges(1, &parts(0, 2)).is_err());
        batch.skip(0).unwrap();
        batch.add_ranges(1, &parts(0, MAX_RANGES)).unwrap();
        assert!(batch.add_ranges(1, &parts(MAX_RANGES, 1)).is_err());
    }

    proptest! {
        /// Whatever happens in whatever order, the counts never contradict each other.
        #[test]
        fn counts_hold_under_any_sequence(steps in proptest::collection::vec((0u8..9, 0u32..6, 0usize..200_000), 0..60)) {
            let mut batch = Batch::new(5).unwrap();
            for (step, index, size) in steps {
                let before = batch.clone();
                let legal = match step {
                    0 => batch.list(size % 7),
                    1 => batch.file(&begin(index)),
                    2 => batch.file(&end()),
                    3 => batch.file(&abort(index)),
                    4 => batch.skip(index),
                    5 => batch.add_ranges(index, &[range(size as u64, 70_000)]),
                    6 => batch.file(&patch(index, 0)),
                    7 => batch.file(&copy(0, size as u64)),
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
