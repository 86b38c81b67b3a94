//! The weights of a convolution as panels of words for AMX, in the order of a map's runs.

use super::map::Runs;
use crate::amx::{BLOCK, TILE};
use crate::gemm::squares;
use crate::kernels::geometry::{Geometry, Tap};
use crate::pool::Pool;

/// Which way weights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Depth over inputs, columns of outputs.
    Forward,
    /// The other way round.
    Backward,
}

/// Channels of one side and the other of a product with weights, `[taps, in, out]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters {
    direction: Direction,
    inputs: usize,
    outputs: usize,
}

impl Filters {
    pub(super) fn of(geometry: &Geometry, direction: Direction) -> Filters {
        Filters { direction, inputs: geometry.source.channels, outputs: geometry.target.channels }
    }

    /// Channels in depth and across.
    pub(super) fn sides(&self) -> [usize; 2] {
        match self.direction {
            Direction::Forward => [self.inputs, self.outputs],
            Direction::Backward => [self.outputs, self.inputs],
        }
    }

    pub(super) fn panels(&self) -> usize {
        self.sides()[1].div_ceil(BLOCK)
    }

    /// Packs the panels, `[panel][depth of all runs][BLOCK]`, for the depth that `runs` cut.
    pub(super) fn pack(&self, pool: &Pool, runs: &Runs, weights: &[f32], words: &mut [u32]) {
        let panel_words = depth_words(runs) * BLOCK;
        pool.run_chunks(&mut words[..self.panels() * panel_words], panel_words, |panel, words| {
            let mut rest = words;
            for (run, taps) in runs {
                let (words, after) = std::mem::take(&mut rest).split_at_mut(run.steps * TILE * BLOCK);
                rest = after;
                #[expect(unsafe_code, reason = "calls functions of an instruction set")]
                // SAFETY: a processor with AMX has AVX-512 with BF16.
                unsafe {
                    match self.direction {
                        Direction::Forward => self.pack_rows(panel, taps, weights, words),
                        Direction::Backward => self.pack_columns(panel, taps, weights, words),
                    }
                }
            }
        });
    }

    /// Depth over taps and inputs: words of two rows of weights.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_rows(&self, panel: usize, taps: &[Tap], weights: &[f32], words: &mut [u32]) {
        let (first, outputs) = (panel * BLOCK, self.outputs);
        let columns = BLOCK.min(outputs - first);
        static ZEROS: [f32; BLOCK] = [0.0; BLOCK];
        let row = |element: usize| match taps.get(element / self.inputs) {
            Some(tap) => {
                let row = tap.index * self.inputs + element % self.inputs;
                &weights[row * outputs + first..][..columns]
            }
            None => &ZEROS[..columns],
        };
        for (index, words) in words.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let (first, second) = (row(2 * index).as_ptr(), row(2 * index + 1).as_ptr());
            #[expect(unsafe_code, reason = "reads rows by their addresses")]
            // SAFETY: both rows have the columns.
            unsafe {
                squares::interleave_at(first, second, columns, words);
            }
        }
    }

    /// Depth over taps and outputs: words along the rows of weights, transposed.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_columns(&self, panel: usize, taps: &[Tap], weights: &[f32], words: &mut [u32]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let depth = taps.len() * outputs;
        let mut copies = [[0.0f32; 2 * TILE]; TILE];
        for (step, words) in words.chunks_exact_mut(TILE * BLOCK).enumerate() {
            let elements = step * 2 * TILE..(step * 2 * TILE + 2 * TILE).min(depth);
            for half in 0..BLOCK / TILE {
                let first = panel * BLOCK + half * TILE;
                let mut rows: [&[f32]; TILE] = [&[]; TILE];
                if elements.start / outputs == (elements.end - 1) / outputs {
                    let (tap, output) = (taps[elements.start / outputs], elements.start % outputs);
                    for (row, input) in rows.iter_mut().zip(first..inputs) {
                        *row = &weights[(tap.index * inputs + input) * outputs + output..][..elements.len()];
                    }
                } else {
                    for (copy, input) in copies.iter_mut().zip(first..inputs) {
                        for (value, element) in copy.iter_mut().zip(elements.clone()) {
                            let (tap, output) = (taps[element / outputs], element % outputs);
                            *value = weights[(tap.index * inputs + input) * outputs + output];
                        }
                    }
                    for ((row, copy), _) in rows.iter_mut().zip(&copies).zip(first..inputs) {
                        *row = &copy[..elements.len()];
                    }
                }
                let square = squares::columns_of_rows(&rows);
                let target = &mut words[half * TILE..];
                assert!(target.len() >= (TILE - 1) * BLOCK + TILE, "a square of words");
                #[expect(unsafe_code, reason = "writes rows of a wider panel")]
                // SAFETY: the assertion.
                unsafe {
                    squares::store(&square, target.as_mut_ptr(), BLOCK * size_of::<u32>());
                }
            }
        }
    }
}

/// Words in depth of all runs.
pub(super) fn depth_words(runs: &Runs) -> usize {
    runs.iter().map(|(run, _)| run.steps * TILE).sum()
}
