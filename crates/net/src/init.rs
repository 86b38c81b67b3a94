//! How parameters start, from a seed.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::{Network, Tensor, Weights};

/// Distribution of a parameter before training.
///
/// For a weight of shape `[out, in, height, width]`, `fan_in = in height width` is the number of inputs of one output
/// and `fan_out = out height width`. A linear weight has height and width 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Init {
    /// Uniform in `+-sqrt(3 / fan_in)`: what Caffe, and so the published SphereFace network, calls Xavier.
    Xavier,
    /// Normal with mean 0.
    Gaussian {
        /// Standard deviation.
        deviation: f32,
    },
    /// Normal with mean 0 and standard deviation `sqrt(2 / fan_out)` (arXiv:1502.01852, eq. 14).
    KaimingFanOut,
    /// Uniform in `+-sqrt(1 / fan_in)`: PyTorch's default for linear and convolution layers.
    UniformFanIn,
    /// One value everywhere.
    Constant {
        /// The value.
        value: f32,
    },
}

/// Fresh weights of a network.
///
/// Every parameter draws from its own random stream, chosen by its name, so that adding or removing a layer leaves
/// the start of all others unchanged.
///
/// # Panics
/// If the network does not pass [`Network::check`].
pub fn initialise(network: &Network, seed: u64) -> Weights {
    let mut weights = Weights::default();
    for parameter in network.parameters() {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream(&parameter.name));
        let values = draw(parameter.init, &parameter.shape, &mut random);
        weights.insert(parameter.name, Tensor::new(parameter.shape, values));
    }
    weights
}

/// FNV-1a hash of a name, 64 bits.
fn stream(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn draw(init: Init, shape: &[usize], random: &mut ChaCha8Rng) -> Vec<f32> {
    let elements = shape.iter().product();
    let fan = |sides: &[usize]| sides.iter().product::<usize>() as f64;
    let fan_in = fan(&shape[1..]);
    let fan_out = fan_in / shape.get(1).map_or(1.0, |inputs| *inputs as f64) * shape[0] as f64;
    match init {
        Init::Xavier => uniform((3.0 / fan_in).sqrt(), elements, random),
        Init::Gaussian { deviation } => gaussian(f64::from(deviation), elements, random),
        Init::KaimingFanOut => gaussian((2.0 / fan_out).sqrt(), elements, random),
        Init::UniformFanIn => uniform((1.0 / fan_in).sqrt(), elements, random),
        Init::Constant { value } => vec![value; elements],
    }
}

fn uniform(bound: f64, elements: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    (0..elements).map(|_| (bound * (2.0 * random.random::<f64>() - 1.0)) as f32).collect()
}

/// Normal values around 0, by Box and Muller's transform, one of each pair.
pub fn gaussian(deviation: f64, elements: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    (0..elements)
        .map(|_| {
            let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
            let angle = std::f64::consts::TAU * random.random::<f64>();
            (deviation * radius * angle.cos()) as f32
        })
        .collect()
}
