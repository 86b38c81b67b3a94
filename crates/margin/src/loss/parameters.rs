//! From a name and numbers to a checked [`Loss`], and back.

use std::error::Error;
use std::f64::consts::PI;
use std::fmt;

use super::{ArcFaceSlope, Loss, NormStatistics};

/// Parameters by the names that recipes and case files use; `None` is a parameter that was not given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parameters {
    /// Logit scale.
    pub s: Option<f64>,
    /// The loss's single margin.
    pub m: Option<f64>,
    /// Factor on the angle, of `combined`.
    pub m1: Option<f64>,
    /// Angular margin in radians, of `combined`.
    pub m2: Option<f64>,
    /// Cosine margin, of `combined`.
    pub m3: Option<f64>,
    /// Weight of the plain cosine, of `sphereface`, `sphereface-normalised` and `l-softmax`.
    pub lambda: Option<f64>,
    /// How far a deviation moves the margin, of `adaface`.
    pub h: Option<f64>,
    /// Share of a new batch in the running statistics, of `curricularface` and `adaface`.
    pub rate: Option<f64>,
    /// Margin in radians at the lowest norm, of `magface`.
    pub m_low: Option<f64>,
    /// Margin in radians at the highest norm, of `magface`.
    pub m_high: Option<f64>,
    /// Lowest norm, of `magface`.
    pub norm_low: Option<f64>,
    /// Highest norm, of `magface`.
    pub norm_high: Option<f64>,
    /// Weight of the penalty of small norms, of `magface`.
    pub lambda_g: Option<f64>,
}

impl Parameters {
    /// Reads parameters that are stored as text, as in the metadata of a `.safetensors` file.
    ///
    /// # Errors
    /// [`ParameterError::NotANumber`] names the first parameter that does not parse.
    pub fn from_text<'a>(lookup: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ParameterError> {
        let number = |parameter: &'static str| {
            lookup(parameter)
                .map(|text| {
                    text.trim()
                        .parse()
                        .map_err(|_| ParameterError::NotANumber { parameter, text: text.to_owned() })
                })
                .transpose()
        };
        Ok(Self {
            s: number("s")?,
            m: number("m")?,
            m1: number("m1")?,
            m2: number("m2")?,
            m3: number("m3")?,
            lambda: number("lambda")?,
            h: number("h")?,
            rate: number("rate")?,
            m_low: number("m_low")?,
            m_high: number("m_high")?,
            norm_low: number("norm_low")?,
            norm_high: number("norm_high")?,
            lambda_g: number("lambda_g")?,
        })
    }

    /// Every parameter by its name, in a fixed order.
    pub fn named(&self) -> [(&'static str, Option<f64>); 13] {
        [
            ("s", self.s),
            ("m", self.m),
            ("m1", self.m1),
            ("m2", self.m2),
            ("m3", self.m3),
            ("lambda", self.lambda),
            ("h", self.h),
            ("rate", self.rate),
            ("m_low", self.m_low),
            ("m_high", self.m_high),
            ("norm_low", self.norm_low),
            ("norm_high", self.norm_high),
            ("lambda_g", self.lambda_g),
        ]
    }
}

