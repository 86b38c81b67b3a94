//! Some of a head's classes as a head of their own, for steps over a sample of very many classes.

use super::Head;
use crate::buffer::Buffer;
use crate::pool::Pool;

impl Head {
    /// Copies the centres of some classes, and their velocities, out of `all`: afterwards this head's class `i` is
    /// `classes[i]`. Memory is kept between calls.
    ///
    /// # Panics
    /// When the heads differ in dimension or centres of a class, or `classes` is empty or names one that is not there.
    pub fn gather(&mut self, pool: &Pool, all: &Head, classes: &[u32]) {
        let rows = self.check_shape(all, classes);
        self.classes = classes.len();
        let len = classes.len() * rows;
        for (into, from) in [(&mut self.weights, &all.weights), (&mut self.velocity, &all.velocity)] {
            let from = from.as_slice();
            let len = if from.is_empty() { 0 } else { len };
            into.resize(len);
            pool.run_chunks(into.as_mut_slice(), rows, |index, into| {
                into.copy_from_slice(&from[classes[index] as usize * rows..][..rows]);
            });
        }
    }

    /// Copies this head's centres and velocities back to the `classes` of `all` from which they were gathered. Centres
    /// and velocities of all other classes stay as they are: neither momentum nor weight decay acts on them.
    ///
    /// # Panics
    /// As [`Head::gather`], and when `classes` does not ascend.
    pub fn scatter(&self, all: &mut Head, classes: &[u32]) {
        let rows = self.check_shape(all, classes);
        assert!(classes.windows(2).all(|pair| pair[0] < pair[1]), "chosen classes must ascend");
        assert_eq!(self.classes, classes.len(), "classes of another sample");
        if !self.velocity.as_slice().is_empty() && all.velocity.as_slice().is_empty() {
            all.velocity = Buffer::zeros(all.weights.as_slice().len());
        }
        for (from, into) in [(&self.weights, &mut all.weights), (&self.velocity, &mut all.velocity)] {
            let into = into.as_mut_slice();
            for (class, from) in classes.iter().zip(from.as_slice().chunks_exact(rows)) {
                into[*class as usize * rows..][..rows].copy_from_slice(from);
            }
        }
    }

    /// Values of one class.
    fn check_shape(&self, all: &Head, classes: &[u32]) -> usize {
        let shape = |head: &Head| [head.per_class, head.dimension];
        assert_eq!(shape(self), shape(all), "centres of a class and dimension of two heads");
        assert!(!classes.is_empty(), "a sample without classes");
        if let Some(class) = classes.iter().find(|class| **class as usize >= all.classes) {
            panic!("class {class} of a head with {}", all.classes);
        }
        self.per_class * self.dimension
    }
}
