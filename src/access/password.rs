use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest password, in bytes.
const MAX_BYTES: usize = 1024;

/// By how much a text can grow or shrink when it is normalised (UAX #15, NFC).
const GROWTH: usize = 3;

/// A password: 1 to 1024 bytes of UTF-8 without NUL, in Unicode's form NFC, so that it is the same
/// whatever keyboard it was typed on. Its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

/// Why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// There is nothing in it.
    #[error("a password must not be empty")]
    Empty,
    /// It has more than 1024 bytes.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// It has a NUL in it, which hardly anybody can type.
    #[error("a password must not have a NUL in it")]
    Nul,
}

impl Password {
    /// Takes over `text`, in form NFC.
    pub fn new(text: String) -> Result<Self, PasswordError> {
        let text = Zeroizing::new(text);
        if text.len() > GROWTH * MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        // With room for all of it from the beginning: a string that grows leaves copies behind.
        let mut normal = Zeroizing::new(String::with_capacity(GROWTH * text.len()));
        normal.extend(text.nfc());
        match normal.len() {
            0 => Err(PasswordError::Empty),
            length if length > MAX_BYTES => Err(PasswordError::TooLong),
            _ if normal.contains('\0') => Err(PasswordError::Nul),
            _ => Ok(Password(normal)),
        }
    }

    /// The password, in form NFC.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Without the password.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
