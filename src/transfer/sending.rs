#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tracing::Span;

use super::Basis;
use super::gauge::{Gauge, Packing, Took};
use super::packing::Packer;
use crate::digest::{Block, Hasher};
use crate::net::Rate;
use crate::protocol::limits::{DATA_CHUNK, SEGMENT};
use crate::protocol::{Content, ErrorCode, Failure};
use crate::types::{Compression, Digest, Entry};

/// A file that is being sent.
///
/// All methods are called from blocking threads.
pub trait Source: Send {
    /// What the receiver is told of the file before its content, if anything.
    fn entry(&self) -> Option<Entry>;

    /// The size, unless the source is a stream. Exactly so many bytes are read.
    fn size(&self) -> Option<u64>;

    /// The digest, when it is known already and the content need not be hashed again.
    fn digest(&self) -> Option<Digest>;

    /// Reads as `std::io::Read` does; 0 is the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// Goes to this place. Called only where the receiver has something of the file, or wants parts
    /// of it; a stream need not be able to.
    fn seek(&mut self, offset: u64) -> Result<(), Failure>;

    /// Called once after the last byte, with the digest of all that was read: the last chance to
    /// say that the content is not one version of the file.
    fn finish(&mut self, digest: Digest) -> Result<(), Failure>;
}

/// What a receiver says that it has of a file already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// How many bytes, whole segments.
    pub length: u64,
    /// Their digest.
    pub digest: Digest,
}

/// What came of opening a file that was to be sent.
pub enum Opening {
    /// Here it is.
    Send(Box<dyn Source>),
    /// Here it is, and what the receiver can put it together from.
    Patch(Box<dyn Source>, Basis),
    /// It need not be sent; whoever opened it has said why elsewhere.
    Skip,
    /// It cannot be sent.
    Fail(Failure),
}

/// A file that is to be sent, opened when its turn comes.
pub struct OutgoingFile {
    /// Its place in the batch.
    pub index: u32,
    /// What the receiver has of it. If the file does not begin so it is sent whole.
    pub beginning: Option<Beginning>,
    /// Only these parts of it are to be sent, in order; none: all of it.
    pub parts: Vec<Range<u64>>,
    /// Opens it, on a blocking thread.
    pub open: Box<dyn FnOnce() -> Opening + Send>,
}

/// What goes over the wire next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A file begins.
    Begin {
        /// Its place in the batch.
        index: u32,
        /// What the receiver is told of it.
        entry: Option<Entry>,
        /// Its size, unless it is a stream.
        size: Option<u64>,
        /// Where in it the first data goes: 0, or behind what the receiver has.
        offset: u64,
        /// The file that the receiver is to copy from.
        basis: Option<Digest>,
    },
    /// Content of the file that began last.
    Data(Content),
    /// Here goes a part of the file that the receiver is to copy from.
    Copy(Range<u64>),
    /// The file was sent whole.
    End {
        /// Its place in the batch.
        index: u32,
        /// Its digest.
        digest: Digest,
    },
    /// The file cannot be sent, or not to its end.
    Abort {
        /// Its place in the batch.
        index: u32,
        /// Why.
        failure: Failure,
    },
    /// The file is not sent, and that is no failure.
    Skip {
        /// Its place in the batch.
        index: u32,
    },
}

impl Piece {
    /// The file that is through with this piece.
    fn closes(&self) -> Option<u32> {
        match self {
            Piece::End { index, .. } | Piece::Abort { index, .. } | Piece::Skip { index } => {
                Some(*index)
            }
            Piece::Begin { .. } | Piece::Data(_) | Piece::Copy(_) => None,
        }
    }
}

/// Turns files into pieces, in the order in which they were added, reading ahead while the pieces
/// before are on their way.
///
/// At most two hops' worth of pieces exist at once: 1 MiB each, or what it takes to cut a file into
/// blocks ([`BlockSize::hop`](crate::digest::BlockSize::hop)).
pub struct Sending {
    added: VecDeque<OutgoingFile>,
    skips: HashSet<u32>,
    /// All files before this one are through.
    through: u32,
    reader: Reading,
    /// Whether to compress, and since when what it is told of is being sent.
    gauge: Gauge,
    sending_since: Option<(Took, Instant)>,
}

