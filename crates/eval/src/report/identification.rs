//! The sections of a search in a gallery, and of one among distractors.

use super::evaluation::{percent, range, short_percent, significant};
use super::{Axis, Block, Colour, Numbers, Plot, Section, Series, Shape, Spacing, Table};
use crate::evaluation::Figure;
use crate::histogram::Histogram;
use crate::identification::{Distractors, FnirAtFpir, Identification};

/// Closed-set ranks (CMC) and, where some probes are of nobody in the gallery, open-set errors (DET). `name` says which
/// images took part.
pub fn identification_sections(name: &str, found: &Identification) -> Vec<Section> {
    let mut sections = Vec::new();
    if !found.cmc.is_empty() {
        sections.push(ranks(name, found));
    }
    if !found.at_fpir.is_empty() {
        sections.push(open_set(name, found));
    }
    sections
}

fn with_interval(name: String, figure: &Figure) -> Vec<String> {
    let interval = figure.interval.map_or_else(|| "none".to_owned(), |interval| range(interval, percent));
    vec![name, percent(figure.value), interval]
}

fn ranks(name: &str, found: &Identification) -> Section {
    let lowest = found.cmc.iter().copied().fold(1.0, f64::min);
    let line = found.cmc.iter().enumerate().map(|(index, share)| ((index + 1) as f64, *share));
    let plot = Plot {
        x: Axis { spacing: Spacing::Logarithmic, ..Axis::even("Rank") },
        y: Axis {
            numbers: Numbers::Percent,
            range: Some(((10.0 * lowest - 1e-9).floor().max(0.0) / 10.0, 1.0)),
            ..Axis::even("Found at this rank or a better one")
        },
        series: vec![Series {
            name: name.to_owned(),
            colour: Colour::Blue,
            shape: Shape::Line(line.collect()),
        }],
        marks: Vec::new(),
    };
    let caption = format!(
        "CMC: {} probes of people in a gallery of {} vectors of {} people; people level with the mate count as ahead.",
        found.mated, found.gallery_rows, found.gallery_people
    );
    let rows = found.ranks.iter().map(|rank| with_interval(rank.rank.to_string(), &rank.found));
    let table = Table {
        columns: ["Rank", "Found", "Interval over people"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        footer: Vec::new(),
    };
    Section {
        heading: format!("At which rank people are found, {name}"),
        blocks: vec![Block::Figure(plot.draw(&caption)), Block::Table(table)],
    }
}

fn open_set(name: &str, found: &Identification) -> Section {
    let axis = |name: &str, finest: f64| Axis {
        name: name.to_owned(),
        spacing: Spacing::Logarithmic,
        numbers: Numbers::Percent,
        range: Some((10.0_f64.powf(finest.log10().floor()), 1.0)),
    };
    let line = found
        .det
        .iter()
        .map(|point| (point.fpir, point.fnir))
        .filter(|(fpir, fnir)| *fpir > 0.0 && *fnir > 0.0);
    let line: Vec<_> = line.collect();
    let empty = if line.is_empty() {
        " There is no curve: at every threshold at which a probe of somebody else is a false positive, no mate is missed."
    } else {
        ""
    };
    let plot = Plot {
        x: axis("False positive identification rate (FPIR)", 1.0 / found.non_mated as f64),
        y: axis("False negative identification rate (FNIR)", 1.0 / found.mated as f64),
        series: vec![Series { name: name.to_owned(), colour: Colour::Blue, shape: Shape::Line(line) }],
        marks: Vec::new(),
    };
    let caption = format!(
        "DET: {} probes of people in the gallery, {} of others. A probe of somebody else is a false positive where its \
         highest score reaches the threshold, whoever that is; a mate below it is missed, at whatever rank.{empty}",
        found.mated, found.non_mated
    );
    let rows = found.at_fpir.iter().map(|read| match read {
        FnirAtFpir::Read { fpir, point, fnir } => {
            let mut row = with_interval(short_percent(*fpir), fnir);
            row.push(format!("{:.4}", point.threshold));
            row
        }
        FnirAtFpir::Refused(refused) => vec![
            short_percent(refused.wanted),
            "refused".to_owned(),
            format!("finest: {} %", significant(100.0 * refused.finest)),
            String::new(),
        ],
    });
    let table = Table {
        columns: ["FPIR asked for", "FNIR", "Interval over people", "Cosine"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        footer: Vec::new(),
    };
    Section {
        heading: format!("What is missed in an open set, {name}"),
        blocks: vec![Block::Figure(plot.draw(&caption)), Block::Table(table)],
    }
}

/// Cosines of all probes with rows of other people, on a logarithmic axis so that single pairs show.
pub fn impostors_section(name: &str, impostors: &Histogram) -> Section {
    let total = impostors.total();
    let filled = impostors.counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let line = filled.map(|(bin, &count)| {
        let (low, high) = impostors.edges(bin);
        (0.5 * (low + high), count as f64)
    });
    let plot = Plot {
        x: Axis::even("Cosine"),
        y: Axis { spacing: Spacing::Logarithmic, ..Axis::even("Pairs, in steps of 0.001") },
        series: vec![Series {
            name: "impostor pairs".to_owned(),
            colour: Colour::Orange,
            shape: Shape::Line(line.collect()),
        }],
        marks: Vec::new(),
    };
    let caption =
        format!("{total} pairs of a probe and a row of another person; they are counted and not kept.");
    Section {
        heading: format!("Scores of different people, {name}"),
        blocks: vec![Block::Figure(plot.draw(&caption))],
    }
}

/// Rank 1 and the true accept rate as distractors grow in number, on all images and without those of a list of noise.
pub fn distractors_sections(whole: &Distractors, cleaned: Option<&Distractors>) -> Vec<Section> {
    let all = [("all images", Colour::Blue, Some(whole)), ("without noise", Colour::Orange, cleaned)];
    let series = all.iter().filter_map(|(name, colour, found)| {
        let points = found.as_ref()?.points.iter().map(|point| (point.distractors as f64, point.rank_one));
        Some(Series { name: (*name).to_owned(), colour: *colour, shape: Shape::Line(points.collect()) })
    });
    let plot = Plot {
        x: Axis { spacing: Spacing::Logarithmic, ..Axis::even("Distractors") },
        y: Axis { numbers: Numbers::Percent, range: Some((0.0, 1.0)), ..Axis::even("Rank 1") },
        series: series.collect(),
        marks: Vec::new(),
    };
    let caption = format!(
        "{} searches by {} probes of {} people: one image of a person among the distractors, searched for by another.",
        whole.searches, whole.probes, whole.people
    );
    let mut rows = Vec::new();
    for (name, _, found) in &all {
        for point in found.iter().flat_map(|found| &found.points) {
            let refused = || format!("refused, finest {:.1e}", 1.0 / point.impostors as f64);
            rows.push(vec![
                format!("{}, {name}", point.distractors),
                percent(point.rank_one),
                format!("{:e}", point.far),
                point.tar.map_or_else(refused, percent),
            ]);
        }
    }
    let columns = ["Distractors", "Rank 1", "FAR asked for", "TAR"].map(str::to_owned).to_vec();
    let table = Table { columns, rows, footer: Vec::new() };
    vec![Section {
        heading: "Among strangers".to_owned(),
        blocks: vec![Block::Figure(plot.draw(&caption)), Block::Table(table)],
    }]
}
