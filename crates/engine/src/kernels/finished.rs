//! Products of gathered rows whose rows are finished, and measured, while they are still in a cache.

use std::ops::Range;

use super::batch_norm::{self, PartMoments, Parts};
use super::column;
use super::epilogue::Epilogue;
use super::stored::{Outlet, Stored, StoredMut};
use crate::gemm::{Fetch, Panels, Rows, Store, packed_rows_len, product_rows, row_block, row_granule};
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// With fewer blocks of rows than this, a block's panels are shared among tasks, and none sees whole rows.
const BLOCKS_OF_WHOLE_ROWS: usize = 8;
/// Tasks for each thread where rows are few.
const TASKS_OF_THREAD: usize = 2;
/// Words of weights that stay in the second-level cache for all blocks of rows.
const CACHED_WEIGHTS: usize = 128 * 1024;

/// `target[row] = epilogue(sum over k of rows[row][k] * panels[k])` for every row; returns the parts where
/// `moments` are asked for.
///
/// # Shapes
/// `target` `[rows, columns of the panels]`; `moments` at least `[PARTS, 2, columns]`, of which the moments of each
/// part are written as [`batch_norm::measure`] does.
///
/// # Panics
/// When the depths differ, or a length does not fit.
pub(crate) fn product(
    pool: &Pool,
    rows: &impl Rows,
    shape: Panels,
    panels: &[f32],
    epilogue: Epilogue<'_>,
    moments: Option<&mut [f32]>,
    target: StoredMut<'_>,
) -> Option<Parts> {
    let (channels, count) = (shape.columns, rows.count());
    let (isa, precision) = shape.arithmetic();
    let most = row_block(isa, precision);
    assert_eq!(target.len(), count * channels, "rows of the product");
    let moments = moments.filter(|_| count.div_ceil(most) >= BLOCKS_OF_WHOLE_ROWS);
    // Few rows: tasks share them or, where the weights are more than a cache holds, the panels first, since then every
    // weight is read once. A row's sums are the same in any block.
    let wanted = TASKS_OF_THREAD * pool.threads();
    let block = match moments {
        Some(_) => most,
        None => {
            let sharing = if shape.len() > CACHED_WEIGHTS { shape.count() } else { 1 };
            let blocks = wanted.div_ceil(sharing).max(count.div_ceil(most)).next_multiple_of(pool.threads());
            count.div_ceil(blocks).next_multiple_of(row_granule(isa, precision)).min(most)
        }
    };
    let row_blocks = count.div_ceil(block);
    let groups = match moments {
        None if target.as_ref().precision() == Precision::F32 => {
            wanted.div_ceil(row_blocks.max(1)).clamp(1, shape.count())
        }
        _ => 1,
    };
    let outlet = match groups {
        1 => Outlet::new(isa, target, Store::Replace, moments.is_some()),
        _ => Outlet::in_place(isa, target, Store::Replace),
    };
    let lens = [packed_rows_len(isa, precision), outlet.scratch_len(block * channels)];
    let finish =
        |index: usize, group: Range<usize>, scratch: &mut [f32], part: Option<&mut PartMoments<'_>>| {
            let (packed, scratch) = scratch.split_at_mut(lens[0]);
            let taken = index * block..((index + 1) * block).min(count);
            let place = taken.start * channels..taken.end * channels;
            let last = shape.panel(group.end - 1);
            let columns = shape.panel(group.start).first_column..last.first_column + last.columns;
            let (into, store) = outlet.open(place.clone(), scratch);
            let offset = |row: usize| (row - taken.start) * channels;
            let next = taken.end..(taken.end + taken.len()).min(count);
            let fetch = &mut Fetch::new([rows.bytes(next), &[], &[]]);
            product_rows(rows, taken.clone(), (shape, panels), group, packed, into, &offset, store, fetch);
            #[expect(unsafe_code, reason = "tasks share a tensor")]
            // SAFETY: these columns of these rows belong to this task alone, and rows that are measured or sent are its
            // own.
            unsafe {
                epilogue.after_floats(place.start).apply(isa, into, channels, 0..taken.len(), columns);
                if let Some(part) = part {
                    part.add(isa, Stored::F32(into.range(0..place.len())));
                }
                outlet.close(place, into);
            }
        };
    let Some(moments) = moments else {
        pool.run(row_blocks * groups, |task, scratch| {
            let (index, group) = (task / groups, task % groups);
            let group = group * shape.count() / groups..(group + 1) * shape.count() / groups;
            finish(index, group, scratch.at_least(lens.iter().sum()), None);
        });
        return None;
    };
    let blocks_in_part = row_blocks.div_ceil(column::PARTS);
    let parts = row_blocks.div_ceil(blocks_in_part);
    let moments = Shared::new(moments);
    pool.run(parts, |index, scratch| {
        let len = lens.iter().sum::<usize>();
        let (scratch, origin) = scratch.at_least(len + channels).split_at_mut(len);
        #[expect(unsafe_code, reason = "tasks share a buffer")]
        // SAFETY: this part's moments belong to this task alone.
        let sums = unsafe { moments.range(index * 2 * channels..(index + 1) * 2 * channels) };
        let mut part = PartMoments::new(origin, sums);
        for block in index * blocks_in_part..((index + 1) * blocks_in_part).min(row_blocks) {
            finish(block, 0..shape.count(), scratch, Some(&mut part));
        }
        part.finish();
    });
    Some(Parts::even(count, blocks_in_part * block))
}

