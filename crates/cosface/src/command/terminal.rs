//! What the program shows: lines, errors and progress.

#![expect(clippy::print_stderr, reason = "the one place that prints")]

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Prints a result. A reader that has seen enough and closed the pipe is no error.
pub(crate) fn say(line: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("error: cannot print the result: {error}");
        std::process::exit(1);
    }
}

/// Prints a remark beside the results.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}

/// Prints an error and, indented, what caused it.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if text != last {
            eprintln!("  caused by: {text}");
        }
        last = text;
    }
}

/// An error with what the user can do about it; its causes are those of the error.
#[derive(Debug)]
pub(crate) struct Advised {
    pub(crate) error: anyhow::Error,
    pub(crate) advice: String,
}

impl std::fmt::Display for Advised {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}; {}", self.error, self.advice)
    }
}

impl std::error::Error for Advised {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Lists images that were left out, each with all that is known of the reason, and counts them.
pub(crate) fn list_skipped<E: std::error::Error>(skipped: &[E]) {
    for fault in skipped {
        let mut text = fault.to_string();
        let mut cause = fault.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        note(&format!("skipped: {text}"));
    }
    if !skipped.is_empty() {
        note(&format!("images left out: {}", skipped.len()));
    }
}

/// Progress of one stage: a bar on a terminal, a line now and then elsewhere.
pub(crate) struct Stage {
    bar: ProgressBar,
    name: String,
    plain: bool,
    started: Instant,
    said: Option<Instant>,
}

/// Time between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

impl Stage {
    /// Starts a stage of `length` items.
    pub(crate) fn start(name: &str, length: u64) -> Stage {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(length) };
        let template = "{prefix:>10} [{bar:30}] {pos}/{len} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_length(length);
        bar.set_prefix(name.to_owned());
        let (name, started) = (name.to_owned(), Instant::now());
        Stage { bar, name, plain, started, said: None }
    }

    /// Says what is being done now.
    pub(crate) fn rename(&mut self, name: &str) {
        if self.name != name {
            name.clone_into(&mut self.name);
            self.bar.set_prefix(name.to_owned());
        }
    }

    /// Shows that `done` items are done, with a remark and the time that the others will take at the same speed.
    pub(crate) fn show(&mut self, done: u64, remark: &str) {
        let to_do = self.bar.length().unwrap_or(0).saturating_sub(done);
        let left = (done > 0).then(|| self.started.elapsed().mul_f64(to_do as f64 / done as f64));
        self.show_with_time(done, remark, left);
    }

    /// The same with the time as the caller knows it.
    pub(crate) fn show_with_time(&mut self, done: u64, remark: &str, left: Option<Duration>) {
        let left = left.map(|left| format!("{} left", duration(left)));
        let texts = [remark.trim().to_owned(), left.unwrap_or_default()];
        let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        self.bar.set_position(done);
        self.bar.set_message(text.clone());
        if self.plain && self.said.is_none_or(|said| said.elapsed() >= PAUSE) {
            let length = self.bar.length().unwrap_or(0);
            let comma = if text.is_empty() { "" } else { ", " };
            eprintln!("{}: {done}/{length}{comma}{text}", self.name);
            self.said = Some(Instant::now());
        }
    }

    /// Ends the stage; its bar goes away.
    pub(crate) fn finish(self) {
        drop(self);
    }
}

/// A bar that an error leaves behind would stand in the way of its message.
impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A time to wait, as precise as anyone needs: `12 s`, `3 min 20 s`, `2 h 5 min`.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Columns of text, the first flush left and the others flush right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Refuses an output that is one of the inputs, which writing would destroy.
pub(crate) fn refuse_overwriting(input: &Path, output: &Path) -> anyhow::Result<()> {
    let same = fs_err::canonicalize(output)
        .is_ok_and(|output| fs_err::canonicalize(input).is_ok_and(|input| input == output));
    anyhow::ensure!(!same, "the output would overwrite the input, choose another file: {}", output.display());
    Ok(())
}
