use std::path::Path;

use super::*;
use crate::cli::client::command::{Command, parse_line};
use crate::cli::output::Look;
use crate::cli::output::tests::Captured;
use crate::protocol::ErrorCode;

fn args(line: &str) -> PutArgs {
    match parse_line(shlex::split(line).unwrap()).unwrap().command {
        Command::Put(args) => args,
        other => panic!("{other:?}"),
    }
}

async fn plan(line: &str, path: &Path, folder: &str) -> (Plan, Result<(), Failure>) {
    let here = RemoteFolder::default().change(folder).unwrap();
    let mut args = args(line);
    args.paths = vec![path.to_owned()];
    let output = Captured::default().output(Look::default());
    let mut report = BatchReport::new(&output, "put", Doing::Putting(OnConflict::Error));
    let mut plan = Plan::new(&args).unwrap();
    let mut added = Ok(());
    match wishes(&here, &args, &mut report) {
        Err(failure) => added = Err(failure),
        Ok(wishes) => {
            for wish in wishes {
                let this = plan.add(wish, &args, &mut report).await;
                added = added.and(this.map_err(|(_, failure)| failure));
            }
        }
    }
    (plan, added)
}

/// The names that the path would be stored under; folders with a slash.
async fn names(line: &str, path: &Path, folder: &str) -> Result<Vec<String>, ErrorCode> {
    let (plan, added) = plan(line, path, folder).await;
    added.map_err(|failure| failure.code)?;
    let files = plan
        .uploads
        .iter()
        .map(|upload| upload.name.as_str().to_owned());
    let folders = plan
        .folders
        .iter()
        .map(|(name, _)| format!("{}/", name.as_str()));
    Ok(files.chain(folders).collect())
}

#[tokio::test]
async fn stores_the_base_name_below_the_remote_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    std::fs::write(&path, "x").unwrap();
    for (line, folder, expected) in [
        ("put x", "/", "a.txt"),
        ("put x", "/docs", "docs/a.txt"),
        ("put x --to in", "/docs", "docs/in/a.txt"),
        ("put x --as b", "/", "b"),
        ("put x --as c/b", "/docs", "docs/c/b"),
        ("put x --to in --as b", "/", "in/b"),
    ] {
        let stored = names(line, &path, folder).await;
        assert_eq!(stored, Ok(vec![expected.to_owned()]), "{line}");
    }
    for line in [
        "put x --as ../b",
        "put x --as /b",
        "put x --to ..",
        "put x --as b/",
    ] {
        let stored = names(line, &path, "/").await;
        assert_eq!(stored, Err(ErrorCode::InvalidName), "{line}");
    }
}

#[tokio::test]
async fn a_folder_is_stored_below_its_base_name_and_a_dot_has_none() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("docs/none")).unwrap();
    std::fs::write(dir.path().join("docs/a.txt"), "x").unwrap();
    for (line, path, expected) in [
        ("put x", "docs", ["docs/a.txt", "docs/none/"]),
        ("put x", "docs/", ["docs/a.txt", "docs/none/"]),
        ("put x", "docs/.", ["a.txt", "none/"]),
        ("put x", "docs/./", ["a.txt", "none/"]),
        ("put x", "docs/none/..", ["a.txt", "none/"]),
        ("put x --as new", "docs", ["new/a.txt", "new/none/"]),
        ("put x --as new/", "docs", ["new/a.txt", "new/none/"]),
        ("put x --to in", "docs", ["in/docs/a.txt", "in/docs/none/"]),
        ("put x --to in", "docs/.", ["in/a.txt", "in/none/"]),
        (
            "put x --to in --as new",
            "docs/.",
            ["in/new/a.txt", "in/new/none/"],
        ),
    ] {
        let stored = names(line, &dir.path().join(path), "/").await;
        assert_eq!(
            stored,
            Ok(expected.map(str::to_owned).to_vec()),
            "{line} {path}"
        );
    }
    let none = names("put x", &dir.path().join("docs/none"), "/").await;
    assert_eq!(none, Ok(vec!["none/".to_owned()]));
    let id = "d41d8cd98f00b204e9800998ecf8427e";
    let line = format!("put x --if-match {id}");
    let refused = names(&line, &dir.path().join("docs"), "/").await;
    assert_eq!(refused, Err(ErrorCode::Usage));
}

#[tokio::test]
async fn what_is_named_is_meant_by_its_base_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("docs/b")).unwrap();
    for file in ["docs/a.txt", "docs/a.o", "docs/b/c.txt"] {
        std::fs::write(dir.path().join(file), "x").unwrap();
    }
    for (line, path, expected) in [
        (
            "put x --exclude *.o",
            "docs",
            &["docs/a.txt", "docs/b/c.txt"][..],
        ),
        ("put x --include *.o", "docs", &["docs/a.o"]),
        ("put x --exclude /b", "docs", &["docs/a.o", "docs/a.txt"]),
        ("put x --exclude docs", "docs", &[]),
        ("put x --exclude a.*", "docs/a.txt", &[]),
        ("put x --include *.o", "docs/*", &["a.o"]),
    ] {
        let stored = names(line, &dir.path().join(path), "/").await;
        let expected = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(stored, Ok(expected), "{line} {path}");
    }
}

#[tokio::test]
async fn refuses_what_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = names("put x", &dir.path().join("missing"), "/").await;
    assert_eq!(missing, Err(ErrorCode::NotFound));
    #[cfg(unix)]
    {
        let device = names("put x", Path::new("/dev/null"), "/").await;
        assert_eq!(device, Err(ErrorCode::Usage));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_local_name_that_no_server_takes_says_what_to_do() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    for bytes in [&b"a\xff"[..], b"a\nb", b".fileshare-x"] {
        let path = dir.path().join(std::ffi::OsStr::from_bytes(bytes));
        std::fs::write(&path, "x").unwrap();
        let failure = plan("put x", &path, "/").await.1.unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidName);
        assert!(failure.advice.unwrap().contains("--as"));
        assert!(!failure.message.contains('\n'));
    }
}

#[test]
fn standard_input_needs_a_name_and_must_be_free() {
    let check = |line, input| check(&args(line), input).map_err(|failure| failure.code);
    assert_eq!(check("put - --as a", Input::CommandLine), Ok(()));
    for (line, input) in [
        ("put -", Input::CommandLine),
        ("put - b --as a", Input::CommandLine),
        ("put a b --as c", Input::CommandLine),
        ("put - --as a", Input::Script),
        ("put - --as a", Input::Prompt),
    ] {
        assert_eq!(check(line, input), Err(ErrorCode::Usage), "{line}");
    }
}

#[test]
fn naming_the_version_to_replace_asks_for_it() {
    let id = "d41d8cd98f00b204e9800998ecf8427e";
    assert_eq!(rules(&args("put a")), OnConflict::Error);
    assert_eq!(
        rules(&args(&format!("put a --if-match {id}"))),
        OnConflict::Overwrite
    );
    let line = format!("put a --if-match {id} --on-conflict skip");
    assert_eq!(rules(&args(&line)), OnConflict::Skip);
}
