//! `cosface bench`: speed and memory, as JSON lines that can be set beside a peer's.

mod end_to_end;
mod photo;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use engine::{
    Centres, EmbeddingPlan, Gradients, Head, Parameters, Pixels, Pool, Precision, Sgd, SgdStep, TrainingPlan,
};
use margin::Loss;
use net::{Architecture, Family, Network, initialise};
use serde_json::json;

use super::operands::Operands;
use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum)]
    work: Work,
    /// Network to train or embed with, sphereface20 unless given
    #[arg(long, value_enum)]
    network: Option<Subject>,
    /// Images in a batch, features for the head; 32 or 256 unless given, end-to-end 128
    #[arg(long)]
    batch: Option<NonZeroUsize>,
    /// Classes of the head; 1000 or 100,000 unless given
    #[arg(long)]
    classes: Option<NonZeroUsize>,
    /// Operands of the products of the network and the head
    #[arg(long, value_enum, default_value_t = Operands::Auto)]
    precision: Operands,
    /// Only this row of head; each in a process of its own, so that its peak of memory is its own, unless given
    #[arg(long, value_enum)]
    update: Option<Update>,
    /// Detector for photo, as `cosface detect` takes it
    #[arg(long)]
    detector: Option<PathBuf>,
    /// Model file for photo
    #[arg(long)]
    model: Option<PathBuf>,
    /// Photograph for photo, fitted into 640x480; a synthetic face unless given
    #[arg(long)]
    photograph: Option<PathBuf>,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Work {
    /// Forward, margin head, backward and SGD with momentum
    Train,
    /// Forward
    Embed,
    /// Training as `cosface train --data` does it, on images in memory and from files: what decoding and augmentation
    /// cost
    EndToEnd,
    /// One photograph of 640x480 from its bytes to an embedding: decode, detect, align, embed
    Photo,
    /// The margin head alone: loss and both gradients, and once more with the centres' update in place of theirs
    Head,
}

/// What becomes of the centres' gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Update {
    /// It is kept, as a peer without a fused update has it
    None,
    /// SGD with momentum moves the centres in place
    Sgd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    /// SphereFace-20 at 112x96
    Sphereface20,
    /// SphereFace-20 with a quarter of the channels at 56x48
    Tiny,
    /// MobileFaceNet at 112x96
    Mobile,
    /// IResNet-50 at 112x112
    Iresnet50,
}

impl Subject {
    fn build(self) -> anyhow::Result<Network> {
        let architecture = match self {
            Subject::Sphereface20 => Architecture::new(Family::SphereFace, Some(20)),
            Subject::Tiny => Architecture {
                input: [56, 48],
                width: Some(0.25),
                ..Architecture::new(Family::SphereFace, Some(20))
            },
            Subject::Mobile => Architecture::new(Family::MobileFaceNet, None),
            Subject::Iresnet50 => {
                Architecture { input: [112, 112], ..Architecture::new(Family::IResNet, Some(50)) }
            }
        };
        Ok(Architecture { feature: 512, ..architecture }.build()?)
    }
}

