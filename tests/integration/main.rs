//! Everything that is tested from outside the crate, in one binary: one file per subject.

mod allocations;
mod conversation;
mod cuts;
mod harness;
mod hostile_server;
mod house;
#[cfg(unix)]
mod prompt;
mod protocol;
mod readme;
mod resume;
mod script;
mod store_mode;
mod usage;
mod wire;
