//! The server's key from both sides: what one prints is what the other keeps, and a change of it is
//! noticed (contract section 7).

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::harness::{RunningServer, SERVER, clean, serve, serve_in, stderr, stdout, text};

/// What `fileshare-server identity` prints.
fn identity(root: &Path) -> String {
    let output = clean(SERVER).arg("identity").arg(root).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

fn known_servers(server: &RunningServer) -> String {
    std::fs::read_to_string(server.config().join("fileshare/known_servers")).unwrap()
}

#[test]
fn the_key_that_a_client_keeps_is_the_one_that_the_server_prints() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &["--bind", "127.0.0.1", "--bind", "::1"]);
    let key = identity(root.path());
    let places = ["127.0.0.1", "[::1]"].map(|host| format!("{host}:{}", server.port));
    for place in &places {
        for first in [true, false] {
            let mut client = server.client_by(place, root.path(), &["--json", "info"]);
            let output = client.output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(stderr(&output).contains(&key), first);
            assert!(stdout(&output).contains(&format!(r#""identity":"{key}""#)));
        }
    }
    let [v4, v6] = places;
    assert_eq!(known_servers(&server), format!("{v4} {key}\n{v6} {key}\n"));
    let url = format!("fileshare://{v6}#{key}");
    let mut client = server.client_by(&url, root.path(), &["--trust", "strict", "ping"]);
    assert!(client.output().unwrap().status.success());
}

#[test]
fn a_server_with_another_key_at_the_same_place_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    server.ok(desk.path(), &["ping"]);
    let (port, before) = (server.port.to_string(), identity(root.path()));
    let known = server.config().join("fileshare/known_servers");
    let kept = std::fs::read_to_string(&known).unwrap();
    drop(server);

    let pem = root.path().join(".fileshare/identity.pem");
    let aside = root.path().join(".fileshare/identity.aside");
    std::fs::rename(&pem, &aside).unwrap();
    let again = || serve_in(desk.path(), &["--port", &port, text(root.path())]);
    let meet = |server: &RunningServer| {
        let folder = server.config().join("fileshare");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("known_servers"), &kept).unwrap();
    };
    let server = again();
    meet(&server);
    let after = identity(root.path());
    assert_ne!(before, after);
    let said = server.fails(desk.path(), &["--trust", "accept-new", "list"], 5);
    for part in [
        &before,
        &after,
        "known_servers, line 1,",
        "fileshare-server identity",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    drop(server);

    std::fs::rename(&aside, &pem).unwrap();
    let server = again();
    meet(&server);
    server.ok(desk.path(), &["--trust", "strict", "ping"]);
}

#[test]
fn both_sides_say_which_of_them_must_change() {
    let root = tempfile::tempdir().unwrap();
    for (server, arguments, word) in [
        (
            &[][..],
            &["--plaintext", "ping"][..],
            "requires TLS: leave out --plaintext",
        ),
        (
            &["--plaintext"],
            &["ping"],
            "speaks plaintext: add --plaintext",
        ),
    ] {
        let server = serve(root.path(), server);
        let mut client = clean(crate::harness::CLIENT);
        client
            .args(["--server", &server.address()])
            .args(arguments)
            .env("XDG_CONFIG_HOME", server.config());
        let output = client.output().unwrap();
        assert_eq!(output.status.code(), Some(10));
        let said = stderr(&output);
        assert!(
            said.contains(&format!("{} {word}", server.address())),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_certificate_of_an_authority_that_the_system_trusts_needs_no_first_contact() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(authority, authority_key));
    std::fs::write(at("root.pem"), root.pem()).unwrap();
    std::fs::write(at("cert.pem"), leaf.unwrap().pem()).unwrap();
    std::fs::write(at("key.pem"), key.serialize_pem()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(at("key.pem"), private).unwrap();
    }
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let own = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let server = serve(&at("shared"), &own);
    let place = format!("localhost:{}", server.port);
    let run = |roots: &str| {
        let mut client = server.client_by(&place, folder.path(), &["--trust", "strict", "ping"]);
        client.env("SSL_CERT_FILE", at(roots)).output().unwrap()
    };
    let output = run("root.pem");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    assert!(!server.config().join("fileshare").exists());
    // Without the authority it is a stranger like any other.
    assert_eq!(run("nothing.pem").status.code(), Some(5));
}
