//! Learning rate and margin as functions of the step, and of nothing else.

use std::f64::consts::PI;

use margin::{LambdaSchedule, Loss};

/// How the learning rate falls after the warm-up.
///
/// `t` is the fraction of the steps after the warm-up that are done, `0 <= t < 1`.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `1`
    Constant,
    /// `factor ^ (number of milestones reached)`, as the paper trains (arXiv:1801.09414, section 4.1).
    Step {
        /// Steps at which the rate drops, ascending; the drop holds from that step on.
        at: Vec<u64>,
        /// What each drop multiplies the rate by.
        factor: f64,
    },
    /// `(1 - t) ^ power`
    Polynomial {
        /// 2 in InsightFace's arcface_torch.
        power: f64,
    },
    /// `floor + (1 - floor) (1 + cos(pi t)) / 2` (arXiv:1608.03983, eq. 5, without restarts).
    Cosine {
        /// Fraction of the base rate that remains at the end.
        floor: f64,
    },
}

/// Learning rate over a run of `steps` updates, counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub base: f64,
    /// Length of the linear warm-up in steps.
    pub warm_up: u64,
    /// Number of updates in the run.
    pub steps: u64,
    /// What happens after the warm-up.
    pub shape: Shape,
}

impl Schedule {
    /// Rate of the update number `step`, counted from 0.
    ///
    /// During the warm-up it is `base (step + 1) / warm_up`: no update is wasted at rate 0, and the last one
    /// of the warm-up has the full rate.
    ///
    /// # Panics
    /// When `step` is not below `steps`.
    #[must_use]
    pub fn learning_rate(&self, step: u64) -> f64 {
        assert!(step < self.steps, "step {step} is outside a run of {} steps", self.steps);
        if step < self.warm_up {
            return self.base * (step + 1) as f64 / self.warm_up as f64;
        }
        let t = (step - self.warm_up) as f64 / (self.steps - self.warm_up) as f64;
        self.base
            * match &self.shape {
                Shape::Constant => 1.0,
                Shape::Step { at, factor } => {
                    let reached = at.iter().filter(|&&milestone| milestone <= step).count();
                    factor.powi(reached as i32)
                }
                Shape::Polynomial { power } => (1.0 - t).powf(*power),
                Shape::Cosine { floor } => floor + (1.0 - floor) * 0.5 * (1.0 + (PI * t).cos()),
            }
    }
}

/// A value that moves in a straight line over the first steps and then stays.
///
/// With `from = 0` and `to = m` it is the margin warm-up that replaces the folk cure "softmax first".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Value at step 0, unless `steps` is 0.
    pub from: f64,
    /// Value from step `steps` on.
    pub to: f64,
    /// Number of steps on the way.
    pub steps: u64,
}

impl Ramp {
    /// A value that never moves.
    #[must_use]
    pub const fn constant(value: f64) -> Self {
        Self { from: value, to: value, steps: 0 }
    }

    /// `from + (to - from) step / steps`, and exactly `to` from `steps` on.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if step >= self.steps {
            return self.to;
        }
        self.from + (self.to - self.from) * step as f64 / self.steps as f64
    }
}

/// The loss of every step: its margin may grow at the start, its lambda may fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossSchedule {
    loss: Loss,
    warm_up: u64,
    scale: Option<Ramp>,
    lambda: Option<LambdaSchedule>,
}

impl LossSchedule {
    /// `loss`, whose margin grows from nothing in a straight line over the first `warm_up` steps, as
    /// [`Loss::with_margin_share`] says.
    ///
    /// # Panics
    /// When `warm_up` is not 0 and the margin of `loss` cannot move.
    #[must_use]
    pub fn new(loss: Loss, warm_up: u64) -> Self {
        assert!(warm_up == 0 || Self::can_move(&loss), "a margin warm-up of loss {}", loss.name());
        Self { loss, warm_up, scale: None, lambda: None }
    }

    /// The same with a lambda that falls; a loss without one stays as it is.
    #[must_use]
    pub fn with_lambda(self, lambda: Option<LambdaSchedule>) -> Self {
        Self { lambda, ..self }
    }

    /// The same with a scale that moves; a loss whose scale is the feature's norm stays as it is.
    #[must_use]
    pub fn with_scale(self, scale: Option<Ramp>) -> Self {
        Self { scale, ..self }
    }

    /// Whether the loss has a margin that can shrink to nothing: a cosine or an angle, but not a whole factor.
    #[must_use]
    pub fn can_move(loss: &Loss) -> bool {
        loss.with_margin_share(1.0).is_some()
    }

    /// The loss of the update number `step`, counted from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> Loss {
        let share = Ramp { from: 0.0, to: 1.0, steps: self.warm_up }.at(step);
        let warmed = match share < 1.0 {
            true => self.loss.with_margin_share(share).unwrap_or(self.loss),
            false => self.loss,
        };
        let scale = self.scale.map(|scale| scale.at(step));
        let warmed = scale.and_then(|scale| warmed.with_scale(scale)).unwrap_or(warmed);
        let lambda = self.lambda.map(|lambda| lambda.at(step));
        lambda.and_then(|lambda| warmed.with_lambda(lambda)).unwrap_or(warmed)
    }
}

