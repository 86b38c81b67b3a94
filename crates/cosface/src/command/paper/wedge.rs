//! Figure 3: regions on the circle, and the empty wedge between two classes.

use margin::{Loss, Problem, evaluate};

use super::canvas::{self, Anchor, Canvas};
use super::page::{Figure, Page, Table};

/// Angle between the two centres, in degrees; room for the margin: 1 - cos 70 degrees = 0.66.
const APART: f64 = 70.0;

const PANELS: [(&str, Loss); 2] =
    [("NSL", Loss::Nsl { s: 1.0 }), ("LMCL, m = 0.35", Loss::CosFace { s: 1.0, m: 0.35 })];

/// Whether a sample at this angle, taken as one of class `label`, has a posterior above one half, margin included.
fn is_content(loss: &Loss, degrees: f64, label: u32) -> bool {
    let unit = |degrees: f64| <[f64; 2]>::from(degrees.to_radians().sin_cos());
    let (feature, centres) = (unit(degrees), [unit(90.0 + APART / 2.0), unit(90.0 - APART / 2.0)].concat());
    let problem = Problem {
        features: &feature,
        weights: &centres,
        labels: &[label],
        samples: 1,
        classes: 2,
        dimension: 2,
    };
    evaluate(loss, &problem).is_ok_and(|found| found.loss < std::f64::consts::LN_2)
}

/// Degrees around the bisector where neither class is content.
fn wedge(loss: &Loss) -> f64 {
    let begins = |label: u32, sign: f64| {
        let (mut low, mut high) = (0.0, APART / 2.0);
        for _ in 0..60 {
            let half = f64::midpoint(low, high);
            if is_content(loss, 90.0 + sign * half, label) { high = half } else { low = half }
        }
        high
    };
    begins(0, 1.0) + begins(1, -1.0)
}

pub(super) fn page() -> Page {
    let svg = canvas::picture(760.0, 430.0, |canvas| {
        let entries = [
            ("class 1", canvas::FIRST),
            ("class 2", canvas::SECOND),
            ("neither: the margin", canvas::NEITHER),
        ];
        canvas.legend(&entries, (60.0, 18.0));
        for (index, (name, loss)) in PANELS.iter().enumerate() {
            draw(canvas, name, loss, (190.0 + 380.0 * index as f64, 240.0));
        }
    });
    let rows = PANELS.iter().map(|(name, loss)| vec![(*name).to_owned(), format!("{:.1}", wedge(loss))]);
    let table = Table {
        columns: vec!["loss".to_owned(), "wedge, degrees".to_owned()],
        rows: rows.collect(),
        footer: Vec::new(),
    };
    let (without, with) = (wedge(&PANELS[0].1), wedge(&PANELS[1].1));
    Page {
        name: "wedge",
        title: "Regions on the circle (figure 3)".to_owned(),
        claim: "on the circle NSL's regions meet at the bisector of W1 and W2; LMCL leaves an empty wedge between them."
            .to_owned(),
        verdict: match without < 1e-6 && with > 1.0 {
            true => format!("Holds: NSL leaves no gap, LMCL one of {with:.1} degrees between centres {APART} degrees apart."),
            false => format!("Does not hold: the wedge is {without:.1} degrees for NSL and {with:.1} for LMCL."),
        },
        figures: vec![Figure {
            name: "wedge".to_owned(),
            svg,
            caption: format!(
                "Directions in which a training sample of class 1 or class 2 has a posterior above one half, margin \
                 included, by the losses' own code. The centres stand {APART} degrees apart."
            ),
        }],
        tables: vec![("Degrees around the bisector that belong to neither class.".to_owned(), table)],
    }
}

fn draw(canvas: &Canvas<'_>, name: &str, loss: &Loss, centre: (f64, f64)) {
    const RADIUS: f64 = 150.0;
    const STEP: f64 = 0.25;
    let at = |degrees: f64, radius: f64| {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        (centre.0 + radius * cosine, centre.1 - radius * sine)
    };
    for (label, colour) in [(0, canvas::FIRST), (1, canvas::SECOND)] {
        // Steps that belong together become one sector.
        let steps = (360.0 / STEP) as usize;
        let content: Vec<bool> =
            (0..steps).map(|step| is_content(loss, (step as f64 + 0.5) * STEP - 90.0, label)).collect();
        let mut step = 0;
        while step < steps {
            let Some(first) = (step..steps).find(|&step| content[step]) else { break };
            let last = (first..steps).find(|&step| !content[step]).unwrap_or(steps);
            let mut points = vec![centre];
            points.extend((first..=last).map(|step| at(step as f64 * STEP - 90.0, RADIUS)));
            canvas.polygon(&points, colour);
            step = last;
        }
    }
    canvas.circle(centre, RADIUS, canvas::INK, 1.0);
    canvas.line(&[centre, at(90.0, RADIUS - 40.0)], canvas::INK, 0.6);
    canvas.line(&[at(90.0, RADIUS - 12.0), at(90.0, RADIUS + 8.0)], canvas::INK, 0.6);
    if wedge(loss) > 1.0 {
        canvas.text(&format!("{:.1}°", wedge(loss)), at(90.0, RADIUS - 26.0), Anchor::Middle, 15.0);
    }
    for (name, degrees) in [("W1", 90.0 + APART / 2.0), ("W2", 90.0 - APART / 2.0)] {
        canvas.arrow(centre, at(degrees, RADIUS), canvas::INK);
        canvas.text(name, at(degrees, RADIUS + 18.0), Anchor::Middle, 16.0);
    }
    canvas.text(name, (centre.0, centre.1 - RADIUS - 40.0), Anchor::Middle, 17.0);
}

#[cfg(test)]
mod tests {
    use super::{APART, PANELS, wedge};

    #[test]
    fn the_wedge_is_where_neither_cosine_leads_by_m() {
        assert!(wedge(&PANELS[0].1) < 1e-9);
        // cos(a - t) - cos(a + t) = 2 sin(a) sin(t) = m with a half the angle between the centres.
        let half = (0.35 / (2.0 * (APART / 2.0_f64).to_radians().sin())).asin().to_degrees();
        assert!((wedge(&PANELS[1].1) - 2.0 * half).abs() < 1e-6);
    }
}
