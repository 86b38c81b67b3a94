//! Ratios between two ways to one result, measured by turns in one process: what a change may not lose unnoticed.
//!
//! Each way works alone on one thread for about a millisecond and its least time of many turns counts, so that what
//! else runs on the machine hurts neither; the limits are wide, and only a plain loss passes them. Run by
//! `cargo test -p cosface-engine guard -- --ignored --test-threads 1`.

use std::time::{Duration, Instant};

use crate::gemm::Store;
use crate::head::{Centres, Head};
use crate::isa::Isa;
use crate::kernels::convolution::{self, Algorithm, Method, Weights};
use crate::kernels::epilogue::{self, After, Epilogue};
use crate::kernels::stored::{Stored, StoredMut};
use crate::kernels::{Geometry, batch_norm, column, dense, direct, prelu};
use crate::optimizer::SgdStep;
use crate::pool::Pool;
use crate::precision::Precision;
use crate::testing::Numbers;
use margin::Loss;
use net::Shape;

const F32: Precision = Precision::F32;
const DIRECT: Method = Method { algorithm: Algorithm::Direct, precision: F32, weights: Weights::Changing };
const WINOGRAD: Method =
    Method { algorithm: Algorithm::Winograd, precision: F32, weights: Weights::Changing };

/// The least time of `slow` in units of that of `fast`.
fn ratio(slow: &mut impl FnMut(), fast: &mut impl FnMut()) -> f64 {
    const TURNS: usize = 40;
    let mut least = [Duration::MAX; 2];
    let ways: [&mut dyn FnMut(); 2] = [slow, fast];
    for _ in 0..TURNS {
        for (least, way) in least.iter_mut().zip([0, 1]) {
            let start = Instant::now();
            (*ways[way])();
            *least = (*least).min(start.elapsed());
        }
    }
    least[0].as_secs_f64() / least[1].as_secs_f64()
}

/// Tries several times: a loss stays, what else runs on the machine comes and goes.
#[track_caller]
fn assert_ratio(what: &str, mut slow: impl FnMut(), mut fast: impl FnMut(), least: f64, most: f64) {
    const TRIES: usize = 8;
    let mut seen = Vec::new();
    while seen.len() < TRIES {
        let ratio = ratio(&mut slow, &mut fast);
        if (least..most).contains(&ratio) {
            return;
        }
        seen.push(ratio);
    }
    panic!("{what}: {seen:.2?}, expected {least} to {most}");
}

fn geometry(images: usize, side: usize, inputs: usize, outputs: usize, kernel: usize) -> Geometry {
    let shape = |channels| Shape { height: side, width: side, channels };
    let (kernel, padding) = ([kernel; 2], kernel / 2);
    Geometry { images, source: shape(inputs), target: shape(outputs), kernel, stride: 1, padding }
}

