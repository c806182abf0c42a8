use super::Outcome;
use crate::cli::client::command::NameArgs;
use crate::cli::client::folder::check_folder;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::Body;
use crate::cli::units;
use crate::types::Item;

/// `stat NAME`
pub async fn run(session: &mut Session, args: &NameArgs) -> Outcome {
    let file = session.folder.place(&args.name)?;
    let found = session.client.stat(&file).await;
    let item = found.map_err(|error| Failure::from(error).about(&file))?;
    check_folder(&args.name, &item)?;
    session.output.object(Body::item(&item));
    session.output.line(describe(&item));
    Ok(Verdict::Done)
}

fn describe(item: &Item) -> String {
    match item {
        Item::Folder(name) => format!("name:        {name}/\nkind:        folder"),
        Item::File(entry) => format!(
            "name:        {}\nkind:        file\nid:          {}\nsize:        {} bytes ({})\nchanged:     {} ({})\nexecutable:  {}",
            entry.name,
            entry.id.map_or("-".to_owned(), |id| id.to_string()),
            entry.size,
            units::size(entry.size),
            units::local(entry.modified),
            units::utc(entry.modified),
            if entry.executable { "yes" } else { "no" },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, FileName, Timestamp};

    #[test]
    fn shows_every_field() {
        let text = describe(&Item::File(Entry {
            name: FileName::parse("docs/a.txt").unwrap(),
            id: None,
            size: 1536,
            modified: Timestamp::new(1_795_194_000, 0).unwrap(),
            executable: true,
        }));
        for part in [
            "docs/a.txt\n",
            "id:          -\n",
            "1536 bytes (1.50 KiB)",
            "(2026-11-20T17:00:00Z)",
            "executable:  yes",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}
