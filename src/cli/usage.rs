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
    let lines: Vec<String> = text
        .trim_end()
        .lines()
        .map(|line| Printable(line).to_string())
        .collect();
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

/// Whether the "error" is a text that was asked for.
pub fn is_answer(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}
