//! The report as a page.

use eval::report::{
    Axis, Block, Colour, Mark, Plot, Report, Section, Series, Shape, Spacing, evaluation_sections,
};
use eval::{Evaluation, Rule, Settings};

use super::made::{crowd, settings};

fn page(settings: &Settings) -> String {
    let (protocol, vectors) = crowd(120, 4, 10, 2);
    let evaluation = Evaluation::of(&protocol, &vectors, settings).expect("an evaluation");
    let report = Report {
        title: "Face verification".into(),
        subtitle: "model.safetensors on crowd.txt".into(),
        sections: evaluation_sections(&evaluation),
    };
    report.to_html().expect("a page")
}

#[test]
fn the_page_says_its_numbers_its_rules_and_what_was_refused() {
    let html = page(&settings());
    let (protocol, vectors) = crowd(120, 4, 10, 2);
    let evaluation = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    for part in [
        &format!("{:.2} %", 100.0 * evaluation.accuracy.value),
        &format!("{:.4}", evaluation.area.value),
        &evaluation.model.fingerprint,
        Rule::OtherFolds.in_words(),
        evaluation.feature_rule.in_words(),
        "refused",
        "1000000",
    ] {
        assert_eq!(html.contains(part), part != "1000000", "{part}");
    }
    assert!(!html.contains("class=\"warning\""), "nothing to warn of");
}

#[test]
fn an_optimistic_rule_is_marked_as_such() {
    let html = page(&Settings { rule: Rule::BestOnTest, ..settings() });
    assert!(html.contains("<p class=\"warning\">The threshold was chosen on the pairs it is judged on"));
}

#[test]
fn the_page_needs_no_script_and_no_network_and_no_fixed_colour() {
    let html = page(&settings());
    for foreign in ["<script", "http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let drawings = html.match_indices("<svg").count();
    assert_eq!(drawings, 8, "ROC, DET, scores and reliability, each wide and narrow");
    for (start, _) in html.match_indices("<svg") {
        let drawing = &html[start..start + html[start..].find("</svg>").expect("a whole drawing")];
        assert!(!drawing.contains("\"#"), "a colour that does not follow light and dark");
        assert!(drawing.matches("<text").count() > 8, "ticks and names");
    }
}

#[test]
fn names_of_strangers_are_text_and_not_markup() {
    let mut settings = settings();
    settings.model.name = "<img src=x onerror=alert(1)>&.safetensors".into();
    let html = page(&settings);
    assert!(!html.contains("<img"));
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;&amp;.safetensors"));
    let plot = Plot {
        x: Axis::even("<b>step</b>"),
        y: Axis::even("loss"),
        series: vec![],
        marks: vec![Mark { at: 0.5, name: "<i>".into() }],
    };
    let figure = plot.draw("caption");
    assert!(!figure.wide.contains("<b>") && !figure.wide.contains("<i>"));
}

#[test]
fn a_loss_that_is_not_finite_leaves_a_gap() {
    let plot = |points: Vec<(f64, f64)>| Plot {
        x: Axis::even("step"),
        y: Axis { spacing: Spacing::Logarithmic, ..Axis::even("loss") },
        series: vec![Series { name: "loss".into(), colour: Colour::Blue, shape: Shape::Line(points) }],
        marks: vec![],
    };
    let lines = |plot: &Plot| plot.draw("").wide.matches("stroke=\"var(--blue)\"").count();
    assert_eq!(lines(&plot(vec![(0.0, 9.0), (1.0, 5.0), (2.0, 3.0)])), 1);
    assert_eq!(lines(&plot(vec![(0.0, 9.0), (1.0, 5.0), (2.0, f64::NAN), (3.0, 4.0), (4.0, 4.0)])), 2);
    assert_eq!(lines(&plot(vec![(0.0, f64::NAN), (1.0, 0.0)])), 0);
    assert_eq!(lines(&plot(vec![])), 0);
    let says_so = |points| plot(points).draw("").wide.contains("no point lies on these axes");
    assert!(says_so(vec![]) && says_so(vec![(0.0, 0.0)]) && !says_so(vec![(0.0, 0.0), (1.0, 2.0)]));
}

#[test]
fn sections_of_others_stand_on_the_same_page() {
    let report = Report {
        title: "Run".into(),
        subtitle: String::new(),
        sections: vec![Section {
            heading: "Training".into(),
            blocks: vec![Block::Text("It went well.".into())],
        }],
    };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.html");
    report.write(&path).expect("written");
    let html = fs_err::read_to_string(&path).expect("text");
    assert!(html.contains("<h2>Training</h2>\n<p>It went well.</p>"), "{html}");
}
