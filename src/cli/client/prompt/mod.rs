//! The interactive prompt: line editing, history and completion on the program's first thread,
//! which runs each command to its end before it reads the next line.

mod complete;
mod editing;
mod history;
mod word;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use anstyle::{AnsiColor, Style};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter};
use tokio::runtime::Runtime;

use self::editing::Helper;
use self::history::History;
use super::args::Color;
use super::session::{Session, farewell, supervise};
use super::{allows_color, line};
use crate::cli::exit::{self, Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::signals::{Received, Signals};
use crate::cli::terminal;
use crate::protocol::ErrorCode;

/// What is said after Ctrl-C during a command.
const CANCELLED: &str =
    "Cancelled. A transfer goes on where it stopped when it is asked for again.";

/// How many texts may wait to be printed above the line that is being typed.
const MAX_TEXTS: usize = 1024;

/// How many lines are remembered.
const MAX_HISTORY: usize = 10_000;

/// Runs the prompt until somebody leaves it; no error of a command ends it.
pub fn run(runtime: &Runtime, session: Session, color: Color) -> Result<u8, Failure> {
    let output = session.output.clone();
    let session = Rc::new(RefCell::new(session));
    let mut editor = editor(runtime, &session, color)?;
    let history = History::open(&mut editor, &output);
    let idle = Arc::new(AtomicBool::new(false));
    print_above(&mut editor, &output, &idle);
    runtime.spawn(leave_when_terminated(Arc::clone(&idle)));
    let greeted = greet(runtime, &session)?;
    if matches!(greeted, Ended::Terminated | Ended::HungUp) {
        return Ok(farewell(&output, &greeted));
    }
    loop {
        let prompt = prompt(&session.borrow(), color);
        idle.store(true, Ordering::SeqCst);
        let read = editor.readline(&prompt);
        idle.store(false, Ordering::SeqCst);
        let text = match read {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => {
                output.note("Ctrl-C cancels a running command; Ctrl-D or 'exit' leaves.");
                continue;
            }
            Err(ReadlineError::Signal(_)) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => {
                let message = format!("cannot read the terminal: {error}");
                return Err(Failure::new(ErrorCode::Io, message)
                    .advise("give a command, or a script on standard input"));
            }
        };
        history.remember(&mut editor, &text);
        let mut signals = listen(runtime)?;
        let ran = line::run(runtime, &mut signals, &mut session.borrow_mut(), &text);
        match ran.ended {
            Ended::Finished(Ok(Verdict::Leave)) => break,
            Ended::Finished(_) => {}
            Ended::Interrupted if !output.is_abandoned() => output.note(CANCELLED),
            ended => return Ok(farewell(&output, &ended)),
        }
    }
    Ok(exit::DONE)
}

/// What happens while a line is typed is told above it. The line editor takes one text at a time and
/// has whoever brings it wait, so a thread of its own does.
fn print_above(editor: &mut Editor<Helper, FileHistory>, output: &Output, idle: &Arc<AtomicBool>) {
    // Messages that go somewhere else get into no line.
    if !io::stderr().is_terminal() {
        return;
    }
    // A terminal that cannot do it gets them as they come.
    let Ok(mut printer) = editor.create_external_printer() else {
        return;
    };
    let (sender, texts) = mpsc::sync_channel::<String>(MAX_TEXTS);
    std::thread::spawn(move || texts.into_iter().try_for_each(|text| printer.print(text)));
    let idle = Arc::clone(idle);
    output.print_above(Box::new(move |text| {
        idle.load(Ordering::SeqCst) && sender.try_send(text.to_owned()).is_ok()
    }));
}

fn editor(
    runtime: &Runtime,
    session: &Rc<RefCell<Session>>,
    color: Color,
) -> Result<Editor<Helper, FileHistory>, Failure> {
    let wrong = |error: ReadlineError| {
        Failure::new(ErrorCode::Io, format!("cannot open the prompt: {error}"))
            .advise("give a command, or a script on standard input")
    };
    let config = Config::builder()
        .max_history_size(MAX_HISTORY)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(wrong)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .color_mode(match color {
            Color::Auto => ColorMode::Enabled,
            Color::Always => ColorMode::Forced,
            Color::Never => ColorMode::Disabled,
        })
        .build();
    let mut editor = Editor::with_config(config).map_err(wrong)?;
    let helper = Helper::new(runtime.handle().clone(), Rc::clone(session));
    editor.set_helper(Some(helper));
    Ok(editor)
}

/// Connects at once, so that a wrong address shows at once; the prompt opens without a server too.
fn greet(runtime: &Runtime, session: &Rc<RefCell<Session>>) -> Result<Ended, Failure> {
    let mut session = session.borrow_mut();
    let output = session.output.clone();
    let mut signals = listen(runtime)?;
    let connected = runtime.block_on(supervise(&mut signals, &output, async {
        session.log_in().await?;
        session.client.connect().await?;
        Ok(Verdict::Done)
    }));
    let address = session.client.address();
    match &connected {
        Ended::Finished(Ok(_)) => {
            output.note(format_args!(
                "Connected to {address}. 'help' lists the commands."
            ));
        }
        Ended::Finished(Err(failure)) => {
            output.complain(failure, None);
            output.note(format_args!(
                "Not connected to {address}: the next command tries again."
            ));
        }
        _ => output.note(format_args!("Not connected to {address}.")),
    }
    Ok(connected)
}

/// Listens anew for each command: a Ctrl-C that came before it is not meant for it.
fn listen(runtime: &Runtime) -> Result<Signals, Failure> {
    runtime
        .block_on(async { Signals::listen() })
        .map_err(|error: io::Error| Failure::io("cannot catch signals", &error))
}

/// What is printed before the line, plain and coloured.
fn prompt(session: &Session, color: Color) -> (String, String) {
    let plain = format!("fileshare:{}> ", session.folder);
    let style = match allows_color(color, &io::stdout()) {
        true => Style::new().fg_color(Some(AnsiColor::Cyan.into())).bold(),
        false => Style::new(),
    };
    let colored = format!("{style}{plain}{style:#}");
    (plain, colored)
}

/// While the prompt waits for a line nothing else watches for SIGTERM and SIGHUP. A running command is
/// cancelled by its own watcher.
async fn leave_when_terminated(idle: Arc<AtomicBool>) {
    let terminal = terminal::Mode::remember();
    let Ok(mut signals) = Signals::listen() else {
        return;
    };
    loop {
        let received = signals.next().await;
        if received != Received::Interrupt && idle.load(Ordering::SeqCst) {
            terminal.restore();
            std::process::exit(exit::of_end(&received.into()).into());
        }
    }
}
