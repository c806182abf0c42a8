//! A network that cuts connections: the client goes on by itself, and counts what was finished.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use crate::harness::{noise, serve_plaintext, stderr};

/// Passes everything on between clients and the server at `server`, but cuts the first `cuts`
/// connections after so many bytes in either direction. Returns the address to connect to.
fn cutting_proxy(server: String, cuts: usize, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                return;
            };
            let budget = if number < cuts { after } else { usize::MAX };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, budget));
            }
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut budget: usize) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        if bytes > budget || to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
        budget -= bytes;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn fill(folder: &Path, files: u64) -> Vec<String> {
    let names: Vec<String> = (0..files).map(|number| format!("f{number:03}")).collect();
    for (seed, name) in (0..).zip(&names) {
        std::fs::write(folder.join(name), noise(seed, 60_000)).unwrap();
    }
    names
}

#[test]
fn a_batch_goes_on_after_cuts_in_both_directions() {
    for command in ["get", "put"] {
        let root = tempfile::tempdir().unwrap();
        let desk = tempfile::tempdir().unwrap();
        let (from, to) = match command {
            "get" => (root.path(), desk.path()),
            _ => (desk.path(), root.path()),
        };
        let names = fill(from, 60);
        let server = serve_plaintext(root.path(), &[]);
        let proxy = cutting_proxy(server.address(), 2, 1_500_000);
        let output = server
            .client_by(&proxy, desk.path(), &[command])
            .args(&names)
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{command}: {said}");
        assert!(said.contains("trying again"), "{command}: {said}");
        for (seed, name) in (0..).zip(&names) {
            let arrived = std::fs::read(to.join(name)).unwrap();
            assert!(arrived == noise(seed, 60_000), "{command} {name}");
        }
        // Nothing came twice, nothing is left over.
        let entries = std::fs::read_dir(to).unwrap();
        let left = entries.filter(|entry| entry.as_ref().unwrap().file_name() != ".fileshare");
        assert_eq!(left.count(), names.len(), "{command}");
    }
}

#[test]
fn a_client_that_may_not_retry_says_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let names = fill(root.path(), 60);
    let server = serve_plaintext(root.path(), &[]);
    let proxy = cutting_proxy(server.address(), 1, 1_500_000);
    let output = server
        .client_by(&proxy, desk.path(), &["--retries", "0", "get"])
        .args(&names)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
    let arrived = names
        .iter()
        .filter(|name| desk.path().join(name).exists())
        .count();
    let failed = stderr(&output).matches("error: ").count();
    assert!(arrived > 0 && failed > 0);
    assert_eq!(arrived + failed, names.len(), "{}", stderr(&output));
}