/// As [`product`] for a `target` that was computed without its moments.
pub(crate) fn measured(
    pool: &Pool,
    done: Option<Parts>,
    moments: Option<&mut [f32]>,
    channels: usize,
    target: Stored<'_>,
) -> Option<Parts> {
    match (done, moments) {
        (None, Some(moments)) => Some(batch_norm::measure(pool, target, channels, moments)),
        (done, _) => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Dense;
    use crate::isa::Isa;
    use crate::kernels::epilogue::After;
    use crate::testing::{Numbers, assert_close};

    /// Rows around the borders of blocks and parts, few enough for shared panels and many.
    #[test]
    fn rows_are_finished_and_measured_as_by_plain_passes() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let block = row_block(isa, Precision::F32);
            for (count, depth, channels) in [
                (1, 5, 3),
                (block + 1, 40, 70),
                (8 * block - 1, 400, 33),
                (65 * block + 3, 9, 40),
                // Large enough to go past the caches.
                (27_000, 9, 40),
                (3, CACHED_WEIGHTS / 128, 130),
            ] {
                let mut numbers = Numbers::new(count as u64);
                let (left, right) = (numbers.vector(count * depth), numbers.vector(depth * channels));
                let residual = numbers.vector(count * channels);
                let [bias, slopes] = [(); 2].map(|()| numbers.vector(channels));
                let after = After { slopes: Some(&slopes), residual: Some((&residual).into()) };
                let epilogue = Epilogue { bias: Some(&bias), after };
                let run = |threads| {
                    let pool = Pool::with_isa(threads, isa).unwrap();
                    let shape = Panels::new(isa, Precision::F32, depth, channels);
                    let mut panels = vec![f32::NAN; shape.len()];
                    shape.pack(&pool, &right, &mut panels);
                    let mut target = vec![f32::NAN; count * channels];
                    let mut moments = vec![f32::NAN; column::PARTS * 2 * channels];
                    let rows = Dense::new(&left, depth);
                    let done = product(
                        &pool,
                        &rows,
                        shape,
                        &panels,
                        epilogue,
                        Some(&mut moments),
                        (&mut target).into(),
                    );
                    assert_eq!(done.is_some(), count.div_ceil(block) >= BLOCKS_OF_WHOLE_ROWS);
                    let parts =
                        measured(&pool, done, Some(&mut moments), channels, (&target).into()).unwrap();
                    moments.truncate(parts.rows().len() * 2 * channels);
                    (target, moments, parts)
                };
                let (target, moments, parts) = run(2);
                for (index, actual) in target.iter().enumerate() {
                    let (row, channel) = (index / channels, index % channels);
                    let product: f64 = (0..depth)
                        .map(|k| f64::from(left[row * depth + k]) * f64::from(right[k * channels + channel]))
                        .sum();
                    let value = product + f64::from(bias[channel]);
                    let value = if value > 0.0 { value } else { f64::from(slopes[channel]) * value };
                    let value = value + f64::from(residual[index]);
                    assert_close(&[*actual], &[value as f32], depth + 4);
                }
                for (part, rows) in
                    moments.chunks(2 * channels).zip(target.chunks(parts.rows()[0] * channels))
                {
                    let count = (rows.len() / channels) as f64;
                    for channel in 0..channels {
                        let column = || rows.iter().skip(channel).step_by(channels).map(|x| f64::from(*x));
                        let mean = column().sum::<f64>() / count;
                        let squares = column().map(|x| (x - mean).powi(2)).sum::<f64>();
                        assert!((f64::from(part[channel]) - mean).abs() < 1e-4, "{isa} {count}");
                        let actual = f64::from(part[channels + channel]);
                        assert!((actual - squares).abs() < 1e-4 * squares.max(1.0), "{isa} {count}");
                    }
                }
                assert_eq!(run(1), (target, moments, parts), "threads");
            }
        }
    }
}
