//! The server. See `fileshare-server --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fileshare::cli::run_server(std::env::args_os()))
}
