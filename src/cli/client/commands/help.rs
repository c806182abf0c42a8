use super::{Outcome, invalid_operation};
use crate::cli::client::command::canonical;
use crate::cli::client::grammar;
use crate::cli::client::session::Input;
use crate::cli::exit::Verdict;
use crate::cli::output::Output;

/// `help [COMMAND]`: the text has no form for `--json`, under which it is a message.
pub fn run(output: &Output, word: Option<&str>, input: Input) -> Outcome {
    let mut grammar = match input {
        Input::CommandLine => grammar::invocation(),
        Input::Prompt | Input::Script => grammar::line(),
    };
    let text = match word {
        None => grammar.render_help(),
        Some(word) => canonical(word)
            .as_deref()
            .and_then(|name| grammar.find_subcommand_mut(name))
            .map(|command| command.render_help())
            .ok_or_else(|| invalid_operation(Some(word)))?,
    };
    output.text(&text.to_string());
    Ok(Verdict::Done)
}
