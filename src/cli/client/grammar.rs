//! The grammar as clap is given it: what the derived one cannot say by itself.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::command::{Invocation, Line, canonical};

/// The grammar of the command line.
pub fn invocation() -> clap::Command {
    polished(
        Invocation::command(),
        "Options of every command: see fileshare-client --help",
    )
}

/// The grammar of a line of the prompt or of a script.
pub fn line() -> clap::Command {
    polished(Line::command(), "Options of every command: see 'help'")
}

/// Options of every command stand in the help of the whole only, and usage lines say the same
/// whatever was typed: clap's own take every option that was given for a required one.
fn polished(mut grammar: clap::Command, more: &'static str) -> clap::Command {
    grammar.build();
    let names: Vec<String> = grammar
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        grammar = grammar.mut_subcommand(name, |command| {
            let command = command.after_help(more).mut_args(|argument| {
                let hidden = argument.is_global_set() && argument.get_id() != "help";
                argument.hide(hidden)
            });
            with_usage(command)
        });
    }
    with_usage(grammar)
}

/// Behind `register` and `offer`, `--port` is the port to listen on, and not the server's.
pub fn own_ports(arguments: &mut [OsString]) {
    let words = arguments.iter().enumerate();
    let mut commands = words.filter_map(|(at, word)| Some((at, canonical(word.to_str()?)?)));
    let Some((at, command)) = commands.next() else {
        return;
    };
    if !matches!(command.as_str(), "register" | "offer") {
        return;
    }
    let behind = arguments.iter_mut().skip(at + 1);
    for argument in behind.take_while(|argument| *argument != "--") {
        let Some(text) = argument.to_str() else {
            continue;
        };
        if text == "--port" || text.starts_with("--port=") {
            *argument = text.replacen("--port", "--listen-port", 1).into();
        }
    }
}

fn with_usage(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage:").unwrap_or(&usage).trim();
    command.override_usage(usage.to_owned())
}

/// The same error; an option that stands before its command is told where it belongs.
pub fn placed(
    grammar: &clap::Command,
    arguments: &[OsString],
    mut error: clap::Error,
) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let option = option.clone();
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    // The first command word, if it comes after the option.
    let command = words
        .by_ref()
        .find_map(|word| match word {
            word if word == option => Some(None),
            word => canonical(word).map(Some),
        })
        .filter(Option::is_none)
        .and_then(|_| words.find_map(canonical))
        .and_then(|name| grammar.find_subcommand(name));
    let takes = |command: &&clap::Command| {
        command.get_arguments().any(|argument| {
            let long = argument.get_long().map(|long| format!("--{long}"));
            let short = argument.get_short().map(|short| format!("-{short}"));
            [long, short].into_iter().flatten().any(|own| own == option)
        })
    };
    if let Some(command) = command.filter(takes) {
        let name = command.get_name();
        let tip = format!("'{option}' belongs behind the command: {name} {option} …");
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::command::{parse_invocation, parse_line};

    fn one_shot(line: &str) -> String {
        let words = shlex::split(line).unwrap().into_iter().map(Into::into);
        parse_invocation(words.collect()).unwrap_err().to_string()
    }

    #[test]
    fn usage_lines_invent_nothing() {
        let text = one_shot("fileshare-client --server nas get");
        let usage = "Usage: fileshare-client get [OPTIONS] [NAME]...";
        assert!(text.contains(usage), "{text}");
        let text = parse_line(vec!["ping".into(), "x".into()]).unwrap_err();
        let text = text.to_string();
        assert!(text.contains("Usage: ping\n"), "{text}");
    }

    #[test]
    fn help_for_a_command_has_its_own_options_only() {
        let text = one_shot("fileshare-client get --help");
        assert!(text.contains("--on-conflict") && text.contains("--help"));
        assert!(!text.contains("--limit-rate") && !text.contains("--json"));
        assert!(text.contains("see fileshare-client --help"));
        assert!(one_shot("fileshare-client --help").contains("--limit-rate"));
    }

    #[test]
    fn an_option_before_its_command_is_told_where_it_belongs() {
        let text = one_shot("c -n put f");
        assert!(text.contains("'-n' belongs behind the command: put -n"));
        for line in ["c --frob put f", "c put --frob f", "c -n ping"] {
            assert!(!one_shot(line).contains("belongs"), "{line}");
        }
    }
}
