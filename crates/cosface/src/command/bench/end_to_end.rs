//! `cosface bench end-to-end`: what decoding and augmentation take from the training that they run beside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use data::Store;
use data::synth::Population;
use engine::Pool;
use face::Template;
use image::codecs::jpeg::JpegEncoder;
use serde_json::json;
use train::fit::{Hooks, Training};
use train::progress::Progress;
use train::recipe::{self, CheckedRecipe};
use train::run::RunDirectory;

use super::median;
use crate::command::terminal::Stage;

const PEOPLE: u32 = 32;
const IMAGES: u32 = 8;
const QUALITY: u8 = 92;

/// Steps of one run, and those of them that pass before the clock starts: batches that were made ahead while nothing
/// was measured must be used up.
const STEPS: u64 = 24;
const SETTLED: u64 = 8;

const ROUNDS: usize = 5;

/// Where the images of a step come from, and the settings that say so.
const SUPPLIES: [(&str, &[&str]); 3] = [
    ("in memory, not varied", &["data.augment={flip=0.0}"]),
    ("in memory, augmented", &[]),
    ("decoded and augmented", &["data.memory_mib=0"]),
];

/// Trains the network of `cosface train --data` on synthetic JPEG files in three ways, in turns, and prints a row for
/// each: its speed, and its ratio to the speed of the first in the same round (the median over the rounds).
pub(super) fn run(batch: usize, threads: usize) -> anyhow::Result<()> {
    let place = tempfile::tempdir().context("cannot make a folder for temporary files")?;
    let faces = place.path().join("faces");
    write_faces(&faces)?;
    let supplies = SUPPLIES.map(|(_, settings)| Supply::open(&faces, batch, threads, settings));
    let supplies = supplies.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut rounds = vec![Vec::new(); supplies.len()];
    let mut stage = Stage::start("train", (ROUNDS * supplies.len()) as u64);
    for round in 0..ROUNDS {
        // A drift of the machine's speed meets each first and each last.
        let mut order: Vec<usize> = (0..supplies.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let directory = place.path().join(format!("run-{round}-{index}"));
            rounds[index].push(supplies[index].measure(&directory)?);
            fs_err::remove_dir_all(&directory)?;
            stage.show(rounds.iter().map(|own| own.len() as u64).sum(), SUPPLIES[index].0);
        }
    }
    stage.finish();
    let pool = Pool::new(threads)?;
    let images = (batch as u64 * (STEPS - SETTLED)) as f64;
    for ((name, _), (supply, own)) in SUPPLIES.iter().zip(supplies.iter().zip(&rounds)) {
        let of = |value: &dyn Fn(&Spent) -> f64| median(own.iter().map(value).collect());
        let ratios =
            own.iter().zip(&rounds[0]).map(|(own, first)| first.wall.as_secs_f64() / own.wall.as_secs_f64());
        let processor = own.iter().all(|spent| spent.processor.is_some());
        let of_processor = |value: &dyn Fn(Processor) -> f64| {
            processor.then(|| of(&|spent| value(spent.processor.unwrap_or_default())))
        };
        super::describe(
            &pool,
            json!({
                "bench": "end-to-end", "network": supply.recipe.network().name, "batch": batch, "images": name,
                "precision": supply.recipe.recipe().run.precision,
                "images_per_second": of(&|spent| images / spent.wall.as_secs_f64()),
                "ratio_to_first": median(ratios.collect()),
                "data_microseconds_an_image": of_processor(&|time| 1e6 * time.images.as_secs_f64() / images),
                "data_share_of_processor_time":
                    of_processor(&|time| time.images.as_secs_f64() / time.process.as_secs_f64()),
            }),
        )?;
    }
    Ok(())
}

fn write_faces(root: &Path) -> anyhow::Result<()> {
    let population = Population::new(7, 1.0, Template::HIGH);
    let mut stage = Stage::start("faces", u64::from(PEOPLE * IMAGES));
    for person in 0..PEOPLE {
        let folder = root.join(format!("id{person}"));
        fs_err::create_dir_all(&folder)?;
        for image in 0..IMAGES {
            let mut bytes = Vec::new();
            population
                .face(person, image)
                .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
                .context("cannot encode a JPEG file")?;
            fs_err::write(folder.join(format!("{image}.jpg")), bytes)?;
            stage.show(u64::from(person * IMAGES + image + 1), "");
        }
    }
    stage.finish();
    Ok(())
}

/// A recipe with its images.
struct Supply {
    recipe: CheckedRecipe,
    images: Arc<Store>,
}

impl Supply {
    fn open(faces: &Path, batch: usize, threads: usize, settings: &[&str]) -> anyhow::Result<Supply> {
        let mut overrides: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        overrides.extend([
            format!("run.batch={batch}"),
            format!("run.threads={threads}"),
            format!("schedule.length=\"{STEPS} steps\""),
            "schedule.warm_up=\"0 steps\"".to_owned(),
            "loss.margin_warm_up=\"0 steps\"".to_owned(),
        ]);
        let recipe = recipe::check(&recipe::for_folder(faces), &overrides)?;
        let images = Arc::new(train::images::open(&recipe, &|_, _| {})?);
        Ok(Supply { recipe, images })
    }

    /// Trains in a new directory and measures its later steps.
    fn measure(&self, directory: &Path) -> anyhow::Result<Spent> {
        let training = Training::new(&self.recipe, Arc::clone(&self.images), None)?;
        let run = RunDirectory::create(directory, &self.recipe.to_toml())?;
        let (mut begin, mut end) = (None, None);
        let mut progress = |progress: &Progress| {
            let clock = match progress.step {
                SETTLED => &mut begin,
                STEPS => &mut end,
                _ => return,
            };
            clock.get_or_insert_with(|| (Instant::now(), Processor::now()));
        };
        let mut hooks = Hooks { progress: &mut progress, validate: &mut |_| Ok(BTreeMap::new()) };
        training.run(&run, &AtomicBool::new(false), &mut hooks)?;
        let (begin, end) = begin.zip(end).context("the run reported no steps")?;
        let spent = Spent {
            wall: end.0 - begin.0,
            processor: end.1.zip(begin.1).map(|(end, begin)| end.since(begin)),
        };
        ensure!(spent.wall > Duration::ZERO, "steps took no time that this clock can measure");
        Ok(spent)
    }
}

/// Time that the measured steps took.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    processor: Option<Processor>,
}

/// Processor time of the threads that make batches, and of all threads.
#[derive(Clone, Copy, Default)]
struct Processor {
    images: Duration,
    process: Duration,
}

impl Processor {
    /// Up to now, where the system tells (Linux).
    fn now() -> Option<Processor> {
        let mut time = Processor::default();
        for thread in fs_err::read_dir("/proc/self/task").ok()? {
            let thread = thread.ok()?.path();
            let name = fs_err::read_to_string(thread.join("comm")).ok()?;
            // The first number is the time on a processor, in nanoseconds.
            let spent = fs_err::read_to_string(thread.join("schedstat")).ok()?;
            let spent = Duration::from_nanos(spent.split_whitespace().next()?.parse().ok()?);
            time.process += spent;
            if name.starts_with("images-") {
                time.images += spent;
            }
        }
        Some(time)
    }

    fn since(self, begin: Processor) -> Processor {
        Processor {
            images: self.images.saturating_sub(begin.images),
            process: self.process.saturating_sub(begin.process),
        }
    }
}
