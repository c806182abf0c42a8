use std::time::Duration;

use fileshare::net::NetError;
use fileshare::protocol::message::{ClientBody, ServerBody};
use fileshare::protocol::{Secret, Ticket};
use fileshare::server::{RelayOptions, Server, ServerOptions};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::tickets::{ticket, wanted};
use super::{Guest, refusal, server, server_with};
use crate::harness::serve_plaintext;
use crate::wire::{PIPE_ORIGIN, RawClient, encoded};

/// Longer than any wait of the server that a test does not mean to see.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two clients; one has a ticket for what the other offers.
struct Pair {
    _root: TempDir,
    server: Server,
    owner: Guest,
    requester: Guest,
    ticket: Box<Ticket>,
}

impl Pair {
    async fn new((root, server): (TempDir, Server)) -> Self {
        let mut owner = Guest::registered(&server, "B").await;
        owner.offer(&["foo"]).await;
        let mut requester = Guest::new(&server).await;
        let ticket = ticket(requester.ask(wanted("B", "foo")).await);
        Pair {
            _root: root,
            server,
            owner,
            requester,
            ticket,
        }
    }

    async fn limited(relay: RelayOptions) -> Self {
        let options = ServerOptions {
            relay,
            ..ServerOptions::default()
        };
        Pair::new(server_with(options)).await
    }

    async fn wanted(&mut self) -> Secret {
        loop {
            match self.owner.event().await {
                ServerBody::RelayWanted { id, .. } => return id,
                _ => continue,
            }
        }
    }

    /// Both ends of a relay.
    async fn relayed(&mut self) -> (DuplexStream, DuplexStream) {
        let relay = ClientBody::Relay(self.ticket.clone());
        let mut requester = say(&self.server, relay).await;
        let id = self.wanted().await;
        let mut owner = say(&self.server, ClientBody::RelayAccept { id }).await;
        for stream in [&mut requester, &mut owner] {
            assert_eq!(answer(stream).await, ServerBody::Relaying);
        }
        (requester, owner)
    }

    /// What the server says to a relay with this ticket.
    async fn refused(&self, ticket: Box<Ticket>) -> (u16, String) {
        let mut client = Guest::new(&self.server).await;
        let answer = refusal(client.ask(ClientBody::Relay(ticket)).await);
        assert!(matches!(client.answer().await, Err(NetError::Closed)));
        answer
    }
}

/// A connection on which nothing but this request is made.
async fn say(server: &Server, body: ClientBody) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1021);
    let server = server.clone();
    tokio::spawn(async move { server.converse(far, PIPE_ORIGIN).await });
    say_over(near, body).await
}

async fn say_over<S: AsyncRead + AsyncWrite + Unpin>(mut near: S, body: ClientBody) -> S {
    let hello = ClientBody::Hello {
        software: "test".to_owned(),
        login: None,
    };
    near.write_all(b"FSHR\x01\x01\0\0").await.unwrap();
    let mut preface = [0; 8];
    near.read_exact(&mut preface).await.unwrap();
    for (number, body) in [(0, hello), (1, body)] {
        let body = encoded(number, body);
        let length = (body.len() as u32 + 1).to_be_bytes();
        near.write_all(&[&length, &[0][..], &body].concat())
            .await
            .unwrap();
    }
    assert!(matches!(
        answer(&mut near).await,
        ServerBody::Welcome { .. }
    ));
    near
}

/// The next message; not a byte of what follows it is read.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> ServerBody {
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes(header[..4].try_into().unwrap()) - 1;
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).await.unwrap();
        let message: fileshare::protocol::message::ServerMessage =
            fileshare::protocol::codec::decode(&body).unwrap();
        if message.body != ServerBody::Alive {
            return message.body;
        }
    }
}

#[tokio::test]
async fn bytes_go_both_ways_to_the_end_of_each() {
    let mut pair = Pair::new(server()).await;
    let (mut requester, mut owner) = pair.relayed().await;
    let there = crate::harness::noise(1, 3_000_000);
    let back = crate::harness::noise(2, 2_000_000);
    let (mut read_c, mut write_c) = tokio::io::split(&mut requester);
    let (mut read_b, mut write_b) = tokio::io::split(&mut owner);
    let (mut came_there, mut came_back) = (Vec::new(), Vec::new());
    let all = async {
        tokio::join!(
            async {
                write_c.write_all(&there).await.unwrap();
                write_c.shutdown().await.unwrap();
            },
            async { read_b.read_to_end(&mut came_there).await.unwrap() },
            async {
                write_b.write_all(&back).await.unwrap();
                write_b.shutdown().await.unwrap();
            },
            async { read_c.read_to_end(&mut came_back).await.unwrap() },
        )
    };
    timeout(PATIENCE, all).await.unwrap();
    assert!(came_there == there && came_back == back);
}