impl Loss {
    /// Builds a loss from its name and parameters. No parameter has a default here; an adaptive loss has seen nothing.
    ///
    /// # Errors
    /// An unknown name, a parameter that is missing or that the loss does not take, a value out of range.
    pub fn from_parameters(name: &str, given: &Parameters) -> Result<Self, ParameterError> {
        let known = Self::NAMES.iter().find(|&&known| known == name);
        let &name = known.ok_or_else(|| ParameterError::UnknownLoss { name: name.to_owned() })?;
        let take = |parameter: &'static str, value: Option<f64>| {
            value.ok_or(ParameterError::Missing { loss: name, parameter })
        };
        let (s, m, lambda, rate) = (
            || take("s", given.s),
            || take("m", given.m),
            || take("lambda", given.lambda),
            || take("rate", given.rate),
        );
        let factor = || Ok::<u32, ParameterError>(whole_factor(name, m()?)?);
        let loss = match name {
            "softmax" => Self::Softmax,
            "nsl" => Self::Nsl { s: s()? },
            "cosface" => Self::CosFace { s: s()?, m: m()? },
            "cosface-raw-features" => Self::CosFaceRawFeatures { m: m()? },
            "arcface" => Self::ArcFace { s: s()?, m: m()?, slope: ArcFaceSlope::Exact },
            "arcface-detached" => Self::ArcFace { s: s()?, m: m()?, slope: ArcFaceSlope::Detached },
            "combined" => Self::Combined {
                s: s()?,
                m1: take("m1", given.m1)?,
                m2: take("m2", given.m2)?,
                m3: take("m3", given.m3)?,
            },
            "sphereface" => Self::SphereFace { m: factor()?, lambda: lambda()? },
            "sphereface-normalised" => {
                Self::SphereFaceNormalised { s: s()?, m: factor()?, lambda: lambda()? }
            }
            "l-softmax" => Self::LSoftmax { m: factor()?, lambda: lambda()? },
            "curricularface" => Self::CurricularFace { s: s()?, m: m()?, rate: rate()?, t: 0.0 },
            "magface" => Self::MagFace {
                s: s()?,
                m_low: take("m_low", given.m_low)?,
                m_high: take("m_high", given.m_high)?,
                norm_low: take("norm_low", given.norm_low)?,
                norm_high: take("norm_high", given.norm_high)?,
                lambda_g: take("lambda_g", given.lambda_g)?,
            },
            "adaface" => Self::AdaFace {
                s: s()?,
                m: m()?,
                h: take("h", given.h)?,
                rate: rate()?,
                norms: NormStatistics::default(),
            },
            _ => unreachable!("every name in NAMES is matched above"),
        };
        for ((parameter, value), (_, taken)) in given.named().into_iter().zip(loss.parameters().named()) {
            if value.is_some() && taken.is_none() {
                return Err(ParameterError::NotTaken { loss: name, parameter });
            }
        }
        loss.check()?;
        Ok(loss)
    }

    /// The parameters of this loss; [`Loss::from_parameters`] gives the loss back, and [`Loss::with_state`] what an
    /// adaptive one has seen.
    pub fn parameters(&self) -> Parameters {
        let none = Parameters::default();
        match *self {
            Self::Softmax => none,
            Self::Nsl { s } => Parameters { s: Some(s), ..none },
            Self::CosFace { s, m } | Self::ArcFace { s, m, .. } => {
                Parameters { s: Some(s), m: Some(m), ..none }
            }
            Self::CosFaceRawFeatures { m } => Parameters { m: Some(m), ..none },
            Self::Combined { s, m1, m2, m3 } => {
                Parameters { s: Some(s), m1: Some(m1), m2: Some(m2), m3: Some(m3), ..none }
            }
            Self::SphereFace { m, lambda } | Self::LSoftmax { m, lambda } => {
                Parameters { m: Some(f64::from(m)), lambda: Some(lambda), ..none }
            }
            Self::SphereFaceNormalised { s, m, lambda } => {
                Parameters { s: Some(s), m: Some(f64::from(m)), lambda: Some(lambda), ..none }
            }
            Self::CurricularFace { s, m, rate, .. } => {
                Parameters { s: Some(s), m: Some(m), rate: Some(rate), ..none }
            }
            Self::MagFace { s, m_low, m_high, norm_low, norm_high, lambda_g } => Parameters {
                s: Some(s),
                m_low: Some(m_low),
                m_high: Some(m_high),
                norm_low: Some(norm_low),
                norm_high: Some(norm_high),
                lambda_g: Some(lambda_g),
                ..none
            },
            Self::AdaFace { s, m, h, rate, .. } => {
                Parameters { s: Some(s), m: Some(m), h: Some(h), rate: Some(rate), ..none }
            }
        }
    }

    /// Checks every parameter against the range in which the loss is defined.
    ///
    /// # Errors
    /// The first parameter outside its range, with the range and why it ends there.
    pub fn check(&self) -> Result<(), RangeError> {
        let (loss, given) = (self.name(), self.parameters());
        let require = |parameter, value: Option<f64>, bound, holds: fn(f64) -> bool| match value {
            Some(value) if !holds(value) => Err(RangeError { loss, parameter, value, bound }),
            _ => Ok(()),
        };
        let above_zero = |value: f64| value > 0.0 && value.is_finite();
        let cosine = |value: f64| (0.0..=2.0).contains(&value);
        let radians = |value: f64| (0.0..PI).contains(&value);
        require("s", given.s, "above 0 and finite", above_zero)?;
        let cosine_bound = "from 0 to 2, the bound 1 - W_i . W_j of two opposite centres";
        let radians_bound = "from 0 to below pi radians";
        match self {
            Self::ArcFace { .. } | Self::CurricularFace { .. } => {
                require("m", given.m, radians_bound, radians)?;
            }
            Self::SphereFace { .. } | Self::SphereFaceNormalised { .. } | Self::LSoftmax { .. } => {
                require("m", given.m, WHOLE_FACTOR, |m| m >= 1.0)?;
            }
            Self::AdaFace { .. } => {
                require("m", given.m, "from 0 to 1", |m| (0.0..=1.0).contains(&m))?;
            }
            _ => require("m", given.m, cosine_bound, cosine)?,
        }
        require("m1", given.m1, "above 0 and finite", above_zero)?;
        require("m2", given.m2, radians_bound, radians)?;
        require("m3", given.m3, cosine_bound, cosine)?;
        let not_below_zero = |value: f64| value >= 0.0 && value.is_finite();
        require("lambda", given.lambda, "from 0 and finite", not_below_zero)?;
        require("h", given.h, "above 0 and finite", above_zero)?;
        require("rate", given.rate, "above 0 and at most 1", |rate| rate > 0.0 && rate <= 1.0)?;
        if let Self::MagFace { m_low, m_high, norm_low, norm_high, .. } = *self {
            require("m_low", given.m_low, radians_bound, radians)?;
            require("norm_low", given.norm_low, "above 0 and finite", above_zero)?;
            let refuse = |parameter, value, bound| Err(RangeError { loss, parameter, value, bound });
            if !(m_low..PI).contains(&m_high) {
                return refuse("m_high", m_high, "from m_low to below pi radians");
            }
            if !(norm_high > norm_low && norm_high.is_finite()) {
                return refuse("norm_high", norm_high, "above norm_low and finite");
            }
        }
        require("lambda_g", given.lambda_g, "from 0 and finite", not_below_zero)
    }
}

