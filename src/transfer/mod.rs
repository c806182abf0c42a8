//! The engine between disks and a connection.

mod progress;

pub use progress::{Progress, Silent};
