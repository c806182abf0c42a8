//! Moves files between machines on a network, verified by MD5.
//!
//! A server keeps a folder; clients list it, upload to it, download from it, rename in it. No
//! transfer counts until the MD5 of what arrived equals the MD5 of what was sent.
//!
//! A program that wants to move files needs two of the rooms below: [`client`] for
//! [`Client`](client::Client), the typed API behind everything that the terminal can do, and
//! [`types`] for the words it speaks ([`FileName`](types::FileName), [`Entry`](types::Entry) …).
//! [`peer`] makes a client one that others can fetch files from. A program that wants to serve a
//! folder needs [`store`] and [`server`]. The others are what these
//! stand on; `docs/ARCHITECTURE.md` says who may know whom, `docs/PROTOCOL.md` what goes over the
//! wire.
//!
//! ```no_run
//! use fileshare::client::{Client, ClientOptions, ListQuery};
//! use fileshare::types::Item;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::new("192.168.1.5:2222".parse()?, ClientOptions::default());
//! client
//!     .list(&ListQuery::default(), &mut |item| {
//!         if let Item::File(entry) = item {
//!             println!("{} {}", entry.size, entry.name);
//!         }
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod access;
pub mod cli;
pub mod client;
pub mod digest;
pub mod disk;
pub mod net;
pub mod peer;
pub mod protocol;
pub mod server;
pub mod store;
pub mod transfer;
pub mod types;