const STEP: SgdStep = SgdStep { rate: 1e-4, momentum: 0.9, decay: 5e-4 };
const LOSS: Loss = Loss::CosFace { s: 64.0, m: 0.35 };
const CHANNELS: ([f32; 3], [f32; 3]) = ([127.5; 3], [128.0; 3]);

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pool = Pool::new(arguments.threads)?;
    let precision = arguments.precision.on(pool.isa());
    let of_photo = [&arguments.detector, &arguments.model, &arguments.photograph];
    if !matches!(arguments.work, Work::Photo) && of_photo.iter().any(|path| path.is_some()) {
        bail!("--detector, --model and --photograph are for `cosface bench photo`");
    }
    if !matches!(arguments.work, Work::Head) && arguments.update.is_some() {
        bail!("--update is for `cosface bench head`");
    }
    match arguments.work {
        Work::Photo => {
            let (Some(detector), Some(model)) = (&arguments.detector, &arguments.model) else {
                bail!("photo needs --detector and --model");
            };
            if arguments.network.is_some() || arguments.classes.is_some() || arguments.batch.is_some() {
                bail!("photo embeds one photograph with --model, leave out --network, --classes and --batch");
            }
            let photograph = arguments.photograph.as_deref();
            photo::run(&photo::Files { detector, model, photograph }, &pool, precision)
        }
        Work::Train => train(arguments, &pool, precision),
        Work::Embed => embed(arguments, &pool, precision),
        Work::Head => match arguments.update {
            Some(update) => head(arguments, update, &pool, precision),
            None => each_update(),
        },
        Work::EndToEnd => {
            let plain = arguments.network.is_none() && arguments.classes.is_none();
            if !plain || arguments.precision != Operands::Auto {
                bail!(
                    "end-to-end trains as the default recipe says, leave out --network, --classes and --precision"
                );
            }
            end_to_end::run(count(arguments.batch, 128), arguments.threads)
        }
    }
}

fn count(given: Option<NonZeroUsize>, default: usize) -> usize {
    given.map_or(default, NonZeroUsize::get)
}

fn train(arguments: &Arguments, pool: &Pool, precision: Precision) -> anyhow::Result<()> {
    let (batch, classes) = (count(arguments.batch, 32), count(arguments.classes, 1000));
    let network = arguments.network.unwrap_or(Subject::Sphereface20).build()?;
    let dimension = network.feature_dimension();
    let mut parameters = Parameters::from_weights(&network, &initialise(&network, 1))?;
    let mut plan = TrainingPlan::with_precision(pool, &network, batch, precision)?;
    let mut gradients = Gradients::zeros(&parameters);
    let mut sgd = Sgd::new(&parameters, |_| true);
    let mut head = random_head(classes, dimension);
    head.set_precision(precision.of_products(pool.isa()));
    let bytes = random_bytes(batch * network.image_shape().elements());
    let labels: Vec<u32> = (0..batch).map(|sample| (sample * 7919 % classes) as u32).collect();
    let mut d_features = vec![0.0; batch * dimension];
    let (mean, scale) = CHANNELS;
    let seconds = median_seconds(|| {
        let features = plan.forward(pool, &mut parameters, Pixels { bytes: &bytes, mean, scale }, 0);
        head.step(pool, &LOSS, features, &labels, &mut d_features, Centres::Descend(STEP));
        gradients.clear(pool);
        plan.backward(pool, &parameters, &d_features, &mut gradients);
        sgd.step(pool, &mut parameters, &gradients, STEP);
    });
    report(
        pool,
        precision,
        json!({
            "bench": "train", "network": network.name, "batch": batch, "classes": classes,
            "milliseconds": 1e3 * seconds, "images_per_second": batch as f64 / seconds,
        }),
    )
}

fn embed(arguments: &Arguments, pool: &Pool, precision: Precision) -> anyhow::Result<()> {
    let network = arguments.network.unwrap_or(Subject::Sphereface20).build()?;
    let weights = initialise(&network, 1);
    let (mean, scale) = CHANNELS;
    for batch in arguments.batch.map_or(vec![1, 32], |batch| vec![batch.get()]) {
        let mut plan = EmbeddingPlan::with_precision(pool, &network, &weights, batch, precision)?;
        let bytes = random_bytes(batch * network.image_shape().elements());
        let seconds = median_seconds(|| {
            plan.forward(pool, Pixels { bytes: &bytes, mean, scale });
        });
        report(
            pool,
            precision,
            json!({
                "bench": "embed", "network": network.name, "batch": batch,
                "milliseconds": 1e3 * seconds, "images_per_second": batch as f64 / seconds,
            }),
        )?;
    }
    Ok(())
}

