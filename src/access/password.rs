use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest password, in bytes.
const MAX_BYTES: usize = 1024;

/// By how much a text can grow or shrink when it is normalised (UAX #15, NFC).
const GROWTH: usize = 3;

/// The most memory that a stored hash may ask for, in KiB: 1 GiB.
const MAX_MEMORY: u32 = 1 << 20;

/// The most passes over that memory, and the most lanes, that a stored hash may ask for.
const MAX_COST: u32 = 16;

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

/// What is stored of a password: an Argon2id hash with its salt, as a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// The text is not the hash of a password that this program would verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// It is not a whole PHC string of Argon2id.
    #[error("the password's hash is not one of Argon2id")]
    NotArgon2id,
    /// Verifying it would take more than 1 GiB of memory, 16 passes or 16 lanes.
    #[error("the password's hash asks for too much memory or time")]
    TooCostly,
}

impl PasswordHash {
    /// Hashes `password` with a salt of its own. Takes 19 MiB and some 20 ms.
    pub fn of(password: &Password) -> Result<Self, argon2::password_hash::Error> {
        let hash = Argon2::default().hash_password(password.as_str().as_bytes())?;
        Ok(PasswordHash(hash.to_string()))
    }

    /// A hash as good as any other that no known password has: what a login as nobody is held
    /// against, so that it takes as long as any other.
    pub fn of_nobody() -> Result<Self, argon2::password_hash::Error> {
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::default().into()),
            params: ParamsString::try_from(&Params::default())?,
            salt: Some(Salt::generate()),
            hash: Some(Output::new(&rand::random::<
                [u8; Params::DEFAULT_OUTPUT_LEN],
            >())?),
        };
        Ok(PasswordHash(hash.to_string()))
    }

    /// Whether this is the hash of `password`. Takes as long as hashing one.
    pub fn verifies(&self, password: &Password) -> bool {
        let Ok(hash) = phc::PasswordHash::new(&self.0) else {
            return false;
        };
        let (Ok(params), Some(salt), Some(expected)) =
            (Params::try_from(&hash), &hash.salt, &hash.hash)
        else {
            return false;
        };
        let blocks = params.block_count();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::default(), params);
        let mut output = vec![0; expected.as_ref().len()];
        let password = password.as_str().as_bytes();
        let hashed = with_memory(blocks, |memory| {
            argon2.hash_password_into_with_memory(password, salt.as_ref(), &mut output, memory)
        });
        hashed.is_ok() && verify_slices_are_equal(&output, expected.as_ref()).is_ok()
    }

    /// The PHC string: `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Memory for hashing, used again and again: every thread that allocated its own would keep it.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// How many pieces of it are kept; more are only needed when more hash at once.
const KEPT: usize = 4;

fn with_memory<T>(blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
    let kept = || MEMORY.lock().unwrap_or_else(|e| e.into_inner());
    let mut memory = kept().pop().unwrap_or_default();
    memory.resize(blocks, Block::default());
    let done = work(&mut memory);
    let mut kept = kept();
    // A hash that was made elsewhere may have asked for more.
    if kept.len() < KEPT && blocks <= Params::DEFAULT.block_count() {
        kept.push(memory);
    }
    done
}

/// Without the hash: whoever has it can try passwords at home.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordHashError::NotArgon2id)?;
        let whole = hash.salt.is_some() && hash.hash.is_some();
        if hash.algorithm != Algorithm::Argon2id.ident() || !whole {
            return Err(PasswordHashError::NotArgon2id);
        }
        let costs = Params::try_from(&hash).map_err(|_| PasswordHashError::NotArgon2id)?;
        if costs.m_cost() > MAX_MEMORY || costs.t_cost() > MAX_COST || costs.p_cost() > MAX_COST {
            return Err(PasswordHashError::TooCostly);
        }
        Ok(PasswordHash(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    #[test]
    fn a_password_is_bounded_and_says_nothing() {
        for (text, wrong) in [
            (String::new(), PasswordError::Empty),
            ("a\0b".to_owned(), PasswordError::Nul),
            ("x".repeat(1025), PasswordError::TooLong),
            ("x".repeat(1 << 20), PasswordError::TooLong),
            // One letter of three bytes that has a normal form of six.
            ("\u{fb2c}".repeat(200), PasswordError::TooLong),
        ] {
            assert_eq!(Password::new(text).unwrap_err(), wrong);
        }
        assert_eq!(password(&"x".repeat(1024)).as_str().len(), 1024);
        assert_eq!(password(" ").as_str(), " ");
        assert!(!format!("{:?}", password("canary")).contains("canary"));
    }

    #[test]
    fn a_letter_is_the_same_however_it_was_typed() {
        assert_eq!(password("caf\u{e9}"), password("cafe\u{301}"));
        assert_eq!(password(&"e\u{301}".repeat(512)).as_str().len(), 1024);
    }

    #[test]
    fn a_hash_is_verified_by_its_own_password_only() {
        let hash = PasswordHash::of(&password("correct horse")).unwrap();
        assert!(hash.verifies(&password("correct horse")));
        assert!(!hash.verifies(&password("correct horsf")));
        assert_ne!(hash, PasswordHash::of(&password("correct horse")).unwrap());
        assert_eq!(hash.as_str().parse::<PasswordHash>().unwrap(), hash);
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!format!("{hash:?}").contains("argon2id"));
    }

    #[test]
    fn nobody_has_a_hash_like_any_other() {
        let nobody = PasswordHash::of_nobody().unwrap();
        assert!(!nobody.verifies(&password("x")));
        assert_ne!(nobody, PasswordHash::of_nobody().unwrap());
        let somebody = PasswordHash::of(&password("x")).unwrap();
        let shape = |hash: &PasswordHash| hash.as_str().rsplit_once("p=1$").unwrap().0.to_owned();
        assert_eq!(shape(&nobody), shape(&somebody));
        assert_eq!(nobody.as_str().len(), somebody.as_str().len());
        assert!(nobody.as_str().parse::<PasswordHash>().is_ok());
    }

    #[test]
    fn a_stored_hash_cannot_ask_for_everything() {
        let hash = PasswordHash::of_nobody().unwrap();
        for (from, to, wrong) in [
            ("m=19456", "m=1048577", PasswordHashError::TooCostly),
            ("m=19456", "m=4294967295", PasswordHashError::TooCostly),
            ("t=2", "t=17", PasswordHashError::TooCostly),
            ("p=1", "p=17", PasswordHashError::TooCostly),
            ("m=19456", "m=0", PasswordHashError::NotArgon2id),
            ("m=19456", "m=99999999999", PasswordHashError::NotArgon2id),
            ("argon2id", "argon2i", PasswordHashError::NotArgon2id),
            ("argon2id", "scrypt", PasswordHashError::NotArgon2id),
            ("$argon2id", "", PasswordHashError::NotArgon2id),
        ] {
            let text = hash.as_str().replacen(from, to, 1);
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), wrong, "{text}");
        }
        let (cut, _) = hash.as_str().rsplit_once('$').unwrap();
        for text in ["", "secret", cut, "$argon2id$v=19$m=19456,t=2,p=1"] {
            let wrong = PasswordHashError::NotArgon2id;
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), wrong, "{text}");
        }
    }
}
