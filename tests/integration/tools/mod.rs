//! The tools of hostile tests, one page each:
//!
//! - [`transport`]: the same conversation over plaintext and over TLS, by somebody who trusts
//!   everybody. (The hostile client itself is `wire::RawClient`, which takes any stream.)
//! - [`evil_server`]: a server that greets properly and then says whatever a test wants.
//! - [`proxy`]: a wire that cuts, flips bits, stalls, and writes byte by byte.
//! - [`names`]: the names that could leave the root, fool a terminal or trip another system.
//! - [`surroundings`]: a root with something to lose all around it.

pub mod evil_server;
pub mod names;
pub mod proxy;
pub mod surroundings;
pub mod transport;
