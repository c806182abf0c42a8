use fileshare::access::Role;
use fileshare::protocol::message::{ClientBody, ServerBody};
use fileshare::protocol::{Secret, Ticket};
use fileshare::server::ServerOptions;

use super::{Guest, id, refusal, server, server_with};

const C_KEY: [u8; 32] = [0xc0; 32];

pub fn wanted(owner: &str, file: &str) -> ClientBody {
    ClientBody::Ticket {
        owner: owner.to_owned(),
        file: file.to_owned(),
        key: Some(C_KEY),
    }
}

pub fn ticket(body: ServerBody) -> Box<Ticket> {
    match body {
        ServerBody::Ticket { ticket, .. } => ticket,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_ticket_says_what_the_owner_has_to_know_and_is_sealed_for_him() {
    let (_root, server) = server();
    let mut b = Guest::from(&server, "192.168.1.155:4001", "192.168.1.5").await;
    let key = b.register("B").await;
    b.offer(&["foo", "bar"]).await;
    let mut c = Guest::registered(&server, "C").await;
    let ServerBody::Ticket {
        address,
        port,
        key: shown,
        ticket,
    } = c.ask(wanted("B", "foo")).await
    else {
        panic!("a ticket was expected");
    };
    let address = std::net::IpAddr::from(address);
    assert_eq!(
        (address.to_string().as_str(), port),
        ("192.168.1.155", 1401)
    );
    assert_eq!(shown, Some([0xb0; 32]), "what B has registered");
    assert!(ticket.is_sealed_with(&key));
    let terms = ticket.terms;
    assert_eq!((terms.owner.as_str(), terms.file.as_str()), ("B", "foo"));
    assert_eq!((terms.size, terms.id), (5, id()));
    assert_eq!(terms.requester.as_deref(), Some("C"));
    assert_eq!(terms.key, Some(C_KEY));
    assert!(
        (60_000..70_000).contains(&terms.expires),
        "{}",
        terms.expires
    );

    // Whoever is not registered has no name in it.
    let mut nobody = Guest::new(&server).await;
    let unnamed = super::tickets::ticket(nobody.ask(wanted("B", "foo")).await);
    assert_eq!(unnamed.terms.requester, None);

    // A new registration, a new key: tickets of the old one are worth nothing.
    assert_eq!(
        b.ask(ClientBody::Deregister { name: None }).await,
        ServerBody::Done
    );
    assert_eq!(refusal(c.ask(wanted("B", "foo")).await).0, 30);
    let new = b.register("B").await;
    assert_ne!(new, key);
    assert_eq!(
        refusal(c.ask(wanted("B", "foo")).await).0,
        30,
        "offered anew"
    );
    b.offer(&["foo"]).await;
    let renewed = super::tickets::ticket(c.ask(wanted("B", "foo")).await);
    assert!(renewed.is_sealed_with(&new) && !renewed.is_sealed_with(&key));
}

#[tokio::test]
async fn whatever_cannot_be_had_is_an_invalid_request() {
    let (root, server) = server();
    std::fs::write(root.path().join("stored"), "by the server").unwrap();
    let mut b = Guest::registered(&server, "B").await;
    b.offer(&["foo", "was"]).await;
    let withdraw = ClientBody::Withdraw {
        names: vec!["was".into()],
    };
    b.ask(withdraw).await;
    let mut c = Guest::new(&server).await;
    for (owner, file) in [
        ("B", "bar"),
        ("B", "was"),
        ("B", "stored"),
        ("B", "../foo"),
        ("B", "/etc/passwd"),
        ("B", "foo\0"),
        ("B", "foo\u{1b}[2J"),
        ("B", ""),
        ("B", "FOO"),
        ("b", "foo"),
        ("X", "foo"),
        ("", "foo"),
        ("B\u{1b}[2J", "foo"),
        (&"B".repeat(60_000), "foo"),
    ] {
        let (code, words) = refusal(c.ask(wanted(owner, file)).await);
        assert_eq!((code, words.as_str()), (30, "[Invalid Request]"));
    }
    ticket(c.ask(wanted("B", "foo")).await);
    // A ticket is not for the server.
    let ticket = ticket(c.ask(wanted("B", "foo")).await);
    assert_eq!(refusal(c.ask(ClientBody::Redeem(ticket)).await).0, 10);
}

/// Readers look and fetch; whoever offers must be a contributor.
#[tokio::test]
async fn a_reader_asks_and_does_not_register() {
    let (_root, server) = server_with(ServerOptions {
        anonymous: Some(Role::Reader),
        ..ServerOptions::default()
    });
    let mut guest = Guest::new(&server).await;
    let (code, words) = refusal(guest.ask(super::registration("B", "B")).await);
    assert_eq!(code, 41);
    assert!(words.contains("needs the role contributor"), "{words}");
    assert_eq!(guest.table().await.peers, []);
    assert_eq!(refusal(guest.ask(wanted("B", "foo")).await).0, 30);
    let accept = ClientBody::RelayAccept {
        id: Secret([1; 32]),
    };
    let mut another = Guest::new(&server).await;
    assert_eq!(refusal(another.ask(accept).await).0, 41);
}

/// There is no word in any message by which a client could say where somebody is: an offer leads
/// to whoever makes it, whatever its name looks like.
#[tokio::test]
async fn nobody_can_offer_what_somebody_else_has() {
    let (_root, server) = server();
    let mut b = Guest::from(&server, "192.168.1.155:4001", "192.168.1.5").await;
    b.register("B").await;
    b.offer(&["foo"]).await;
    let mut evil = Guest::from(&server, "192.168.1.66:4001", "192.168.1.5").await;
    evil.register("evil").await;
    evil.offer(&["B/foo", "192.168.1.155", "foo"]).await;
    let mut c = Guest::from(&server, "192.168.1.7:4001", "192.168.1.5").await;
    for (owner, file) in c.table().await.offers {
        let ServerBody::Ticket { address, .. } = c.ask(wanted(&owner, &file)).await else {
            panic!("a ticket was expected");
        };
        let address = std::net::IpAddr::from(address).to_string();
        let own = match owner.as_str() {
            "B" => "192.168.1.155",
            _ => "192.168.1.66",
        };
        assert_eq!(address, own, "{file}");
    }
}
