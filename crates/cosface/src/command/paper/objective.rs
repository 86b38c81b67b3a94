//! What a network is trained with: a loss over classes, one on features, or both.

use anyhow::ensure;
use engine::{Centres, Head, Pool, SgdStep};
use margin::beside::{CenterLoss, ContrastiveLoss, Labelled, TripletLoss};
use margin::{LambdaSchedule, Loss};
use train::schedule::Ramp;

use super::faces::Faces;

/// What is minimised.
#[derive(Clone, Copy)]
pub(super) struct Objective {
    /// Loss over class logits; none where features alone are trained.
    pub(super) classes: Option<Loss>,
    /// How lambda falls, for the losses that have one.
    pub(super) lambda: Option<LambdaSchedule>,
    /// Loss on features with its weight.
    pub(super) features: Option<(f64, OnFeatures)>,
}

/// A loss on features.
#[derive(Clone, Copy)]
pub(super) enum OnFeatures {
    Center(CenterLoss),
    Contrastive(ContrastiveLoss),
    Triplet(TripletLoss),
}

impl Objective {
    /// A loss over classes alone.
    pub(super) fn of(loss: Loss) -> Objective {
        Objective { classes: Some(loss), lambda: None, features: None }
    }

    /// Whether batches must hold several images of one person.
    pub(super) fn needs_pairs(&self) -> bool {
        matches!(self.features, Some((_, OnFeatures::Contrastive(_) | OnFeatures::Triplet(_))))
    }

    /// Refuses faces that lack what the loss needs, before training starts.
    pub(super) fn check(&self, faces: &Faces) -> anyhow::Result<()> {
        let several = (0..faces.people as u32)
            .all(|person| faces.labels.iter().filter(|&&label| label == person).count() >= 2);
        ensure!(
            several || !self.needs_pairs(),
            "a loss over pairs or triplets needs two images or more of every person"
        );
        Ok(())
    }

    /// The loss over classes with the lambda of a step.
    fn at(&self, step: u64) -> Option<Loss> {
        let lambda = self.lambda.map(|schedule| schedule.at(step));
        let annealed = |loss: Loss| lambda.and_then(|lambda| loss.with_lambda(lambda)).unwrap_or(loss);
        self.classes.map(annealed)
    }
}

/// Class centres and whatever else an objective moves beside the network.
pub(super) struct Learned {
    objective: Objective,
    /// Share of the margin at each step.
    margin: Ramp,
    head: Head,
    /// Means that [`CenterLoss`] follows, `[people, dimension]`.
    means: Vec<f64>,
}

impl Learned {
    /// At `centres`, `[people, dimension]`.
    pub(super) fn new(objective: Objective, margin: Ramp, centres: &[f32], dimension: usize) -> Learned {
        let mut head = Head::zeros(centres.len() / dimension, dimension);
        head.weights_mut().copy_from_slice(centres);
        Learned { objective, margin, head, means: vec![0.0; centres.len()] }
    }

    pub(super) fn centres(&self) -> &[f32] {
        self.head.weights()
    }

    /// Loss of a batch; its gradient goes to `d_features`, and the centres move.
    pub(super) fn step(
        &mut self,
        pool: &Pool,
        step: u64,
        features: &[f32],
        labels: &[u32],
        d_features: &mut [f32],
        descent: SgdStep,
    ) -> anyhow::Result<f64> {
        let mut total = 0.0;
        d_features.fill(0.0);
        if let Some(loss) = self.objective.at(step) {
            let (loss, centres) = (warmed(loss, self.margin.at(step)), Centres::Descend(descent));
            total += self.head.step(pool, &loss, features, labels, d_features, centres).loss;
        }
        if let Some((weight, loss)) = self.objective.features {
            let wide: Vec<f64> = features.iter().map(|value| f64::from(*value)).collect();
            let batch = Labelled { features: &wide, labels, dimension: self.head.dimension() };
            let found = match loss {
                OnFeatures::Center(center) => {
                    let found = center.evaluate(&batch, &self.means)?;
                    center.follow(&batch, &mut self.means);
                    found
                }
                OnFeatures::Contrastive(contrastive) => contrastive.evaluate(&batch)?,
                OnFeatures::Triplet(triplet) => triplet.evaluate(&batch)?,
            };
            total += weight * found.loss;
            for (into, value) in d_features.iter_mut().zip(found.d_features) {
                *into += (weight * value) as f32;
            }
        }
        Ok(total)
    }
}

/// The loss with a share of its margin, where that margin can grow from 0.
fn warmed(loss: Loss, share: f64) -> Loss {
    loss.with_margin_share(share).unwrap_or(loss)
}
