//! The multiplicative angular margin and the annealing of its lambda.

use super::parameters::RangeError;
use super::{Target, multiple_angle};

/// Target logit of A-Softmax before the scale `|x|`: `(lambda c + psi(theta)) / (1 + lambda)`
/// (SphereFace, arXiv:1704.08063, eq. 7; lambda as in its authors' code).
pub(super) fn target(cosine: f64, m: u32, lambda: f64) -> Target {
    let margin = multiple_angle::target(cosine, f64::from(m), 0.0);
    Target::of_angle(
        (lambda * cosine + margin.psi) / (1.0 + lambda),
        (lambda + margin.slope) / (1.0 + lambda),
    )
}

/// How SphereFace's lambda falls during training: `max(minimum, base (1 + gamma iteration)^-power)`.
///
/// The default is that of the authors' published training files: `max(5, 1000 / (1 + 0.12 iteration))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LambdaSchedule {
    /// Lambda at iteration 0.
    pub base: f64,
    /// Speed of the fall, per iteration.
    pub gamma: f64,
    /// Exponent of the fall.
    pub power: f64,
    /// Lambda never goes below this.
    pub minimum: f64,
}

impl Default for LambdaSchedule {
    fn default() -> Self {
        Self { base: 1000.0, gamma: 0.12, power: 1.0, minimum: 5.0 }
    }
}

impl LambdaSchedule {
    /// Checks every number.
    ///
    /// # Errors
    /// The first one outside its range.
    pub fn check(&self) -> Result<(), RangeError> {
        let require = |parameter, value: f64, bound, holds: bool| match holds && value.is_finite() {
            true => Ok(()),
            false => Err(RangeError { loss: "lambda", parameter, value, bound }),
        };
        let Self { base, gamma, power, minimum } = *self;
        require("minimum", minimum, "from 0 and finite", minimum >= 0.0)?;
        require("base", base, "from the minimum and finite", base >= minimum)?;
        require("gamma", gamma, "above 0 and finite", gamma > 0.0)?;
        require("power", power, "above 0 and finite", power > 0.0)
    }

    /// Lambda at an iteration, counted from 0.
    pub fn at(&self, iteration: u64) -> f64 {
        (self.base * (1.0 + self.gamma * iteration as f64).powf(-self.power)).max(self.minimum)
    }
}

#[cfg(test)]
mod tests {
    use super::LambdaSchedule;

    #[test]
    fn lambda_falls_from_a_thousand_to_five() {
        let schedule = LambdaSchedule::default();
        assert_eq!(schedule.at(0), 1000.0);
        assert!((schedule.at(50) - 1000.0 / 7.0).abs() < 1e-12);
        assert!(schedule.at(1658) > 5.0);
        assert_eq!(schedule.at(1659), 5.0);
        assert_eq!(schedule.at(1_000_000), 5.0);
    }
}
