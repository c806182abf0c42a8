//! Everything that is tested from outside the crate, in one binary: one file per subject.

mod accounts;
mod allocations;
#[cfg(target_os = "linux")]
mod changed_parts;
#[cfg(target_os = "linux")]
mod compression;
#[cfg(target_os = "linux")]
mod confinement;
mod connections;
mod conversation;
mod cuts;
#[cfg(target_os = "linux")]
mod deadlines;
#[cfg(target_os = "linux")]
mod edit;
#[cfg(target_os = "linux")]
mod faults;
mod flips;
#[cfg(target_os = "linux")]
mod guest;
mod harness;
#[cfg(unix)]
mod hostile_names;
mod hostile_server;
mod house;
mod identity;
mod impostors;
mod junk;
#[cfg(target_os = "linux")]
mod limits;
mod logins;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(unix)]
mod negotiated;
mod peers;
mod pipeline;
#[cfg(unix)]
mod private_files;
#[cfg(unix)]
mod prompt;
mod protocol;
mod readme;
mod registry;
mod resume;
mod script;
mod store_mode;
#[cfg(target_os = "linux")]
mod symlink_races;
mod sync;
#[cfg(unix)]
mod terminal;
mod tools;
mod trash;
#[cfg(target_os = "linux")]
mod trees;
mod trust;
mod usage;
mod wire;
