//! What is no conversation: noise and other protocols at the port, in both modes. Each gets one
//! clear answer at once or none, and the server goes on.
//!
//! Wire, rows “counts, recursion, quadratic work”, “trailing bytes” and “a panic takes the service
//! down”, as far as they show at a port.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fileshare::protocol::frame::FrameKind;
use fileshare::protocol::message::{ClientBody, ServerBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{RunningServer, noise, stderr};
use crate::tools::transport::Transport;
use crate::wire::{PREFACE, RawClient, encoded};

/// Long enough for a busy machine, and short of every deadline but the handshake's own.
const AT_ONCE: Duration = Duration::from_secs(4);

fn alive(server: &RunningServer) {
    let desk = tempfile::tempdir().unwrap();
    server.ok(desk.path(), &["ping"]);
}

/// Says something at the port and returns what is answered until the server closes. Does not
/// close first: nobody should have to.
fn answer_to(server: &RunningServer, said: &[u8]) -> Vec<u8> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(AT_ONCE)).unwrap();
    let _ = stream.write_all(said);
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => heard.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{said:?}: {error}, after {heard:?}"),
        }
    }
    assert!(began.elapsed() < AT_ONCE);
    heard
}

#[test]
fn whoever_speaks_another_protocol_is_told_at_once_in_both_modes() {
    let hello = [
        &[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..],
        &noise(7, 194),
    ]
    .concat();
    for transport in Transport::ALL {
        let root = tempfile::tempdir().unwrap();
        let server = transport.serve(root.path(), &[]);
        let plain = *transport == Transport::Plaintext;
        for said in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
        ] {
            assert!(answer_to(&server, said).starts_with(b"HTTP/1.1 400"));
        }
        let heard = answer_to(&server, b"SSH-2.0-OpenSSH_9.2\r\n");
        assert!(heard.starts_with(b"This is a fileshare server, not SSH"));
        for said in [
            &b"USER anonymous\r\n"[..],
            b"\0\0\0\0\0\0\0\0",
            b"EHLO x\r\n",
        ] {
            let heard = answer_to(&server, said);
            assert!(
                heard.starts_with(b"FSHR\0"),
                "{transport:?} {said:?} {heard:?}"
            );
        }
        // The highest version that is spoken, and the reason: 1 version, 4 TLS is required.
        let reason = |version: &[u8]| answer_to(&server, version)[..8].to_vec();
        let version_9 = reason(b"FSHR\x09\x09\0\0");
        let ours = match plain {
            true => {
                assert_eq!(version_9, b"FSHR\0\x01\0\x01");
                PREFACE
            }
            false => b"FSHR\0\x01\0\x04",
        };
        if !plain {
            assert_eq!(version_9, ours);
            assert_eq!(reason(PREFACE), ours);
        }
        if plain {
            // A fatal alert: protocol_version.
            let heard = answer_to(&server, &hello);
            assert!(heard.starts_with(&[0x15, 3, 3, 0, 2, 2, 70]), "{heard:?}");
        } else {
            // This one is no proper hello: some fatal alert.
            let heard = answer_to(&server, &hello);
            assert!(heard.starts_with(&[0x15, 3]), "{heard:?}");
        }
        alive(&server);
    }
}

/// TLS before 1.3, spoken by somebody else's program.
#[test]
fn tls_1_2_is_refused_with_an_alert() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: there is no openssl here");
        return;
    }
    for transport in Transport::ALL {
        let root = tempfile::tempdir().unwrap();
        let server = transport.serve(root.path(), &[]);
        let address = server.address();
        let began = Instant::now();
        let output = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &address])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = stderr(&output);
        assert!(said.contains("alert"), "{said}");
        assert!(began.elapsed() < AT_ONCE);
        alive(&server);
    }
}

/// Noise at the door, behind the preface, and behind the greeting.
#[tokio::test]
async fn noise_ends_its_own_connection_and_no_other() {
    for transport in Transport::ALL {
        let root = tempfile::tempdir().unwrap();
        let server = transport.serve(root.path(), &["--anonymous", "editor"]);
        for seed in 0..60_u64 {
            // Enough for a frame's header, which would be waited for.
            let junk = noise(seed, 8 + (seed as usize * 97) % 5000);
            // Once at the bare port, whatever it speaks.
            let address = server.address();
            let at_the_door = junk.clone();
            tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .unwrap();
                let _ = stream.write_all(&at_the_door);
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            })
            .await
            .unwrap();
            // Once inside, with no preface.
            let mut stream = transport.dial(&server.address()).await;
            let _ = stream.write_all(&junk).await;
            let _ = stream.shutdown().await;
            let listening = stream.read_to_end(&mut Vec::new()).await;
            drop(listening);
            // Once instead of a request, and once as the body of one.
            for framed in [false, true] {
                let mut client = RawClient::dial(&server).await;
                match framed {
                    false => {
                        client
                            .outbox
                            .send_bytes(&[&[0xff][..], &junk].concat())
                            .await
                    }
                    true => client.outbox.send_frame(FrameKind::Message, &junk).await,
                }
                let (_, ()) = client.expect_parting().await;
            }
        }
        let stored = std::fs::read_dir(root.path()).unwrap();
        assert_eq!(stored.count(), 1);
        alive(&server);
    }
}

/// Row “trailing bytes”: any message with one byte more ends the conversation, and so does one
/// with a byte less.
#[tokio::test]
async fn a_byte_more_or_less_is_an_error() {
    for transport in Transport::ALL {
        let root = tempfile::tempdir().unwrap();
        let server = transport.serve(root.path(), &["--anonymous", "editor"]);
        let requests = [
            ClientBody::Ping,
            ClientBody::Info,
            ClientBody::Download { files: 1 },
            ClientBody::MakeFolder {
                name: "made".to_owned(),
                dry_run: false,
            },
            ClientBody::Sessions,
        ];
        for request in requests {
            let whole = encoded(1, request);
            let more = [&whole[..], &[0]].concat();
            for wrong in [&more[..], &whole[..whole.len() - 1]] {
                let mut client = RawClient::dial(&server).await;
                client.outbox.send_frame(FrameKind::Message, wrong).await;
                client.expect_parting().await;
            }
        }
        assert!(!root.path().join("made").exists());
        let mut client = RawClient::dial(&server).await;
        let pong = client.ask(1, ClientBody::Ping).await;
        assert_eq!(pong, ServerBody::Pong);
    }
}