#[cfg(test)]
mod tests {
    use margin::{LambdaSchedule, Loss};

    use super::{LossSchedule, Ramp, Schedule, Shape};

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() <= 1e-15, "{left} is not {right}");
    }

    #[test]
    fn warm_up_reaches_the_base_rate_at_its_last_step_and_never_is_zero() {
        let schedule = Schedule { base: 0.4, warm_up: 4, steps: 10, shape: Shape::Constant };
        for (step, rate) in [(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.4), (4, 0.4), (9, 0.4)] {
            close(schedule.learning_rate(step), rate);
        }
    }

    #[test]
    fn the_papers_small_set_schedule_drops_exactly_at_16k_24k_and_28k() {
        let shape = Shape::Step { at: vec![16_000, 24_000, 28_000], factor: 0.1 };
        let schedule = Schedule { base: 0.1, warm_up: 0, steps: 30_000, shape };
        for (step, rate) in
            [(0, 0.1), (15_999, 0.1), (16_000, 0.01), (23_999, 0.01), (24_000, 1e-3), (28_000, 1e-4)]
        {
            close(schedule.learning_rate(step), rate);
        }
    }

    #[test]
    fn polynomial_starts_at_the_base_rate_after_the_warm_up() {
        let schedule = Schedule { base: 1.0, warm_up: 2, steps: 6, shape: Shape::Polynomial { power: 2.0 } };
        for (step, rate) in [(0, 0.5), (1, 1.0), (2, 1.0), (3, 0.5625), (4, 0.25), (5, 0.0625)] {
            close(schedule.learning_rate(step), rate);
        }
    }

    #[test]
    fn cosine_passes_the_middle_halfway_and_ends_above_its_floor() {
        let schedule = Schedule { base: 1.0, warm_up: 0, steps: 8, shape: Shape::Cosine { floor: 0.0 } };
        close(schedule.learning_rate(0), 1.0);
        close(schedule.learning_rate(4), 0.5);
        close(schedule.learning_rate(6), 0.5 - 0.5 * std::f64::consts::FRAC_1_SQRT_2);
        let floored = Schedule { shape: Shape::Cosine { floor: 0.2 }, ..schedule };
        close(floored.learning_rate(4), 0.6);
    }

    #[test]
    #[should_panic(expected = "step 8 is outside a run of 8 steps")]
    fn a_step_after_the_end_is_a_bad_call() {
        let _ = Schedule { base: 1.0, warm_up: 0, steps: 8, shape: Shape::Constant }.learning_rate(8);
    }

    #[test]
    fn a_margin_ramp_starts_at_zero_and_stays_at_m() {
        let ramp = Ramp { from: 0.0, to: 0.35, steps: 5 };
        for (step, margin) in [(0, 0.0), (1, 0.07), (4, 0.28), (5, 0.35), (1_000, 0.35)] {
            close(ramp.at(step), margin);
        }
        assert_eq!(Ramp::constant(0.35).at(0), 0.35);
    }

    #[test]
    fn the_margin_of_a_loss_warms_up_and_its_scale_stays() {
        let schedule = LossSchedule::new(Loss::CosFace { s: 64.0, m: 0.5 }, 10);
        assert_eq!(schedule.at(0), Loss::CosFace { s: 64.0, m: 0.0 });
        assert_eq!(schedule.at(5), Loss::CosFace { s: 64.0, m: 0.25 });
        assert_eq!(schedule.at(10), Loss::CosFace { s: 64.0, m: 0.5 });
        let still = Loss::Combined { s: 64.0, m1: 1.0, m2: 0.3, m3: 0.2 };
        assert_eq!(LossSchedule::new(still, 0).at(0), still);
    }

    #[test]
    fn the_scale_moves_in_a_straight_line_and_a_loss_without_one_stays() {
        let scale = Some(Ramp { from: 16.0, to: 64.0, steps: 4 });
        let schedule = LossSchedule::new(Loss::CosFace { s: 64.0, m: 0.35 }, 0).with_scale(scale);
        for (step, s) in [(0, 16.0), (1, 28.0), (4, 64.0), (9, 64.0)] {
            assert_eq!(schedule.at(step), Loss::CosFace { s, m: 0.35 });
        }
        assert_eq!(LossSchedule::new(Loss::Softmax, 0).with_scale(scale).at(0), Loss::Softmax);
    }

    #[test]
    fn lambda_falls_with_the_steps() {
        let lambda = LambdaSchedule { base: 100.0, gamma: 1.0, power: 1.0, minimum: 5.0 };
        let schedule = LossSchedule::new(Loss::LSoftmax { m: 4, lambda: 5.0 }, 0).with_lambda(Some(lambda));
        assert_eq!(schedule.at(0), Loss::LSoftmax { m: 4, lambda: 100.0 });
        assert_eq!(schedule.at(4), Loss::LSoftmax { m: 4, lambda: 20.0 });
        assert_eq!(schedule.at(1000), Loss::LSoftmax { m: 4, lambda: 5.0 });
    }
}
