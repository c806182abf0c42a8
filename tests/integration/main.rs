//! Everything that is tested from outside the crate, in one binary: one file per subject.

mod allocations;
#[cfg(target_os = "linux")]
mod confinement;
mod conversation;
mod cuts;
#[cfg(target_os = "linux")]
mod guest;
mod harness;
mod hostile_server;
mod house;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(unix)]
mod prompt;
mod protocol;
mod readme;
mod script;
mod store_mode;
mod usage;
mod wire;
