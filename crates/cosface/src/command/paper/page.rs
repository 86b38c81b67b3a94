//! What an experiment says: a claim, figures, tables and one sentence whether the claim holds here.

use std::path::Path;

pub(super) use eval::report::Table;
use eval::report::{Block, Report, Section};

use super::trials::write_file;

/// One experiment.
pub(super) struct Page {
    /// Name on the command line.
    pub(super) name: &'static str,
    /// Heading.
    pub(super) title: String,
    /// What the paper claims.
    pub(super) claim: String,
    /// Whether it holds here.
    pub(super) verdict: String,
    /// Pictures.
    pub(super) figures: Vec<Figure>,
    /// Tables, each with a sentence above it.
    pub(super) tables: Vec<(String, Table)>,
}

/// A picture that stands alone.
pub(super) struct Figure {
    /// Name of the file, without ending.
    pub(super) name: String,
    /// The picture.
    pub(super) svg: String,
    /// What it shows.
    pub(super) caption: String,
}

impl Page {
    /// Writes each figure into a file of its own.
    pub(super) fn write_figures(&self, out: &Path) -> anyhow::Result<()> {
        for figure in &self.figures {
            write_file(&out.join(format!("{}.svg", figure.name)), figure.svg.as_bytes())?;
        }
        Ok(())
    }

    /// The tables and the verdict for a terminal.
    pub(super) fn summary(&self) -> String {
        let mut parts = vec![format!("{}: {}", self.name, self.title)];
        for (_, table) in &self.tables {
            let rows: Vec<Vec<String>> =
                std::iter::once(&table.columns).chain(&table.rows).cloned().collect();
            parts.push(super::super::terminal::table(&rows));
        }
        parts.push(self.verdict.clone());
        parts.join("\n") + "\n"
    }

    fn section(&self) -> Section {
        let mut blocks =
            vec![Block::Text(format!("The paper: {}", self.claim)), Block::Text(self.verdict.clone())];
        blocks.extend(self.figures.iter().map(|figure| {
            Block::Figure(eval::report::Figure {
                caption: figure.caption.clone(),
                legend: Vec::new(),
                wide: figure.svg.clone(),
                narrow: figure.svg.clone(),
            })
        }));
        for (sentence, table) in &self.tables {
            blocks.push(Block::Text(sentence.clone()));
            blocks.push(Block::Table(table.clone()));
        }
        Section { heading: self.title.clone(), blocks }
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\nThe paper: {}\n\n**{}**\n", self.title, self.claim, self.verdict);
        for figure in &self.figures {
            text += &format!("\n![{}]({}.svg)\n\n{}\n", self.title, figure.name, figure.caption);
        }
        for (sentence, table) in &self.tables {
            let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
            let rule: Vec<String> = table
                .columns
                .iter()
                .enumerate()
                .map(|(index, _)| if index == 0 { "---" } else { "---:" }.to_owned())
                .collect();
            text += &format!("\n{sentence}\n\n{}{}", row(&table.columns), row(&rule));
            text.extend(table.rows.iter().map(|cells| row(cells)));
        }
        text
    }
}

/// Writes all experiments as one page, `paper.html`, and as text beside the figures, `paper.md`; `made` says how they
/// were made.
pub(super) fn write(pages: &[Page], made: &str, out: &Path) -> anyhow::Result<()> {
    let report = Report {
        title: "The paper, reproduced".to_owned(),
        subtitle: format!("experiments of CosFace (arXiv:1801.09414); {made}"),
        sections: pages.iter().map(Page::section).collect(),
    };
    report.write(&out.join("paper.html"))?;
    let parts: Vec<String> = pages.iter().map(Page::markdown).collect();
    let text = format!(
        "# The paper, reproduced\n\nExperiments of CosFace (arXiv:1801.09414); {made}.\n\n{}",
        parts.join("\n")
    );
    Ok(write_file(&out.join("paper.md"), text.as_bytes())?)
}

/// A mean over seeds with its interval at 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OverSeeds {
    pub(super) mean: f64,
    /// Half the width: Student's t times the standard error.
    pub(super) half: f64,
}

impl OverSeeds {
    /// Of one value for each seed, two at least.
    pub(super) fn of(values: &[f64]) -> OverSeeds {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let half = student(values.len() - 1) * (squares / (count - 1.0) / count).sqrt();
        OverSeeds { mean, half }
    }

    /// `12.3 ± 0.4`.
    pub(super) fn text(self, digits: usize) -> String {
        format!("{:.digits$} ± {:.digits$}", self.mean, self.half)
    }
}

/// The 97.5 % quantile of Student's distribution.
fn student(freedom: usize) -> f64 {
    const QUANTILES: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    // Beyond ten degrees of freedom, the first term of its expansion around the normal one errs by less than 1 %.
    let normal = 1.96;
    QUANTILES.get(freedom.wrapping_sub(1)).copied().unwrap_or(normal + 2.37 / freedom as f64)
}

#[cfg(test)]
mod tests {
    use super::{OverSeeds, student};

    #[test]
    fn an_interval_over_seeds_is_student_s() {
        let three = OverSeeds::of(&[1.0, 2.0, 3.0]);
        assert_eq!(three.mean, 2.0);
        assert!((three.half - 4.303 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert!((student(20) - 2.086).abs() < 0.02 && (student(11) - 2.201).abs() < 0.03);
    }
}
