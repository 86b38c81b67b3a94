//! Plots as SVG inside the page.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{ChartBuilder, IntoDrawingArea, PathElement, Polygon, RGBColor, SVGBackend, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, IntoTextStyle, ShapeStyle};
use serde::Serialize;

use super::axis::Axis;

/// A plot to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The axis from left to right.
    pub x: Axis,
    /// The axis from bottom to top.
    pub y: Axis,
    /// What is drawn, the first below the others.
    pub series: Vec<Series>,
    /// Upright lines.
    pub marks: Vec<Mark>,
}

/// One line, area or band.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend; empty for none.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// What is drawn.
    pub shape: Shape,
}

/// What a series draws. A point that has no place on the axes, such as a loss that is not finite, leaves a gap.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A line through `(x, y)`.
    Line(Vec<(f64, f64)>),
    /// A line through `(x, y)` and the area below it.
    Area(Vec<(f64, f64)>),
    /// The area between `(x, low, high)`.
    Band(Vec<(f64, f64, f64)>),
}

/// An upright line with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where it stands on the x axis.
    pub at: f64,
    /// Its name.
    pub name: String,
}

/// Colours that the page turns into values for light and dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// The first colour: genuine pairs, or the model itself.
    Blue,
    /// The second colour: impostor pairs.
    Orange,
    /// A third.
    Green,
    /// A fourth.
    Purple,
    /// For what should stay behind.
    Grey,
}

/// A drawn plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Sentence below the plot.
    pub caption: String,
    /// Colours and names of the series.
    pub legend: Vec<(Colour, String)>,
    /// SVG for a wide page.
    pub wide: String,
    /// SVG for a telephone.
    pub narrow: String,
}

/// Plotters counts in whole pixels; drawing this much larger makes its rounding invisible.
const FINE: u32 = 4;
const GRID: RGBColor = RGBColor(1, 0, 0);
const INK: RGBColor = RGBColor(2, 0, 0);

impl Colour {
    const ALL: [Self; 5] = [Self::Blue, Self::Orange, Self::Green, Self::Purple, Self::Grey];

    fn variable(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Orange => "orange",
            Self::Green => "green",
            Self::Purple => "purple",
            Self::Grey => "grey",
        }
    }

    /// A stand-in that the page's own colour replaces in the finished SVG.
    fn placeholder(self) -> RGBColor {
        match self {
            Self::Blue => RGBColor(3, 0, 0),
            Self::Orange => RGBColor(4, 0, 0),
            Self::Green => RGBColor(5, 0, 0),
            Self::Purple => RGBColor(6, 0, 0),
            Self::Grey => RGBColor(7, 0, 0),
        }
    }
}

#[derive(Clone, Copy)]
struct Size {
    width: u32,
    height: u32,
    font: u32,
    ticks: (usize, usize),
}

const WIDE: Size = Size { width: 760, height: 400, font: 15, ticks: (7, 6) };
const NARROW: Size = Size { width: 360, height: 300, font: 15, ticks: (4, 5) };

