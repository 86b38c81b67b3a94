//! Ctrl-C: what a command that can be continued does in place of dying.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Status of a process that ended on the user's interruption.
pub(crate) fn status() -> ExitCode {
    ExitCode::from(130)
}

/// A flag that Ctrl-C sets to true from now on.
///
/// # Errors
/// When the system does not let us listen.
pub(crate) fn listen() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
