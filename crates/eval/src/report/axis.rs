//! Axes: range, ticks and how numbers are written.

/// An axis of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it measures, with its unit.
    pub name: String,
    /// Even or logarithmic.
    pub spacing: Spacing,
    /// How its numbers are written.
    pub numbers: Numbers,
    /// Its ends; `None` fits the points.
    pub range: Option<(f64, f64)>,
}

/// How an axis is spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Equal differences are equally far apart.
    Even,
    /// Equal ratios are equally far apart. Points at or below zero are not on such an axis and are not drawn.
    Logarithmic,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// As they are.
    Plain,
    /// A fraction as a percentage.
    Percent,
}

impl Axis {
    /// An even axis that fits its points.
    pub fn even(name: &str) -> Self {
        Self { name: name.to_owned(), spacing: Spacing::Even, numbers: Numbers::Plain, range: None }
    }

    /// Position on the axis before scaling to the page; `None` where the axis has no such place.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.spacing {
            Spacing::Even => value,
            Spacing::Logarithmic => value.log10(),
        };
        place.is_finite().then_some(place)
    }

    /// Ends of the axis as places: its range, or the places of the points with a little room.
    pub(super) fn ends(&self, places: impl Iterator<Item = f64>) -> (f64, f64) {
        if let Some((low, high)) = self.range
            && let (Some(low), Some(high)) = (self.place(low), self.place(high))
        {
            return (low, high);
        }
        let (low, high) = places
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| (low.min(place), high.max(place)));
        match (high - low).partial_cmp(&0.0) {
            Some(std::cmp::Ordering::Greater) => (low, high),
            // One place only.
            Some(_) if low.is_finite() => (low - 0.5, high + 0.5),
            // None at all.
            _ => (0.0, 1.0),
        }
    }

    /// Places of about `count` ticks at round numbers.
    pub(super) fn ticks(&self, (low, high): (f64, f64), count: usize) -> Vec<f64> {
        let step = match self.spacing {
            Spacing::Even => round_step((high - low) / count as f64),
            Spacing::Logarithmic => ((high - low) / count as f64).ceil().max(1.0),
        };
        let room = 1e-9 * (high - low);
        let first = ((low - room) / step).ceil() as i64;
        let last = ((high + room) / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }

    /// The number at a place.
    pub(super) fn label(&self, place: f64) -> String {
        let value = match self.spacing {
            Spacing::Even => place,
            Spacing::Logarithmic => 10.0_f64.powf(place),
        };
        match self.numbers {
            Numbers::Percent => format!("{} %", short(value * 100.0)),
            Numbers::Plain => short(value),
        }
    }
}

/// The largest of 1, 2, 5 times a power of ten that is not above `wanted` times two.
fn round_step(wanted: f64) -> f64 {
    let power = 10.0_f64.powf(wanted.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= wanted * 0.999)
        .unwrap_or(power)
}

/// A number in few characters, without the noise of binary fractions.
fn short(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e");
    }
    let digits = (4 - size.log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Numbers, Spacing};

    fn labels(axis: &Axis, ends: (f64, f64), count: usize) -> Vec<String> {
        axis.ticks(ends, count).into_iter().map(|tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_stand_at_round_numbers_and_read_as_such() {
        let even = Axis::even("x");
        assert_eq!(labels(&even, (-1.0, 1.0), 5), ["-1", "-0.5", "0", "0.5", "1"]);
        assert_eq!(labels(&even, (0.0, 0.3), 3), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(&even, (0.0, 24_000.0), 5), ["0", "5000", "10000", "15000", "20000"]);
        let far = Axis { spacing: Spacing::Logarithmic, numbers: Numbers::Percent, ..Axis::even("FAR") };
        assert_eq!(labels(&far, (-4.0, 0.0), 5), ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"]);
    }

    #[test]
    fn an_axis_without_points_or_with_one_still_has_ends() {
        let axis = Axis::even("x");
        assert_eq!(axis.ends([].into_iter()), (0.0, 1.0));
        assert_eq!(axis.ends([3.0].into_iter()), (2.5, 3.5));
        assert_eq!(axis.ends([3.0, 5.0].into_iter()), (3.0, 5.0));
    }
}
