use super::{Outcome, role_name};
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::{Body, SessionLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::protocol::message::WireSession;
use crate::types::Printable;

/// `sessions`
pub async fn run(session: &mut Session) -> Outcome {
    let output = &session.output;
    let mut heading = output.look().terminal;
    let mut tell = |session: WireSession| {
        if std::mem::take(&mut heading) {
            output.line(HEADING);
        }
        tell(output, &session);
    };
    session.client.sessions(&mut tell).await?;
    Ok(Verdict::Done)
}

const HEADING: &str = "   ID  USER              ROLE         ADDRESS                 CONNECTED     RECEIVED         SENT  DOING";

/// A session as `--json` shows it.
pub fn line(session: &WireSession) -> SessionLine<'_> {
    SessionLine {
        action: None,
        id: session.id,
        user: session.user.as_deref(),
        role: role_name(session.role),
        address: &session.address,
        connected: session.connected,
        activity: &session.activity,
        file: session.file.as_deref(),
        received: session.received,
        sent: session.sent,
        status: None,
    }
}

fn tell(output: &Output, session: &WireSession) {
    output.object(Body::Session(line(session)));
    match output.look().terminal {
        true => output.line(for_people(session)),
        false => output.line(for_programs(session)),
    }
}

fn for_people(session: &WireSession) -> String {
    let shown = |text: &str| Printable(text).to_string();
    let file = session
        .file
        .as_deref()
        .map(|file| format!(" {}", shown(file)));
    format!(
        "{:>5}  {:16}  {:11}  {:22}  {:>9}  {:>11}  {:>11}  {}{}",
        session.id,
        session.user.as_deref().map_or("-".to_owned(), shown),
        role_name(session.role),
        shown(&session.address),
        units::span(session.connected),
        units::size(session.received),
        units::size(session.sent),
        shown(&session.activity),
        file.unwrap_or_default(),
    )
}

/// The same columns, and the file in one of its own.
fn for_programs(session: &WireSession) -> String {
    let shown = |text: &str| Printable(text).to_string();
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        session.id,
        session.user.as_deref().map_or("-".to_owned(), shown),
        role_name(session.role),
        shown(&session.address),
        session.connected,
        session.received,
        session.sent,
        shown(&session.activity),
        session.file.as_deref().map_or("-".to_owned(), shown),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;

    fn sample() -> WireSession {
        WireSession {
            id: 7,
            user: Some("bob\u{1b}".to_owned()),
            role: 2,
            address: "127.0.0.1:40000".to_owned(),
            connected: 65,
            activity: "upload".to_owned(),
            file: Some("a\tb".to_owned()),
            received: 1536,
            sent: 0,
        }
    }

    fn told(look: Look) -> String {
        let captured = Captured::default();
        let output = captured.output(look);
        tell(&output, &sample());
        output.flush();
        captured.results()
    }

    #[test]
    fn a_pipe_gets_tabs_and_nothing_that_breaks_them() {
        assert_eq!(
            told(Look::default()),
            "7\tbob\\u{1b}\tcontributor\t127.0.0.1:40000\t65\t1536\t0\tupload\ta\\u{9}b\n"
        );
    }

    #[test]
    fn a_terminal_gets_columns_below_their_headings() {
        let text = told(Look {
            terminal: true,
            ..Look::default()
        });
        for (heading, value) in [
            ("ROLE", "contributor"),
            ("ADDRESS", "127.0.0.1:40000"),
            ("DOING", "upload a\\u{9}b"),
        ] {
            assert_eq!(HEADING.find(heading), text.find(value), "{text}");
        }
        assert!(text.contains("1 min 5 s     1.50 KiB"), "{text}");
    }

    #[test]
    fn programs_get_an_object() {
        let text = told(Look {
            json: true,
            ..Look::default()
        });
        let start = r#"{"v":1,"type":"session","id":7,"user":"bob\u001b","role":"contributor","#;
        assert!(text.starts_with(start), "{text}");
        assert!(!text.contains("status"), "{text}");
    }
}
