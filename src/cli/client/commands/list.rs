use std::cmp::Ordering;

use super::{Outcome, offers};
use crate::cli::client::command::{ListArgs, SortKey};
use crate::cli::client::folder::{self, RemoteFolder};
use crate::cli::client::session::Session;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::Body;
use crate::cli::output::Output;
use crate::cli::units;
use crate::client::ListQuery;
use crate::protocol::ErrorCode;
use crate::protocol::limits::MAX_PATTERNS;
use crate::types::{FileName, Item, Patterns, Printable};

/// `list [PATTERN…]`
pub async fn run(session: &mut Session, args: &ListArgs) -> Outcome {
    let query = query(&session.folder, &args.patterns)?;
    let filter = args.filter.filter()?;
    let folder = session.folder.clone();
    let mut wanted = Wanted::new(&session.folder, &args.patterns);
    let output = &session.output;
    let in_order = args.sort == SortKey::Name && !args.reverse;
    let mut kept = Vec::new();
    let mut number = 0u64;
    session
        .client
        .list(&query, &mut |item| {
            wanted.saw(item.name());
            let below = folder.relative(item.name());
            if below.is_some_and(|name| !filter.takes(&name)) {
                return;
            }
            number += 1;
            // Items arrive in order of names: only another order has to wait for all of them.
            match in_order {
                true => tell(output, &item),
                false => kept.push(item),
            }
        })
        .await?;
    sort(&mut kept, args.sort, args.reverse);
    kept.iter().for_each(|item| tell(output, item));
    if args.patterns.is_empty() {
        if number == 0 {
            nothing(output);
        }
        return offered(session).await;
    }
    let mut tally = Tally::default();
    (0..number).for_each(|_| tally.done());
    for pattern in wanted.unseen() {
        let message = format!("nothing matches '{}'", Printable(pattern));
        let failure = Failure::new(ErrorCode::NotFound, message);
        tally.failed(failure.code);
        output.failure(&failure);
    }
    Ok(Verdict::Batch(tally))
}

/// What other clients offer stands below the server's own files, for whoever is one of them.
async fn offered(session: &mut Session) -> Outcome {
    if session.standing.peer().is_some() {
        let table = offers::table(session).await?;
        let output = &session.output;
        if output.look().terminal {
            output.line("");
        }
        offers::tell(output, &table.offers());
    }
    Ok(Verdict::Done)
}

/// What to ask the server for.
pub fn query(here: &RemoteFolder, patterns: &[String]) -> Result<ListQuery, Failure> {
    if patterns.len() > MAX_PATTERNS {
        let message = format!("too many patterns: {}", patterns.len());
        let advice = format!("give at most {MAX_PATTERNS} at a time");
        return Err(Failure::usage(message).advise(advice));
    }
    let patterns = patterns.iter().map(|pattern| folder::pattern(pattern));
    Ok(ListQuery {
        folder: here.name().cloned(),
        patterns: patterns
            .map(|pattern| pattern.map(str::to_owned))
            .collect::<Result<_, _>>()?,
        limit: 0,
    })
}

/// Which of the patterns have matched something.
pub struct Wanted<'a> {
    folder: RemoteFolder,
    patterns: Vec<(&'a str, Option<Patterns>, bool)>,
}

impl<'a> Wanted<'a> {
    /// None of them yet.
    pub fn new(folder: &RemoteFolder, patterns: &'a [String]) -> Self {
        let patterns = patterns.iter().map(|pattern| {
            let meant = Patterns::parse(&[pattern]).ok();
            (pattern.as_str(), meant, false)
        });
        Wanted {
            folder: folder.clone(),
            patterns: patterns.collect(),
        }
    }

    /// Notes a name that was listed.
    pub fn saw(&mut self, name: &FileName) {
        let Some(below) = self.folder.relative(name) else {
            return;
        };
        for (_, meant, seen) in self.patterns.iter_mut().filter(|(.., seen)| !seen) {
            *seen = meant.as_ref().is_some_and(|meant| meant.is_match(&below));
        }
    }

    /// Those that matched nothing.
    pub fn unseen(&self) -> impl Iterator<Item = &'a str> {
        self.patterns
            .iter()
            .filter(|(.., seen)| !seen)
            .map(|(pattern, ..)| *pattern)
    }
}

fn sort(items: &mut [Item], key: SortKey, reverse: bool) {
    let number = |item: &Item| match (item, key) {
        (Item::Folder(_), _) | (_, SortKey::Name) => i128::MIN,
        (Item::File(entry), SortKey::Size) => entry.size.into(),
        (Item::File(entry), SortKey::Time) => entry.modified.total_nanoseconds(),
    };
    items.sort_by(|a, b| {
        let order: Ordering = number(a)
            .cmp(&number(b))
            .then_with(|| a.name().cmp(b.name()));
        if reverse { order.reverse() } else { order }
    });
}

fn nothing(output: &Output) {
    const NOTHING: &str = "No files available at the moment.";
    match output.look() {
        look if look.terminal && !look.json => output.line(NOTHING),
        _ => output.note(NOTHING),
    }
}

