//! `edit`: with editors that need nobody, and one on a terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rexpect::session::spawn_command;

use crate::harness::{RunningServer, serve, stderr, stdout, text};

struct Scene {
    root: tempfile::TempDir,
    desk: tempfile::TempDir,
    /// Where drafts are.
    drafts: tempfile::TempDir,
    server: RunningServer,
}

impl Scene {
    fn new(role: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = serve(
            root.path(),
            &["--anonymous", role, "--max-file-size", "1000"],
        );
        std::fs::write(root.path().join("note.txt"), "one\n").unwrap();
        Scene {
            root,
            desk: tempfile::tempdir().unwrap(),
            drafts: tempfile::tempdir().unwrap(),
            server,
        }
    }

    fn client(&self, arguments: &[&str], editor: &str) -> Command {
        let mut command = self.server.client(self.desk.path(), arguments);
        command
            .env("TMPDIR", self.drafts.path())
            .env_remove("VISUAL")
            .env("EDITOR", editor);
        command
    }

    fn edit(&self, name: &str, editor: &str) -> Output {
        self.client(&["edit", name], editor).output().unwrap()
    }

    /// An editor that is a shell script; `$1` is the file.
    fn script(&self, text: &str) -> String {
        let path = self.desk.path().join("editor with space");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        format!("'{}'", path.display())
    }

    fn content(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.path().join(name)).unwrap()
    }

    fn drafts(&self) -> Vec<PathBuf> {
        let drafts = std::fs::read_dir(self.drafts.path()).unwrap();
        drafts.map(|draft| draft.unwrap().path()).collect()
    }
}

fn code(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), stderr(output))
}

