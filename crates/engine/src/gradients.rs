//! Gradients of the trained parameters, in the parameters' order.

use net::Role;

use crate::buffer::Buffer;
use crate::parameters::{Entry, Parameters};
use crate::pool::Pool;

/// One gradient for each trained value.
#[derive(Debug)]
pub struct Gradients {
    values: Buffer,
}

/// Elements that one partial sum of a norm covers.
const CHUNK: usize = 16 * 1024;

impl Gradients {
    /// Zeros for these parameters.
    #[must_use]
    pub fn zeros(parameters: &Parameters) -> Gradients {
        Gradients { values: Buffer::zeros(parameters.trained().len()) }
    }

    /// All values, in the order of [`Parameters::trained`].
    #[must_use]
    pub fn values(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// Sets every gradient to zero.
    pub fn clear(&mut self, pool: &Pool) {
        pool.run_chunks(self.values.as_mut_slice(), CHUNK, |_, values| values.fill(0.0));
    }

    /// Multiplies every gradient by `factor`.
    pub fn scale(&mut self, pool: &Pool, factor: f32) {
        pool.run_chunks(self.values.as_mut_slice(), CHUNK, |_, values| {
            values.iter_mut().for_each(|value| *value *= factor);
        });
    }

    /// Euclidean norm of all gradients together; not finite when one of them is not.
    #[must_use]
    pub fn norm(&self, pool: &Pool) -> f64 {
        let values = self.values.as_slice();
        let mut sums = vec![0.0f64; values.len().div_ceil(CHUNK)];
        pool.run_chunks(&mut sums, 1, |index, sum| {
            let chunk = &values[index * CHUNK..((index + 1) * CHUNK).min(values.len())];
            sum[0] = chunk.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
        });
        sums.iter().sum::<f64>().sqrt()
    }

    pub(crate) fn of(&mut self, entries: &[Entry], node: usize, role: Role) -> Option<&mut [f32]> {
        let entry = entries.iter().find(|entry| entry.node == node && entry.role == role)?;
        Some(&mut self.values.as_mut_slice()[entry.range.clone()])
    }

    /// Several gradients at once, each by its node and role.
    ///
    /// # Panics
    /// When a node lacks the parameter, or one is asked for twice.
    pub(crate) fn of_several<const N: usize>(
        &mut self,
        entries: &[Entry],
        wanted: [(usize, Role); N],
    ) -> [&mut [f32]; N] {
        let ranges = wanted.map(|(node, role)| {
            match entries.iter().find(|entry| entry.node == node && entry.role == role) {
                Some(entry) => entry.range.clone(),
                None => panic!("node {node} has no {role:?}"),
            }
        });
        match self.values.as_mut_slice().get_disjoint_mut(ranges) {
            Ok(several) => several,
            Err(error) => panic!("gradients of {wanted:?}: {error}"),
        }
    }
}
