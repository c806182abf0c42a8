use super::Outcome;
use crate::cli::client::command::EditArgs;
use crate::cli::client::session::Session;
use crate::cli::failure::Failure;

/// `edit NAME`
pub async fn run(_session: &mut Session, _args: &EditArgs) -> Outcome {
    Err(Failure::usage("not yet"))
}
