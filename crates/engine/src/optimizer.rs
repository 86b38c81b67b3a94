//! Stochastic gradient descent with momentum.

use crate::gradients::Gradients;
use crate::isa::by_isa;
use crate::parameters::{Entry, Parameters};
use crate::pool::Pool;

/// Elements for one task.
const CHUNK: usize = 16 * 1024;

/// The constants of one step, as PyTorch defines them: `g += decay w; v = momentum v + g; w -= rate v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub rate: f32,
    /// Share of the velocity that is kept, at least 0 and below 1.
    pub momentum: f32,
    /// Weight decay, added to the gradient.
    pub decay: f32,
}

/// Velocities of a network's trained parameters, and which of them decay.
#[derive(Debug)]
pub struct Sgd {
    velocity: Vec<f32>,
    decays: Vec<Entry>,
    spared: Vec<Entry>,
}

impl Sgd {
    /// Starts with zero velocities; weight decay acts on the parameters for which `decays` says so.
    #[must_use]
    pub fn new(parameters: &Parameters, decays: impl Fn(&Entry) -> bool) -> Sgd {
        let trained = parameters.entries().iter().filter(|entry| entry.role.is_trained()).cloned();
        let (decays, spared) = trained.partition(decays);
        Sgd { velocity: vec![0.0; parameters.trained().len()], decays, spared }
    }

    /// The velocities, in the order of [`Parameters::trained`].
    #[must_use]
    pub fn velocity(&self) -> &[f32] {
        &self.velocity
    }

    /// Takes over velocities, as from a checkpoint.
    ///
    /// # Panics
    /// When there are more or fewer than the parameters have values.
    pub fn set_velocity(&mut self, velocity: Vec<f32>) {
        assert_eq!(velocity.len(), self.velocity.len(), "velocities of another network");
        self.velocity = velocity;
    }

    /// One step down the gradients.
    ///
    /// # Panics
    /// When the parameters or gradients are another network's.
    pub fn step(&mut self, pool: &Pool, parameters: &mut Parameters, gradients: &Gradients, step: SgdStep) {
        let gradients = gradients.values();
        assert_eq!(gradients.len(), self.velocity.len(), "gradients of another network");
        let trained = parameters.trained_mut();
        assert_eq!(trained.len(), self.velocity.len(), "parameters of another network");
        for (entries, decay) in [(&self.decays, step.decay), (&self.spared, 0.0)] {
            let step = SgdStep { decay, ..step };
            for entry in entries {
                let range = entry.range.clone();
                let gradients = &gradients[range.clone()];
                let (values, velocity) = (&mut trained[range.clone()], &mut self.velocity[range]);
                pool.run_chunks_of_two(values, CHUNK, velocity, CHUNK, |index, values, velocity| {
                    let gradients = &gradients[index * CHUNK..][..values.len()];
                    descend(pool, step, gradients, values, velocity);
                });
            }
        }
    }
}

fn descend(pool: &Pool, step: SgdStep, gradients: &[f32], values: &mut [f32], velocity: &mut [f32]) {
    by_isa!(
        pool.isa(),
        descend_elements,
        (step: SgdStep, gradients: &[f32], values: &mut [f32], velocity: &mut [f32])
    );
}

#[inline(always)]
pub(crate) fn descend_elements(step: SgdStep, gradients: &[f32], values: &mut [f32], velocity: &mut [f32]) {
    for ((value, velocity), gradient) in values.iter_mut().zip(velocity).zip(gradients) {
        *velocity = step.momentum * *velocity + (gradient + step.decay * *value);
        *value -= step.rate * *velocity;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{Init, Input, Linear, Network, Node, Op, Role, Source, initialise};

    #[test]
    fn two_steps_are_those_of_the_definition_and_spared_parameters_do_not_decay() {
        let linear = Linear { out_features: 2, bias: true, init: Init::Gaussian { deviation: 1.0 } };
        let node = Node { name: "fc".to_owned(), op: Op::Linear(linear), inputs: vec![Source::Image] };
        let network =
            Network { name: "test".to_owned(), input: Input { height: 1, width: 1 }, nodes: vec![node] };
        let mut weights = initialise(&network, 1);
        weights.get_mut("fc.bias").unwrap().values.copy_from_slice(&[1.0, -2.0]);
        let mut parameters = Parameters::from_weights(&network, &weights).unwrap();
        let mut sgd = Sgd::new(&parameters, |entry| entry.role == Role::Weight);
        let pool = Pool::new(2).unwrap();
        let mut gradients = Gradients::zeros(&parameters);
        let entries = parameters.entries().to_vec();
        for role in [Role::Weight, Role::Bias] {
            gradients.of(&entries, 0, role).unwrap().fill(0.5);
        }
        let before = parameters.trained().to_vec();
        let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 0.01 };
        sgd.step(&pool, &mut parameters, &gradients, step);
        sgd.step(&pool, &mut parameters, &gradients, step);
        for entry in &entries {
            let decay = if entry.role == Role::Weight { 0.01 } else { 0.0 };
            for index in entry.range.clone() {
                let (mut value, mut velocity) = (f64::from(before[index]), 0.0);
                for _ in 0..2 {
                    velocity = 0.9 * velocity + 0.5 + decay * value;
                    value -= 0.1 * velocity;
                }
                assert!((f64::from(parameters.trained()[index]) - value).abs() < 1e-6, "{}", entry.name);
            }
        }
    }
}
