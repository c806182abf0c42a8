//! Everything that is tested from outside the crate, in one binary: one file per subject.

mod conversation;
mod hostile_server;
mod house;
mod wire;
