use std::fmt;
use std::str::FromStr;

/// The port that a server listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 2222;

/// Where a server is: `HOST`, `HOST:PORT`, `[V6]:PORT` or `fileshare://HOST:PORT`
/// (contract section 4, `--server`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Default for ServerAddress {
    fn default() -> Self {
        ServerAddress {
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
        }
    }
}

/// As it is typed: `host:port`, with brackets around an IPv6 address.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = crate::types::Printable(&self.host);
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
    /// Neither of the forms.
    #[error("not a server address: give HOST, HOST:PORT, [IPV6]:PORT or fileshare://HOST:PORT")]
    Malformed,
    /// The port is not a number from 1 to 65535.
    #[error("not a port: give a number from 1 to 65535")]
    Port,
    /// The URL names a user or a fingerprint, which need TLS.
    #[error("a user or fingerprint in the address needs TLS, which this version does not have yet")]
    NeedsTls,
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = match text.split_once("://") {
            Some(("fileshare", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(AddressError::Malformed),
            None => text,
        };
        if rest.contains(['@', '#']) {
            return Err(AddressError::NeedsTls);
        }
        let (host, port) = match rest.strip_prefix('[') {
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
            None if rest.parse::<std::net::Ipv6Addr>().is_ok() => (rest, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/\\?[]".contains(c);
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
        })
    }
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
            "fileshare://nas#sha256:00",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }
}
