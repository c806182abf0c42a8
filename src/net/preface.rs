use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::NetError;
use crate::protocol::limits::GREETING_TIME;
use crate::protocol::preface::{ClientPreface, PREFACE_BYTES, Refusal, ServerPreface};

/// How long somebody whose conversation is refused may take to read that.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// How much such a peer may say meanwhile, in bytes.
const MAX_IGNORED: usize = 64 * 1024;

/// Server: reads the client's preface and answers it. Returns the version that will be spoken.
///
/// Whoever says anything else gets one clear refusal, in words where it can read them. Has no
/// deadline of its own: the caller has one for the whole greeting.
pub async fn accept_preface<S>(stream: &mut S) -> Result<u8, NetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = read_preface(stream).await?;
    let Some(theirs) = ClientPreface::parse(bytes) else {
        let stranger = Stranger::of(&bytes);
        stranger.answer(stream).await;
        return Err(NetError::NotFileshare(stranger.description()));
    };
    let answer = theirs.answer();
    stream.write_all(&answer.to_bytes()).await?;
    stream.flush().await?;
    match answer.reason {
        Refusal::None => Ok(answer.version),
        reason => {
            part(stream, &[]).await;
            Err(NetError::Refused {
                reason,
                highest: theirs.highest,
            })
        }
    }
}

/// Server that wants TLS: answers somebody who began without, and says who it was.
pub(super) async fn turn_away<S>(stream: &mut S) -> NetError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = match read_preface(stream).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    if ClientPreface::parse(bytes).is_some() {
        refuse(stream, Refusal::TlsRequired).await;
        return NetError::NotFileshare("the other side speaks plaintext, and this one TLS");
    }
    let stranger = Stranger::of(&bytes);
    stranger.answer(stream).await;
    NetError::NotFileshare(stranger.description())
}

/// Server: refuses the conversation before reading anything.
pub async fn refuse<S>(stream: &mut S, reason: Refusal)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    part(stream, &ServerPreface::refusing(reason).to_bytes()).await;
}

/// Says the last words and listens for a moment: closing with unread bytes would reset the
/// connection, and the reset would overtake the words.
async fn part<S>(stream: &mut S, words: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parting = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut left = MAX_IGNORED;
        let mut ignored = [0; 1024];
        while left > 0 {
            match stream.read(&mut ignored).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // The other side may be gone already: there is nobody left to tell.
    let _ = timeout(PARTING_TIME, parting).await;
}

/// Client: writes its preface and reads the server's answer. Returns the version to speak.
pub async fn offer_preface<S>(stream: &mut S) -> Result<u8, NetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&ClientPreface::OURS.to_bytes()).await?;
    stream.flush().await?;
    let bytes = timeout(GREETING_TIME, read_preface(stream))
        .await
        .map_err(|_| NetError::Timeout("it accepted the connection and then said nothing"))??;
    let answer = ServerPreface::parse(bytes)
        .ok_or_else(|| NetError::NotFileshare(Stranger::of(&bytes).description()))?;
    if answer.version == 0 {
        return Err(NetError::Refused {
            reason: answer.reason,
            highest: answer.highest,
        });
    }
    if answer.version > ClientPreface::OURS.highest || answer.version < ClientPreface::OURS.lowest {
        return Err(NetError::NotFileshare(
            "it chose a protocol version that was not offered",
        ));
    }
    Ok(answer.version)
}

/// Reads eight bytes, or fewer when the other side closes or plainly says something else: nobody
/// who speaks another protocol should wait for what is missing.
async fn read_preface<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<[u8; PREFACE_BYTES], NetError> {
    let mut bytes = [0; PREFACE_BYTES];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match stream.read(room).await? {
            0 if filled == 0 => return Err(NetError::Closed),
            0 => break,
            more => filled += more,
        }
        let magic = crate::protocol::preface::MAGIC;
        if !bytes.iter().zip(magic).take(filled).all(|(a, b)| *a == b) {
            break;
        }
    }
    Ok(bytes)
}

