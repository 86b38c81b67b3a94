//! Measures a search: gallery rows, probes and dimension as arguments, on made vectors.
//!
//! `cargo run --release -p cosface-eval --example search_scale -- 1000000 10000 512` prints one JSON line with pairs per
//! second. Vectors are random and one person each, which is the most work for a gallery of that size.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::time::Instant;

use eval::Vectors;
use eval::identification::search;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let &[rows, probes, dimension] = numbers.as_slice() else {
        println!("three numbers were expected: gallery rows, probes, dimension");
        return;
    };
    let mut random = ChaCha8Rng::seed_from_u64(1801);
    let mut made = |rows: usize| {
        let values = (0..rows * dimension).map(|_| random.random_range(-1.0_f32..1.0));
        Vectors::new(values.collect(), dimension).expect("random vectors have a direction")
    };
    let (gallery, probes) = (made(rows), made(probes));
    let people: Vec<usize> = (0..rows).collect();
    let probe_people: Vec<usize> = (0..probes.rows()).map(|probe| probe * 2).collect();
    let started = Instant::now();
    let found = search(&probes, &probe_people, &gallery, &people).expect("a search");
    let seconds = started.elapsed().as_secs_f64();
    let pairs = (rows * probes.rows()) as f64;
    println!(
        "{{\"rows\": {rows}, \"probes\": {}, \"dimension\": {dimension}, \"seconds\": {seconds:.2}, \"pairs_per_second\": {:.3e}, \"impostor_scores\": {}}}",
        probes.rows(),
        pairs / seconds,
        found.impostors.total()
    );
}
