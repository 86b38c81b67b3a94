//! Temporary: seconds of a head step.
use engine::*;
use std::time::Instant;
fn main() {
    let classes: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let pool = Pool::new(0).unwrap();
    let (n, d) = (256, 512);
    let mut state = 1u64;
    let mut next = || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (state >> 40) as f32 / 8388608.0 - 1.0 };
    let mut head = Head::zeros(classes, d);
    head.weights_mut().iter_mut().for_each(|w| *w = next() * 0.02);
    let f: Vec<f32> = (0..n * d).map(|_| next()).collect();
    let labels: Vec<u32> = (0..n).map(|i| (i * 7919 % classes) as u32).collect();
    let mut df = vec![0.0; n * d];
    let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 5e-4 };
    let mut best = f64::MAX;
    for _ in 0..5 {
        let t = Instant::now();
        let o = head.step(&pool, &margin::Loss::CosFace { s: 64.0, m: 0.35 }, &f, &labels, &mut df, Centres::Descend(step));
        best = best.min(t.elapsed().as_secs_f64());
        std::hint::black_box(o);
    }
    let rss = std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    println!("head C={classes}: {:.0} ms, {rss}", best * 1e3);
}
