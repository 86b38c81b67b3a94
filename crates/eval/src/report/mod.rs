//! `report.html`: one self-contained page, made of sections that anyone can add to.
//!
//! A [`Report`] is a list of [`Section`]s and a section a list of [`Block`]s; the evaluation contributes
//! [`evaluation_sections`], and training adds its own with the same words ([`Plot`] for curves). The page needs no
//! network and no JavaScript, follows the reader's light or dark setting, and carries each plot in a wide and a narrow
//! form so that its text stays readable on a telephone.

mod axis;
mod comparison;
mod evaluation;
mod identification;
mod plot;
mod statistics;

use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;

use crate::aside::write_aside;

pub use axis::{Axis, Numbers, Spacing};
pub use comparison::comparison_sections;
pub use evaluation::evaluation_sections;
pub use identification::{distractors_sections, identification_sections, impostors_section};
pub use plot::{Colour, Figure, Mark, Plot, Series, Shape};

const PAGE: &str = include_str!("page.html");

/// A page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the page is about.
    pub title: String,
    /// One sentence under the title.
    pub subtitle: String,
    /// The parts, in order.
    pub sections: Vec<Section>,
}

/// A part of a page under its own heading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// What stands below it.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", content = "content", rename_all = "lowercase")]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A paragraph that the reader must not miss.
    Warning(String),
    /// The few numbers that matter most.
    Headlines(Vec<Headline>),
    /// A list of terms and what they are here.
    Facts(Vec<(String, String)>),
    /// A table.
    Table(Table),
    /// A plot.
    Figure(Figure),
    /// Pictures with captions.
    Pictures(Vec<Picture>),
}

/// A number in large type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Headline {
    /// What it is.
    pub name: String,
    /// The number with its unit.
    pub value: String,
    /// Small print below it, such as its interval.
    pub note: String,
}

/// A table; the first column is text, the others are numbers and stand to the right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Column heads.
    pub columns: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
    /// A last row set apart, such as a mean; empty where there is none.
    pub footer: Vec<String>,
}

/// A picture that the page carries inside itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// A `data:` address with the bytes of the picture.
    pub address: String,
    /// What it shows.
    pub caption: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The page could not be made.
    #[error("cannot make the report")]
    Page(#[from] minijinja::Error),
    /// The file cannot be written; the source names it.
    #[error("cannot keep the report")]
    File(#[source] std::io::Error),
}

impl Report {
    /// The page as HTML.
    ///
    /// # Errors
    /// [`ReportError::Page`] where the template fails, which no content of ours makes it do.
    pub fn to_html(&self) -> Result<String, ReportError> {
        let mut environment = Environment::new();
        environment.add_template("page.html", PAGE)?;
        Ok(environment.get_template("page.html")?.render(context! { report => Serde(self) })?)
    }

    /// Writes the page: beside its place first, then renamed.
    ///
    /// # Errors
    /// [`ReportError`] where the page cannot be made or written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        write_aside(path, self.to_html()?.as_bytes()).map_err(ReportError::File)
    }
}
