//! Figure 2: who wins where, in the plane of the cosines to two class centres.

use margin::{Loss, Problem, evaluate};
use plotters::style::RGBColor;

use super::canvas::{self, Anchor, Canvas};
use super::page::{Figure, Page, Table};

/// A panel: its name, its loss and the ratios `|W1| / |W2|` that it is drawn for.
struct Panel {
    name: &'static str,
    boundary: &'static str,
    loss: Loss,
    ratios: &'static [f64],
}

const M: f64 = 0.35;

const PANELS: [Panel; 4] = [
    Panel {
        name: "Softmax",
        boundary: "|W1| cos θ1 = |W2| cos θ2",
        loss: Loss::Softmax,
        ratios: &[0.8, 0.9, 1.0, 1.0 / 0.9, 1.25],
    },
    Panel { name: "NSL", boundary: "cos θ1 = cos θ2", loss: Loss::Nsl { s: 1.0 }, ratios: &[1.0] },
    Panel {
        name: "A-Softmax, m = 4",
        boundary: "ψ(θ1) = cos θ2",
        loss: Loss::SphereFace { m: 4, lambda: 0.0 },
        ratios: &[1.0],
    },
    Panel {
        name: "LMCL, m = 0.35",
        boundary: "cos θ1 − m = cos θ2",
        loss: Loss::CosFace { s: 1.0, m: M },
        ratios: &[1.0],
    },
];

/// Who is content at a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Region {
    First,
    Second,
    /// Either, by the norms of the centres.
    Both,
    /// Neither: the margin.
    Neither,
}

impl Region {
    fn colour(self) -> RGBColor {
        match self {
            Self::First => canvas::FIRST,
            Self::Second => canvas::SECOND,
            Self::Both => canvas::BOTH,
            Self::Neither => canvas::NEITHER,
        }
    }
}

/// Whether a sample of class `label` with these cosines has a posterior above one half, margin included.
///
/// The feature is the first axis; the centres stand at the two cosines from it, each in a plane of its own.
pub(super) fn is_content(loss: &Loss, cosines: [f64; 2], ratio: f64, label: u32) -> bool {
    let sine = |cosine: f64| (1.0 - cosine * cosine).max(0.0).sqrt();
    let weights = [ratio * cosines[0], ratio * sine(cosines[0]), 0.0, cosines[1], 0.0, sine(cosines[1])];
    let problem = Problem {
        features: &[1.0, 0.0, 0.0],
        weights: &weights,
        labels: &[label],
        samples: 1,
        classes: 2,
        dimension: 3,
    };
    evaluate(loss, &problem).is_ok_and(|found| found.loss < std::f64::consts::LN_2)
}

fn region(panel: &Panel, cosines: [f64; 2]) -> Region {
    let content = |label| panel.ratios.iter().any(|&ratio| is_content(&panel.loss, cosines, ratio, label));
    match (content(0), content(1)) {
        (true, true) => Region::Both,
        (true, false) => Region::First,
        (false, true) => Region::Second,
        (false, false) => Region::Neither,
    }
}

/// Width of the gap between the regions, across the diagonal at mean cosine `middle`; negative where they overlap, none
/// where a class has no region there.
fn width(panel: &Panel, middle: f64) -> Option<f64> {
    // Along (1, -1) / sqrt 2 from the diagonal, class 1 begins at one distance and class 2 at another.
    let begins = |label: u32| {
        let sign = if label == 0 { 1.0 } else { -1.0 };
        let content = |distance: f64| {
            let step = sign * distance / 2.0_f64.sqrt();
            let cosines = [middle + step, middle - step];
            panel.ratios.iter().any(|&ratio| is_content(&panel.loss, cosines, ratio, label))
        };
        let reach = 2.0_f64.sqrt() * (1.0 - middle.abs());
        let (mut low, mut high) = (-reach, reach);
        if !content(high) {
            return None;
        }
        for _ in 0..60 {
            let half = f64::midpoint(low, high);
            if content(half) { high = half } else { low = half }
        }
        Some(high)
    };
    Some(begins(0)? + begins(1)?)
}

const SIDE: f64 = 300.0;
const CELLS: usize = 300;

pub(super) fn page() -> Page {
    let svg = canvas::picture(760.0, 800.0, |canvas| {
        let entries = [
            ("class 1", canvas::FIRST),
            ("class 2", canvas::SECOND),
            ("neither: the margin", canvas::NEITHER),
            ("either, by the norms", canvas::BOTH),
        ];
        canvas.legend(&entries, (70.0, 18.0));
        for (index, panel) in PANELS.iter().enumerate() {
            let (column, row) = ((index % 2) as f64, (index / 2) as f64);
            draw(canvas, panel, (66.0 + 370.0 * column, 80.0 + 378.0 * row));
        }
    });
    let middles = [-0.5, 0.0, 0.5, 0.8];
    let mut columns = vec!["loss".to_owned()];
    columns.extend(middles.iter().map(|middle| format!("mean cosine {middle}")));
    let rows = PANELS.iter().map(|panel| {
        let mut row = vec![panel.name.to_owned()];
        row.extend(middles.iter().map(|&middle| match width(panel, middle) {
            Some(width) => format!("{width:.3}").replace("-0.000", "0.000"),
            None => "no region".to_owned(),
        }));
        row
    });
    let (lmcl, expected) = (&PANELS[3], 2.0_f64.sqrt() * M);
    let constant = middles
        .iter()
        .all(|&middle| width(lmcl, middle).is_some_and(|width| (width - expected).abs() < 1e-6));
    let table = Table { columns, rows: rows.collect(), footer: Vec::new() };
    Page {
        name: "boundaries",
        title: "Decision regions of two classes (figure 2)".to_owned(),
        claim: "softmax's regions overlap, NSL's meet without a margin, A-Softmax's margin differs from place to place, \
                LMCL's is the same everywhere and sqrt(2) m wide."
            .to_owned(),
        verdict: match constant {
            true => format!("Holds: LMCL's margin is sqrt(2) m = {expected:.3} wide wherever it is measured."),
            false => format!("Does not hold: LMCL's margin is not {expected:.3} wide everywhere."),
        },
        figures: vec![Figure {
            name: "boundaries".to_owned(),
            svg,
            caption: "Where a training sample of class 1 or class 2 has a posterior above one half, margin included, \
                      computed by the losses' own code. Softmax is drawn for |W1| / |W2| from 0.8 to 1.25: which class \
                      wins in the purple part depends on the norms of the centres, not on the angles."
                .to_owned(),
        }],
        tables: vec![("Width of the gap across the diagonal cos θ1 = cos θ2, in cosine units; negative where regions overlap.".to_owned(), table)],
    }
}