/// What somebody speaks who does not speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stranger {
    Tls,
    Http,
    Ssh,
    Other,
}

impl Stranger {
    /// Who begins with these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        const METHODS: [&[u8]; 11] = [
            b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PROP", b"CONN", b"HTTP",
            b"PATC", b"TRAC",
        ];
        match bytes {
            // A TLS record: a handshake or an alert, of version 3.x.
            [0x16 | 0x15, 0x03, ..] => Stranger::Tls,
            bytes if bytes.starts_with(b"SSH-") => Stranger::Ssh,
            bytes if METHODS.iter().any(|method| bytes.starts_with(method)) => Stranger::Http,
            _ => Stranger::Other,
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Stranger::Tls => "the other side speaks TLS, and this one plaintext",
            Stranger::Http => "the other side speaks HTTP",
            Stranger::Ssh => "the other side speaks SSH",
            Stranger::Other => "the other side does not speak the fileshare protocol",
        }
    }

    async fn answer<S>(self, stream: &mut S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let words: &[u8] = match self {
            Stranger::Http => {
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                  This is a fileshare server, not a web server: use fileshare-client.\n"
            }
            Stranger::Ssh => b"This is a fileshare server, not SSH: use fileshare-client.\r\n",
            Stranger::Tls => return part(stream, &plaintext_to_tls()).await,
            Stranger::Other => {
                return refuse(stream, Refusal::NotAPreface).await;
            }
        };
        part(stream, words).await;
    }
}

/// What a plaintext server says to TLS: a fatal alert that any client understands
/// (protocol_version, RFC 8446 section 6), and behind it the refusal that ours looks for.
fn plaintext_to_tls() -> Vec<u8> {
    let alert = [0x15, 3, 3, 0, 2, 2, 70];
    let refusal = ServerPreface::refusing(Refusal::Plaintext).to_bytes();
    [&alert[..], &refusal].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_agree_over_a_tiny_pipe() {
        let (mut near, mut far) = tokio::io::duplex(1);
        let (client, server) = tokio::join!(offer_preface(&mut near), accept_preface(&mut far));
        assert_eq!((client.unwrap(), server.unwrap()), (1, 1));
    }

    #[tokio::test]
    async fn strangers_are_told_at_once_and_in_their_own_words() {
        for (said, answer) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], &b"HTTP/1.1 400"[..]),
            (b"SSH-2.0-OpenSSH_9.2\r\n", b"This is a fileshare server"),
            (&[0x16, 3, 1, 0, 1, 1], &[0x15, 3, 3]),
            (b"x", b"FSHR\0\x01\0\x02"),
            (b"FSHX", b"FSHR\0\x01\0\x02"),
            (b"FSHR\x09\x09\0\0", b"FSHR\0\x01\0\x01"),
        ] {
            let (mut near, mut far) = tokio::io::duplex(1024);
            near.write_all(said).await.unwrap();
            let mut heard = Vec::new();
            let listening = async {
                near.read_to_end(&mut heard).await.unwrap();
                near.shutdown().await.unwrap();
            };
            let (accepted, ()) = tokio::join!(accept_preface(&mut far), listening);
            assert!(accepted.is_err());
            assert!(heard.starts_with(answer), "{said:?} {heard:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up_after_the_greeting_time() {
        let (_near, mut far) = tokio::io::duplex(1024);
        let quiet = offer_preface(&mut far).await;
        assert!(matches!(quiet, Err(NetError::Timeout(_))));
    }

    #[tokio::test]
    async fn a_client_recognises_what_is_not_a_server() {
        for said in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"SSH-2.0-x\r\n",
            b"220 ftp",
        ] {
            let (mut near, mut far) = tokio::io::duplex(1024);
            far.write_all(said).await.unwrap();
            let result = offer_preface(&mut near).await;
            assert!(matches!(result, Err(NetError::NotFileshare(_))), "{said:?}");
        }
    }
}
