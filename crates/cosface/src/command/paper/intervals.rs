//! Figures of tables: a dot for each row with its interval over seeds, and the paper's numbers in the same order.

use super::canvas::{self, Anchor, Canvas};
use super::page::OverSeeds;

/// A row of a table, top to bottom.
pub(super) struct Row {
    pub(super) name: String,
    /// What was measured here, as shares; none where a training diverged.
    pub(super) here: [Option<OverSeeds>; PANELS],
    /// The published numbers in percent, where there are any.
    pub(super) published: [Option<f64>; PANELS],
    /// Whether it stands out: the method the paper proposes.
    pub(super) proposed: bool,
}

const PANELS: usize = 3;
const HERE: [&str; PANELS] = ["accuracy, %", "TAR, %", "rank-1, %"];
const PUBLISHED: [&str; PANELS] = ["LFW, %", "MF1 verification, %", "MF1 rank-1, %"];

const NAMES: f64 = 220.0;
const PANEL: f64 = 164.0;
const BETWEEN: f64 = 18.0;
const LINE: f64 = 22.0;
/// Height of a block without its rows: headings above, numbers below.
const AROUND: f64 = 84.0;

/// A value in percent with the ends of its interval, of which the part that no share can have is cut off.
type Value = (f64, [f64; 2]);

fn value(mean: f64, half: f64) -> Cell {
    Cell::Value((mean, [(mean - half).max(0.0), (mean + half).min(100.0)]))
}

/// Draws what was measured above what was published.
pub(super) fn picture(rows: &[Row]) -> String {
    let published: Vec<&Row> = rows.iter().filter(|row| row.published.iter().any(Option::is_some)).collect();
    let height = 2.0 * AROUND + LINE * (rows.len() + published.len()) as f64;
    canvas::picture(NAMES + 3.0 * (PANEL + BETWEEN), height, |canvas| {
        let here = |row: &Row, panel: usize| {
            row.here[panel].map_or(Cell::Text("diverged"), |over| value(100.0 * over.mean, 100.0 * over.half))
        };
        let all: Vec<&Row> = rows.iter().collect();
        block(canvas, "here", &HERE, &all, 0.0, here);
        let paper =
            |row: &Row, panel: usize| row.published[panel].map_or(Cell::Text(""), |share| value(share, 0.0));
        block(canvas, "in the paper", &PUBLISHED, &published, AROUND + LINE * rows.len() as f64, paper);
    })
}

#[derive(Clone, Copy)]
enum Cell {
    Value(Value),
    Text(&'static str),
}

fn block(
    canvas: &Canvas<'_>,
    heading: &str,
    panels: &[&str; PANELS],
    rows: &[&Row],
    top: f64,
    cell: impl Fn(&Row, usize) -> Cell,
) {
    let first = top + 58.0;
    let last = first + LINE * rows.len() as f64;
    canvas.text(heading, (12.0, top + 32.0), Anchor::Left, 16.0);
    for (index, row) in rows.iter().enumerate() {
        let middle = first + LINE * (index as f64 + 0.5);
        canvas.text(&row.name, (NAMES - 8.0, middle), Anchor::Right, 14.0);
    }
    for (panel, name) in panels.iter().enumerate() {
        let left = NAMES + (PANEL + BETWEEN) * panel as f64;
        canvas.text(name, (left + PANEL / 2.0, top + 32.0), Anchor::Middle, 14.0);
        let cells: Vec<Cell> = rows.iter().map(|row| cell(row, panel)).collect();
        let ends = ends(&cells);
        let across = |value: f64| left + PANEL * (value - ends.0) / (ends.1 - ends.0);
        for tick in ticks(ends) {
            canvas.line(&[(across(tick), first), (across(tick), last)], canvas::FAINT, 1.0);
            canvas.text(&format!("{tick}"), (across(tick), last + 12.0), Anchor::Middle, 13.0);
        }
        for (index, (row, cell)) in rows.iter().zip(&cells).enumerate() {
            let middle = first + LINE * (index as f64 + 0.5);
            let colour = canvas::PEOPLE[usize::from(row.proposed)];
            match *cell {
                Cell::Value((mean, [low, high])) => {
                    canvas.line(&[(across(low), middle), (across(high), middle)], colour, 2.0);
                    canvas.dot((across(mean), middle), 5.0, colour);
                }
                Cell::Text(text) => canvas.text(text, (left + PANEL / 2.0, middle), Anchor::Middle, 13.0),
            }
        }
    }
}

/// Ends of an axis that holds all values with their intervals and some room.
fn ends(cells: &[Cell]) -> (f64, f64) {
    let values = cells.iter().filter_map(|cell| match cell {
        Cell::Value(value) => Some(*value),
        Cell::Text(_) => None,
    });
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, interval)| {
        (low.min(interval[0]), high.max(interval[1]))
    });
    if low > high {
        return (0.0, 100.0);
    }
    let room = (0.08 * (high - low)).max(0.05);
    (low - room, high + room)
}

/// Two to four round numbers between the ends.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 3.0;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    // Rounded again, so that 0.1 and its like are written as such.
    let digits = 10.0_f64.powf((-step.log10().floor()).max(0.0));
    (first..=last).map(|index| (index as f64 * step * digits).round() / digits).collect()
}

#[cfg(test)]
mod tests {
    use super::{OverSeeds, Row, picture, ticks};

    #[test]
    fn ticks_are_round_and_within_the_ends() {
        assert_eq!(ticks((71.3, 84.9)), [75.0, 80.0]);
        assert_eq!(ticks((97.8, 99.6)), [98.0, 99.0]);
        assert_eq!(ticks((0.31, 0.62)), [0.4, 0.6]);
    }

    #[test]
    fn a_divergence_is_a_word_and_a_row_that_was_not_published_is_drawn_once() {
        let value = |mean| Some(OverSeeds { mean, half: 0.01 });
        let row =
            |name: &str, here, published| Row { name: name.to_owned(), here, published, proposed: false };
        let drawn = picture(&[
            row("first", [value(0.9); 3], [Some(97.0), Some(60.0), None]),
            row("second", [None; 3], [None; 3]),
            row("third", [value(0.95); 3], [Some(99.0), Some(80.0), Some(70.0)]),
        ]);
        assert_eq!(drawn.matches("diverged").count(), 3);
        assert_eq!(drawn.matches("second").count(), 1);
        assert_eq!(drawn.matches("third").count(), 2);
        assert_eq!(drawn.matches("<circle").count(), 6 + 5);
    }
}
