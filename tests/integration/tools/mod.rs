//! The tools of hostile tests, one page each:
//!
//! - [`transport`]: the same conversation over plaintext and over TLS, by somebody who trusts
//!   everybody. (The hostile client itself is `wire::RawClient`, which takes any stream.)
//! - [`evil_server`]: a server that greets properly and then says whatever a test wants.
//! - [`proxy`]: a wire that cuts, flips bits, stalls, and writes byte by byte.
//! - [`names`]: the names that could leave the root, fool a terminal or trip another system.
//! - `namespace`: networks of their own, with wires and firewalls between them.
//! - [`surroundings`]: a root with something to lose all around it.

pub mod evil_server;
pub mod names;
#[cfg(target_os = "linux")]
pub mod namespace;
pub mod proxy;
#[cfg(unix)]
pub mod surroundings;
pub mod transport;

/// Panics when a terminal would act on the text, or hide some of it: `Printable` is for that.
/// Ends of lines and tabs are this program's own.
pub fn assert_harmless(text: &str) {
    let own = text.replace(['\n', '\t'], "");
    let shown = fileshare::types::Printable(&own).to_string();
    assert_eq!(shown, own, "{text:?}");
}