/// Runs this very command for each row, one process after the other.
fn each_update() -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the program does not know its own file")?;
    for update in ["none", "sgd"] {
        let mut command = Command::new(&program);
        let status = command.args(std::env::args_os().skip(1)).args(["--update", update]).status();
        let status = status.with_context(|| format!("cannot run {}", program.display()))?;
        ensure!(status.success(), "the row with update {update} ended with {status}");
    }
    Ok(())
}

fn head(arguments: &Arguments, update: Update, pool: &Pool, precision: Precision) -> anyhow::Result<()> {
    const DIMENSION: usize = 512;
    let (samples, classes) = (count(arguments.batch, 256), count(arguments.classes, 100_000));
    let mut head = random_head(classes, DIMENSION);
    head.set_precision(precision);
    let features = random(samples * DIMENSION);
    let labels: Vec<u32> = (0..samples).map(|sample| (sample * 7919 % classes) as u32).collect();
    let mut d_features = vec![0.0; features.len()];
    let mut d_weights = vec![0.0; if update == Update::None { classes * DIMENSION } else { 0 }];
    let seconds = median_seconds(|| {
        let centres = match update {
            Update::None => Centres::AddGradient(&mut d_weights),
            Update::Sgd => Centres::Descend(STEP),
        };
        head.step(pool, &LOSS, &features, &labels, &mut d_features, centres);
    });
    // The three products: cosines, and the gradients of features and centres.
    let operations = 6.0 * (samples * DIMENSION) as f64 * classes as f64;
    let update = if update == Update::None { "none" } else { "sgd" };
    report(
        pool,
        precision,
        json!({
            "bench": "head", "samples": samples, "dimension": DIMENSION, "classes": classes, "update": update,
            "milliseconds": 1e3 * seconds, "gflop_per_second": 1e-9 * operations / seconds,
        }),
    )
}

/// Prints a row with what the figures depend on.
fn report(pool: &Pool, precision: Precision, row: serde_json::Value) -> anyhow::Result<()> {
    let mut row = row;
    if let Some(fields) = row.as_object_mut() {
        fields.insert("precision".to_owned(), json!(precision.name()));
    }
    describe(pool, row)
}

/// Prints a row with the machine that it was measured on.
fn describe(pool: &Pool, row: serde_json::Value) -> anyhow::Result<()> {
    let mut row = row;
    if let Some(fields) = row.as_object_mut() {
        fields.insert("isa".to_owned(), json!(pool.isa().name()));
        fields.insert("threads".to_owned(), json!(pool.threads()));
        fields.insert("processor".to_owned(), json!(processor()));
        fields.insert("peak_rss_mb".to_owned(), json!(peak_mebibytes()));
    }
    terminal::say(&serde_json::to_string(&row).context("a row of the benchmark")?);
    Ok(())
}

/// Median time of at least three runs after two, within about twenty seconds.
fn median_seconds(mut step: impl FnMut()) -> f64 {
    const LIMIT: Duration = Duration::from_secs(20);
    (0..2).for_each(|_| step());
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || (times.len() < 15 && start.elapsed() < LIMIT) {
        let begin = Instant::now();
        step();
        times.push(begin.elapsed().as_secs_f64());
    }
    median(times)
}

/// The value in the middle; of two, the larger.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn random(len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    fill_randomly(&mut values, 1.0);
    values
}

/// Numbers in -0.5..0.5, times `scale`, by a linear congruence; speed does not depend on them, but zeros would be
/// special.
fn fill_randomly(values: &mut [f32], scale: f32) {
    let mut state = 1u64;
    for value in values {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *value = scale * ((state >> 40) as f32 / (1u32 << 24) as f32 - 0.5);
    }
}

fn random_bytes(len: usize) -> Vec<u8> {
    random(len).into_iter().map(|value| (255.0 * (value + 0.5)) as u8).collect()
}

fn random_head(classes: usize, dimension: usize) -> Head {
    let mut head = Head::zeros(classes, dimension);
    fill_randomly(head.weights_mut(), 0.02);
    head
}

/// Peak resident memory of this process, where the system tells.
fn peak_mebibytes() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn processor() -> Option<String> {
    let text = fs_err::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
