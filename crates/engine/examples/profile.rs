//! Where the time of a network goes, against what the processor could do.
//!
//! `cargo run --release -p cosface-engine --example profile -- NETWORK train|embed BATCH [THREADS [f32|bf16 [steps]]]` prints, for each
//! kind of step, the least time of several passes, the multiply-adds a second and the bytes a second, each value read or
//! written counted once. `steps` prints single steps. The last lines are the machine's own limits: a copy between buffers
//! that no cache holds.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::{EmbeddingPlan, Gradients, Parameters, Pixels, Pool, Precision, StepTime, TrainingPlan};
use net::{Architecture, Family, Network, initialise};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (Some(name), Some(work), Some(batch)) = (words.first(), words.get(1), words.get(2)) else {
        println!("expected: NETWORK train|embed BATCH [THREADS [f32|bf16 [steps]]]");
        return;
    };
    let Some(network) = network(name) else {
        println!("expected tiny, sphereface20, mobile or iresnet50: {name}");
        return;
    };
    let Ok(batch) = batch.parse::<usize>() else {
        println!("expected a number of images: {batch}");
        return;
    };
    let threads = words.get(3).and_then(|word| word.parse().ok()).unwrap_or(0);
    let precision = match words.get(4) {
        Some(&"bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let pool = Pool::new(threads).expect("worker threads");
    let (times, total) = match *work {
        "train" => train(&pool, &network, batch, precision),
        _ => embed(&pool, &network, batch, precision),
    };
    if words.get(5) == Some(&"steps") {
        times.iter().for_each(|step| line(&step.name, step, 1));
    }
    let mut kinds: BTreeMap<&str, (StepTime, usize)> = BTreeMap::new();
    for step in &times {
        let entry = kinds.entry(&step.kind).or_insert((
            StepTime {
                multiply_adds: 0,
                bytes: 0,
                forward: Duration::ZERO,
                backward: Duration::ZERO,
                ..step.clone()
            },
            0,
        ));
        entry.0.multiply_adds += step.multiply_adds;
        entry.0.bytes += step.bytes;
        entry.0.forward += step.forward;
        entry.0.backward += step.backward;
        entry.1 += 1;
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by_key(|(step, _)| std::cmp::Reverse(step.forward + step.backward));
    println!("| step | number | forward ms | GFLOP/s | GB/s | backward ms | GFLOP/s |");
    println!("|---|---|---|---|---|---|---|");
    kinds.iter().for_each(|(step, count)| line(&step.kind, step, *count));
    let sum: Duration = times.iter().map(|step| step.forward + step.backward).sum();
    println!(
        "\n{} {work}, batch {batch}, {precision}, {} threads, {}: least of the whole {:.2} ms, sum of the least of the steps {:.2} ms, \
         {:.1} images/s",
        network.name,
        pool.threads(),
        pool.isa(),
        milliseconds(total),
        milliseconds(sum),
        batch as f64 / total.as_secs_f64()
    );
    println!("copy: {:.1} GB/s read and written by {} threads", copy(pool.threads()), pool.threads());
}

fn line(name: &str, step: &StepTime, count: usize) {
    let rate = |work: f64, time: Duration| 1e-9 * work / time.as_secs_f64().max(1e-9);
    let operations = 2.0 * step.multiply_adds as f64;
    println!(
        "| {name} | {count} | {:.3} | {:.0} | {:.1} | {:.3} | {:.0} |",
        milliseconds(step.forward),
        rate(operations, step.forward),
        rate(step.bytes as f64, step.forward),
        milliseconds(step.backward),
        rate(2.0 * operations, step.backward),
    );
}

fn milliseconds(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

fn network(name: &str) -> Option<Network> {
    let architecture = match name {
        "tiny" => Architecture {
            input: [56, 48],
            width: Some(0.25),
            ..Architecture::new(Family::SphereFace, Some(20))
        },
        "sphereface20" => Architecture::new(Family::SphereFace, Some(20)),
        "mobile" => Architecture::new(Family::MobileFaceNet, None),
        "iresnet50" => Architecture { input: [112, 112], ..Architecture::new(Family::IResNet, Some(50)) },
        _ => return None,
    };
    Some(Architecture { feature: 512, ..architecture }.build().expect("a known architecture"))
}

/// Repeats `step` for about three seconds, and ten times at least, and keeps the least time of each of its steps and of
/// the whole.
fn least(mut step: impl FnMut() -> Vec<StepTime>) -> (Vec<StepTime>, Duration) {
    step();
    let (mut best, mut total, mut passes) = (step(), Duration::MAX, 0);
    let start = Instant::now();
    while passes < 10 || start.elapsed() < Duration::from_secs(3) {
        passes += 1;
        let begin = Instant::now();
        let times = step();
        total = total.min(begin.elapsed());
        for (best, time) in best.iter_mut().zip(times) {
            best.forward = best.forward.min(time.forward);
            best.backward = best.backward.min(time.backward);
        }
    }
    (best, total)
}

fn bytes(network: &Network, batch: usize) -> Vec<u8> {
    let len = batch * network.image_shape().elements();
    (0..len as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn train(pool: &Pool, network: &Network, batch: usize, precision: Precision) -> (Vec<StepTime>, Duration) {
    let weights = initialise(network, 1);
    let mut parameters = Parameters::from_weights(network, &weights).expect("the network's weights");
    let mut plan =
        TrainingPlan::with_precision(pool, network, batch, precision).expect("a network that can be trained");
    let mut gradients = Gradients::zeros(&parameters);
    let bytes = bytes(network, batch);
    let pixels = Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
    least(|| {
        let d_features: Vec<f32> =
            plan.forward(pool, &mut parameters, pixels, 0).iter().map(|x| 1e-3 * x).collect();
        plan.backward(pool, &parameters, &d_features, &mut gradients);
        plan.times().to_vec()
    })
}

fn embed(pool: &Pool, network: &Network, batch: usize, precision: Precision) -> (Vec<StepTime>, Duration) {
    let weights = initialise(network, 1);
    let mut plan = EmbeddingPlan::with_precision(pool, network, &weights, batch, precision)
        .expect("a network that can be embedded with");
    let bytes = bytes(network, batch);
    let pixels = Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
    least(|| {
        plan.forward(pool, pixels);
        plan.times().to_vec()
    })
}

/// GB/s of copies of 64 MiB, by one thread for each pair of buffers.
fn copy(threads: usize) -> f64 {
    const FLOATS: usize = 16 * 1024 * 1024;
    let mut pairs: Vec<(Vec<f32>, Vec<f32>)> =
        (0..threads).map(|_| (vec![1.0; FLOATS], vec![2.0; FLOATS])).collect();
    let mut best = Duration::MAX;
    for _ in 0..8 {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (source, target) in &mut pairs {
                scope.spawn(|| target.copy_from_slice(source));
            }
        });
        best = best.min(start.elapsed());
    }
    1e-9 * (2 * 4 * FLOATS * threads) as f64 / best.as_secs_f64()
}
