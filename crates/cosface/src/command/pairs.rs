//! `cosface pairs`: pairs of the images of people in folders, to measure a model on them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use data::{Catalogue, Identity, Source};

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder with one folder of images for each person; people who are not in training
    tree: PathBuf,
    /// Most pairs of images of one person; there are as many of that person and others
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
    /// File to write, for `evaluate --format list`: in each line two images, 1 for one person or 0 for two, a fold
    #[arg(long)]
    out: PathBuf,
}

/// Folds at most, as in LFW.
const FOLDS: usize = 10;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let catalogue = Catalogue::read(&[Source::tree(&arguments.tree)], 2)?;
    for notice in catalogue.notices() {
        terminal::note(&format!("note: {notice}"));
    }
    let people = catalogue.identities();
    let folds = (people.len() / 2).min(FOLDS);
    ensure!(
        folds >= 2,
        "pairs need four people with two images or more, so that a threshold never comes from the people it is used \
         on; there are {}: {}",
        people.len(),
        arguments.tree.display()
    );
    let (mut genuine, mut impostor, mut text) = (0, 0, String::new());
    let fold_of = |person: usize| person * folds / people.len();
    for fold in 0..folds {
        let members: Vec<&Identity> = (0..people.len())
            .filter(|&person| fold_of(person) == fold)
            .map(|person| &people[person])
            .collect();
        for pair in pairs_of_fold(&members, arguments.most as usize) {
            let [first, second] = pair.images.map(|image| name(&catalogue, image));
            let label = u8::from(pair.one_person);
            writeln!(text, "{}\t{}\t{label}\t{}", first?, second?, fold + 1)?;
            *(if pair.one_person { &mut genuine } else { &mut impostor }) += 1;
        }
    }
    net::atomic_file::write(&arguments.out, |file| -> io::Result<()> { file.write_all(text.as_bytes()) })?;
    let (out, people) = (arguments.out.display(), people.len());
    terminal::say(&format!(
        "{genuine} pairs of one person and {impostor} of two, {people} people in {folds} folds: {out}"
    ));
    Ok(())
}

struct Pair {
    images: [usize; 2],
    one_person: bool,
}

/// Each image of a person with the next, in a ring; and it with an image of another person of the fold, each in turn.
/// So nobody is in two folds, and no pair comes twice.
fn pairs_of_fold(members: &[&Identity], most: usize) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut seen = HashSet::new();
    let image = |person: &Identity, at: usize| person.images.start + at % person.images.len();
    for (place, person) in members.iter().enumerate() {
        let count = match person.images.len() {
            2 => 1,
            images => images.min(most),
        };
        for at in 0..count {
            pairs.push(Pair { images: [image(person, at), image(person, at + 1)], one_person: true });
        }
        for at in 0..count {
            let other = members[(place + 1 + at % (members.len() - 1)) % members.len()];
            let first = image(person, at);
            // The other's turn may have given a pair already.
            let second = (1..=other.images.len())
                .map(|shift| image(other, at + shift))
                .find(|&second| seen.insert((first.min(second), first.max(second))));
            pairs.extend(second.map(|second| Pair { images: [first, second], one_person: false }));
        }
    }
    pairs
}

/// The path of an image inside the tree, as a list of pairs can hold it.
fn name(catalogue: &Catalogue, image: usize) -> anyhow::Result<String> {
    let path = &catalogue.images()[image].relative;
    let name =
        path.to_str().with_context(|| format!("the name of an image is not UTF-8: {}", path.display()))?;
    ensure!(
        !name.contains(|letter: char| letter == ',' || letter.is_whitespace()),
        "a list of pairs cannot hold a name with blanks or commas, rename the file or its folder: {name}"
    );
    Ok(name.replace(std::path::MAIN_SEPARATOR, "/"))
}