/// One direction may end long before the other.
#[tokio::test]
async fn the_end_of_one_direction_is_not_that_of_the_other() {
    let mut pair = Pair::new(server()).await;
    let (mut requester, mut owner) = pair.relayed().await;
    requester.shutdown().await.unwrap();
    let mut nothing = Vec::new();
    owner.read_to_end(&mut nothing).await.unwrap();
    assert_eq!(nothing, b"");
    owner.write_all(b"still here").await.unwrap();
    let mut words = [0; 10];
    requester.read_exact(&mut words).await.unwrap();
    assert_eq!(&words, b"still here");
    drop(owner);
    requester.read_to_end(&mut nothing).await.unwrap();
}

#[tokio::test]
async fn a_ticket_must_be_good() {
    let mut pair = Pair::new(server()).await;
    let changed = |change: fn(&mut Ticket)| {
        let mut ticket = pair.ticket.clone();
        change(&mut ticket);
        ticket
    };
    for ticket in [
        changed(|ticket| ticket.mac[0] ^= 1),
        changed(|ticket| ticket.terms.file = "bar".into()),
        changed(|ticket| ticket.terms.owner = "X".into()),
        changed(|ticket| ticket.terms.owner = "\u{1b}".into()),
        changed(|ticket| ticket.terms.expires = u64::MAX),
        changed(|ticket| ticket.terms.key = None),
    ] {
        let (code, words) = pair.refused(ticket).await;
        assert_eq!((code, words.as_str()), (30, "[Invalid Request]"));
    }
    // Nobody was wanted for any of that.
    assert!(matches!(pair.owner.event().await, ServerBody::Table { .. }));
    assert!(
        pair.owner
            .hears_nothing_for(Duration::from_millis(300))
            .await
    );
    pair.relayed().await;
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_over_after_a_minute() {
    let mut pair = Pair::new(server()).await;
    // The server's clock is a real one.
    let mut ticket = pair.ticket.clone();
    ticket.terms.expires = 0;
    let key = {
        pair.owner.ask(ClientBody::Deregister { name: None }).await;
        pair.owner.register("B").await
    };
    let old = Box::new(Ticket::new(ticket.terms.clone(), &key).unwrap());
    ticket.terms.expires = 60_000;
    let good = Box::new(Ticket::new(ticket.terms, &key).unwrap());
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(pair.refused(old).await.0, 30);
    pair.ticket = good;
    pair.relayed().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_does_not_come_is_not_waited_for_long() {
    let mut pair = Pair::new(server()).await;
    let start = Instant::now();
    let (code, _) = pair.refused(pair.ticket.clone()).await;
    assert_eq!(code, 20);
    assert!(start.elapsed() < Duration::from_secs(12));
    let id = pair.wanted().await;
    for id in [id, Secret([1; 32])] {
        let mut late = Guest::new(&pair.server).await;
        let (code, _) = refusal(late.ask(ClientBody::RelayAccept { id }).await);
        assert_eq!(code, 30, "nobody waits any more, or never did");
    }
    // A number is good once.
    let relay = ClientBody::Relay(pair.ticket.clone());
    let mut requester = say(&pair.server, relay).await;
    let id = pair.wanted().await;
    let mut owner = say(&pair.server, ClientBody::RelayAccept { id }).await;
    assert_eq!(answer(&mut owner).await, ServerBody::Relaying);
    assert_eq!(answer(&mut requester).await, ServerBody::Relaying);
    let mut second = say(&pair.server, ClientBody::RelayAccept { id }).await;
    assert_eq!(refusal(answer(&mut second).await).0, 30);
}

#[tokio::test]
async fn a_server_can_relay_nothing_at_all() {
    let pair = Pair::limited(RelayOptions {
        allowed: false,
        ..RelayOptions::default()
    })
    .await;
    let (code, words) = pair.refused(pair.ticket.clone()).await;
    assert_eq!(code, 41);
    assert!(words.contains("--no-relay"), "{words}");
}

#[tokio::test]
async fn a_server_relays_so_much_and_no_more() {
    let mut pair = Pair::limited(RelayOptions {
        limit: Some(100_000),
        ..RelayOptions::default()
    })
    .await;
    let (mut requester, mut owner) = pair.relayed().await;
    requester.write_all(&[7; 40_000]).await.unwrap();
    let mut came = vec![0; 40_000];
    owner.read_exact(&mut came).await.unwrap();
    // Either way counts, and the rest does not get through.
    let sending = tokio::spawn(async move {
        let _ = owner.write_all(&[8; 200_000]).await;
    });
    let mut rest = Vec::new();
    timeout(PATIENCE, requester.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert!(rest.len() <= 60_000, "{}", rest.len());
    sending.await.unwrap();
    let (code, words) = pair.refused(pair.ticket.clone()).await;
    assert_eq!(code, 70, "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_server_relays_so_fast_and_no_faster() {
    let mut pair = Pair::limited(RelayOptions {
        limit_rate: Some(100_000),
        ..RelayOptions::default()
    })
    .await;
    let (mut requester, mut owner) = pair.relayed().await;
    let start = Instant::now();
    let sending = async {
        requester.write_all(&[7; 1_000_000]).await.unwrap();
        requester.shutdown().await.unwrap();
    };
    let mut came = Vec::new();
    let (_, read) = tokio::join!(sending, owner.read_to_end(&mut came));
    assert_eq!(read.unwrap(), 1_000_000);
    let seconds = start.elapsed().as_secs_f64();
    assert!((8.0..=12.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_relay_in_which_nothing_moves_is_ended() {
    let mut pair = Pair::new(server()).await;
    let (mut requester, mut owner) = pair.relayed().await;
    let start = Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        owner.write_all(b"x").await.unwrap();
        assert_eq!(requester.read_u8().await.unwrap(), b'x');
    }
    let mut rest = Vec::new();
    for stream in [&mut requester, &mut owner] {
        let _ = stream.read_to_end(&mut rest).await;
    }
    assert_eq!(rest, b"");
    let waited = start.elapsed().as_secs();
    assert!((255..=275).contains(&waited), "{waited}");
}

/// An administrator sees relays and can end them: the other side sees the end, too.
#[tokio::test]
async fn a_relay_is_a_session_like_any_other() {
    let mut pair = Pair::new(server()).await;
    let (mut requester, mut owner) = pair.relayed().await;
    requester.write_all(b"x").await.unwrap();
    assert_eq!(owner.read_u8().await.unwrap(), b'x');
    let ServerBody::Sessions { sessions, .. } = pair.requester.ask(ClientBody::Sessions).await
    else {
        panic!("sessions were expected");
    };
    let relaying = sessions.iter().find(|one| one.activity == "request");
    let id = relaying.expect("it is shown").id;
    pair.requester.answer().await.unwrap();
    pair.requester.ask(ClientBody::Kick { id }).await;
    let mut rest = Vec::new();
    for stream in [&mut requester, &mut owner] {
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        ended.expect("an end").unwrap();
    }
    assert_eq!(rest, b"", "no message where bytes are relayed");
}

/// Behind a relay the conversation is over; a frame is a byte like any other.
#[tokio::test]
async fn what_looks_like_a_frame_is_relayed_too() {
    let mut pair = Pair::new(server()).await;
    let (mut requester, mut owner) = pair.relayed().await;
    let ping = encoded(2, ClientBody::Ping);
    requester.write_all(&ping).await.unwrap();
    let mut came = vec![0; ping.len()];
    owner.read_exact(&mut came).await.unwrap();
    assert_eq!(came, ping);
    // Who does not wait for the answer breaks the protocol nowhere but here.
    let mut hasty = RawClient::greeted(&pair.server).await;
    hasty.send(1, ClientBody::Relay(pair.ticket.clone())).await;
    hasty.send(2, ClientBody::Ping).await;
    pair.wanted().await;
}

/// A server that is told to stop lets a relay come to its end.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_outlives_the_order_to_stop_for_a_while() {
    let root = tempfile::tempdir().unwrap();
    let mut server = serve_plaintext(root.path(), &[]);
    let mut owner = Guest::of(RawClient::dial(&server).await);
    owner.register("B").await;
    owner.offer(&["foo"]).await;
    let ticket = ticket(owner.ask(wanted("B", "foo")).await);
    let dial = async || TcpStream::connect(server.address()).await.unwrap();
    let relay = say_over(dial().await, ClientBody::Relay(ticket));
    let wanted = async {
        loop {
            if let ServerBody::RelayWanted { id, .. } = owner.event().await {
                return say_over(dial().await, ClientBody::RelayAccept { id }).await;
            }
        }
    };
    let (mut near, mut far) = tokio::join!(relay, wanted);
    for stream in [&mut near, &mut far] {
        assert_eq!(answer(stream).await, ServerBody::Relaying);
    }
    server.signal(rustix::process::Signal::TERM);
    for round in 0..20 {
        near.write_u8(round).await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), round);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        TcpStream::connect(server.address()).await.is_err(),
        "stopping"
    );
    drop(near);
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    drop(far);
    assert!(server.wait().success());
}
