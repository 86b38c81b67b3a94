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

/// Progress of one stage: a bar on a terminal, a line now and then elsewhere.
pub(crate) struct Stage {
    bar: ProgressBar,
    name: String,
    plain: bool,
    started: Instant,
    said: Instant,
}

/// Time between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

impl Stage {
    /// Starts a stage of `length` items.
    pub(crate) fn start(name: &str, length: u64) -> Stage {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new(length) };
        let template = "{prefix:>10} [{bar:30}] {pos}/{len} {msg} {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_length(length);
        bar.set_prefix(name.to_owned());
        if plain {
            eprintln!("{name}: {length} to do");
        }
        Stage { bar, name: name.to_owned(), plain, started: Instant::now(), said: Instant::now() }
    }

    /// Shows that `done` items are done, with a remark.
    pub(crate) fn show(&mut self, done: u64, remark: &str) {
        self.bar.set_position(done);
        self.bar.set_message(remark.to_owned());
        if self.plain && self.said.elapsed() >= PAUSE {
            let length = self.bar.length().unwrap_or(0);
            let left = self.started.elapsed().as_secs_f64() * length.saturating_sub(done) as f64
                / done.max(1) as f64;
            eprintln!("{}: {done}/{length} {remark}, {left:.0} s left", self.name);
            self.said = Instant::now();
        }
    }

    /// Ends the stage; its bar goes away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
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
