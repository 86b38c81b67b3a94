//! A step asks the allocator for nothing: a network's memory is there since its plan was made, a head's since its first step,
//! and only what a head returns is new.

#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{
    Centres, EmbeddingPlan, Gradients, Head, Isa, Parameters, Pixels, Pool, Precision, Sgd, SgdStep,
    TrainingPlan,
};
use margin::Loss;
use net::{Architecture, Family, Network};

/// Counts what all threads ask for.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 4;
const STEP: SgdStep = SgdStep { rate: 1e-3, momentum: 0.9, decay: 5e-4 };

/// How often the last of three calls asked for memory; in the first ones workers make room in their scratch memory.
fn asked_by(mut step: impl FnMut()) -> usize {
    let mut asked = 0;
    for _ in 0..3 {
        let before = COUNT.load(Ordering::Relaxed);
        step();
        asked = COUNT.load(Ordering::Relaxed) - before;
    }
    asked
}

fn pixels(network: &Network) -> Vec<u8> {
    (0..BATCH * network.image_shape().elements()).map(|index| (index * 31 % 251) as u8).collect()
}

fn networks() -> [Network; 3] {
    let of = |family, depth| Architecture {
        width: Some(0.25),
        input: [56, 48],
        ..Architecture::new(family, depth)
    };
    [(Family::SphereFace, Some(20)), (Family::MobileFaceNet, None), (Family::IResNet, Some(18))]
        .map(|(family, depth)| of(family, depth).build().unwrap())
}

/// One for every instruction set of this processor.
fn pools() -> Vec<Pool> {
    let sets = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    sets.map(|isa| Pool::with_isa(2, isa).unwrap()).collect()
}

// One test: allocations of another would be counted.
#[test]
fn a_step_asks_for_no_memory() {
    let pools = pools();
    // A stable sort of so many samples would.
    let (samples, dimension) = (64, 33);
    let features: Vec<f32> = (0..samples * dimension).map(|index| (index as f32).sin()).collect();
    let labels: Vec<u32> = (0..samples as u32).map(|sample| sample * 7 % 50).collect();
    let losses = [
        Loss::CosFace { s: 64.0, m: 0.35 },
        Loss::CurricularFace { s: 64.0, m: 0.5, t: 0.1, rate: 0.01 },
        Loss::Softmax,
    ];
    let choices = losses.iter().flat_map(|loss| [(loss, Precision::F32), (loss, Precision::Bf16)]);
    for (pool, (loss, precision)) in
        pools.iter().flat_map(|pool| choices.clone().map(move |choice| (pool, choice)))
    {
        let mut head = Head::with_sub_centres(1000, 2, dimension);
        head.set_precision(precision);
        head.weights_mut().iter_mut().enumerate().for_each(|(index, weight)| *weight = (index as f32).cos());
        let mut d_features = vec![0.0; features.len()];
        let asked = asked_by(|| {
            head.step(pool, loss, &features, &labels, &mut d_features, Centres::Descend(STEP));
        });
        assert_eq!(asked, 1, "a head with {loss:?} in {precision} by {}", pool.isa());
    }

    for (network, pool) in networks().iter().flat_map(|network| pools.iter().map(move |pool| (network, pool)))
    {
        let bytes = pixels(network);
        let pixels = Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
        let weights = net::initialise(network, 1);
        for precision in [Precision::F32, Precision::Bf16] {
            let mut parameters = Parameters::from_weights(network, &weights).unwrap();
            let mut plan = TrainingPlan::with_precision(pool, network, BATCH, precision).unwrap();
            let mut gradients = Gradients::zeros(&parameters);
            let mut sgd = Sgd::new(&parameters, |_| true);
            let d_features = vec![0.01; BATCH * network.feature_dimension()];
            let asked = asked_by(|| {
                plan.forward(pool, &mut parameters, pixels, 0);
                gradients.clear(pool);
                plan.backward(pool, &parameters, &d_features, &mut gradients);
                sgd.step(pool, &mut parameters, &gradients, STEP);
            });
            assert_eq!(asked, 0, "training {} in {precision} by {}", network.name, pool.isa());

            let mut plan = EmbeddingPlan::with_precision(pool, network, &weights, BATCH, precision).unwrap();
            let asked = asked_by(|| {
                plan.forward(pool, pixels);
            });
            assert_eq!(asked, 0, "embedding by {} in {precision} by {}", network.name, pool.isa());
        }
    }
}