fn convolve(pool: &Pool, method: Method, geometry: &Geometry) -> impl FnMut() {
    let mut numbers = Numbers::new(1);
    let taps = geometry.kernel[0] * geometry.kernel[1];
    let weights = numbers.vector(taps * geometry.source.channels * geometry.target.channels);
    let source = numbers.vector(geometry.source_len());
    let mut rearranged = vec![0.0; convolution::forward_weights_len(pool, method, geometry)];
    convolution::rearrange_forward(pool, method, geometry, &weights, &mut rearranged);
    let mut workspace = vec![0.0; convolution::forward_workspace_len(pool, method, geometry)];
    let mut target = vec![0.0; geometry.target_len()];
    move || {
        let (epilogue, work) = (Epilogue::default(), &mut workspace);
        let source = source[..].into();
        convolution::forward(
            pool,
            method,
            geometry,
            source,
            &rearranged,
            epilogue,
            None,
            work,
            (&mut target).into(),
        );
    }
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn minimal_filtering_takes_less_time_than_the_definition() {
    let (pool, geometry) = (Pool::new(1).unwrap(), geometry(2, 28, 64, 64, 3));
    let slow = convolve(&pool, DIRECT, &geometry);
    let fast = convolve(&pool, WINOGRAD, &geometry);
    assert_ratio("definition to minimal filtering", slow, fast, 1.2, 6.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn pairs_of_bf16_take_less_time_than_f32_where_the_processor_multiplies_them() {
    if Isa::detect() < Isa::Avx512Bf16 {
        return;
    }
    let (pool, geometry) = (Pool::new(1).unwrap(), geometry(2, 28, 128, 128, 3));
    let slow = convolve(&pool, WINOGRAD, &geometry);
    let fast = convolve(&pool, Method { precision: Precision::Bf16, ..WINOGRAD }, &geometry);
    assert_ratio("minimal filtering in f32 to bf16", slow, fast, 1.05, 4.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn tiles_take_less_time_than_pairs_where_the_processor_has_them() {
    if !Isa::Amx.is_available() {
        return;
    }
    let geometry = geometry(2, 28, 128, 128, 3);
    let (pairs, tiles) = (Pool::with_isa(1, Isa::Avx512Bf16).unwrap(), Pool::with_isa(1, Isa::Amx).unwrap());
    let best = |pool: &Pool| Method::of(pool, &geometry, Weights::Changing, Precision::Bf16);
    let slow = convolve(&pairs, best(&pairs), &geometry);
    let fast = convolve(&tiles, best(&tiles), &geometry);
    assert_ratio("pairs of bf16 to tiles", slow, fast, 1.3, 20.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn wider_vectors_take_less_time() {
    if Isa::detect() == Isa::Portable {
        return;
    }
    let geometry = geometry(1, 20, 64, 64, 1);
    let (plain, best) = (Pool::with_isa(1, Isa::Portable).unwrap(), Pool::new(1).unwrap());
    let slow = convolve(&plain, DIRECT, &geometry);
    let fast = convolve(&best, DIRECT, &geometry);
    assert_ratio("portable to best instruction set", slow, fast, 2.0, 100.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn one_pass_takes_less_time_than_several() {
    const CHANNELS: usize = 128;
    let (pool, len) = (Pool::new(1).unwrap(), 8192 * CHANNELS);
    let mut numbers = Numbers::new(2);
    let [source, residual, d_target] = [(); 3].map(|()| numbers.vector(len));
    let [scale, shift, slopes, mean] = [(); 4].map(|()| numbers.vector(CHANNELS));
    let affine = Some([&scale[..], &shift[..]]);
    let [mut target, mut between, mut rest] = [(); 3].map(|()| vec![0.0; len]);
    let rectify = After { slopes: Some(&slopes), residual: None };
    let sum = After { slopes: None, residual: Some((&residual).into()) };
    let slow = || {
        epilogue::map(&pool, (&source).into(), CHANNELS, affine, After::default(), (&mut between).into());
        epilogue::map(&pool, (&between).into(), CHANNELS, None, rectify, (&mut rest).into());
        epilogue::map(&pool, (&rest).into(), CHANNELS, None, sum, (&mut target).into());
    };
    let mut fused = vec![0.0; len];
    let both = After { residual: Some((&residual).into()), ..rectify };
    let fast = || epilogue::map(&pool, (&source).into(), CHANNELS, affine, both, (&mut fused).into());
    assert_ratio("three passes forward to one", slow, fast, 1.2, 8.0);

    let saved = |rectified| batch_norm::Saved {
        source: (&source).into(),
        gamma: &scale,
        mean: &mean,
        inverse_deviation: &scale,
        rectified,
    };
    let rectified = batch_norm::Rectified { scale: &scale, shift: &shift, slopes: &slopes };
    let backward = |rectified, d_target: &[f32], d_source: &mut [f32], partials: &mut [f32]| {
        let [mut d_gamma, mut d_beta, mut d_slopes] = [(); 3].map(|()| [0.0; CHANNELS]);
        let d_slopes = Some(&mut d_slopes[..]);
        let into = batch_norm::ParameterGradients { d_gamma: &mut d_gamma, d_beta: &mut d_beta, d_slopes };
        let saved = saved(rectified);
        let (d_target, d_source) = (Some(d_target.into()), d_source.into());
        batch_norm::backward(&pool, saved, d_target, d_source, Store::Replace, None, partials, into);
    };
    let [mut partials, mut others] = [(); 2].map(|()| vec![0.0; (column::PARTS + 2) * 3 * CHANNELS]);
    let slow = || {
        let (d, store) = (&mut between[..], Store::Replace);
        let mut d_slopes = [0.0; CHANNELS];
        let (source, d_target) = ((&source).into(), Some((&d_target).into()));
        prelu::backward(&pool, source, &slopes, d_target, d.into(), store, &mut partials, &mut d_slopes);
        backward(None, &between, &mut rest, &mut partials);
    };
    let fast = || backward(Some(rectified), &d_target, &mut fused, &mut others);
    assert_ratio("rectifier and normalisation backward to both at once", slow, fast, 0.8, 5.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn maps_in_bf16_take_less_time_than_in_f32() {
    const CHANNELS: usize = 64;
    // More than a cache holds.
    let numbers = 256 * 1024 * CHANNELS;
    let pool = Pool::new(1).unwrap();
    let slopes = Numbers::new(4).vector(CHANNELS);
    let rectify = After { slopes: Some(&slopes), residual: None };
    let (source, mut target) = (vec![0.5; numbers], vec![0.0; numbers]);
    let (halves, mut rounded) = (vec![0x3f00; numbers], vec![0; numbers]);
    let slow = || epilogue::map(&pool, (&source).into(), CHANNELS, None, rectify, (&mut target).into());
    let fast = || {
        let (from, to) = (Stored::Bf16(&halves), StoredMut::Bf16(&mut rounded));
        epilogue::map(&pool, from, CHANNELS, None, rectify, to);
    };
    assert_ratio("a map in f32 to one in bf16", slow, fast, 0.9, 5.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn one_walk_for_two_gradients_takes_no_more_time_than_two() {
    let (pool, geometry) = (Pool::new(1).unwrap(), geometry(16, 14, 64, 128, 1));
    let mut numbers = Numbers::new(3);
    let source = numbers.vector(geometry.source_len());
    let (d_target, weights) = (numbers.vector(geometry.target_len()), numbers.vector(64 * 128));
    let [mut d_source, mut other] = [(); 2].map(|()| vec![0.0; source.len()]);
    let [mut d_weights, mut others] = [(); 2].map(|()| vec![0.0; weights.len()]);
    let mut panels = vec![0.0; direct::input_gradient_panels_len(&pool, F32, &geometry)];
    let mut right = vec![0.0; direct::weight_gradient_workspace_len(&pool, F32, &geometry)];
    let mut workspace = vec![0.0; dense::workspace_len(pool.isa(), F32, &geometry)];
    let slow = || {
        direct::weight_gradient(
            &pool,
            F32,
            &geometry,
            &source,
            &d_target,
            &mut right,
            (&mut d_weights, Store::Add),
        );
        let store = Store::Replace;
        direct::input_gradient(&pool, F32, &geometry, &d_target, &weights, &mut panels, &mut d_source, store);
    };
    let fast = || {
        let out = Some(((&mut other).into(), Store::Replace));
        let (work, gradient) = (&mut workspace, (&mut others[..], Store::Add));
        let source = source[..].into();
        dense::gradients(
            &pool,
            F32,
            &geometry,
            source,
            Stored::F32(&d_target).into(),
            &weights,
            work,
            &mut [],
            gradient,
            out,
        );
    };
    assert_ratio("two walks to one", slow, fast, 0.8, 5.0);
}

#[test]
#[ignore = "measures time, which only ratios make comparable; CI calls it by name"]
fn the_head_takes_time_in_proportion_to_its_classes() {
    const DIMENSION: usize = 128;
    let (pool, samples) = (Pool::new(1).unwrap(), 32);
    let mut numbers = Numbers::new(4);
    let features = numbers.vector(samples * DIMENSION);
    let step = |classes: usize| {
        let mut head = Head::zeros(classes, DIMENSION);
        head.weights_mut().copy_from_slice(&Numbers::new(5).vector(classes * DIMENSION));
        let labels: Vec<u32> = (0..samples).map(|sample| (sample * 7919 % classes) as u32).collect();
        let mut d_features = vec![0.0; features.len()];
        let (loss, step) =
            (Loss::CosFace { s: 64.0, m: 0.35 }, SgdStep { rate: 1e-4, momentum: 0.9, decay: 5e-4 });
        let (pool, features) = (&pool, &features);
        move || {
            let centres = Centres::Descend(step);
            head.step(pool, &loss, features, &labels, &mut d_features, centres);
        }
    };
    assert_ratio("a head of twice the classes", step(8000), step(4000), 1.4, 3.0);
}
