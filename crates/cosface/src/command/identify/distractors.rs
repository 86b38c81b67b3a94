//! Strangers whose number grows: MegaFace's protocol.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use eval::Embeddings;
use eval::identification::Distractors;
use eval::identification::lists::FeatureList;
use eval::report::distractors_sections;

use super::images::{Images, Noise};
use super::{Arguments, Searched, Work, finish, name};
use crate::command::terminal;

pub(super) fn run(
    arguments: &Arguments,
    probes: &Embeddings,
    path: &Path,
    noise: Option<&Noise>,
) -> anyhow::Result<()> {
    let strangers = Embeddings::read(path)?;
    let probe_list = arguments.probe_list.as_deref().map(FeatureList::read).transpose()?;
    if let (Some(list), Some(path)) = (&probe_list, &arguments.probe_list) {
        ensure!(list.id.is_some(), "a list of probes needs `id`, who is in each image: {}", path.display());
    }
    let (mut results, mut work) = (Vec::new(), Work::default());
    let lists: Vec<Option<&Path>> = match arguments.distractor_list.is_empty() {
        true => vec![None],
        false => arguments.distractor_list.iter().map(|path| Some(path.as_path())).collect(),
    };
    for list in lists {
        let wanted = list.map(FeatureList::read).transpose()?;
        let mut find = |noise: Option<&Noise>| -> anyhow::Result<Distractors> {
            let (probes, people) = of_probes(arguments, probes, probe_list.as_ref(), noise)?;
            let strangers = match (&wanted, list) {
                (Some(wanted), Some(list)) => Images::listed(&strangers, &wanted.path, list, noise)?.0,
                _ => Images::of(&strangers, noise)?,
            };
            let all = strangers.vectors.rows();
            let sizes = match (arguments.sizes.is_empty(), list) {
                (false, _) => arguments.sizes.clone(),
                (true, Some(_)) => vec![all],
                (true, None) => (1..)
                    .map(|power| 10_usize.pow(power))
                    .take_while(|&size| size < all)
                    .chain([all])
                    .collect(),
            };
            let started = Instant::now();
            let found = Distractors::of(&probes.vectors, &people, &strangers.vectors, &sizes, arguments.far)?;
            work.time += started.elapsed();
            work.pairs += (probes.vectors.rows() * all) as u64;
            Ok(found)
        };
        let whole = find(None)?;
        let cleaned = noise.map(|noise| find(Some(noise))).transpose()?;
        let against = list.unwrap_or(path).display().to_string();
        results.push(Searched { against, whole, cleaned, impostors: None });
    }
    if let Some(noise) = noise {
        noise.check()?;
    }
    let whole = &results[0].whole;
    terminal::say(&format!(
        "{} searches by {} probes of {} people",
        whole.searches, whole.probes, whole.people
    ));
    terminal::say(&terminal::table(&table(arguments.far, &results)));
    let sections =
        results.iter().flat_map(|result| distractors_sections(&result.whole, result.cleaned.as_ref()));
    let sections = sections.collect();
    finish(arguments, &results, sections, work)
}

/// The probes and the number of each one's person.
fn of_probes(
    arguments: &Arguments,
    probes: &Embeddings,
    list: Option<&FeatureList>,
    noise: Option<&Noise>,
) -> anyhow::Result<(Images, Vec<usize>)> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let (Some(FeatureList { path: paths, id: Some(ids) }), Some(path)) = (list, &arguments.probe_list) else {
        let images = Images::of(probes, noise)?;
        let people = images.people(&mut numbers)?;
        return Ok((images, people));
    };
    let (images, places) = Images::listed(probes, paths, path, noise)?;
    let number = |place: usize| {
        let next = numbers.len();
        *numbers.entry(ids[place].clone()).or_insert(next)
    };
    Ok((images, places.into_iter().map(number).collect()))
}

fn table(far: f64, results: &[Searched<Distractors>]) -> Vec<Vec<String>> {
    let mut table = vec![vec!["distractors".to_owned(), "rank 1".to_owned(), format!("TAR at FAR {far:e}")]];
    for result in results {
        let of =
            if results.len() > 1 { format!(", {}", name(Path::new(&result.against))) } else { String::new() };
        for (kind, found) in [("", Some(&result.whole)), ("cleaned: ", result.cleaned.as_ref())] {
            for point in found.iter().flat_map(|found| &found.points) {
                let refused = || format!("refused, finest {:.1e}", 1.0 / point.impostors as f64);
                let tar = point.tar.map_or_else(refused, |tar| format!("{:.2} %", 100.0 * tar));
                let rank = format!("{:.2} %", 100.0 * point.rank_one);
                table.push(vec![format!("{kind}{}{of}", point.distractors), rank, tar]);
            }
        }
    }
    table
}