/// Range of a factor on the angle.
const WHOLE_FACTOR: &str = "a whole number from 1";

fn whole_factor(loss: &'static str, m: f64) -> Result<u32, RangeError> {
    if m >= 1.0 && m <= f64::from(u32::MAX) && m.fract() == 0.0 {
        Ok(m as u32)
    } else {
        Err(RangeError { loss, parameter: "m", value: m, bound: WHOLE_FACTOR })
    }
}

/// A parameter outside the range in which its loss is defined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeError {
    /// Name of the loss.
    pub loss: &'static str,
    /// Name of the parameter.
    pub parameter: &'static str,
    /// The value that was given.
    pub value: f64,
    /// The range, in words.
    pub bound: &'static str,
}

impl fmt::Display for RangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, parameter, value, bound } = self;
        write!(formatter, "loss {loss}: {parameter} must be {bound}: {value}")
    }
}

impl Error for RangeError {}

/// Why a name and numbers are not a loss.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterError {
    /// No loss has this name.
    UnknownLoss {
        /// The name that was given.
        name: String,
    },
    /// The loss needs a parameter that was not given.
    Missing {
        /// Name of the loss.
        loss: &'static str,
        /// Name of the parameter.
        parameter: &'static str,
    },
    /// A parameter was given that the loss does not have.
    NotTaken {
        /// Name of the loss.
        loss: &'static str,
        /// Name of the parameter.
        parameter: &'static str,
    },
    /// A stored parameter is not a number.
    NotANumber {
        /// Name of the parameter.
        parameter: &'static str,
        /// The text that was found.
        text: String,
    },
    /// A parameter is outside its range.
    OutOfRange(RangeError),
}

impl From<RangeError> for ParameterError {
    fn from(error: RangeError) -> Self {
        Self::OutOfRange(error)
    }
}

impl fmt::Display for ParameterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLoss { name } => {
                write!(formatter, "no such loss, the known ones are {}: {name}", Loss::NAMES.join(", "))
            }
            Self::Missing { loss, parameter } => {
                write!(formatter, "loss {loss} needs a parameter that was not given: {parameter}")
            }
            Self::NotTaken { loss, parameter } => {
                write!(formatter, "loss {loss} has no such parameter, remove it: {parameter}")
            }
            Self::NotANumber { parameter, text } => {
                write!(formatter, "loss parameter {parameter} is not a number: {text}")
            }
            Self::OutOfRange(error) => error.fmt(formatter),
        }
    }
}

impl Error for ParameterError {}