enum Reading {
    Lost,
    Resting(FileReader),
    Running(JoinHandle<Hop>),
}

/// What a hop comes back with.
struct Hop {
    reader: FileReader,
    pieces: Vec<Piece>,
    took: Took,
}

/// About how much content one hop reads.
const HOP_BYTES: usize = 4 * DATA_CHUNK;

/// The most pieces that one hop makes.
const HOP_PIECES: usize = 512;

impl Sending {
    /// Nothing to send yet.
    pub fn new(compression: Compression) -> Self {
        Sending {
            added: VecDeque::new(),
            skips: HashSet::new(),
            through: 0,
            reader: Reading::Resting(FileReader::default()),
            gauge: Gauge::new(compression),
            sending_since: None,
        }
    }

    /// Adds a file behind those that were added before.
    pub fn add(&mut self, file: OutgoingFile) {
        self.added.push_back(file);
    }

    /// Stops sending this file, or does not begin it: it is aborted. Does nothing for one that is
    /// through.
    pub fn skip(&mut self, index: u32) {
        if index >= self.through {
            self.skips.insert(index);
        }
    }

    /// Whether there is nothing to send until more is added.
    pub fn is_idle(&self) -> bool {
        match &self.reader {
            Reading::Resting(reader) => reader.is_idle() && self.added.is_empty(),
            Reading::Running(_) => false,
            Reading::Lost => true,
        }
    }

    /// The next pieces; none when there is nothing to do, or when a file is still being compared
    /// with what the receiver has of it. Can be dropped and called again.
    ///
    /// `wire` is how fast the pieces before were taken. Fails only when the reading thread panicked.
    pub async fn next(&mut self, wire: Rate) -> Result<Vec<Piece>, Failure> {
        self.start_hop(wire);
        let Reading::Running(hop) = &mut self.reader else {
            return Ok(Vec::new());
        };
        let joined = hop.await;
        self.reader = Reading::Lost;
        let Hop {
            reader,
            pieces,
            took,
        } = joined
            .map_err(|_| Failure::new(ErrorCode::Internal, "reading a file failed unexpectedly"))?;
        if let Some((before, since)) = self.sending_since.replace((took, Instant::now())) {
            self.gauge.note(before, since.elapsed());
        }
        let closed = pieces.iter().rev().find_map(Piece::closes);
        self.through = closed.map_or(self.through, |index| index + 1);
        self.reader = Reading::Resting(reader);
        self.start_hop(wire);
        Ok(pieces)
    }

    fn start_hop(&mut self, wire: Rate) {
        let Reading::Resting(reader) = &mut self.reader else {
            return;
        };
        reader.files.append(&mut self.added);
        reader.skips.extend(self.skips.drain());
        reader.skips.retain(|index| *index >= self.through);
        if reader.is_idle() {
            return;
        }
        let mut reader = std::mem::take(reader);
        let packing = self.gauge.packing(wire);
        let most = match Gauge::is_new(wire) {
            true => DATA_CHUNK,
            false => HOP_BYTES,
        };
        let span = Span::current();
        self.reader = Reading::Running(tokio::task::spawn_blocking(move || {
            let (pieces, took) = span.in_scope(|| reader.read_some(most, packing));
            Hop {
                reader,
                pieces,
                took,
            }
        }));
    }
}

/// The blocking half.
#[derive(Default)]
struct FileReader {
    files: VecDeque<OutgoingFile>,
    open: Option<Box<OpenFile>>,
    skips: HashSet<u32>,
    packer: Packer,
}

struct OpenFile {
    index: u32,
    source: Box<dyn Source>,
    hasher: Hasher,
    /// What is still to be read, when the size is known.
    left: Option<u64>,
    /// What the receiver has, while it is being compared with the file: nothing was sent yet.
    comparing: Option<Beginning>,
    /// What the receiver copies from, and which of its blocks would follow the last one.
    basis: Option<Basis>,
    next_block: Option<usize>,
    /// The parts that are wanted and not sent yet, if not all is; the source is where the first
    /// begins.
    parts: Option<VecDeque<Range<u64>>>,
}

