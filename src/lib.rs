#![doc = "Moves files between machines on a network, verified by MD5."]
#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod access;
pub mod cli;
pub mod client;
pub mod digest;
pub mod disk;
pub mod net;
pub mod protocol;
pub mod server;
pub mod store;
pub mod transfer;
pub mod types;
