//! What the server's machine says of itself and allows.

use std::net::{IpAddr, Ipv4Addr};

/// Descriptors for everything but connections: the store, its index, listeners, logs.
const OWN_DESCRIPTORS: u64 = 512;

/// The machine's name.
#[cfg(unix)]
pub fn host_name() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

/// The machine's name.
#[cfg(not(unix))]
pub fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

/// The address under which other machines most likely reach this one.
pub fn address() -> IpAddr {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    best(interfaces.iter().map(|interface| interface.ip()))
}

/// Raises the limit of open files so that it fits so many connections, each with a file; says so
/// when the system does not allow it.
#[cfg(unix)]
pub fn make_room(connections: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = connections
        .saturating_mul(2)
        .saturating_add(OWN_DESCRIPTORS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let mut wanted = limit;
    wanted.current = Some(needed);
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        // Only the superuser may do this; anybody else gets all there is.
        wanted.maximum = Some(needed);
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            return;
        }
        wanted.maximum = limit.maximum;
        wanted.current = limit.maximum;
    }
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < connections + OWN_DESCRIPTORS) {
        tracing::warn!(
            allowed,
            needed,
            "too few open files are allowed for --max-connections: raise 'ulimit -n'"
        );
    }
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn make_room(_: usize) {
    let _ = OWN_DESCRIPTORS;
}

/// A private IPv4 address before a public one, before a link-local one, before IPv6, before none.
fn best(addresses: impl Iterator<Item = IpAddr>) -> IpAddr {
    let rank = |address: &IpAddr| match address {
        IpAddr::V4(v4) if v4.is_private() => 0,
        IpAddr::V4(v4) if v4.is_link_local() => 2,
        IpAddr::V4(_) => 1,
        // A link-local one is no use without the name of an interface.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => 4,
        IpAddr::V6(_) => 3,
    };
    addresses
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .min_by_key(rank)
        .filter(|address| rank(address) < 4)
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_an_address_that_others_can_reach() {
        for (addresses, expected) in [
            (
                &["127.0.0.1", "8.8.8.8", "192.168.1.5", "::1"][..],
                "192.168.1.5",
            ),
            (&["127.0.0.1", "169.254.1.1", "8.8.8.8"], "8.8.8.8"),
            (&["::1", "2001:db8::1", "fe80::1"], "2001:db8::1"),
            (&["127.0.0.1", "fe80::1"], "127.0.0.1"),
            (&[], "127.0.0.1"),
        ] {
            let parsed = addresses.iter().map(|text| text.parse().unwrap());
            assert_eq!(best(parsed).to_string(), expected, "{addresses:?}");
        }
        assert!(!host_name().is_empty());
    }
}
