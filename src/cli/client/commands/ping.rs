use super::Outcome;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::Body;

/// `ping`
pub async fn run(session: &mut Session) -> Outcome {
    let microseconds = session.client.ping().await?.as_micros() as f64;
    let milliseconds = microseconds / 1000.0;
    let output = &session.output;
    output.object(Body::Ping { milliseconds });
    output.line(format_args!(
        "{}: {milliseconds:.3} ms",
        session.client.address()
    ));
    Ok(Verdict::Done)
}
