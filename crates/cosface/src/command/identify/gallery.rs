//! A gallery of people, or several that are searched one after another.

use std::collections::HashMap;
use std::time::Instant;

use eval::identification::{FnirAtFpir, Identification, search};
use eval::interval::{Bootstrap, Interval};
use eval::report::{identification_sections, impostors_section};
use eval::{Embeddings, Histogram};

use super::images::{Images, Noise};
use super::{Arguments, Searched, Work, finish, name};
use crate::command::terminal;

pub(super) fn run(arguments: &Arguments, probes: &Embeddings, noise: Option<&Noise>) -> anyhow::Result<()> {
    let (mut results, mut sections, mut work) = (Vec::new(), Vec::new(), Work::default());
    for path in &arguments.gallery {
        let gallery = Embeddings::read(path)?;
        let mut find = |noise| find(arguments, probes, &gallery, noise, &mut work);
        let (whole, impostors) = find(None)?;
        let cleaned = noise.map(|noise| find(Some(noise))).transpose()?.map(|(cleaned, _)| cleaned);
        let against = name(path);
        let all = format!("{against}, all images");
        sections.extend(identification_sections(&all, &whole));
        if let Some(cleaned) = &cleaned {
            sections.extend(identification_sections(&format!("{against}, without noise"), cleaned));
        }
        sections.push(impostors_section(&against, &impostors));
        terminal::say(&format!(
            "{against}: {} probes of people in the gallery, {} of others; gallery of {} vectors of {} people",
            whole.mated, whole.non_mated, whole.gallery_rows, whole.gallery_people
        ));
        terminal::say(&terminal::table(&table(&whole, cleaned.as_ref())));
        let against = path.display().to_string();
        results.push(Searched { against, whole, cleaned, impostors: Some(impostors) });
    }
    if let Some(noise) = noise {
        noise.check()?;
    }
    if results.len() > 1 {
        let whole: Vec<&Identification> = results.iter().map(|result| &result.whole).collect();
        terminal::say(&format!("mean over the {} galleries", results.len()));
        terminal::say(&terminal::table(&means(&whole)));
    }
    finish(arguments, &results, sections, work)
}

fn find(
    arguments: &Arguments,
    probes: &Embeddings,
    gallery: &Embeddings,
    noise: Option<&Noise>,
    work: &mut Work,
) -> anyhow::Result<(Identification, Histogram)> {
    let (probes, gallery) = (Images::of(probes, noise)?, Images::of(gallery, noise)?);
    let mut numbers = HashMap::new();
    let in_gallery = gallery.people(&mut numbers)?;
    let size = (numbers.len(), gallery.vectors.rows());
    let of_probes = probes.people(&mut numbers)?;
    let started = Instant::now();
    let scan = search(&probes.vectors, &of_probes, &gallery.vectors, &in_gallery)?;
    work.time += started.elapsed();
    work.pairs += (probes.vectors.rows() * gallery.vectors.rows()) as u64;
    let found = Identification::of(&scan.probes, &of_probes, size, &arguments.fpir, &Bootstrap::default())?;
    Ok((found, scan.impostors))
}

fn table(whole: &Identification, cleaned: Option<&Identification>) -> Vec<Vec<String>> {
    let mut table = vec![["", "share", "95 % interval"].map(str::to_owned).to_vec()];
    for (name, of) in [("", Some(whole)), ("cleaned: ", cleaned)] {
        for rank in of.iter().flat_map(|of| &of.ranks) {
            table.push(line(&format!("{name}rank {}", rank.rank), rank.found.value, rank.found.interval));
        }
        for read in of.iter().flat_map(|of| &of.at_fpir) {
            table.push(match read {
                FnirAtFpir::Read { fpir, fnir, .. } => {
                    line(&format!("{name}missed (FNIR) at FPIR {fpir}"), fnir.value, fnir.interval)
                }
                FnirAtFpir::Refused(refused) => {
                    let name = format!("{name}missed (FNIR) at FPIR {}", refused.wanted);
                    vec![name, format!("refused, finest {}", refused.finest), String::new()]
                }
            });
        }
    }
    table
}

/// Means over galleries of the figures that all of them have.
fn means(galleries: &[&Identification]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "mean"].map(str::to_owned).to_vec()];
    let mut add = |name: String, values: Vec<f64>| {
        if values.len() == galleries.len() {
            rows.push(vec![
                name,
                format!("{:.2} %", 100.0 * values.iter().sum::<f64>() / values.len() as f64),
            ]);
        }
    };
    for rank in &galleries[0].ranks {
        let of = |other: &&Identification| -> Option<f64> {
            Some(other.ranks.iter().find(|other| other.rank == rank.rank)?.found.value)
        };
        add(format!("rank {}", rank.rank), galleries.iter().filter_map(of).collect());
    }
    let read = |read: &FnirAtFpir| match read {
        FnirAtFpir::Read { fpir, fnir, .. } => Some((*fpir, fnir.value)),
        FnirAtFpir::Refused(_) => None,
    };
    for (fpir, _) in galleries[0].at_fpir.iter().filter_map(read) {
        let of =
            |other: &&Identification| other.at_fpir.iter().filter_map(read).find(|(other, _)| *other == fpir);
        let values = galleries.iter().filter_map(of).map(|(_, fnir)| fnir).collect();
        add(format!("missed (FNIR) at FPIR {fpir}"), values);
    }
    rows
}

fn line(name: &str, value: f64, interval: Option<Interval>) -> Vec<String> {
    let range =
        |interval: Interval| format!("{:.2} % to {:.2} %", 100.0 * interval.low, 100.0 * interval.high);
    vec![name.to_owned(), format!("{:.2} %", 100.0 * value), interval.map_or("none".to_owned(), range)]
}