fn tell(output: &Output, item: &Item) {
    output.object(Body::item(item));
    match output.look().terminal {
        true => output.line(for_people(item)),
        false => output.line(for_programs(item)),
    }
}

/// Columns of fixed width, so that nothing has to wait for the widest: id, size, changed, name.
fn for_people(item: &Item) -> String {
    match item {
        Item::File(entry) => format!(
            "{:32}  {:>11}  {:19}  {}",
            entry.id.map_or("-".to_owned(), |id| id.to_string()),
            units::size(entry.size),
            units::local(entry.modified),
            entry.name,
        ),
        Item::Folder(name) => format!("{:32}  {:>11}  {:19}  {name}/", "-", "-", "-"),
    }
}

/// A name stands here as it is, so that it can be given back to `get`: no name holds a tab, a line
/// end or anything else that a terminal obeys.
fn for_programs(item: &Item) -> String {
    match item {
        Item::File(entry) => format!(
            "{}\t{}\t{}\t{}",
            entry.id.map_or("-".to_owned(), |id| id.to_string()),
            entry.size,
            units::utc(entry.modified),
            entry.name.as_str(),
        ),
        Item::Folder(name) => format!("-\t-\t-\t{}/", name.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;
    use crate::types::{Entry, Timestamp};

    const ID: &str = "0cc175b9c0f1b6a831c399e269772661";

    fn file(name: &str, size: u64, seconds: i64) -> Item {
        Item::File(Entry {
            name: FileName::parse(name).unwrap(),
            id: Some(ID.parse().unwrap()),
            size,
            modified: Timestamp::new(seconds, 7).unwrap(),
            executable: false,
        })
    }

    fn folder(name: &str) -> Item {
        Item::Folder(FileName::parse(name).unwrap())
    }

    #[test]
    fn a_pipe_gets_tabs() {
        assert_eq!(
            for_programs(&file("docs/a b.txt", 123, 1_795_194_000)),
            format!("{ID}\t123\t2026-11-20T17:00:00Z\tdocs/a b.txt")
        );
        assert_eq!(for_programs(&folder("empty")), "-\t-\t-\tempty/");
        let Item::File(mut entry) = file("a", 0, 0) else {
            return;
        };
        entry.id = None;
        assert!(for_programs(&Item::File(entry)).starts_with("-\t0\t1970"));
    }

    #[test]
    fn a_terminal_gets_aligned_columns_and_escaped_names() {
        let lines = [
            for_people(&file("a\u{200b}", 5, 0)),
            for_people(&file("b", u64::MAX, 1_795_194_000)),
            for_people(&folder("c")),
        ];
        assert!(lines[0].ends_with("  a\\u{200b}"));
        assert!(lines[2].ends_with("  c/"));
        for line in &lines {
            // Up to the name, which is what differs.
            assert_eq!(line.chars().nth(67), Some(' '), "{line}");
            assert_ne!(line.chars().nth(68), Some(' '), "{line}");
        }
    }

    #[test]
    fn sorts_by_name_size_and_time() {
        let names =
            |items: &[Item]| -> String { items.iter().map(|item| item.name().as_str()).collect() };
        let mut items = vec![
            file("b", 1, 30),
            file("a", 3, 20),
            file("c", 1, 10),
            folder("d"),
        ];
        for (key, reverse, expected) in [
            (SortKey::Name, false, "abcd"),
            (SortKey::Name, true, "dcba"),
            (SortKey::Size, false, "dbca"),
            (SortKey::Size, true, "acbd"),
            (SortKey::Time, false, "dcab"),
        ] {
            sort(&mut items, key, reverse);
            assert_eq!(names(&items), expected, "{key:?} {reverse}");
        }
    }

    #[test]
    fn an_empty_list_says_so_without_polluting_a_pipe() {
        let captured = Captured::default();
        let piped = captured.output(Look::default());
        nothing(&piped);
        assert_eq!(captured.messages(), "No files available at the moment.\n");
        assert_eq!(captured.results(), "");
        nothing(&captured.output(Look {
            terminal: true,
            ..Look::default()
        }));
        assert_eq!(captured.results(), "No files available at the moment.\n");
    }

    #[test]
    fn patterns_are_asked_for_inside_of_the_remote_folder() {
        let docs = RemoteFolder::default().change("docs").unwrap();
        let query = query(&docs, &["a/".to_owned(), "*.txt".to_owned()]).unwrap();
        assert_eq!(query.patterns, ["a", "*.txt"]);
        assert_eq!(query.folder.unwrap().as_str(), "docs");
    }

    #[test]
    fn tells_which_patterns_matched_nothing() {
        let docs = RemoteFolder::default().change("docs").unwrap();
        let patterns = ["a/", "b", "*.txt", "*.pdf", "["].map(str::to_owned);
        let mut wanted = Wanted::new(&docs, &patterns);
        for name in ["docs/a/x.txt", "docs/bb", "docs/y.txt"] {
            wanted.saw(&FileName::parse(name).unwrap());
        }
        assert_eq!(wanted.unseen().collect::<Vec<_>>(), ["b", "*.pdf", "["]);
    }
}
