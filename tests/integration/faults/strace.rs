//! `strace`: to make a system call fail or be the last one, and to record what a server does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{SERVER, clean};

/// Whether it is there and may trace.
pub fn works() -> bool {
    Command::new("strace")
        .args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A program that is killed when a thread of it makes one of these calls for the `nth` time: each
/// thread counts its own.
pub fn killing(program: &str, call: &str, nth: u64) -> Command {
    // Without --seccomp-bpf, which makes strace 6.1 count wrongly.
    let mut command = clean("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=KILL:when={nth}")])
        .arg(program);
    command
}

/// A server whose calls are written down with all that they wrote.
pub fn recording(calls: &[&str], to: &Path) -> Command {
    let mut command = clean("strace");
    command
        .args(["-f", "-qq", "--seccomp-bpf", "-y", "-ttt", "-xx"])
        .args(["-s", "2097152", "-e", &format!("trace={}", calls.join(","))])
        .arg("-o")
        .arg(to)
        .arg(SERVER);
    command
}

/// Faults of a server that runs, from now until this is dropped.
pub struct Faults {
    strace: Child,
    trace: PathBuf,
}

impl Faults {
    /// Makes a call fail: `when` is the part after `when=`, counted for each thread.
    pub fn of(server: Pid, call: &str, error: &str, when: &str, trace: &Path) -> Self {
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-y", "-ttt", "-s", "0", "-o"])
            .arg(trace)
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:error={error}:when={when}")])
            .args(["-p", &server.as_raw_nonzero().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let faults = Faults {
            strace,
            trace: trace.to_owned(),
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_traced(server) {
            assert!(Instant::now() < deadline, "strace does not attach");
            std::thread::sleep(Duration::from_millis(1));
        }
        faults
    }

    /// Ends the faults and tells what was traced.
    pub fn end(mut self) -> String {
        self.detach();
        std::fs::read_to_string(&self.trace).unwrap()
    }

    fn detach(&mut self) {
        let _ = kill_process(Pid::from_child(&self.strace), Signal::INT);
        let _ = self.strace.wait();
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if let Ok(None) = self.strace.try_wait() {
            self.detach();
        }
    }
}

fn is_traced(pid: Pid) -> bool {
    let pid = pid.as_raw_nonzero();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    tasks.filter_map(Result::ok).all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

/// One line of a recording, or the two of a call during which others were made.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub thread: u32,
    /// When it began, in seconds since 1970.
    pub time: f64,
    pub name: String,
    /// What stands between the parentheses.
    pub arguments: String,
    /// What stands behind the equals sign.
    pub result: String,
}

/// A call begins, and it ends, perhaps after others have begun or ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    Begin(usize),
    End(usize),
}

/// Reads a recording: the calls, and the order in which they began and ended. A call that never
/// ended has no result.
pub fn read(text: &str) -> (Vec<Call>, Vec<Moment>) {
    let mut calls: Vec<Call> = Vec::new();
    let mut moments = Vec::new();
    let mut unfinished: HashMap<u32, usize> = HashMap::new();
    for line in text.lines() {
        // Short numbers of threads are filled up with spaces.
        let mut words = line.splitn(2, ' ');
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let (Ok(thread), Ok(time)) = (thread.parse::<u32>(), time.parse::<f64>()) else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((at, (_, after))) = unfinished
                .remove(&thread)
                .zip(resumed.split_once(" resumed>"))
            else {
                continue;
            };
            let (arguments, result) = split_result(after);
            calls[at].arguments.push_str(arguments);
            calls[at].result = result.to_owned();
            moments.push(Moment::End(at));
            continue;
        }
        let Some((name, after)) = rest.split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        let at = calls.len();
        let (arguments, result) = match after.strip_suffix(" <unfinished ...>") {
            Some(begun) => (begun, ""),
            None => split_result(after),
        };
        calls.push(Call {
            thread,
            time,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            result: result.to_owned(),
        });
        moments.push(Moment::Begin(at));
        match result {
            "" => {
                unfinished.insert(thread, at);
            }
            _ => moments.push(Moment::End(at)),
        }
    }
    (calls, moments)
}

/// `arguments) = result`.
fn split_result(after: &str) -> (&str, &str) {
    match after.rfind(" = ") {
        Some(at) => {
            let arguments = after[..at].trim_end();
            let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
            (arguments, &after[at + 3..])
        }
        None => (after, "?"),
    }
}

impl Call {
    /// The number that it returned; `None` when it failed.
    pub fn number(&self) -> Option<u64> {
        let digits = self.result.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// The arguments, strings and structures in one piece.
    pub fn parts(&self) -> Vec<&str> {
        let mut parts = Vec::new();
        let (mut depth, mut quoted, mut from) = (0_i32, false, 0);
        for (at, byte) in self.arguments.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' | b'<' => depth += 1,
                b'}' | b']' | b'>' => depth -= 1,
                b',' if depth == 0 => {
                    parts.push(self.arguments[from..at].trim());
                    from = at + 1;
                }
                _ => {}
            }
        }
        parts.push(self.arguments[from..].trim());
        parts
    }
}

/// The number of a descriptor, and the path behind it: `7<\x2f\x61>`.
pub fn descriptor(text: &str) -> Option<(u64, Option<String>)> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    let number = digits.parse().ok()?;
    let path = text.split_once('<').and_then(|(_, rest)| {
        let inside = rest.split('>').next()?;
        String::from_utf8(unescape(inside)).ok()
    });
    Some((number, path))
}

/// The bytes of a quoted string.
pub fn string(text: &str) -> Option<Vec<u8>> {
    let (inside, after) = text.strip_prefix('"')?.split_once('"')?;
    assert!(!after.starts_with("..."), "a string was cut short");
    Some(unescape(inside))
}

/// All quoted strings in an argument, one after the other: what `writev` writes.
pub fn strings(text: &str) -> Vec<u8> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.flat_map(unescape).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if let (b'\\', [b'x', high, low, left @ ..]) = (first, after) {
            let digit = |byte: &u8| (*byte as char).to_digit(16).unwrap() as u8;
            bytes.push(digit(high) << 4 | digit(low));
            rest = left;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

#[test]
fn a_recording_is_read_with_calls_that_overlap() {
    let text = r#"7     10.5 write(3<\x2f\x61>, "\x61\x2c\x62", 3) = 3
7 10.6 fsync(3<\x2f\x61> <unfinished ...>
8 10.7 close(4<socket:[1]>) = 0
7     10.8 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)
8 10.9 +++ killed by SIGKILL +++
"#;
    let (calls, moments) = read(text);
    assert_eq!(calls.len(), 3);
    assert_eq!(
        moments,
        [0, 0, 1, 2, 2, 1].into_iter().zip([1, 0, 1, 1, 0, 0]).fold(
            Vec::new(),
            |mut all, (at, begin)| {
                all.push(if begin == 1 {
                    Moment::Begin(at)
                } else {
                    Moment::End(at)
                });
                all
            }
        )
    );
    assert_eq!(string(calls[0].parts()[1]).unwrap(), b"a,b");
    assert_eq!(descriptor(calls[1].parts()[0]).unwrap().1.unwrap(), "/a");
    assert_eq!(calls[1].number(), None);
    assert_eq!(calls[2].number(), Some(0));
}
