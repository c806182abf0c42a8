//! What clap has to say to arguments: help that was asked for, or what is wrong with them.

use clap::error::ErrorKind;

use super::exit;
use super::json::{Body, ErrorBody};
use super::output::Output;
use crate::protocol::ErrorCode;
use crate::types::Printable;

/// Prints what clap has to say, help or what is wrong, and returns the exit code.
pub fn explain(output: &Output, error: &clap::Error) -> u8 {
    let text = error.render().to_string();
    if is_answer(error) {
        output.text(&text);
        return exit::DONE;
    }
    // What was typed is quoted in the text: it may come from anywhere.
    let mut lines: Vec<String> = text
        .trim_end()
        .lines()
        .filter(|line| !is_misleading(line))
        .map(|line| Printable(line).to_string())
        .collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    let message: Vec<&str> = lines
        .iter()
        .take_while(|line| !line.is_empty())
        .map(|line| line.trim())
        .collect();
    let message = message.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    output.object(Body::Error {
        error: ErrorBody::new(ErrorCode::Usage, message),
    });
    output.message(&format!("{}\n", lines.join("\n")));
    exit::of_error(ErrorCode::Usage)
}

/// clap's advice to pass an option that nobody knows as a value: it hardly ever is meant as one.
fn is_misleading(line: &str) -> bool {
    line.trim_start().starts_with("tip: to pass ") && line.contains("use '-- ")
}

/// Whether the "error" is a text that was asked for.
pub fn is_answer(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}