/// The places of an axis, for Plotters, with the ticks that we chose.
struct Places {
    ends: (f64, f64),
    ticks: Vec<f64>,
}

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        let share = (value - self.ends.0) / (self.ends.1 - self.ends.0);
        pixels.0 + (share * f64::from(pixels.1 - pixels.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

/// What stands in a plot none of whose points has a place on its axes.
const NOTHING: &str = "no point lies on these axes";

impl Plot {
    /// Draws the plot in both sizes.
    pub fn draw(&self, caption: &str) -> Figure {
        let named = self.series.iter().filter(|series| !series.name.is_empty());
        Figure {
            caption: caption.to_owned(),
            legend: named.map(|series| (series.colour, series.name.clone())).collect(),
            wide: self.svg(WIDE),
            narrow: self.svg(NARROW),
        }
    }

    fn svg(&self, size: Size) -> String {
        let mut drawn = String::new();
        self.draw_into(&mut drawn, size).expect("drawing into a string does not fail");
        let body =
            drawn.split_once("\">\n").map_or("", |(_, body)| body).trim_end().trim_end_matches("</svg>");
        let mut body = body.replace("font-family=\"sans-serif\" ", "");
        let mut paint = |placeholder: RGBColor, variable: &str| {
            body =
                body.replace(&format!("\"#{:02X}0000\"", placeholder.0), &format!("\"var(--{variable})\""));
        };
        paint(GRID, "grid");
        paint(INK, "ink");
        for colour in Colour::ALL {
            paint(colour.placeholder(), colour.variable());
        }
        let (width, height) = (size.width * FINE, size.height * FINE);
        format!("<svg viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">\n{body}</svg>")
    }

    fn draw_into(&self, into: &mut String, size: Size) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let pixels = |count: u32| count * FINE;
        let root =
            SVGBackend::with_string(into, (pixels(size.width), pixels(size.height))).into_drawing_area();
        let font = ("sans-serif", f64::from(pixels(size.font)) * 1.24).into_font();
        let text = font.color(&INK);
        let x_ends = self.x.ends(self.points().filter_map(|(x, _)| self.x.place(x)));
        let y_ends = self.y.ends(self.points().filter_map(|(_, y)| self.y.place(y)));
        let name = Text::new(self.y.name.clone(), (pixels(4) as i32, pixels(2) as i32), text.clone());
        root.draw(&name)?;
        let x_name = text.pos(Pos::new(HPos::Center, VPos::Bottom));
        let middle = pixels(size.width + 56) as i32 / 2;
        root.draw(&Text::new(self.x.name.clone(), (middle, pixels(size.height - 2) as i32), x_name))?;

        let mut chart = ChartBuilder::on(&root)
            .margin_top(pixels(size.font + 16))
            .margin_right(pixels(28))
            .margin_bottom(pixels(size.font + 8))
            .x_label_area_size(pixels(size.font + 12))
            .y_label_area_size(pixels(70))
            .build_cartesian_2d(
                Places { ends: x_ends, ticks: self.x.ticks(x_ends, size.ticks.0) },
                Places { ends: y_ends, ticks: self.y.ticks(y_ends, size.ticks.1) },
            )?;
        let line = |colour: RGBColor, width: u32| ShapeStyle::from(&colour).stroke_width(width);
        chart
            .configure_mesh()
            .light_line_style(GRID.mix(0.0))
            .bold_line_style(line(GRID, FINE))
            .axis_style(line(GRID, FINE))
            .set_all_tick_mark_size(pixels(5))
            .x_label_formatter(&|place| self.x.label(*place))
            .y_label_formatter(&|place| self.y.label(*place))
            .label_style(("sans-serif", f64::from(pixels(size.font)) * 1.24).into_font().color(&INK))
            .draw()?;

        for series in &self.series {
            let colour = series.colour.placeholder();
            match &series.shape {
                Shape::Line(points) => {
                    for run in self.runs(points) {
                        chart.draw_series([PathElement::new(run, line(colour, FINE * 5 / 2))])?;
                    }
                }
                Shape::Area(points) => {
                    for run in self.runs(points) {
                        let (first, last) = (run[0].0, run[run.len() - 1].0);
                        let below = run.iter().copied().chain([(last, y_ends.0), (first, y_ends.0)]);
                        chart.draw_series([Polygon::new(below.collect::<Vec<_>>(), colour.mix(0.22))])?;
                        chart.draw_series([PathElement::new(run, line(colour, FINE * 2))])?;
                    }
                }
                Shape::Band(points) => {
                    let side = |high: bool| -> Vec<_> {
                        points.iter().map(|&(x, low, top)| (x, if high { top } else { low })).collect()
                    };
                    for (low, high) in self.runs(&side(false)).into_iter().zip(self.runs(&side(true))) {
                        let around: Vec<_> = low.into_iter().chain(high.into_iter().rev()).collect();
                        chart.draw_series([Polygon::new(around, colour.mix(0.2))])?;
                    }
                }
            }
        }
        for mark in &self.marks {
            let Some(place) = self.x.place(mark.at).filter(|place| (x_ends.0..=x_ends.1).contains(place))
            else {
                continue;
            };
            chart.draw_series([PathElement::new(
                [(place, y_ends.0), (place, y_ends.1)],
                line(INK, FINE * 3 / 2),
            )])?;
            let right = place > f64::midpoint(x_ends.0, x_ends.1);
            let (anchor, shift) =
                if right { (HPos::Right, -(FINE as i32) * 6) } else { (HPos::Left, FINE as i32 * 6) };
            let style = ("sans-serif", f64::from(pixels(size.font)) * 1.24)
                .into_text_style(&root)
                .color(&INK)
                .pos(Pos::new(anchor, VPos::Top));
            let (left, top) = chart.backend_coord(&(place, y_ends.1));
            root.draw(&Text::new(mark.name.clone(), (left + shift, top), style))?;
        }
        if self.points().all(|(x, y)| self.x.place(x).is_none() || self.y.place(y).is_none()) {
            let (left, top) = chart.backend_coord(&(x_ends.0, y_ends.1));
            let (right, bottom) = chart.backend_coord(&(x_ends.1, y_ends.0));
            let style = ("sans-serif", f64::from(pixels(size.font)) * 1.24)
                .into_text_style(&root)
                .color(&INK)
                .pos(Pos::new(HPos::Center, VPos::Center));
            let middle = (i32::midpoint(left, right), i32::midpoint(top, bottom));
            root.draw(&Text::new(NOTHING, middle, style))?;
        }
        root.present()
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| -> Vec<(f64, f64)> {
            match &series.shape {
                Shape::Line(points) | Shape::Area(points) => points.clone(),
                Shape::Band(points) => {
                    points.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]).collect()
                }
            }
        })
    }

    /// Runs of neighbouring points that have a place on both axes.
    fn runs(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        for &(x, y) in points {
            match (self.x.place(x), self.y.place(y)) {
                (Some(x), Some(y)) => runs.last_mut().expect("never empty").push((x, y)),
                _ => runs.push(Vec::new()),
            }
        }
        runs.retain(|run| !run.is_empty());
        runs
    }
}