fn draw(canvas: &Canvas<'_>, panel: &Panel, corner: (f64, f64)) {
    let at = |c1: f64, c2: f64| (corner.0 + (c1 + 1.0) / 2.0 * SIDE, corner.1 + (1.0 - c2) / 2.0 * SIDE);
    let cell = 2.0 / CELLS as f64;
    let middle = |index: usize| -1.0 + (index as f64 + 0.5) * cell;
    let low = |index: usize| -1.0 + index as f64 * cell;
    for column in 0..CELLS {
        // Equal cells of a column become one rectangle, which reaches under the next column so that no seam shows.
        let regions: Vec<Region> =
            (0..CELLS).map(|row| region(panel, [middle(column), middle(row)])).collect();
        let mut start = 0;
        for row in 1..=CELLS {
            if row == CELLS || regions[row] != regions[start] {
                let right = (low(column + 1) + cell).min(1.0);
                canvas.rectangle(at(low(column), low(row)), at(right, low(start)), regions[start].colour());
                start = row;
            }
        }
    }
    let frame = [at(-1.0, -1.0), at(1.0, -1.0), at(1.0, 1.0), at(-1.0, 1.0), at(-1.0, -1.0)];
    canvas.line(&frame, canvas::INK, 1.0);
    canvas.line(&[at(-1.0, -1.0), at(1.0, 1.0)], canvas::INK, 0.6);
    canvas.text(panel.name, (corner.0, corner.1 - 28.0), Anchor::Left, 17.0);
    canvas.text(&format!("class 1 from {}", panel.boundary), (corner.0, corner.1 - 10.0), Anchor::Left, 13.0);
    for tick in [-1.0, 0.0, 1.0] {
        let ((x, y), (left, height)) = (at(tick, -1.0), at(-1.0, tick));
        canvas.text(&format!("{tick}"), (x, y + 11.0), Anchor::Middle, 13.0);
        canvas.text(&format!("{tick}"), (left - 6.0, height), Anchor::Right, 13.0);
    }
    let (x, y) = at(0.5, -1.0);
    canvas.text("cos θ1", (x, y + 11.0), Anchor::Middle, 13.0);
    let (x, y) = at(-1.0, 0.5);
    canvas.text("cos θ2", (x - 6.0, y), Anchor::Right, 13.0);
}

#[cfg(test)]
mod tests {
    use super::{M, PANELS, Region, region, width};

    #[test]
    fn the_regions_are_those_of_the_papers_equations() {
        let theta = |cosine: f64| cosine.acos();
        let pieces = |angle: f64| {
            let k = (4.0 * angle / std::f64::consts::PI).floor() as i32;
            (-1.0_f64).powi(k) * (4.0 * angle).cos() - 2.0 * f64::from(k)
        };
        for (first, second) in
            [(0.9, 0.7), (0.2, -0.4), (0.99, 0.6), (-0.3, 0.1), (0.5, 0.52), (-0.9, -0.2), (0.97, 0.93)]
        {
            let expected = |ahead: f64, behind: f64| match (ahead > second, behind > first) {
                (true, _) => Region::First,
                (_, true) => Region::Second,
                _ => Region::Neither,
            };
            let found = |panel: usize| region(&PANELS[panel], [first, second]);
            assert!(found(1) == expected(first, second), "NSL at {first}, {second}");
            assert!(
                found(2) == expected(pieces(theta(first)), pieces(theta(second))),
                "A-Softmax at {first}, {second}"
            );
            assert!(found(3) == expected(first - M, second - M), "LMCL at {first}, {second}");
        }
        assert!(region(&PANELS[0], [0.5, 0.45]) == Region::Both, "softmax by norms");
        assert!(region(&PANELS[0], [0.9, 0.2]) == Region::First);
    }

    #[test]
    fn the_gap_of_lmcl_is_root_two_m_wide_and_that_of_softmax_negative() {
        for middle in [-0.5, 0.0, 0.5] {
            assert!((width(&PANELS[3], middle).unwrap() - 2.0_f64.sqrt() * M).abs() < 1e-9);
            assert!(width(&PANELS[1], middle).unwrap().abs() < 1e-9);
        }
        assert!(width(&PANELS[0], 0.5).unwrap() < -0.05);
        assert_eq!(width(&PANELS[2], -0.5), None, "the fourfold angle of A-Softmax has passed pi");
    }
}
