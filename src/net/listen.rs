use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted: many clients start at once.
const BACKLOG: i32 = 1024;

/// How often to let the system choose another port when the one that it chose is taken on one of
/// the addresses.
const ATTEMPTS: usize = 32;

/// Listens on these addresses, or on every one when there are none. Must the system choose the
/// port (0), it chooses one for all addresses.
/// Fails with the address that cannot be had.
pub fn listen(
    addresses: &[IpAddr],
    port: u16,
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
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
            Err(failed) => return Err(failed),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_chooses_one_port_for_all_addresses() {
        let listeners = listen(&[], 0).unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let ports: Vec<u16> = listeners.iter().map(port).collect();
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]));
        assert!(listeners[0].local_addr().unwrap().is_ipv4());
    }
}
