//! Every limit of the protocol, with its reason. `docs/PROTOCOL.md` lists the same numbers.

use std::time::Duration;

/// The largest frame body before the greeting is over: a stranger gets no more memory than this.
pub const MAX_GREETING_BODY: usize = 4 * 1024;

/// The largest body of an ordinary message: sixteen of the longest names.
pub const MAX_MESSAGE_BODY: usize = 64 * 1024;

/// The largest body of a page (of a listing, of an upload or a download).
pub const MAX_PAGE_BODY: usize = 1024 * 1024;

/// The largest body of a data frame.
pub const MAX_DATA_BODY: usize = 1024 * 1024;

/// Data frames end on multiples of this position in the file, all but a file's last, so that a
/// receiver can check segments of this size on their own.
pub const SEGMENT: usize = 64 * 1024;

/// How much file content this program puts into one data frame: four segments, the piece size that
/// file systems take best.
pub const DATA_CHUNK: usize = 4 * SEGMENT;

/// The most files or entries in one page: a page is decoded in memory, and each entry costs more
/// there than on the wire.
pub const MAX_PAGE_ITEMS: usize = 4096;

/// How many pages of a batch may be listed and not yet finished. Two keep a stream going while
/// the next page is looked up.
pub const PAGE_WINDOW: usize = 2;

/// The most ranges of all files of a download that are asked for in parts and not closed: twice what
/// a file has that was cut into 65,536 blocks of which every other one is to come.
pub const MAX_RANGES: usize = 65_536;

/// The most files in one batch.
pub const MAX_BATCH_FILES: u32 = 10_000_000;

/// The most patterns in one list request.
pub const MAX_PATTERNS: usize = 64;

/// The longest text that explains an error, in bytes: room for a name of the greatest length.
pub const MAX_DETAIL: usize = 8 * 1024;

/// The longest name of a program or host in a greeting, in bytes.
pub const MAX_LABEL: usize = 255;

/// The longest name of a user, in bytes.
pub const MAX_USER_NAME: usize = 64;

/// The longest password, in bytes: hashing one costs the server no more than any other.
pub const MAX_PASSWORD: usize = 1024;

/// The longest digest, in bytes: twice what MD5 needs, for its successor.
pub const MAX_DIGEST: usize = 32;

/// The most capabilities that a server may list.
pub const MAX_CAPABILITIES: usize = 64;

/// How many recent answers to requests that changed something a server keeps, to answer a repeated
/// request number again without doing the request again.
pub const REMEMBERED_ANSWERS: usize = 8;

/// How many requests a client may have under way on one connection.
pub const MAX_PIPELINED: usize = 64;

/// The TLS handshake must be over after this time.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// Preface, greeting and login must be over after this time in all.
pub const GREETING_TIME: Duration = Duration::from_secs(15);

/// A message must have arrived, or left, whole within this time of its first byte.
pub const MESSAGE_TIME: Duration = Duration::from_secs(30);

/// Data must flow at [`MIN_RATE`] on average over each window of this length.
pub const RATE_WINDOW: Duration = Duration::from_secs(30);

/// The least rate of a data stream, in bytes per second.
pub const MIN_RATE: u64 = 1024;

/// Who has nothing to send in the middle of a transfer says so this often.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(2);
