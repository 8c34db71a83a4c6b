//! What was measured, as tables: Markdown for people and documents, JSON for programs.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::machine::Machine;
use crate::measure::{Laps, Spread};

/// All results of one run.
#[derive(Serialize)]
pub(crate) struct Document {
    pub(crate) title: &'static str,
    /// What reproduces it.
    pub(crate) command: String,
    #[serde(serialize_with = "in_order")]
    pub(crate) machine: Machine,
    pub(crate) tables: Vec<Table>,
}

/// The results of one question.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Table {
    Measured(Measured),
    /// It could not be asked here.
    Skipped {
        id: &'static str,
        title: &'static str,
        skipped: String,
    },
}

/// What is the same for the whole of a table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What is measured, and what is fair or unfair to whom.
    pub(crate) note: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// The candidate that the others are compared with.
    pub(crate) subject: &'static str,
    /// The candidates that get a column of ratios.
    pub(crate) references: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Less,
    More,
}

#[derive(Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    head: Head,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    unit: &'static str,
    better: Better,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    candidate: &'static str,
    #[serde(serialize_with = "rounded")]
    min: f64,
    #[serde(serialize_with = "rounded")]
    median: f64,
    #[serde(serialize_with = "rounded")]
    max: f64,
}

impl Table {
    pub(crate) fn skipped(&self) -> Option<&str> {
        match self {
            Self::Measured(_) => None,
            Self::Skipped { skipped, .. } => Some(skipped),
        }
    }
}

impl Measured {
    pub(crate) fn new(head: Head) -> Self {
        Self { head, rows: Vec::new() }
    }

    /// Adds a sentence to the note.
    pub(crate) fn remark(&mut self, sentence: &str) {
        self.head.note = format!("{} {sentence}", self.head.note);
    }

    /// Adds row number `row` of the laps, in the unit of the table.
    pub(crate) fn row(&mut self, name: impl Into<String>, laps: &[Laps], row: usize) {
        let (unit, better) = (self.head.unit, self.head.better);
        self.row_in(name, unit, better, laps, row);
    }

    /// As [`Self::row`], in a unit of its own.
    pub(crate) fn row_in(&mut self, name: impl Into<String>, unit: &'static str, better: Better, laps: &[Laps], row: usize) {
        let cell = |laps: &Laps| Some(Cell::new(laps.candidate, laps.spread(row)?));
        self.rows.push(Row { name: name.into(), unit, better, cells: laps.iter().filter_map(cell).collect() });
    }
}

impl From<Measured> for Table {
    fn from(measured: Measured) -> Self {
        Self::Measured(measured)
    }
}

impl Cell {
    fn new(candidate: &'static str, Spread { min, median, max }: Spread) -> Self {
        Self { candidate, min, median, max }
    }
}

impl Row {
    /// How far the subject is ahead of a candidate: above 1 it is.
    fn ratio(&self, subject: &str, candidate: &str) -> Option<f64> {
        let median = |name: &str| Some(self.cells.iter().find(|cell| cell.candidate == name)?.median);
        let (subject, reference) = (median(subject)?, median(candidate)?);
        Some(if self.better == Better::Less { reference / subject } else { subject / reference })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(measured) => measured.fmt(out),
            Self::Skipped { title, skipped, .. } => writeln!(out, "## {title}\n\nskipped: {skipped}"),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { title, note, unit, references, subject, .. } = &self.head;
        writeln!(out, "## {title}\n\n{note}\n")?;
        write!(out, "| {unit} | candidate | min | median | max |")?;
        references.iter().try_for_each(|reference| write!(out, " vs {reference} |"))?;
        writeln!(out, "\n| --- | --- | --: | --: | --: |{}", " --: |".repeat(references.len()))?;
        for row in &self.rows {
            for cell in &row.cells {
                write!(out, "| {} | {} ", self.label(row), cell.candidate)?;
                write!(out, "| {} | {} | {} |", shown(cell.min), shown(cell.median), shown(cell.max))?;
                for reference in references {
                    // A ratio belongs to a row; it stands where the row has the subject.
                    let ratio = row.ratio(subject, reference).filter(|_| cell.candidate == *subject);
                    write!(out, " {} |", ratio.map_or(String::new(), |ratio| format!("{ratio:.2} x")))?;
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

impl Measured {
    fn label(&self, row: &Row) -> String {
        if row.unit == self.head.unit { row.name.clone() } else { format!("{}, {}", row.name, row.unit) }
    }
}

/// What stands above the tables: the machine, and how to read them.
pub(crate) fn preface(machine: &Machine) -> String {
    let facts: Vec<String> = machine.iter().map(|(name, fact)| format!("- {name}: {fact}")).collect();
    let reading = "Ratios are of medians; above 1 the candidate that has them is ahead.";
    format!("{}\n\n{reading}\n", facts.join("\n"))
}

/// A number with three digits that say something, or all in front of the point.
fn shown(value: f64) -> String {
    let decimals = if value.abs() >= 99.95 || value == 0.0 {
        0
    } else if value.abs() >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// Rounded to four significant digits, and those in front of the point: more would only be noise.
fn significant(value: f64) -> f64 {
    if value == 0.0 {
        return value;
    }
    let scale = 10f64.powf((3.0 - value.abs().log10().floor()).max(0.0));
    (value * scale).round() / scale
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(significant(*value))
}

fn in_order<S: Serializer>(machine: &Machine, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(machine.iter().map(|(name, fact)| (name, fact)))
}
