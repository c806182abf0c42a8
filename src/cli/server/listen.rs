//! Binding: every address on one and the same port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::cli::failure::Failure;
use crate::protocol::ErrorCode;

/// How many connections may wait to be accepted: many clients start at once.
const BACKLOG: i32 = 1024;

/// How often to let the system choose another port when the one that it chose is taken on one of
/// the addresses.
const ATTEMPTS: usize = 32;

/// Listens on these addresses, or on every one when there are none. Must the system choose the
/// port (0), it chooses one for all addresses.
pub fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, Failure> {
    let every = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let (wanted, optional) = match addresses {
        [] => (&every[..], true),
        addresses => (addresses, false),
    };
    let mut attempt = 1;
    loop {
        match listen_on(wanted, port, optional) {
            Ok(listeners) => return Ok(listeners),
            Err((_, error))
                if port == 0 && attempt < ATTEMPTS && error.kind() == io::ErrorKind::AddrInUse =>
            {
                attempt += 1;
            }
            Err((address, error)) => return Err(explain(address, &error)),
        }
    }
}

fn listen_on(
    addresses: &[IpAddr],
    port: u16,
    optional: bool,
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    let mut port = port;
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        match bind(address) {
            Ok(listener) => {
                port = listener
                    .local_addr()
                    .map_err(|error| (address, error))?
                    .port();
                listeners.push(listener);
            }
            // A system may have no IPv6, or no IPv4.
            Err(error) if optional && is_absent(&error) => missing = Some((address, error)),
            Err(error) => return Err((address, error)),
        }
    }
    match missing {
        Some(missing) if listeners.is_empty() => Err(missing),
        _ => Ok(listeners),
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    // Windows means something else by it: there two programs could take the same port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn is_absent(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own.
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) {
        return true;
    }
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    )
}

fn explain(address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    let (message, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            format!("port {port} is in use on {}", address.ip()),
            "stop the program that uses it, or choose another port with --port (0 lets the system choose)",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("this user may not listen on {address}"),
            "choose a port from 1024 to 65535 with --port",
        ),
        io::ErrorKind::AddrNotAvailable => (
            format!("this machine does not have the address {}", address.ip()),
            "give --bind an address of this machine",
        ),
        _ => (
            format!("cannot listen on {address}: {error}"),
            "choose another address with --bind, or another --port",
        ),
    };
    Failure::new(ErrorCode::Io, message).advise(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ports(listeners: &[TcpListener]) -> Vec<u16> {
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        listeners.iter().map(port).collect()
    }

    #[test]
    fn the_system_chooses_one_port_for_all_addresses() {
        let listeners = listen(&[], 0).unwrap();
        let ports = ports(&listeners);
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]));
        assert!(listeners[0].local_addr().unwrap().is_ipv4());
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = listen(&[LOCAL], 0).unwrap();
        let port = ports(&taken)[0];
        let failure = listen(&[LOCAL], port).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Io);
        assert!(failure.message.contains(&format!("port {port} is in use")));
        assert!(failure.advice.unwrap().contains("--port"));
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let failure = listen(&["192.0.2.1".parse().unwrap()], 0).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Io);
    }
}
