//! What a round trip costs: a payload goes out and comes back whole, against the designs one would write by hand.
//!
//! ```text
//! cargo bench -p pageout --bench round_trip
//! cargo bench -p pageout --bench round_trip -- --quick --json FILE --dir DIR
//! ```
//!
//! All candidates are measured in one run, in turns, on the same memory and in the same directory, so that a noisy machine
//! is noisy for all of them: trust the ratios. Payloads stay in the page cache; this is the cost of the way there and
//! back, not of the device. Payloads are bytes, which is all that any candidate sees of its elements, and lets every
//! rival read into memory that was not cleared first.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

mod support;

use std::error::Error;
use std::process::ExitCode;

use support::candidates::Site;
use support::machine::Machine;
use support::options::{Mode, Options};
use support::rounds::{Destination, Plan, Row};
use support::{candidates, json, rounds, table};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Payloads by destination. Allocators recycle short vectors, so memory is only ever new for long ones.
const TABLES: [(Destination, &[usize]); 2] =
    [(Destination::Reused, &[4 * KIB, 64 * KIB, MIB, 2 * MIB, 16 * MIB]), (Destination::Fresh, &[MIB, 2 * MIB, 16 * MIB])];

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("round_trip: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let site = Site::open(options.dir.as_deref())?;
    let plan = match options.mode {
        Mode::Full => Plan::FULL,
        Mode::Quick => Plan::QUICK,
        Mode::Smoke => return smoke(&site),
    };
    let machine = Machine::inspect(site.file_system());
    println!("{machine}\n{plan}\n");
    let mut rows: Vec<Row> = Vec::new();
    for (destination, payloads_bytes) in TABLES {
        println!("{destination}\n\n{}", table::HEAD);
        for &payload_bytes in payloads_bytes {
            let measured = rounds::measure(&plan, destination, payload_bytes, candidates::all(&site)?)?;
            for row in &measured {
                println!("{}", table::line(row));
            }
            rows.extend(measured);
        }
        println!();
    }
    if let Some(path) = &options.json {
        std::fs::write(path, json::document(&machine, &plan, &rows)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Runs everything once. The times would only mislead, so none is printed.
fn smoke(site: &Site) -> Result<(), Box<dyn Error>> {
    for (destination, payloads_bytes) in TABLES {
        for &payload_bytes in payloads_bytes {
            rounds::measure(&Plan::SMOKE, destination, payload_bytes, candidates::all(site)?)?;
        }
    }
    println!("round_trip: every candidate brought its bytes back; measure with cargo bench");
    Ok(())
}
