//! The client: one command, a script, or the prompt. See `fileshare-client --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fileshare::cli::run_client(std::env::args_os()))
}