impl FileReader {
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.files.is_empty()
    }

    /// Reads about so much.
    fn read_some(&mut self, most: usize, packing: Packing) -> (Vec<Piece>, Took) {
        let started = Instant::now();
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while bytes < most && pieces.len() < HOP_PIECES {
            match self.open.take() {
                Some(file) => bytes += self.read_from(file, packing, &mut pieces),
                None => match self.files.pop_front() {
                    Some(file) => self.begin(file, &mut pieces),
                    None => break,
                },
            }
        }
        (pieces, self.packer.took(bytes, started, packing))
    }

    fn begin(&mut self, file: OutgoingFile, pieces: &mut Vec<Piece>) {
        let index = file.index;
        if self.skips.remove(&index) {
            let failure = skipped();
            return pieces.push(Piece::Abort { index, failure });
        }
        let OutgoingFile {
            index,
            beginning,
            parts,
            open,
        } = file;
        let file = Announced {
            index,
            beginning,
            parts,
        };
        match open() {
            Opening::Skip => pieces.push(Piece::Skip { index }),
            Opening::Fail(failure) => pieces.push(Piece::Abort { index, failure }),
            Opening::Send(source) => self.begin_with(file, source, None, pieces),
            Opening::Patch(source, basis) => self.begin_with(file, source, Some(basis), pieces),
        }
    }

    fn begin_with(
        &mut self,
        file: Announced,
        source: Box<dyn Source>,
        basis: Option<Basis>,
        pieces: &mut Vec<Piece>,
    ) {
        let Announced {
            index,
            beginning,
            parts,
        } = file;
        let size = source.size();
        let fits = |beginning: &Beginning| (1..=size.unwrap_or(0)).contains(&beginning.length);
        let mut file = Box::new(OpenFile {
            index,
            hasher: Hasher::new(),
            left: size,
            source,
            comparing: beginning.filter(fits),
            basis,
            next_block: None,
            parts: None,
        });
        if !parts.is_empty()
            && let Err(failure) = file.narrow(parts)
        {
            return pieces.push(Piece::Abort { index, failure });
        }
        if file.comparing.is_none() {
            pieces.push(file.begin(0));
        }
        self.packer.begin();
        self.open = Some(file);
    }

    /// Reads one chunk; keeps the file open unless that was its end. Returns how much was read.
    fn read_from(
        &mut self,
        mut file: Box<OpenFile>,
        packing: Packing,
        pieces: &mut Vec<Piece>,
    ) -> usize {
        let index = file.index;
        if self.skips.remove(&index) {
            let failure = skipped();
            pieces.push(Piece::Abort { index, failure });
            return 0;
        }
        if let Some(beginning) = file.comparing {
            return match file.compare_some(beginning) {
                Ok((bytes, begin)) => {
                    pieces.extend(begin);
                    self.open = Some(file);
                    bytes
                }
                Err(failure) => {
                    pieces.push(Piece::Abort { index, failure });
                    0
                }
            };
        }
        let before = pieces.len();
        match file.read_on(pieces) {
            Ok(0) => {
                pieces.push(match file.finish() {
                    Ok(digest) => Piece::End { index, digest },
                    Err(failure) => Piece::Abort { index, failure },
                });
                0
            }
            Ok(bytes) => {
                for piece in pieces.iter_mut().skip(before) {
                    if let Piece::Data(Content::Plain(chunk)) = piece {
                        let chunk = std::mem::take(chunk);
                        *piece = Piece::Data(self.packer.pack(chunk, packing));
                    }
                }
                self.open = Some(file);
                bytes
            }
            Err(failure) => {
                pieces.push(Piece::Abort { index, failure });
                0
            }
        }
    }
}

impl OpenFile {
    fn begin(&self, offset: u64) -> Piece {
        Piece::Begin {
            index: self.index,
            entry: self.source.entry(),
            size: self.source.size(),
            offset,
            basis: self.basis.as_ref().map(|basis| basis.id),
        }
    }

