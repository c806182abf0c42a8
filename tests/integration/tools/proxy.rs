//! A wire that fails: a proxy between clients and a server that treats each direction of each
//! connection as a test decides.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
}

/// What is done to the bytes of one direction of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They arrive.
    None,
    /// The connection is cut when more than so many came.
    CutAfter(usize),
    /// One bit of the byte at this place is flipped.
    Flip { at: usize, bit: u8 },
    /// After so many, nothing comes any more, and nothing says so.
    StallAfter(usize),
    /// Each is written on its own.
    OneByOne,
    /// At most so many go through in a second.
    Rate(usize),
}

/// The proxy, on a port that the system chose, until it is dropped.
pub struct Proxy {
    address: String,
    seen: [Arc<Mutex<Vec<u8>>>; 2],
    passed: [Arc<AtomicUsize>; 2],
    stopped: Arc<AtomicBool>,
}

/// How much of what passed is kept to be looked at, each way, in bytes.
const KEPT: usize = 1 << 20;

impl Proxy {
    /// Passes on what clients and the server at `server` say, as `faults` decides for each
    /// connection (counted from 0) and direction.
    pub fn start(
        server: String,
        faults: impl Fn(usize, Direction) -> Fault + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap().to_string(),
            seen: Default::default(),
            passed: Default::default(),
            stopped: Arc::default(),
        };
        let (seen, stopped) = (proxy.seen.clone(), proxy.stopped.clone());
        let counts = proxy.passed.clone();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                    return;
                };
                for direction in Direction::BOTH {
                    let (from, to) = match direction {
                        Direction::ToServer => (&client, &server),
                        Direction::ToClient => (&server, &client),
                    };
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let fault = faults(number, direction);
                    let seen = seen[direction as usize].clone();
                    let count = counts[direction as usize].clone();
                    std::thread::spawn(move || pass(from, to, fault, &seen, &count));
                }
            }
        });
        proxy
    }

    /// Treats every connection alike in this direction, and leaves the other one alone.
    pub fn with(server: String, direction: Direction, fault: Fault) -> Self {
        Self::start(server, move |_, which| match which == direction {
            true => fault,
            false => Fault::None,
        })
    }

    /// Where to connect to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many bytes came from this direction's sender since this was asked last.
    pub fn passed(&self, direction: Direction) -> usize {
        self.passed[direction as usize].swap(0, Ordering::SeqCst)
    }

    /// What came from this direction's sender so far (at most 1 MiB), as it was before any fault.
    pub fn seen(&self, direction: Direction) -> Vec<u8> {
        self.seen[direction as usize].lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    fault: Fault,
    seen: &Mutex<Vec<u8>>,
    count_all: &AtomicUsize,
) {
    let _ = to.set_nodelay(true);
    let mut passed = 0;
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..count];
        count_all.fetch_add(count, Ordering::SeqCst);
        {
            let mut seen = seen.lock().unwrap();
            let room = KEPT - seen.len();
            seen.extend_from_slice(&bytes[..count.min(room)]);
        }
        let written = match fault {
            Fault::None => to.write_all(bytes),
            Fault::CutAfter(budget) if passed + count > budget => break,
            Fault::CutAfter(_) => to.write_all(bytes),
            Fault::Flip { at, bit } => {
                if let Some(byte) = at.checked_sub(passed).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 1 << bit;
                }
                to.write_all(bytes)
            }
            Fault::StallAfter(budget) => {
                let left = budget.saturating_sub(passed).min(count);
                to.write_all(&bytes[..left])
            }
            Fault::Rate(rate) => {
                std::thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
                to.write_all(bytes)
            }
            Fault::OneByOne => bytes.iter().try_for_each(|byte| {
                to.write_all(&[*byte])?;
                // Without a pause the kernel would put them together again.
                std::thread::sleep(Duration::from_micros(50));
                Ok(())
            }),
        };
        if written.is_err() {
            break;
        }
        passed += count;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
