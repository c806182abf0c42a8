use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::types::{Fingerprint, FingerprintError, Printable, UserName, UserNameError};

/// The port that a server listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 2222;

/// Where a server is, and what a URL says besides: `HOST`, `HOST:PORT`, `[V6]:PORT` or
/// `fileshare://USER@HOST:PORT#sha256:FINGERPRINT`, of which only the host is required
/// (contract section 4, `--server`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Who to log in as.
    pub user: Option<UserName>,
    /// The key that the server must have.
    pub fingerprint: Option<Fingerprint>,
}

impl ServerAddress {
    /// The server under which its key is known, whatever the spelling of the host: `host:port`
    /// in lower case, with brackets around an IPv6 address.
    pub(super) fn known_as(&self) -> String {
        let host = match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => self.host.to_lowercase(),
        };
        match host.contains(':') {
            true => format!("[{host}]:{}", self.port),
            false => format!("{host}:{}", self.port),
        }
    }

    /// The same address as a URL that pins this key.
    pub fn pinned_url(&self, key: Fingerprint) -> String {
        match &self.user {
            Some(user) => format!("fileshare://{user}@{self}#{key}"),
            None => format!("fileshare://{self}#{key}"),
        }
    }
}

impl Default for ServerAddress {
    fn default() -> Self {
        ServerAddress {
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
            user: None,
            fingerprint: None,
        }
    }
}

/// Where it is: `host:port`, with brackets around an IPv6 address. User and fingerprint are not
/// shown.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Printable(&self.host);
        if self.host.contains(':') {
            write!(f, "[{host}]:{}", self.port)
        } else {
            write!(f, "{host}:{}", self.port)
        }
    }
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// None of the forms.
    #[error(
        "not a server address: give HOST, HOST:PORT, [IPV6]:PORT or fileshare://USER@HOST:PORT#FINGERPRINT"
    )]
    Malformed,
    /// The port is not a number from 1 to 65535.
    #[error("not a port: give a number from 1 to 65535")]
    Port,
    /// A user, or a fingerprint, in an address that is no URL.
    #[error("a user or a fingerprint belongs in a URL: fileshare://USER@HOST:PORT#FINGERPRINT")]
    NotAUrl,
    /// The URL carries a password, which others would see.
    #[error(
        "a password never belongs in an address: leave it out, and give it by FILESHARE_PASSWORD, --password-file or --password-command"
    )]
    Password,
    /// The user in the URL cannot be one.
    #[error(transparent)]
    User(#[from] UserNameError),
    /// What stands behind the `#` of the URL is not a fingerprint.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.contains(['@', '#']) {
                return Err(AddressError::NotAUrl);
            }
            return place(text);
        };
        // A password may hold any character: the last '@' ends it.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(AddressError::Password),
            Some((user, rest)) => (Some(user.parse()?), rest),
            None => (None, rest),
        };
        if !scheme.eq_ignore_ascii_case("fileshare") {
            return Err(AddressError::Malformed);
        }
        let (rest, fingerprint) = match rest.split_once('#') {
            Some((rest, fingerprint)) => (rest, Some(fingerprint.parse()?)),
            None => (rest, None),
        };
        Ok(ServerAddress {
            user,
            fingerprint,
            ..place(rest.strip_suffix('/').unwrap_or(rest))?
        })
    }
}

/// Reads `HOST`, `HOST:PORT` or `[V6]:PORT`.
fn place(text: &str) -> Result<ServerAddress, AddressError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or(AddressError::Malformed)?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(AddressError::Malformed),
            };
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| AddressError::Malformed)?;
            (host, port)
        }
        // More than one colon without brackets is an IPv6 address on its own.
        None if text.parse::<std::net::Ipv6Addr>().is_ok() => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/\\?[]@#".contains(c);
    if host.is_empty() || host.len() > 255 || host.contains(strange) {
        return Err(AddressError::Malformed);
    }
    let port = match port {
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0 && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .ok_or(AddressError::Port)?,
        None => DEFAULT_PORT,
    };
    Ok(ServerAddress {
        host: host.to_owned(),
        port,
        ..ServerAddress::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, host, port) in [
            ("nas", "nas", 2222),
            ("nas:2300", "nas", 2300),
            ("10.0.0.5", "10.0.0.5", 2222),
            ("[::1]", "::1", 2222),
            ("[::1]:99", "::1", 99),
            ("fe80::1", "fe80::1", 2222),
            ("fileshare://nas", "nas", 2222),
            ("fileshare://nas:1/", "nas", 1),
            ("fileshare://[::1]:2", "::1", 2),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            ":1",
            "nas:",
            "nas:0",
            "nas:65536",
            "nas:+1",
            "nas:x",
            "[::1",
            "[::1]x",
            "[nas]:1",
            "http://nas",
            "a b",
            "a/b",
            "fileshare://",
            "x@nas",
            "nas#sha256:00",
            "fileshare://nas#sha256:00",
            "fileshare://nas#",
            "fileshare://@nas",
            "fileshare://-x@nas",
            "fileshare://nas/folder",
            "fileshare://a#b@nas",
            "ssh://x@nas",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_may_name_user_and_key() {
        let key = format!("sha256:{}", "0f".repeat(32));
        for (text, user, key, shown) in [
            (format!("fileshare://bob@nas#{key}"), true, true, "nas:2222"),
            (format!("FILESHARE://bob@nas:1/#{key}"), true, true, "nas:1"),
            (format!("fileshare://[::1]:2#{key}"), false, true, "[::1]:2"),
            ("fileshare://bob@nas:3/".to_owned(), true, false, "nas:3"),
        ]
        .map(|(text, user, pinned, shown)| (text, user, pinned.then_some(&key), shown))
        {
            let address: ServerAddress = text.parse().unwrap();
            let named = address.user.as_ref().map(UserName::as_str);
            assert_eq!(named, user.then_some("bob"), "{text}");
            let pinned = address.fingerprint.map(|pinned| pinned.to_string());
            assert_eq!(pinned.as_ref(), key, "{text}");
            assert_eq!(address.to_string(), shown, "{text}");
            if let Some(key) = address.fingerprint {
                assert_eq!(address.pinned_url(key).parse(), Ok(address), "{text}");
            }
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        for text in [
            "fileshare://bob:canary@nas",
            "fileshare://bob:can@ary/#?@nas:1",
            "fileshare://:canary@nas",
            "http://bob:canary@nas",
        ] {
            let error = text.parse::<ServerAddress>().unwrap_err();
            assert_eq!(error, AddressError::Password, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn one_server_is_known_under_one_name() {
        for (text, name) in [
            ("NAS.Local", "nas.local:2222"),
            ("nas:1", "nas:1"),
            ("[0:0:0:0:0:0:0:1]:99", "[::1]:99"),
            ("FE80::A", "[fe80::a]:2222"),
            ("127.0.0.1", "127.0.0.1:2222"),
        ] {
            let address: ServerAddress = text.parse().unwrap();
            assert_eq!(address.known_as(), name);
        }
    }
}