    /// Sends no more than these parts. The digest is that of the whole file, and so must be known.
    fn narrow(&mut self, parts: Vec<Range<u64>>) -> Result<(), Failure> {
        let (size, end) = (self.source.size(), parts.last().map(|part| part.end));
        if self.source.digest().is_none() || end > size {
            let message = "it is not the file that parts were asked of";
            return Err(Failure::new(ErrorCode::Conflict, message));
        }
        if let Some(first) = parts.first() {
            self.source.seek(first.start)?;
        }
        self.comparing = None;
        self.parts = Some(parts.into());
        Ok(())
    }

    /// Reads the next pieces; tells how many bytes of the file they stand for, 0 at its end.
    fn read_on(&mut self, pieces: &mut Vec<Piece>) -> Result<usize, Failure> {
        if self.basis.is_some() {
            return self.read_patch(pieces);
        }
        let chunk = match self.parts {
            Some(_) => self.read_part()?,
            None => self.read_chunk()?,
        };
        let bytes = chunk.len();
        if bytes > 0 {
            pieces.push(Piece::Data(Content::Plain(chunk)));
        }
        Ok(bytes)
    }

    /// The next piece of the parts that are wanted.
    fn read_part(&mut self) -> Result<Bytes, Failure> {
        let Some(parts) = &mut self.parts else {
            return Ok(Bytes::new());
        };
        let Some(part) = parts.front_mut() else {
            return Ok(Bytes::new());
        };
        let left = part.end.saturating_sub(part.start);
        let wanted = usize::try_from(left).unwrap_or(DATA_CHUNK).min(DATA_CHUNK);
        let mut chunk = vec![0; wanted];
        let read = self.source.read(&mut chunk)?;
        if read == 0 {
            return Err(became_shorter());
        }
        chunk.truncate(read);
        part.start += read as u64;
        if part.start >= part.end {
            parts.pop_front();
            if let Some(next) = parts.front() {
                self.source.seek(next.start)?;
            }
        }
        Ok(chunk.into())
    }

    /// The next pieces of a file that the receiver puts together; tells how many bytes of the file
    /// they are.
    fn read_patch(&mut self, pieces: &mut Vec<Piece>) -> Result<usize, Failure> {
        let (left, size) = (self.left.unwrap_or(0), self.source.size().unwrap_or(0));
        if left == 0 {
            return self.check_end().map(|end| end.len());
        }
        let position = size.saturating_sub(left);
        let Some(blocks) = self.basis.as_ref().and_then(Basis::blocks) else {
            // The same file, whose digest is known. It is not read at all, and so neither is what
            // follows its end.
            pieces.push(Piece::Copy(position..size));
            self.left = Some(0);
            self.source.seek(size)?;
            return Ok(usize::try_from(left).unwrap_or(usize::MAX));
        };
        let cutting = blocks.size();
        let source = &mut self.source;
        let (bytes, at_end) = cutting.fill(|buffer| source.read(buffer))?;
        let bytes = Bytes::from(bytes);
        let mut run = Run::new(&bytes, pieces);
        let mut next = self.next_block;
        let whole = cutting.cut(&bytes, at_end, &mut |block| {
            let found = blocks.find(Block::of(block), next);
            next = found.map(|at| at + 1);
            run.add(block.len(), found.and_then(|at| blocks.place(at)));
        });
        run.flush();
        self.next_block = next;
        if self.source.digest().is_none() {
            self.hasher.update(bytes.get(..whole).unwrap_or_default());
        }
        if whole == 0 {
            return Err(became_shorter());
        }
        let left = left.checked_sub(whole as u64).ok_or_else(became_another)?;
        self.left = Some(left);
        self.source.seek(position.saturating_add(whole as u64))?;
        Ok(whole)
    }

    /// Reads some of what the receiver has, too; in the end it is known where to begin. Tells how
    /// much was read.
    fn compare_some(&mut self, beginning: Beginning) -> Result<(usize, Option<Piece>), Failure> {
        let size = self.source.size().unwrap_or(0);
        let left = self.left.unwrap_or(0);
        let to_compare = beginning.length.saturating_sub(size.saturating_sub(left));
        let mut chunk =
            vec![0; usize::try_from(to_compare).map_or(DATA_CHUNK, |l| l.min(DATA_CHUNK))];
        let read = self.source.read(&mut chunk)?;
        self.hasher.update(chunk.get(..read).unwrap_or_default());
        self.left = Some(left.saturating_sub(read as u64));
        // A file that became shorter meanwhile is found when it is sent.
        if read > 0 && (read as u64) < to_compare {
            return Ok((read, None));
        }
        self.comparing = None;
        if self.hasher.clone().finish() == beginning.digest {
            return Ok((read, Some(self.begin(beginning.length))));
        }
        self.source.seek(0)?;
        self.hasher = Hasher::new();
        self.left = Some(size);
        Ok((read, Some(self.begin(0))))
    }

