//! `cosface demo`: softmax against LMCL on synthetic faces, from nothing to a report.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::bail;
use clap::ValueEnum;
use cosface::Embedder;
use data::synth;
use eval::interval::Bootstrap;
use eval::protocol::{FoldOrigin, ImageKey, Kind, Pair};
use eval::report::{Block, Report, Section, evaluation_sections};
use eval::{Evaluation, FeatureRule, ModelIdentity, Protocol, Rule, Settings};
use face::Template;
use train::fit::Outcome;
use train::journal;
use train::recipe::{self, CheckedRecipe};
use train::run::RunDirectory;

use super::evaluate::{evaluate, find_images, summary};
use super::train::{prepare, train, training_section};
use super::{synth as faces, terminal};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// New or empty directory for faces, runs and report
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// `small` shows in half a minute that everything works; its figures say nothing
    #[arg(long, value_enum, default_value_t = Size::Normal)]
    size: Size,
    /// Seed of the faces and of training
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    Small,
    Normal,
}

/// How much of everything.
struct Plan {
    people: u32,
    images: u32,
    test_people: u32,
    test_images: u32,
    epochs: u32,
    batch: u32,
}

impl Size {
    fn plan(self) -> Plan {
        match self {
            Size::Small => {
                Plan { people: 30, images: 8, test_people: 20, test_images: 4, epochs: 3, batch: 32 }
            }
            Size::Normal => {
                Plan { people: 400, images: 12, test_people: 100, test_images: 6, epochs: 8, batch: 64 }
            }
        }
    }
}

/// The two losses that are compared: name, settings of `[loss]`.
const LOSSES: [(&str, &str); 2] = [
    ("softmax", r#"loss={name="softmax"}"#),
    ("LMCL", r#"loss={name="cosface", s=32, m=0.35, margin_warm_up="2 epochs"}"#),
];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (out, plan) = (&arguments.out, arguments.size.plan());
    if fs_err::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("the directory is not empty, choose another with --out or delete it: {}", out.display());
    }
    fs_err::create_dir_all(out)?;
    let population = |first, identities, images| synth::Settings {
        first,
        identities,
        images,
        seed: arguments.seed,
        strength: 1.0,
        template: Template::HIGH,
    };
    let (train_faces, test_faces) = (out.join("faces/train"), out.join("faces/test"));
    faces::write(&train_faces, &population(0, plan.people, plan.images), "faces")?;
    // Numbers beyond those of the training people: nobody is in both.
    faces::write(&test_faces, &population(plan.people, plan.test_people, plan.test_images), "test faces")?;
    let protocol = pairs(&plan);

    let mut evaluations = Vec::new();
    let mut sections = Vec::new();
    for (name, loss) in LOSSES {
        let recipe = recipe(&train_faces, &plan, arguments.seed, loss)?;
        let training = prepare(&recipe, None)?;
        let run =
            RunDirectory::create(&out.join(name.to_lowercase()), &recipe.to_toml_on(engine::Isa::detect()))?;
        let Outcome::Finished { model } = train(&recipe, training, &run, &AtomicBool::new(false), name)?
        else {
            bail!("training was stopped");
        };
        let mut embedder = Embedder::open(&model, 0)?;
        let settings = Settings {
            model: ModelIdentity {
                name: name.to_owned(),
                fingerprint: embedder.model().fingerprint().to_string(),
            },
            feature_rule: FeatureRule::Concatenated,
            rule: Rule::OtherFolds,
            fars: vec![0.1, 0.01],
            bootstrap: Bootstrap::default(),
            set_rule: None,
        };
        let files = find_images(&protocol, &test_faces)?;
        let evaluation = evaluate(&mut embedder, &protocol, files, data::Fit::Exact, &settings)?;
        evaluation.write(&run.path().join("evaluation.json"))?;
        let of_loss =
            |section: Section| Section { heading: format!("{name}: {}", section.heading), ..section };
        sections.push(of_loss(training_section(&journal::read(&run.journal())?)));
        sections.extend(evaluation_sections(&evaluation).into_iter().map(of_loss));
        evaluations.push((name, evaluation));
    }
    let rows: Vec<(&str, &Evaluation)> =
        evaluations.iter().map(|(name, evaluation)| (*name, evaluation)).collect();
    report(out, &plan, &rows, sections)?;
    terminal::say(&summary(&rows));
    terminal::say(&format!("report: {}", out.join("report.html").display()));
    Ok(())
}

