//! From a name and numbers to a checked [`Loss`], and back.

use std::error::Error;
use std::f64::consts::PI;
use std::fmt;

use super::{ArcFaceSlope, Loss};

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
    /// Weight of the plain cosine, of `sphereface`.
    pub lambda: Option<f64>,
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
        })
    }

    fn named(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("s", self.s),
            ("m", self.m),
            ("m1", self.m1),
            ("m2", self.m2),
            ("m3", self.m3),
            ("lambda", self.lambda),
        ]
    }
}

impl Loss {
    /// Builds a loss from its name and parameters. No parameter has a default here.
    ///
    /// # Errors
    /// An unknown name, a parameter that is missing or that the loss does not take, a value out of range.
    pub fn from_parameters(name: &str, given: &Parameters) -> Result<Self, ParameterError> {
        let known = Self::NAMES.iter().find(|&&known| known == name);
        let &name = known.ok_or_else(|| ParameterError::UnknownLoss { name: name.to_owned() })?;
        let missing = |parameter| ParameterError::Missing { loss: name, parameter };
        let s = || given.s.ok_or(missing("s"));
        let m = || given.m.ok_or(missing("m"));
        let loss = match name {
            "softmax" => Self::Softmax,
            "nsl" => Self::Nsl { s: s()? },
            "cosface" => Self::CosFace { s: s()?, m: m()? },
            "cosface-raw-features" => Self::CosFaceRawFeatures { m: m()? },
            "arcface" => Self::ArcFace { s: s()?, m: m()?, slope: ArcFaceSlope::Exact },
            "arcface-detached" => Self::ArcFace { s: s()?, m: m()?, slope: ArcFaceSlope::Detached },
            "combined" => Self::Combined {
                s: s()?,
                m1: given.m1.ok_or(missing("m1"))?,
                m2: given.m2.ok_or(missing("m2"))?,
                m3: given.m3.ok_or(missing("m3"))?,
            },
            "sphereface" => {
                Self::SphereFace { m: whole_factor(m()?)?, lambda: given.lambda.ok_or(missing("lambda"))? }
            }
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

    /// The parameters of this loss; [`Loss::from_parameters`] gives the loss back.
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
            Self::SphereFace { m, lambda } => {
                Parameters { m: Some(f64::from(m)), lambda: Some(lambda), ..none }
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
        match self {
            Self::ArcFace { .. } => require("m", given.m, "from 0 to below pi radians", radians)?,
            Self::SphereFace { .. } => require("m", given.m, "a whole number from 1", |m| m >= 1.0)?,
            _ => require("m", given.m, cosine_bound, cosine)?,
        }
        require("m1", given.m1, "above 0 and finite", above_zero)?;
        require("m2", given.m2, "from 0 to below pi radians", radians)?;
        require("m3", given.m3, cosine_bound, cosine)?;
        require("lambda", given.lambda, "from 0 and finite", |value| value >= 0.0 && value.is_finite())
    }
}

fn whole_factor(m: f64) -> Result<u32, RangeError> {
    if m >= 1.0 && m <= f64::from(u32::MAX) && m.fract() == 0.0 {
        Ok(m as u32)
    } else {
        Err(RangeError { loss: "sphereface", parameter: "m", value: m, bound: "a whole number from 1" })
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