    /// The next piece, which ends on a segment unless it is the last one. That of a stream is as
    /// small as that allows: who writes slowly should be seen to write.
    fn read_chunk(&mut self) -> Result<Bytes, Failure> {
        if self.left == Some(0) {
            return self.check_end();
        }
        let wanted = self.left.map_or(SEGMENT, |left| {
            usize::try_from(left).unwrap_or(DATA_CHUNK).min(DATA_CHUNK)
        });
        let mut chunk = vec![0; wanted];
        let mut filled = 0;
        while let Some(room) = chunk.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.source.read(room)? {
                0 => break,
                more => filled += more,
            }
        }
        chunk.truncate(filled);
        if let Some(left) = &mut self.left {
            if filled < wanted {
                return Err(became_shorter());
            }
            *left -= filled as u64;
        }
        if self.source.digest().is_none() {
            self.hasher.update(&chunk);
        }
        Ok(chunk.into())
    }

    /// Makes sure that there is no more than was announced, as with files that have no size until
    /// they are read.
    fn check_end(&mut self) -> Result<Bytes, Failure> {
        match self.source.read(&mut [0])? {
            0 => Ok(Bytes::new()),
            _ => Err(became_another()),
        }
    }

    fn finish(mut self) -> Result<Digest, Failure> {
        let digest = match self.source.digest() {
            Some(known) => known,
            None => self.hasher.finish(),
        };
        self.source.finish(digest)?;
        Ok(digest)
    }
}

/// What is sent of a file that the receiver puts together: blocks that follow each other go as one.
struct Run<'a> {
    bytes: &'a Bytes,
    pieces: &'a mut Vec<Piece>,
    /// What is not in `pieces` yet: new bytes, or a part of the basis.
    fresh: Range<usize>,
    copied: Range<u64>,
}

impl<'a> Run<'a> {
    fn new(bytes: &'a Bytes, pieces: &'a mut Vec<Piece>) -> Self {
        Run {
            bytes,
            pieces,
            fresh: 0..0,
            copied: 0..0,
        }
    }

    /// The next block, and where in the basis it is.
    fn add(&mut self, length: usize, found: Option<Range<u64>>) {
        let position = self.fresh.end;
        match found {
            Some(place) => {
                self.flush_fresh();
                if self.copied.is_empty() || self.copied.end != place.start {
                    self.flush_copied();
                    self.copied = place;
                } else {
                    self.copied.end = place.end;
                }
                self.fresh = position + length..position + length;
            }
            None => {
                self.flush_copied();
                self.fresh.end = position + length;
            }
        }
    }

    fn flush(&mut self) {
        self.flush_fresh();
        self.flush_copied();
    }

    fn flush_fresh(&mut self) {
        while !self.fresh.is_empty() {
            let end = self.fresh.end.min(self.fresh.start + DATA_CHUNK);
            let chunk = self.bytes.slice(self.fresh.start..end);
            self.pieces.push(Piece::Data(Content::Plain(chunk)));
            self.fresh.start = end;
        }
    }

    fn flush_copied(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(Piece::Copy(self.copied.clone()));
        }
        self.copied = 0..0;
    }
}

/// What is known of a file before it is open.
struct Announced {
    index: u32,
    beginning: Option<Beginning>,
    parts: Vec<Range<u64>>,
}

fn became_shorter() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "it became shorter while it was being sent",
    )
}

fn became_another() -> Failure {
    Failure::new(
        ErrorCode::Conflict,
        "it has more content than its size says, or became longer while it was being sent",
    )
}

fn skipped() -> Failure {
    Failure::new(ErrorCode::Conflict, "it was skipped on request")
}
