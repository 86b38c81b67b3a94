//! The `cosface` program: parse the command, run it, say what went wrong.

mod command;

use std::process::ExitCode;

use clap::Parser;
use command::Arguments;

/// Exit status 0 is success, 1 an error in the data or the request, 2 a command line that cannot be understood, 3 the
/// answer "two people" of `verify`, and 130 a run that was interrupted and can be resumed.
fn main() -> ExitCode {
    match command::run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            command::terminal::error(&error);
            ExitCode::FAILURE
        }
    }
}
