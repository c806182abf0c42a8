//! The engine between disks and a connection: files to pieces, and pieces to files.
//!
//! It knows no store and no terminal: it reads from a [`Source`], writes to a [`Sink`] and reports
//! to a [`Progress`]. File work runs on blocking threads, in short hops that end when there is
//! nothing to do, so that a slow peer never holds a thread.
//!
//! A file need not begin at its beginning: a receiver that has some of it already says so with a
//! [`Beginning`], which the sender compares with its own file before it goes on from there. And it
//! need not come whole: what the receiver can copy from a [`Basis`] of its own is only named.

mod basis;
mod gauge;
mod packing;
mod progress;
mod receiving;
mod sending;

pub use basis::{Basis, Blocks};
pub use progress::{Progress, Silent};
pub use receiving::{Done, Incoming, OpenSink, Receiving, Sink};
pub use sending::{Beginning, Opening, OutgoingFile, Piece, Sending, Source};
