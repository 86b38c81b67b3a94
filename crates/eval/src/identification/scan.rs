//! All probes against all of a gallery, in tiles.

use ndarray::{Array2, ArrayView2};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::histogram::Histogram;
use crate::vectors::Vectors;

/// Probes of a task: each task reads the whole gallery, so that more probes mean less traffic.
const PROBES: usize = 256;
/// Gallery rows of a tile: at dimension 512 they take 1 MiB and their scores half of it, which a core's caches hold.
const ROWS: usize = 512;
/// Bins of the histogram of impostor scores: cosines in steps of 0.001.
const BINS: usize = 2000;

/// What a search leaves behind: for each probe a few numbers, whatever the size of the gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// One for each probe, in order.
    pub probes: Vec<ProbeScores>,
    /// Cosines of all probes with gallery rows of other people, in steps of 0.001.
    pub impostors: Histogram,
}

/// A probe's scores in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeScores {
    /// Highest cosine with a gallery row of the same person; `None` where the person is not in the gallery.
    pub mate: Option<f32>,
    /// Highest cosine with a row of another person.
    pub stranger: f32,
    /// Other people whose best row scores at least as high as the mate's; ties go against the probe. 0 without a mate.
    pub ahead: usize,
}

/// Why a search is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The gallery and the probes come from other models.
    #[error("probes and gallery must have one dimension, they have {probes} and {gallery}")]
    Dimension {
        /// Dimension of the probes.
        probes: usize,
        /// Dimension of the gallery.
        gallery: usize,
    },
    /// There is nobody to be mistaken for.
    #[error("probe {probe} has nobody else in the gallery to be mistaken for")]
    NoStranger {
        /// The probe, counted from 0.
        probe: usize,
    },
}

/// Searches every probe in the gallery, on all cores; memory beyond the vectors is a few megabytes a thread.
///
/// `probe_people` and `gallery_people` number the people. Rows of one person in the gallery are one candidate, with the
/// best of their scores. Scores are sums of f32 products in a fixed order, so that results do not depend on the number
/// of threads.
///
/// # Errors
/// [`ScanError`].
///
/// # Panics
/// Where there is not one person for each row.
pub fn search(
    probes: &Vectors,
    probe_people: &[usize],
    gallery: &Vectors,
    gallery_people: &[usize],
) -> Result<Scan, ScanError> {
    assert_eq!(probes.rows(), probe_people.len(), "there must be one person for each probe");
    assert_eq!(gallery.rows(), gallery_people.len(), "there must be one person for each gallery row");
    if probes.dimension() != gallery.dimension() {
        return Err(ScanError::Dimension { probes: probes.dimension(), gallery: gallery.dimension() });
    }
    // Rows of a person stand together, so that a person's best score is known when the person ends.
    let mut order: Vec<usize> = (0..gallery.rows()).collect();
    order.sort_by_key(|&row| gallery_people[row]);
    let people: Vec<usize> = order.iter().map(|&row| gallery_people[row]).collect();
    let starts: Vec<usize> = (0..probes.rows()).step_by(PROBES).collect();
    let task = |start: usize| {
        let rows = start..(start + PROBES).min(probes.rows());
        let mut block = Block::new(probes, rows.clone(), &probe_people[rows]);
        // Best mates first, as who is ahead can only be counted when they are known.
        block.find_mates(gallery, &order, &people);
        block.walk(gallery, &order, &people);
        (block.found, block.impostors)
    };
    let blocks: Vec<(Vec<ProbeScores>, Histogram)> =
        starts.into_par_iter().with_max_len(1).map(task).collect();
    let mut scan = Scan { probes: Vec::with_capacity(probes.rows()), impostors: Histogram::empty(BINS) };
    for (found, impostors) in blocks {
        scan.probes.extend(found);
        scan.impostors.merge(&impostors);
    }
    match scan.probes.iter().position(|probe| probe.stranger == f32::NEG_INFINITY) {
        Some(probe) => Err(ScanError::NoStranger { probe }),
        None => Ok(scan),
    }
}

/// A few probes on their way through the gallery.
struct Block<'a> {
    /// Unit vectors, `[probes, dimension]`.
    units: Vec<f32>,
    dimension: usize,
    people: &'a [usize],
    found: Vec<ProbeScores>,
    impostors: Histogram,
}

impl<'a> Block<'a> {
    fn new(probes: &Vectors, rows: std::ops::Range<usize>, people: &'a [usize]) -> Self {
        let units = rows.flat_map(|row| unit(probes.row(row)));
        let none = ProbeScores { mate: None, stranger: f32::NEG_INFINITY, ahead: 0 };
        Self {
            units: units.collect(),
            dimension: probes.dimension(),
            people,
            found: vec![none; people.len()],
            impostors: Histogram::empty(BINS),
        }
    }

    fn find_mates(&mut self, gallery: &Vectors, order: &[usize], people: &[usize]) {
        for (probe, &person) in self.people.iter().enumerate() {
            let first = people.partition_point(|&other| other < person);
            let last = people.partition_point(|&other| other <= person);
            if first == last {
                continue;
            }
            let mates: Vec<f32> = order[first..last].iter().flat_map(|&row| unit(gallery.row(row))).collect();
            let unit = &self.units[probe * self.dimension..][..self.dimension];
            let scores = product(&mates, unit, self.dimension);
            self.found[probe].mate = scores.iter().copied().reduce(f32::max);
        }
    }

    fn walk(&mut self, gallery: &Vectors, order: &[usize], people: &[usize]) {
        let count = self.people.len();
        // Best score so far of the person that a tile may end in the middle of.
        let mut best = vec![f32::NEG_INFINITY; count];
        let mut tile = Vec::with_capacity(ROWS * self.dimension);
        for start in (0..order.len()).step_by(ROWS) {
            let rows = start..(start + ROWS).min(order.len());
            tile.clear();
            order[rows.clone()].iter().for_each(|&row| tile.extend(unit(gallery.row(row))));
            let scores = product(&tile, &self.units, self.dimension);
            let scores = scores.as_slice().expect("a product is contiguous");
            for (row, scores) in rows.zip(scores.chunks_exact(count)) {
                let person = people[row];
                for ((probe, best), &score) in self.people.iter().zip(&mut best).zip(scores) {
                    if *probe != person {
                        self.impostors.add(f64::from(score).clamp(-1.0, 1.0));
                        *best = best.max(score);
                    }
                }
                if people.get(row + 1) != Some(&person) {
                    for (found, best) in self.found.iter_mut().zip(&mut best) {
                        found.stranger = found.stranger.max(*best);
                        found.ahead += usize::from(found.mate.is_some_and(|mate| *best >= mate));
                        *best = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// `[left rows, right rows]` products of rows. The order of each sum depends on `dimension` alone, so that equal
/// vectors have equal scores whatever the tile.
pub(super) fn product(left: &[f32], right: &[f32], dimension: usize) -> Array2<f32> {
    let view = |values| {
        let rows = <[f32]>::len(values) / dimension;
        ArrayView2::from_shape((rows, dimension), values).expect("whole rows")
    };
    view(left).dot(&view(right).t())
}

/// A vector at unit length; the length in f64, so that no square leaves the range of f32.
pub(super) fn unit(vector: &[f32]) -> impl Iterator<Item = f32> {
    let length = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(move |&value| (f64::from(value) / length) as f32)
}
