//! Everything that is claimed about speed, in one run: pageout against the designs one would write by hand, against LMDB,
//! and against what the system itself can do.
//!
//! ```text
//! cargo bench -p pageout
//! cargo bench -p pageout -- --quick --only round-trip,threads --json FILE --dir DIR
//! ```
//!
//! The candidates of a section are measured in turns, on the same memory and in the same directory, so that a noisy machine
//! is noisy for all of them: trust the ratios. Standard output is Markdown; the same results go to a JSON document.

#![deny(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

mod child;
mod machine;
mod measure;
mod options;
mod payload;
mod report;
mod sections;
mod site;
mod stores;
mod system;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use measure::Outcome;
use options::{Mode, Options};
use report::{Document, Table};
use sections::{SECTIONS, Section, Setting, Skip};
use site::Site;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, task)) if first == child::MARK => sections::be_child(task),
        _ => run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Outcome<()> {
    let options = Options::parse(arguments.into_iter())?;
    let setting = Setting { mode: options.mode, site: Site::open(options.dir.as_deref())? };
    let machine = machine::inspect(setting.site.file_system());
    if setting.mode != Mode::Smoke {
        println!("{}", report::preface(&machine));
    }
    let mut tables = Vec::new();
    for section in SECTIONS.iter().filter(|section| options.wants(section.id)) {
        for table in measured_or_skipped(section, &setting)? {
            if setting.mode != Mode::Smoke {
                println!("{table}");
            } else if let Some(reason) = table.skipped() {
                println!("compare: {} is skipped: {reason}", section.id);
            }
            tables.push(table);
        }
    }
    if setting.mode == Mode::Smoke {
        println!("compare: every candidate read its bytes back; measure with cargo bench");
        if options.json.is_none() {
            return Ok(());
        }
    }
    let document = Document { title: "pageout in Rust", command: options.command(), machine, tables };
    write_out(&document, &options)
}

fn measured_or_skipped(section: &Section, setting: &Setting) -> Outcome<Vec<Table>> {
    match (section.run)(setting) {
        Err(error) => match error.downcast::<Skip>() {
            Ok(skip) => Ok(vec![Table::Skipped { id: section.id, title: section.title, skipped: skip.0 }]),
            Err(error) => Err(format!("{}: {error}", section.id).into()),
        },
        tables => tables,
    }
}

fn write_out(document: &Document, options: &Options) -> Outcome<()> {
    let json = serde_json::to_string_pretty(document)?;
    let path = options.json.clone().unwrap_or_else(|| results_directory().join("rust.json"));
    write_with_parents(&path, &json).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn write_with_parents(path: &Path, content: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)
}

/// `bench` in cargo's target directory, whose `tmp` cargo names to benchmarks.
fn results_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench")
}
