//! Pictures in SVG, drawn in units of a page.

use std::fmt::Display;

use eval::report::{Colour, Figure, Series, Shape};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle};

use super::page::OverSeeds;

/// Colours that stay apart in print and for most colour-blind readers (Okabe and Ito's), then greys.
pub(super) const PEOPLE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x6B, 0x4E, 0x16),
    RGBColor(0x44, 0x44, 0x44),
];
pub(super) const FIRST: RGBColor = RGBColor(0x8F, 0xB8, 0xDE);
pub(super) const SECOND: RGBColor = RGBColor(0xF2, 0xB8, 0x80);
pub(super) const BOTH: RGBColor = RGBColor(0xB0, 0x7A, 0xA1);
pub(super) const NEITHER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const FAINT: RGBColor = RGBColor(0xC8, 0xC8, 0xC8);

/// Plotters counts in whole pixels; drawing this much larger makes its rounding invisible.
const FINE: f64 = 10.0;

/// Something to draw on.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Where a text stands against its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// Draws a picture `width` by `height` and returns it as a document of its own.
pub(super) fn picture(width: f64, height: f64, draw: impl FnOnce(&Canvas<'_>)) -> String {
    let mut drawn = String::new();
    {
        let size = ((width * FINE) as u32, (height * FINE) as u32);
        let area = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        let canvas = Canvas { area };
        draw(&canvas);
        done(canvas.area.present());
    }
    let body = drawn.split_once("\">\n").map_or("", |(_, body)| body);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n{body}",
        width * FINE,
        height * FINE
    )
}

/// Drawing into a string does not fail.
fn done<T, E: Display>(result: Result<T, E>) {
    if let Err(error) = result {
        panic!("drawing into a string failed: {error}");
    }
}

/// A curve and the band of its intervals, of which the part below 0 is cut off: no loss and no share lies there.
pub(super) fn with_band(name: &str, colour: Colour, points: &[(f64, OverSeeds)]) -> [Series; 2] {
    let band = points.iter().map(|&(x, y)| (x, (y.mean - y.half).max(0.0), y.mean + y.half)).collect();
    let line = points.iter().map(|&(x, y)| (x, y.mean)).collect();
    [
        Series { name: String::new(), colour, shape: Shape::Band(band) },
        Series { name: name.to_owned(), colour, shape: Shape::Line(line) },
    ]
}

/// A plot of the report as a document of its own: its colours fixed, its legend above it.
pub(super) fn of_plot(figure: &Figure) -> String {
    let colour = |colour: Colour| match colour {
        Colour::Blue => PEOPLE[0],
        Colour::Orange => PEOPLE[1],
        Colour::Green => PEOPLE[2],
        Colour::Purple => PEOPLE[3],
        Colour::Grey => FAINT,
    };
    let hexadecimal = |RGBColor(red, green, blue): RGBColor| format!("#{red:02X}{green:02X}{blue:02X}");
    let mut plot =
        figure.wide.replace("var(--ink)", &hexadecimal(INK)).replace("var(--grid)", &hexadecimal(FAINT));
    for (name, value) in [
        ("blue", Colour::Blue),
        ("orange", Colour::Orange),
        ("green", Colour::Green),
        ("purple", Colour::Purple),
        ("grey", Colour::Grey),
    ] {
        plot = plot.replace(&format!("var(--{name})"), &hexadecimal(colour(value)));
    }
    let plot = plot.replacen(
        "<svg ",
        "<svg x=\"0\" y=\"340\" width=\"7600\" height=\"4000\" font-family=\"sans-serif\" ",
        1,
    );
    let entries: Vec<(&str, RGBColor)> =
        figure.legend.iter().map(|(of, name)| (name.as_str(), colour(*of))).collect();
    let legend = picture(760.0, 440.0, |canvas| canvas.legend(&entries, (64.0, 18.0)));
    legend.replace("</svg>", &format!("{plot}\n</svg>"))
}

type Point = (f64, f64);

fn fine((x, y): Point) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

impl Canvas<'_> {
    pub(super) fn rectangle(&self, corner: Point, opposite: Point, colour: RGBColor) {
        done(self.area.draw(&Rectangle::new([fine(corner), fine(opposite)], colour.filled())));
    }

    pub(super) fn polygon(&self, points: &[Point], colour: RGBColor) {
        let points: Vec<_> = points.iter().copied().map(fine).collect();
        done(self.area.draw(&Polygon::new(points, colour.filled())));
    }

    pub(super) fn line(&self, points: &[Point], colour: RGBColor, width: f64) {
        let style = ShapeStyle::from(&colour).stroke_width((width * FINE) as u32);
        let points: Vec<_> = points.iter().copied().map(fine).collect();
        done(self.area.draw(&PathElement::new(points, style)));
    }

    pub(super) fn circle(&self, centre: Point, radius: f64, colour: RGBColor, width: f64) {
        let style = ShapeStyle::from(&colour).stroke_width((width * FINE) as u32);
        done(self.area.draw(&Circle::new(fine(centre), (radius * FINE) as i32, style)));
    }

    pub(super) fn dot(&self, centre: Point, radius: f64, colour: RGBColor) {
        let style = colour.mix(0.6).filled();
        done(self.area.draw(&Circle::new(fine(centre), (radius * FINE) as i32, style)));
    }

    /// A line with a head at its end.
    pub(super) fn arrow(&self, from: Point, to: Point, colour: RGBColor) {
        self.line(&[from, to], colour, 2.0);
        let (x, y) = (to.0 - from.0, to.1 - from.1);
        let length = x.hypot(y);
        let (x, y) = (x / length, y / length);
        let back = (to.0 - 10.0 * x, to.1 - 10.0 * y);
        self.polygon(
            &[to, (back.0 - 4.5 * y, back.1 + 4.5 * x), (back.0 + 4.5 * y, back.1 - 4.5 * x)],
            colour,
        );
    }

    /// A text whose middle height is at `at`.
    pub(super) fn text(&self, text: &str, at: Point, anchor: Anchor, size: f64) {
        self.coloured_text(text, at, anchor, size, INK);
    }

    pub(super) fn coloured_text(&self, text: &str, at: Point, anchor: Anchor, size: f64, colour: RGBColor) {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        // Plotters takes the size of a line, which is 1.24 times the font's.
        let font = ("sans-serif", size * FINE * 1.24).into_font().color(&colour);
        let style = font.pos(Pos::new(horizontal, VPos::Center));
        done(self.area.draw(&Text::new(text.to_owned(), fine(at), style)));
    }

    /// Coloured squares with names, from left to right.
    pub(super) fn legend(&self, entries: &[(&str, RGBColor)], at: Point) {
        let mut x = at.0;
        for (name, colour) in entries {
            self.rectangle((x, at.1 - 7.0), (x + 14.0, at.1 + 7.0), *colour);
            let border = [
                (x, at.1 - 7.0),
                (x + 14.0, at.1 - 7.0),
                (x + 14.0, at.1 + 7.0),
                (x, at.1 + 7.0),
                (x, at.1 - 7.0),
            ];
            self.line(&border, FAINT, 1.0);
            self.text(name, (x + 20.0, at.1), Anchor::Left, 14.0);
            x += 20.0 + 7.0 * name.chars().count() as f64 + 20.0;
        }
    }
}
