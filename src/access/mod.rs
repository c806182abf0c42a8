//! Who may do what: roles, passwords, the accounts file, and the one check that every command goes
//! through (contract section 7).
//!
//! All of it blocks where it reads or hashes; callers on an async runtime use threads.

mod accounts;
mod book;
mod password;
mod role;

pub use accounts::{Accounts, AccountsError, Users};
pub use book::{Account, AccountBook, AccountBookError};
pub use password::{Password, PasswordError, PasswordHash, PasswordHashError};
pub use role::{Action, Denied, Role, check};
