use super::Outcome;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, OfferLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::peer::{self, Hashed, Offer, Peer, Table};

/// `offers`
pub async fn run(session: &mut Session) -> Outcome {
    let table = table(session).await?;
    tell(&session.output, &table.offers());
    Ok(Verdict::Done)
}

/// The table of the server. While that is gone a registered client has the last one, and says so.
pub async fn table(session: &mut Session) -> Result<Table, Failure> {
    let Some(peer) = session.standing.peer().cloned() else {
        return Ok(peer::table(&mut session.client).await?);
    };
    let refreshed = peer.refresh().await;
    let table = peer.table();
    match (refreshed, table.age()) {
        (Ok(()), _) => {}
        (Err(failure), None) => return Err(failure.into()),
        (Err(_), Some(age)) => {
            let age = units::span(age.as_secs());
            session.output.message(&format!(
                "The server does not respond: this is the table of {age} ago.\n"
            ));
        }
    }
    Ok(table)
}

/// Shows offers: columns for people, tabs for programs, both below their names.
pub fn tell(output: &Output, offers: &[Offer]) {
    if offers.is_empty() {
        const NOTHING: &str = "[No files available for download at the moment.]";
        return match output.look() {
            look if look.terminal && !look.json => output.line(NOTHING),
            _ => output.note(NOTHING),
        };
    }
    let people = output.look().terminal;
    let rows = offers.iter().map(|offer| match people {
        true => [
            offer.file.to_string(),
            offer.owner.to_string(),
            offer.address.to_string(),
            offer.port.to_string(),
            units::size(offer.size),
            offer.id.to_string(),
        ],
        // Names are as they are, to be given back to 'request': none holds a tab or a line end.
        false => [
            offer.file.as_str().to_owned(),
            offer.owner.as_str().to_owned(),
            offer.address.to_string(),
            offer.port.to_string(),
            offer.size.to_string(),
            offer.id.to_string(),
        ],
    });
    columns(output, HEADING.map(str::to_owned), rows.collect());
    for offer in offers {
        output.object(Body::Offer(OfferLine {
            name: offer.file.as_str(),
            owner: offer.owner.as_str(),
            address: offer.address.to_string(),
            port: offer.port,
            id: offer.id.to_string(),
            size: offer.size,
        }));
    }
}

const HEADING: [&str; 6] = ["FILENAME", "OWNER", "IP ADDRESS", "TCP PORT", "SIZE", "ID"];

/// Prints rows below their heading: as wide as the widest on a terminal, with tabs in a pipe.
pub fn columns<const N: usize>(output: &Output, heading: [String; N], rows: Vec<[String; N]>) {
    let table: Vec<[String; N]> = std::iter::once(heading).chain(rows).collect();
    if !output.look().terminal {
        return table.iter().for_each(|row| output.line(row.join("\t")));
    }
    let mut widths = [0; N];
    for row in &table {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    for row in &table {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(text, width)| format!("{text:width$}"))
            .collect();
        output.line(line.join("  ").trim_end());
    }
}

/// An offer of this client's own, which only others know the address of.
pub fn own<'a>(peer: &'a Peer, file: &'a Hashed) -> OfferLine<'a> {
    OfferLine {
        name: file.name().as_str(),
        owner: peer.name().as_str(),
        address: peer.address().to_string(),
        port: peer.port(),
        id: file.id().to_string(),
        size: file.size(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;
    use crate::types::{Digest, FileName};

    fn offer() -> Offer {
        Offer {
            file: FileName::parse("foo bar").unwrap(),
            owner: "B".parse().unwrap(),
            address: [192, 168, 1, 155].into(),
            port: 1401,
            size: 5,
            id: Digest::Md5([0xab; 16]),
        }
    }

    #[test]
    fn people_get_columns_and_programs_tabs_both_with_a_heading() {
        let id = "ab".repeat(16);
        for (look, lines) in [
            (
                Look {
                    terminal: true,
                    ..Look::default()
                },
                format!(
                    "FILENAME  OWNER  IP ADDRESS     TCP PORT  SIZE  ID\n\
                     foo bar   B      192.168.1.155  1401      5 B   {id}\n"
                ),
            ),
            (
                Look::default(),
                format!(
                    "FILENAME\tOWNER\tIP ADDRESS\tTCP PORT\tSIZE\tID\n\
                     foo bar\tB\t192.168.1.155\t1401\t5\t{id}\n"
                ),
            ),
            (
                Look {
                    json: true,
                    ..Look::default()
                },
                format!(
                    "{{\"v\":1,\"type\":\"offer\",\"name\":\"foo bar\",\"owner\":\"B\",\
                     \"address\":\"192.168.1.155\",\"port\":1401,\"id\":\"{id}\",\"size\":5}}\n"
                ),
            ),
        ] {
            let captured = Captured::default();
            let output = captured.output(look);
            tell(&output, &[offer()]);
            output.flush();
            assert_eq!(captured.results(), lines);
        }
    }
}
