use super::*;
use crate::protocol::ErrorCode;

/// What was written to both streams.
#[derive(Clone, Default)]
pub(crate) struct Captured {
    pub(crate) results: Arc<Mutex<Vec<u8>>>,
    pub(crate) messages: Arc<Mutex<Vec<u8>>>,
}

impl Captured {
    pub(crate) fn output(&self, look: Look) -> Output {
        let sink = |to: &Arc<Mutex<Vec<u8>>>| Box::new(Sink(Arc::clone(to)));
        Output::new(look, sink(&self.results), sink(&self.messages))
    }

    pub(crate) fn results(&self) -> String {
        String::from_utf8(lock(&self.results).clone()).unwrap()
    }

    pub(crate) fn messages(&self) -> String {
        String::from_utf8(lock(&self.messages).clone()).unwrap()
    }
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_line_says_what_which_file_and_what_next() {
    let captured = Captured::default();
    let output = captured.output(Look::default());
    let failure = Failure::new(ErrorCode::NotFound, "no such file");
    output.complain(&failure, Some(&"docs/a.txt"));
    assert_eq!(
        captured.messages(),
        "error: no such file (docs/a.txt) — see 'list' for what is there\n"
    );
    assert_eq!(captured.results(), "");
}

#[test]
fn a_file_that_the_message_names_is_not_named_twice() {
    let captured = Captured::default();
    let output = captured.output(Look::default());
    let failure = Failure::new(ErrorCode::NotFound, "no a.txt here").advise("look");
    output.complain(&failure, Some(&"a.txt"));
    assert_eq!(captured.messages(), "error: no a.txt here — look\n");
}

#[test]
fn json_has_objects_for_results_and_for_errors() {
    let captured = Captured::default();
    let output = captured.output(Look {
        json: true,
        ..Look::default()
    });
    output.line("for people");
    output.failure(&Failure::new(ErrorCode::Unreachable, "…"));
    assert_eq!(
        captured.results(),
        "{\"v\":1,\"type\":\"error\",\"error\":{\"code\":\"unreachable\",\"message\":\"…\"}}\n"
    );
    assert!(captured.messages().starts_with("error: … — check"));
}

#[test]
fn quiet_leaves_errors_and_what_was_asked_for() {
    let captured = Captured::default();
    let output = captured.output(Look {
        quiet: true,
        ..Look::default()
    });
    output.done("a.txt: 5 B");
    output.note("hello");
    output.line("asked for");
    output.flush();
    assert_eq!(captured.results(), "asked for\n");
    assert_eq!(captured.messages(), "");
}

#[test]
fn after_an_interruption_nothing_waits_for_a_reader() {
    struct Stuck(mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_or(Ok(bytes.len()), |()| Ok(0))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (release, waits) = mpsc::channel();
    let captured = Captured::default();
    let messages = Sink(Arc::clone(&captured.messages));
    let output = Output::new(Look::default(), Box::new(Stuck(waits)), Box::new(messages));
    output.line("x");
    output.settle(Duration::from_millis(20));
    assert!(output.is_abandoned() && output.is_busy());
    output.line("y");
    output.message("interrupted\n");
    assert!(output.broken().is_none());
    assert!(output.content().write_all(b"x").is_err());
    assert_eq!(captured.messages(), "interrupted\n");
    drop(release);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let captured = Captured::default();
    let messages = Sink(Arc::clone(&captured.messages));
    let output = Output::new(Look::default(), Box::new(Closed), Box::new(messages));
    assert!(output.broken().is_none());
    output.line("x");
    output.flush();
    assert_eq!(output.broken(), Some(Ok(())));
    assert!(output.content().write_all(b"x").is_err());
    let failure = Failure::new(ErrorCode::Io, "broken pipe");
    output.complain(&failure, None);
    assert_eq!(captured.messages(), "");
}
