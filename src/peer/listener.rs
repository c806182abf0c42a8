use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tracing::{Instrument, debug, info_span};

use super::provision::{self, Visitor};
use super::standing::Standing;
use crate::net;
use crate::protocol::{ErrorCode, Failure};

/// How long to wait after a failed accept, which is almost always a lack of descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Listens for other clients on every address, on this port, or on one that the system chooses.
/// Returns the port.
pub(super) fn open(port: Option<u16>) -> Result<(Vec<TcpListener>, u16), Failure> {
    let opened = net::listen(&[], port.unwrap_or(0));
    let listeners = opened.map_err(|(address, error)| unusable(address, &error))?;
    let first = listeners.first().map(|listener| listener.local_addr());
    let port = match first {
        Some(Ok(address)) => address.port(),
        _ => return Err(Failure::new(ErrorCode::Io, "no address to listen on")),
    };
    let listeners = listeners.into_iter().map(TcpListener::from_std);
    let listeners: io::Result<Vec<_>> = listeners.collect();
    let listeners = listeners.map_err(|error| Failure::new(ErrorCode::Io, error.to_string()))?;
    Ok((listeners, port))
}

fn unusable(address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let message = format!("port {port} is in use on {}", address.ip());
            Failure::new(ErrorCode::InvalidPort, message)
        }
        _ => Failure::new(
            ErrorCode::Io,
            format!("cannot listen on {address}: {error}"),
        ),
    }
}

/// Lets other clients in until this one goes offline.
pub(super) fn run(listeners: Vec<TcpListener>, standing: &Arc<Standing>) {
    for listener in listeners {
        let standing = standing.clone();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = standing.stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        net::configure(&stream);
                        admit(stream, peer.ip(), false, &standing);
                    }
                    Err(error) => {
                        debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(BACK_OFF).await;
                    }
                }
            }
        });
    }
}

/// Serves whoever is at the other end, if there is a place for them.
pub(super) fn admit<S>(stream: S, from: IpAddr, relayed: bool, standing: &Arc<Standing>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let places = match relayed {
        true => &standing.relayed_places,
        false => &standing.places,
    };
    let Ok(place) = places.clone().try_acquire_owned() else {
        return debug!(%from, "no place for another client");
    };
    let from = from.to_canonical();
    let standing = standing.clone();
    let span = info_span!("peer", %from, relayed);
    let serving = async move {
        let visitor = Visitor { from, relayed };
        if let Err(error) = provision::serve(stream, visitor, standing).await {
            debug!(%error, "left");
        }
        drop(place);
    };
    tokio::spawn(serving.instrument(span));
}
