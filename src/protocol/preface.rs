//! The first eight bytes in each direction. Never bincode, never changing.

/// The first four bytes of every conversation.
pub const MAGIC: [u8; 4] = *b"FSHR";

/// The size of a preface, in bytes.
pub const PREFACE_BYTES: usize = 8;

/// The lowest protocol version that this program speaks.
pub const LOWEST_VERSION: u8 = 1;

/// The highest protocol version that this program speaks.
pub const HIGHEST_VERSION: u8 = 1;

/// What a client says first: which versions it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPreface {
    /// The lowest version.
    pub lowest: u8,
    /// The highest version.
    pub highest: u8,
    /// Reserved: sent as 0, ignored when read.
    pub flags: u16,
}

impl ClientPreface {
    /// What this program says.
    pub const OURS: ClientPreface = ClientPreface {
        lowest: LOWEST_VERSION,
        highest: HIGHEST_VERSION,
        flags: 0,
    };

    /// The eight bytes.
    pub fn to_bytes(self) -> [u8; PREFACE_BYTES] {
        let [f, s, h, r] = MAGIC;
        let [high, low] = self.flags.to_be_bytes();
        [f, s, h, r, self.lowest, self.highest, high, low]
    }

    /// Reads the eight bytes; `None` when they are not a preface.
    pub fn parse(bytes: [u8; PREFACE_BYTES]) -> Option<Self> {
        let [f, s, h, r, lowest, highest, high, low] = bytes;
        ([f, s, h, r] == MAGIC && lowest <= highest).then_some(ClientPreface {
            lowest,
            highest,
            flags: u16::from_be_bytes([high, low]),
        })
    }

    /// What this program answers: the highest version that both speak, or a refusal.
    pub fn answer(self) -> ServerPreface {
        let version = self.highest.min(HIGHEST_VERSION);
        let common = version >= self.lowest.max(LOWEST_VERSION);
        ServerPreface {
            version: if common { version } else { 0 },
            highest: HIGHEST_VERSION,
            reason: if common {
                Refusal::None
            } else {
                Refusal::Version
            },
        }
    }
}

/// What a server answers: the version that will be spoken, or why none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerPreface {
    /// The version for the rest of the conversation; 0 when the server refuses.
    pub version: u8,
    /// The highest version that the server speaks.
    pub highest: u8,
    /// Why it refuses.
    pub reason: Refusal,
}

/// Why a server refuses a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not.
    None,
    /// No version in common.
    Version,
    /// The first bytes were not a preface.
    NotAPreface,
    /// The server has as many connections as it takes.
    Busy,
    /// The server wants TLS.
    TlsRequired,
    /// The server speaks plaintext, and the client began with TLS.
    Plaintext,
    /// A reason that this version does not know.
    Other(u16),
}

impl Refusal {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Refusal::None => 0,
            Refusal::Version => 1,
            Refusal::NotAPreface => 2,
            Refusal::Busy => 3,
            Refusal::TlsRequired => 4,
            Refusal::Plaintext => 5,
            Refusal::Other(number) => number,
        }
    }

    fn from_number(number: u16) -> Self {
        match number {
            0 => Refusal::None,
            1 => Refusal::Version,
            2 => Refusal::NotAPreface,
            3 => Refusal::Busy,
            4 => Refusal::TlsRequired,
            5 => Refusal::Plaintext,
            other => Refusal::Other(other),
        }
    }
}

impl ServerPreface {
    /// A refusal for a reason that has nothing to do with versions.
    pub fn refusing(reason: Refusal) -> Self {
        ServerPreface {
            version: 0,
            highest: HIGHEST_VERSION,
            reason,
        }
    }

    /// The eight bytes.
    pub fn to_bytes(self) -> [u8; PREFACE_BYTES] {
        let [f, s, h, r] = MAGIC;
        let [high, low] = self.reason.number().to_be_bytes();
        [f, s, h, r, self.version, self.highest, high, low]
    }

    /// Reads the eight bytes; `None` when they are not a preface.
    pub fn parse(bytes: [u8; PREFACE_BYTES]) -> Option<Self> {
        let [f, s, h, r, version, highest, high, low] = bytes;
        ([f, s, h, r] == MAGIC).then_some(ServerPreface {
            version,
            highest,
            reason: Refusal::from_number(u16::from_be_bytes([high, low])),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(lowest: u8, highest: u8) -> ClientPreface {
        ClientPreface {
            lowest,
            highest,
            flags: 0,
        }
    }

    #[test]
    fn agrees_on_the_highest_common_version() {
        assert_eq!(client(1, 1).answer().version, 1);
        assert_eq!(client(0, 200).answer().version, HIGHEST_VERSION);
        let newer = client(HIGHEST_VERSION + 1, 200).answer();
        assert_eq!((newer.version, newer.reason), (0, Refusal::Version));
        assert_eq!(client(0, 0).answer().version, 0);
    }

    proptest! {
        #[test]
        fn both_prefaces_read_back(bytes in any::<[u8; 8]>(), number in any::<u16>()) {
            if let Some(preface) = ClientPreface::parse(bytes) {
                prop_assert_eq!(preface.to_bytes(), bytes);
            }
            let server = ServerPreface { version: 1, highest: 3, reason: Refusal::from_number(number) };
            prop_assert_eq!(ServerPreface::parse(server.to_bytes()), Some(server));
        }
    }

    #[test]
    fn other_protocols_are_no_preface() {
        for bytes in [*b"GET / HT", *b"SSH-2.0-", [0x16, 3, 1, 2, 0, 1, 0, 1]] {
            assert_eq!(ClientPreface::parse(bytes), None);
            assert_eq!(ServerPreface::parse(bytes), None);
        }
    }
}