/// The default recipe for a folder, made small enough for the demo.
fn recipe(tree: &Path, plan: &Plan, seed: u64, loss: &str) -> anyhow::Result<CheckedRecipe> {
    let overrides = [
        loss.to_owned(),
        format!("schedule.length=\"{} epochs\"", plan.epochs),
        format!("run.batch={}", plan.batch),
        format!("run.seed={seed}"),
    ];
    Ok(recipe::check(&recipe::for_folder(tree), &overrides)?)
}

/// Every genuine pair of neighbouring pictures, as many impostor pairs of neighbouring people, in ten folds of
/// people, so that no person is in two folds.
fn pairs(plan: &Plan) -> Protocol {
    const FOLDS: u32 = 10;
    let per_fold = plan.test_people / FOLDS;
    let mut images = Vec::new();
    for person in 0..plan.test_people {
        for image in 0..plan.test_images {
            let folder = format!("id{:04}", plan.people + person + 1);
            images.push(ImageKey { name: format!("{folder}/{:04}", image + 1), person: folder });
        }
    }
    let row = |person: u32, image: u32| (person * plan.test_images + image % plan.test_images) as usize;
    let mut pairs = Vec::new();
    for person in 0..per_fold * FOLDS {
        let fold = person / per_fold;
        for image in 0..plan.test_images {
            let other = fold * per_fold + (person - fold * per_fold + 1 + image % (per_fold - 1)) % per_fold;
            let (first, fold) = (row(person, image), fold as usize);
            pairs.push(Pair { first, second: row(person, image + 1), kind: Kind::Genuine, fold });
            pairs.push(Pair { first, second: row(other, image), kind: Kind::Impostor, fold });
        }
    }
    images.truncate((per_fold * FOLDS * plan.test_images) as usize);
    let (name, folds) = ("synthetic pairs".to_owned(), FOLDS as usize);
    Protocol { name, images, pairs, folds, fold_origin: FoldOrigin::File }
}

fn report(
    out: &Path,
    plan: &Plan,
    rows: &[(&str, &Evaluation)],
    sections: Vec<Section>,
) -> anyhow::Result<()> {
    let table = eval::report::Table {
        columns: ["loss", "accuracy", "AUC", "equal error rate"].map(str::to_owned).to_vec(),
        rows: rows
            .iter()
            .map(|(name, evaluation)| {
                vec![
                    (*name).to_owned(),
                    format!("{:.2} %", 100.0 * evaluation.accuracy.value),
                    format!("{:.4}", evaluation.area.value),
                    format!("{:.2} %", 100.0 * evaluation.equal_error_rate.value),
                ]
            })
            .collect(),
        footer: Vec::new(),
    };
    let overview = Section {
        heading: "Softmax and LMCL".to_owned(),
        blocks: vec![
            Block::Text(format!(
                "Two networks were trained alike on {} synthetic people with {} pictures each, one with softmax, one \
                 with the large margin cosine loss. Both were measured on {} people who were not in training. One \
                 seed each: a difference within the intervals below says nothing.",
                plan.people, plan.images, plan.test_people
            )),
            Block::Table(table),
        ],
    };
    let report = Report {
        title: "Demo".to_owned(),
        subtitle: "synthetic faces, two losses".to_owned(),
        sections: std::iter::once(overview).chain(sections).collect(),
    };
    Ok(report.write(&out.join("report.html"))?)
}
