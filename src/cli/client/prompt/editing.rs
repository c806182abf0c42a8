use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Result};
use tokio::runtime::Handle;

use super::complete::{self, Candidate, Wanted};
use super::word;
use crate::cli::client::session::Session;
use crate::client::ListQuery;
use crate::types::{Entry, Item, Kept, Printable};

/// Tab never waits longer for the server.
const PATIENCE: Duration = Duration::from_secs(1);

/// More names than this are no help to somebody who looks for one.
const MAX_NAMES: u32 = 200;

/// What the line editor asks for while a line is typed.
pub struct Helper {
    runtime: Handle,
    session: Rc<RefCell<Session>>,
}

impl Helper {
    /// Completes names of the session's server.
    pub fn new(runtime: Handle, session: Rc<RefCell<Session>>) -> Self {
        Helper { runtime, session }
    }

    /// Local folders, or the server's behind their mark, which can be completed itself.
    fn either(&self, typed: &str, mark: &str) -> Vec<Candidate> {
        if let Some(typed) = typed.strip_prefix(mark) {
            let mut found = self.remote(typed, &Wanted::RemoteFolder);
            for candidate in &mut found {
                candidate.text.insert_str(0, mark);
            }
            return found;
        }
        let mut found = complete::local(typed, true);
        if mark.starts_with(typed) {
            found.push(Candidate {
                text: mark.to_owned(),
                finished: false,
            });
        }
        found
    }

    /// No answer, for whatever reason, completes nothing.
    fn remote(&self, typed: &str, wanted: &Wanted) -> Vec<Candidate> {
        let Ok(mut session) = self.session.try_borrow_mut() else {
            return Vec::new();
        };
        // Who is met for the first time may have to be asked about: not within a line.
        if !session.client.was_connected() {
            return Vec::new();
        }
        let (folder, leaf) = complete::split_path(typed);
        let below = match folder {
            "" => session.folder.clone(),
            folder => match session.folder.change(folder) {
                Ok(below) => below,
                Err(_) => return Vec::new(),
            },
        };
        let query = ListQuery {
            folder: below.name().cloned(),
            patterns: complete::patterns(leaf),
            limit: MAX_NAMES,
        };
        let mut items = Vec::new();
        let listed = self.runtime.block_on(async {
            let client = &mut session.client;
            match wanted {
                Wanted::Kept => {
                    let mut each = |kept: Kept| {
                        if items.len() < MAX_NAMES as usize {
                            items.push(as_file(kept));
                        }
                    };
                    tokio::time::timeout(PATIENCE, client.trash(&query, &mut each)).await
                }
                _ => {
                    let mut each = |item| items.push(item);
                    tokio::time::timeout(PATIENCE, client.list(&query, &mut each)).await
                }
            }
        });
        let only_folders = *wanted == Wanted::RemoteFolder;
        match listed {
            Ok(Ok(())) => complete::remote(&items, below.name(), typed, only_folders),
            _ => Vec::new(),
        }
    }
}

/// What is kept is completed like what is there.
fn as_file(kept: Kept) -> Item {
    Item::File(Entry {
        name: kept.name,
        id: None,
        size: kept.size,
        modified: kept.modified,
        executable: false,
    })
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let (before, word) = word::split(line.get(..pos).unwrap_or(line));
        let wanted = complete::wanted(&before, &word);
        let candidates = match &wanted {
            Wanted::Words(words) => complete::among(words, &word.text),
            Wanted::Remote | Wanted::RemoteFolder | Wanted::Kept => {
                self.remote(&word.text, &wanted)
            }
            Wanted::Local => complete::local(&word.text, false),
            Wanted::LocalFolder => complete::local(&word.text, true),
            Wanted::EitherFolder(mark) => self.either(&word.text, mark),
            Wanted::Nothing => Vec::new(),
        };
        let pairs = candidates.iter().map(|candidate| Pair {
            display: Printable(&candidate.text).to_string(),
            replacement: word::quoted(&candidate.text, word.quote, candidate.finished),
        });
        Ok((word.start, pairs.collect()))
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Highlighter for Helper {}

impl Validator for Helper {}

impl rustyline::Helper for Helper {}
