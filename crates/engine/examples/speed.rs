//! Temporary: seconds of a training step.
use engine::*;
use std::time::Instant;
fn main() {
    let which = std::env::args().nth(1).unwrap();
    let threads: usize = std::env::args().nth(2).map_or(0, |t| t.parse().unwrap());
    let pool = Pool::new(threads).unwrap();
    let (text, batch) = match which.as_str() {
        "sphereface20" => ("family = \"sphereface\"\ndepth = 20\ninput = [112, 96]", 32),
        "tiny" => ("family = \"sphereface\"\ndepth = 20\ninput = [56, 48]\nwidth = 0.25", 32),
        "mobile" => ("family = \"mobilefacenet\"\ninput = [112, 96]\nfeature = 512", 32),
        _ => panic!(),
    };
    let architecture: net::Architecture = toml::from_str(text).unwrap();
    let network = architecture.build().unwrap();
    let weights = net::initialise(&network, 1);
    let mut parameters = Parameters::from_weights(&network, &weights).unwrap();
    drop(weights);
    let mut plan = TrainingPlan::new(&pool, &network, batch).unwrap();
    let mut gradients = Gradients::zeros(&parameters);
    let mut sgd = Sgd::new(&parameters, |_| true);
    let mut head = Head::zeros(1000, network.feature_dimension());
    head.weights_mut().iter_mut().enumerate().for_each(|(i, w)| *w = ((i * 7919 % 1000) as f32 - 500.0) * 1e-4);
    let bytes: Vec<u8> = (0..batch * network.image_shape().elements()).map(|i| (i * 7919 % 251) as u8).collect();
    let labels: Vec<u32> = (0..batch as u32).collect();
    let mut d = vec![0.0; batch * network.feature_dimension()];
    let step = SgdStep { rate: 1e-4, momentum: 0.9, decay: 5e-4 };
    let mut best = [f64::MAX; 5];
    for _ in 0..6 {
        let t0 = Instant::now();
        let f = plan.forward(&pool, &mut parameters, Pixels { bytes: &bytes, mean: 127.5, scale: 128.0 }, 0).to_vec();
        let t1 = Instant::now();
        head.step(&pool, &margin::Loss::CosFace { s: 64.0, m: 0.35 }, &f, &labels, &mut d, Centres::Descend(step));
        let t2 = Instant::now();
        gradients.clear(&pool);
        plan.backward(&pool, &parameters, &d, &mut gradients);
        let t3 = Instant::now();
        sgd.step(&pool, &mut parameters, &gradients, step);
        let t4 = Instant::now();
        for (b, (x, y)) in best.iter_mut().zip([(t0, t1), (t1, t2), (t2, t3), (t3, t4), (t0, t4)]) { *b = b.min((y - x).as_secs_f64()); }
    }
    let rss = std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    println!("{which}: forward {:.1} head {:.1} backward {:.1} sgd {:.1} all {:.1} ms = {:.1} images/s; plan {} MB; {rss}", best[0]*1e3, best[1]*1e3, best[2]*1e3, best[3]*1e3, best[4]*1e3, batch as f64 / best[4], plan.bytes() >> 20);
}
