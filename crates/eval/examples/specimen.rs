//! Writes a report of made-up vectors, to look at: `cargo run -p cosface-eval --example specimen -- report.html`.

use eval::protocol::{FoldOrigin, ImageKey, Kind, Pair, Protocol};
use eval::report::{Axis, Block, Colour, Plot, Report, Section, Series, Shape, evaluation_sections};
use eval::{Evaluation, FeatureRule, ModelIdentity, Rule, Settings, Vectors};

const PEOPLE: usize = 700;
const IMAGES: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: specimen REPORT.html")?;
    let mut state = 1801_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let (mut images, mut rows, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for person in 0..PEOPLE {
        let centre: Vec<f32> = (0..64).map(|_| next()).collect();
        for image in 0..IMAGES {
            images.push(ImageKey { person: format!("{person}"), name: format!("{person}/{image}") });
            rows.push(centre.iter().map(|value| value + 1.15 * next()).collect::<Vec<f32>>());
        }
        let (row, fold) = (person * IMAGES, person * 10 / PEOPLE);
        for other in 1..IMAGES {
            let stranger = (person + other * 17) % PEOPLE * IMAGES + other;
            pairs.push(Pair { first: row, second: row + other, kind: Kind::Genuine, fold });
            pairs.push(Pair { first: row, second: stranger, kind: Kind::Impostor, fold });
        }
    }
    let name = "specimen.txt".to_owned();
    let protocol = Protocol { name, images, pairs, folds: 10, fold_origin: FoldOrigin::File };
    let vectors = Vectors::from_rows(rows.iter().map(Vec::as_slice))?;
    let settings = Settings {
        model: ModelIdentity {
            name: "specimen.safetensors".to_owned(),
            fingerprint: "6f1c0d5e9a2b4c7d".to_owned(),
        },
        feature_rule: FeatureRule::Concatenated,
        rule: Rule::OtherFolds,
        fars: vec![1e-2, 1e-3, 1e-4],
        bootstrap: eval::interval::Bootstrap::default(),
        set_rule: None,
    };
    let mut sections = evaluation_sections(&Evaluation::of(&protocol, &vectors, &settings)?);
    let loss = (0..600).map(|step| (f64::from(step * 40), 3.0 + 19.0 * (-f64::from(step) / 120.0).exp()));
    let training = Plot {
        x: Axis::even("Step"),
        y: Axis::even("Loss"),
        series: vec![Series {
            name: String::new(),
            colour: Colour::Green,
            shape: Shape::Line(loss.collect()),
        }],
        marks: Vec::new(),
    };
    sections.push(Section {
        heading: "Training".to_owned(),
        blocks: vec![Block::Figure(training.draw("Mean loss of each step."))],
    });
    let subtitle = "Made-up vectors of 700 people, to see what a report looks like".to_owned();
    Report { title: "Face verification".to_owned(), subtitle, sections }
        .write(std::path::Path::new(&path))?;
    Ok(())
}
