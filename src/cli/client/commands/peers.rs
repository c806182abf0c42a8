use super::{Outcome, offers};
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::{Body, PeerLine};

const HEADING: [&str; 4] = ["NAME", "IP ADDRESS", "TCP PORT", "STATUS"];

/// `peers`
pub async fn run(session: &mut Session) -> Outcome {
    let table = offers::table(session).await?;
    let output = &session.output;
    let mut rows = Vec::new();
    for peer in table.peers() {
        output.object(Body::Peer(PeerLine {
            name: peer.name.as_str(),
            address: peer.address.to_string(),
            port: peer.port,
            online: peer.online,
        }));
        rows.push([
            peer.name.to_string(),
            peer.address.to_string(),
            peer.port.to_string(),
            match peer.online {
                true => "online".to_owned(),
                false => "offline".to_owned(),
            },
        ]);
    }
    match rows.is_empty() {
        true => output.note("[No clients registered at the moment.]"),
        false => offers::columns(output, HEADING.map(str::to_owned), rows),
    }
    Ok(Verdict::Done)
}
