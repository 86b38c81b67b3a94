//! A network compiled for the sizes that were used last.

use std::sync::Arc;

use engine::{EmbeddingPlan, Pixels, Pool};
use net::{Input, Network, Weights};

use crate::DetectError;

/// Sizes that stay compiled. A pyramid of one photograph has about ten.
const REMEMBERED: usize = 16;

/// A network for images of any size, with its plans.
#[derive(Debug)]
pub(crate) struct Plans {
    network: Network,
    weights: Arc<Weights>,
    /// The most images at a time.
    batch: usize,
    /// The size used last comes last.
    plans: Vec<(Input, EmbeddingPlan)>,
}

impl Clone for Plans {
    /// The same network, with nothing compiled yet.
    fn clone(&self) -> Plans {
        let (network, weights) = (self.network.clone(), Arc::clone(&self.weights));
        Plans { network, weights, batch: self.batch, plans: Vec::new() }
    }
}

impl Plans {
    pub(crate) fn new(network: Network, weights: Weights, batch: usize) -> Plans {
        Plans { network, weights: Arc::new(weights), batch, plans: Vec::new() }
    }

    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Features of images of one size, after each other.
    pub(crate) fn run(
        &mut self,
        pool: &Pool,
        input: Input,
        pixels: Pixels<'_>,
    ) -> Result<&[f32], DetectError> {
        match self.plans.iter().position(|(size, _)| *size == input) {
            Some(index) => {
                let used = self.plans.remove(index);
                self.plans.push(used);
            }
            None => {
                let mut network = self.network.clone();
                network.input = input;
                let Input { height, width } = input;
                network.check().map_err(|source| DetectError::Size { height, width, source })?;
                let plan = EmbeddingPlan::new(pool, &network, &self.weights, self.batch)?;
                if self.plans.len() == REMEMBERED {
                    self.plans.remove(0);
                }
                self.plans.push((input, plan));
            }
        }
        let Some((_, plan)) = self.plans.last_mut() else { unreachable!("a plan was just added") };
        Ok(plan.forward(pool, pixels))
    }
}