#[test]
fn what_was_edited_takes_the_place_of_what_was_there() {
    let scene = Scene::new("editor");
    let there = scene.root.path().join("note.txt");
    std::fs::set_permissions(&there, PermissionsExt::from_mode(0o755)).unwrap();
    // An editor with arguments, which puts a new file in the place of the old one.
    let output = scene.edit("note.txt", "sed -i s/one/two/");
    assert_eq!(code(&output).0, Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("note.txt: 4 B, verified, id "));
    assert_eq!(scene.content("note.txt"), "two\n");
    let mode = there.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "{mode:o}");
    assert!(scene.drafts().is_empty());
    assert!(
        scene
            .server
            .ok(scene.desk.path(), &["trash"])
            .contains("note.txt")
    );

    let output = scene
        .client(&["edit", "note.txt", "--json"], "true")
        .output()
        .unwrap();
    let said = stdout(&output);
    assert!(
        said.contains(r#""action":"edit","name":"note.txt""#),
        "{said}"
    );
    assert!(said.contains(r#""status":"unchanged""#), "{said}");
    assert!(scene.drafts().is_empty());

    // What an editor prints is no result.
    let output = scene.edit("note.txt", "echo");
    assert!(
        stdout(&output).starts_with("note.txt: unchanged"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_new_name_begins_empty_and_the_draft_is_private() {
    let scene = Scene::new("contributor");
    let editor = scene.script(
        "stat -c %a \"$1\" \"$(dirname \"$1\")\" > seen; echo $1 >> seen; echo new > \"$1\"",
    );
    let mut command = scene.client(&["edit", "docs/new.md"], "false");
    let output = command.env("VISUAL", editor).output().unwrap();
    assert_eq!(code(&output).0, Some(0), "{}", stderr(&output));
    assert_eq!(scene.content("docs/new.md"), "new\n");
    let seen = std::fs::read_to_string(scene.desk.path().join("seen")).unwrap();
    assert!(
        seen.starts_with("600\n700\n") && seen.ends_with("/new.md\n"),
        "{seen}"
    );
    // Nothing was written: nothing is made.
    let output = scene.edit("docs/other.md", "true");
    assert_eq!(code(&output).0, Some(0), "{}", stderr(&output));
    assert!(!scene.root.path().join("docs/other.md").exists());
    // It is not for this user to replace anything, and better said at once.
    let output = scene.edit("note.txt", "sed -i s/one/two/");
    let (exit, said) = code(&output);
    assert!(exit == Some(5) && said.contains("editor"), "{said}");
    assert_eq!(scene.content("note.txt"), "one\n");
    assert!(scene.drafts().is_empty());
}

#[test]
fn what_others_have_changed_meanwhile_is_not_replaced_and_no_text_is_lost() {
    let scene = Scene::new("editor");
    let theirs = scene.root.path().join("note.txt");
    let editor = scene.script(&format!(
        "echo mine >> \"$1\"; echo theirs > {}",
        theirs.display()
    ));
    let output = scene.edit("note.txt", &editor);
    let (exit, said) = code(&output);
    assert_eq!(exit, Some(6), "{said}");
    assert_eq!(scene.content("note.txt"), "theirs\n");
    let [draft] = &scene.drafts()[..] else {
        panic!("{said}");
    };
    let draft = draft.join("note.txt");
    assert!(
        said.contains(&format!("your text is kept in {}", draft.display())),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&draft).unwrap(), "one\nmine\n");
    // What the message says to do works.
    let arguments = [
        "put",
        text(&draft),
        "--as",
        "note.txt",
        "--on-conflict",
        "overwrite",
    ];
    scene.server.ok(scene.desk.path(), &arguments);
    assert_eq!(scene.content("note.txt"), "one\nmine\n");
    std::fs::remove_dir_all(draft.parent().unwrap()).unwrap();

    // The same of a name that somebody else has taken meanwhile, and of a file that is gone.
    let taken = scene.root.path().join("taken");
    let editor = scene.script(&format!(
        "echo mine > \"$1\"; echo theirs > {}",
        taken.display()
    ));
    let (exit, said) = code(&scene.edit("taken", &editor));
    assert!(
        exit == Some(6) && said.contains("your text is kept in"),
        "{said}"
    );
    let editor = scene.script(&format!("echo mine > \"$1\"; rm {}", taken.display()));
    let (exit, said) = code(&scene.edit("taken", &editor));
    assert!(
        exit == Some(6) && said.contains("your text is kept in"),
        "{said}"
    );
    assert_eq!(scene.drafts().len(), 2);
}

#[test]
fn when_the_editor_or_the_server_fails_the_text_is_kept() {
    let scene = Scene::new("editor");
    let (exit, said) = code(&scene.edit("note.txt", "false"));
    assert!(
        exit == Some(1) && said.contains("the editor 'false' failed"),
        "{said}"
    );
    assert!(
        !said.contains("your text") && scene.drafts().is_empty(),
        "{said}"
    );
    let editor = scene.script("echo mine > \"$1\"; exit 3");
    let (exit, said) = code(&scene.edit("note.txt", &editor));
    assert!(
        exit == Some(1) && said.contains("your text is kept in"),
        "{said}"
    );
    assert_eq!(scene.drafts().len(), 1);
    assert_eq!(scene.content("note.txt"), "one\n");

    let editor = scene.script("head -c 2000 /dev/zero > \"$1\"");
    let (exit, said) = code(&scene.edit("note.txt", &editor));
    assert!(
        exit == Some(8) && said.contains("your text is kept in"),
        "{said}"
    );
    assert_eq!(scene.drafts().len(), 2);
    assert_eq!(scene.content("note.txt"), "one\n");
}

#[test]
fn without_a_terminal_only_an_editor_that_was_named_is_run() {
    let scene = Scene::new("editor");
    let client = scene.client(&["edit", "note.txt"], "");
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .arg(client.get_program())
        .args(client.get_args());
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (exit, said) = code(&output);
    assert!(
        exit == Some(2) && said.contains("set VISUAL or EDITOR"),
        "{said}"
    );

    // In a script, the rest of which is not the editor's.
    let script = scene.desk.path().join("script");
    std::fs::write(&script, "edit note.txt\nlist\n").unwrap();
    let editor = scene.script("sed -i s/one/two/ \"$1\"");
    let mut command = scene.client(&[], &editor);
    let output = command
        .stdin(std::fs::File::open(script).unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&output).0, Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 2);
    assert_eq!(scene.content("note.txt"), "two\n");
}

#[test]
fn a_dry_run_and_wrong_names_open_no_editor() {
    let scene = Scene::new("editor");
    std::fs::create_dir(scene.root.path().join("folder")).unwrap();
    let editor = scene.script("touch opened");
    let output = scene
        .client(&["edit", "note.txt", "-n"], &editor)
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "note.txt: would transfer 4 B\n");
    for (name, exit) in [("folder", 2), ("../x", 2), ("id:ffffff", 4)] {
        let (code, said) = code(&scene.edit(name, &editor));
        assert_eq!(code, Some(exit), "{name}: {said}");
    }
    assert!(!scene.desk.path().join("opened").exists());
    assert!(scene.drafts().is_empty());
}

/// The editor has the terminal, and Ctrl-C is for it; then the prompt is there again as it was.
#[test]
fn at_the_prompt_the_editor_has_the_terminal() {
    let scene = Scene::new("editor");
    let editor = scene.script(
        "trap 'echo not yet' INT; stty -icanon; echo type:; while ! read line; do :; done; echo $line > \"$1\"",
    );
    let mut command = scene.client(&[], &editor);
    command
        .stdin(Stdio::inherit())
        .env("XDG_STATE_HOME", scene.desk.path())
        .env("TERM", "xterm")
        .env("NO_COLOR", "1");
    let mut session = spawn_command(command, Some(20_000)).unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("edit note.txt").unwrap();
    session.exp_string("type:").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("not yet").unwrap();
    session.send_line("typed").unwrap();
    session.exp_string("verified").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    assert_eq!(scene.content("note.txt"), "typed\n");
    // The terminal is as it was.
    session.send_line("!stty -a").unwrap();
    session.exp_string("isig icanon").unwrap();
    session.exp_string("fileshare:/> ").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
}

/// An editor that leaves something else than a file uploads nothing, and nobody waits for it.
#[test]
fn what_an_editor_leaves_must_be_a_plain_file() {
    let scene = Scene::new("editor");
    for left in ["mkfifo", "ln -s /etc/hostname"] {
        let editor = scene.script(&format!("rm \"$1\" && {left} \"$1\""));
        let (code, said) = code(&scene.edit("note.txt", &editor));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the edited file"), "{said}");
        assert_eq!(scene.content("note.txt"), "one\n");
    }
}
