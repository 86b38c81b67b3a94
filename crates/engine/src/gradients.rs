//! Gradients of the trained parameters, in the parameters' order.

use std::ops::Range;

use net::Role;

use crate::buffer::Buffer;
use crate::gemm::Store;
use crate::kernels::pointwise;
use crate::parameters::{Entry, Parameters};
use crate::pool::Pool;

/// One gradient for each trained value.
#[derive(Debug)]
pub struct Gradients {
    values: Buffer,
    /// Each layer's weights, and whether their gradient is zero though its memory is not: the first sum then replaces what
    /// is there, and nothing writes the zeros.
    weights: Vec<(Range<usize>, bool)>,
}

/// Elements that one partial sum of a norm covers.
const CHUNK: usize = 16 * 1024;

impl Gradients {
    /// Zeros for these parameters.
    #[must_use]
    pub fn zeros(parameters: &Parameters) -> Gradients {
        let weights = parameters.entries().iter().filter(|entry| entry.role == Role::Weight);
        let mut weights: Vec<_> = weights.map(|entry| (entry.range.clone(), false)).collect();
        weights.sort_by_key(|(range, _)| range.start);
        Gradients { values: Buffer::zeros(parameters.trained().len()), weights }
    }

    /// All values, in the order of [`Parameters::trained`].
    ///
    /// # Panics
    /// When they were cleared and no backward pass followed.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        assert!(
            self.weights.iter().all(|(_, is_zero)| !is_zero),
            "gradients are read before a backward pass"
        );
        self.values.as_slice()
    }

    /// Sets every gradient to zero.
    pub fn clear(&mut self, pool: &Pool) {
        let mut start = 0;
        for (range, is_zero) in &mut self.weights {
            *is_zero = true;
            pointwise::clear(pool, &mut self.values.as_mut_slice()[start..range.start]);
            start = range.end;
        }
        pointwise::clear(pool, &mut self.values.as_mut_slice()[start..]);
    }

    /// Writes the zeros of weights to which nothing was added since [`Gradients::clear`].
    pub(crate) fn settle(&mut self) {
        for (range, is_zero) in &mut self.weights {
            if std::mem::take(is_zero) {
                self.values.as_mut_slice()[range.clone()].fill(0.0);
            }
        }
    }

    /// The gradient of a node's weights, and whether to replace what is there or to add to it.
    ///
    /// # Panics
    /// When the node has none.
    pub(crate) fn of_weights(&mut self, entries: &[Entry], node: usize) -> (&mut [f32], Store) {
        let entry = entries.iter().find(|entry| entry.node == node && entry.role == Role::Weight);
        let Some(Entry { range, .. }) = entry else { panic!("node {node} has no weights") };
        let known = self.weights.iter_mut().find(|(known, _)| known == range);
        let is_zero = known.is_some_and(|(_, is_zero)| std::mem::take(is_zero));
        let store = if is_zero { Store::Replace } else { Store::Add };
        (&mut self.values.as_mut_slice()[range.clone()], store)
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
        let values = self.values();
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
