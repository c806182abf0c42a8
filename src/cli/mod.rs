//! The terminal: argument grammar, prompt, renderers, progress bars, exit codes, server start-up.
//!
//! The only room that knows clap, the line editor, progress bars and exit codes, and the only one
//! that prints. Typed arguments come first and their meaning second: nothing below sees a type of
//! clap. Commands hand their results to `Output` and return what they came to;
//! one file decides the exit code.

mod advice;
mod client;
mod exit;
mod failure;
mod json;
mod logging;
mod output;
mod password;
mod progress;
mod server;
mod signals;
mod terminal;
mod units;
mod usage;

pub use client::run as run_client;
pub use server::run as run_server;
