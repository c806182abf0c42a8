//! The protocol against its specification: `docs/PROTOCOL.md`, `tests/vectors/`, and properties.

mod codec;
mod document;
mod dump;
mod samples;
mod scenarios;
mod vectors;
