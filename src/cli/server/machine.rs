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

/// Raises the limit of open files so that it fits so many connections, one in eight of them with a
/// file open. Where the system does not allow that, says so and tells how many fit: a client that comes when the server
/// is full should hear so, instead of a server that cannot open its files.
#[cfg(unix)]
pub fn make_room(connections: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = wanted.saturating_add(wanted / 8 + OWN_DESCRIPTORS);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let most = limit.maximum;
        limit.current = Some(needed);
        limit.maximum = most.map(|most| most.max(needed));
        // Only the superuser may raise the maximum; anybody else gets all there is.
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.maximum = most;
            limit.current = most.map(|most| most.min(needed));
            if let Err(error) = setrlimit(Resource::Nofile, limit) {
                tracing::warn!(%error, "the limit of open files cannot be raised");
            }
        }
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fit = fitting(allowed).min(connections);
    if fit < connections {
        tracing::warn!(
            allowed,
            needed,
            connections = fit,
            "fewer connections are taken than --max-connections says: raise 'ulimit -n'"
        );
    }
    fit
}

/// How many connections fit under a limit of open files.
#[cfg(unix)]
fn fitting(allowed: u64) -> usize {
    let own = OWN_DESCRIPTORS.min(allowed / 2);
    usize::try_from((allowed - own) / 9 * 8)
        .unwrap_or(usize::MAX)
        .max(1)
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn make_room(connections: usize) -> usize {
    let _ = OWN_DESCRIPTORS;
    connections
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

    #[cfg(unix)]
    #[test]
    fn most_of_what_the_store_leaves_is_for_connections() {
        assert_eq!(fitting(64), 24);
        assert_eq!(fitting(OWN_DESCRIPTORS + 900), 800);
        assert!(fitting(20_000) >= 16_384);
        assert_eq!(fitting(0), 1);
    }

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
