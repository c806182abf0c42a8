//! Binding, and what to say when it cannot be done.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::cli::failure::Failure;
use crate::net;
use crate::protocol::ErrorCode;

/// Listens on these addresses, or on every one when there are none, all on one port.
pub fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, Failure> {
    net::listen(addresses, port).map_err(|(address, error)| explain(address, &error))
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
    use std::net::Ipv4Addr;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ports(listeners: &[TcpListener]) -> Vec<u16> {
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        listeners.iter().map(port).collect()
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
