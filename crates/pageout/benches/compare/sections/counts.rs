//! What a round trip makes the processor and the kernel do: counts, which do not depend on what else the machine does.

use std::process::{Command, Output};

use super::trips::{Buffers, Destination};
use super::{Setting, Skip};
use crate::child::Task;
use crate::measure::{Candidate, Lap, Outcome, Rounds, in_turns, real};
use crate::payload::{KIB, MIB, length};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::files::{Bare, NamedFiles};
use crate::stores::paged::Paged;
use crate::stores::{BARE, FILES, SUBJECT, Store};

pub(super) const ID: &str = "counts";
const UNCHECKED: &str = "pageout without integrity";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    for tool in [["valgrind", "--version"], ["strace", "-V"]] {
        let [program, version] = tool;
        Command::new(program).arg(version).output().map_err(|error| Skip(format!("{program} does not start: {error}")))?;
    }
    let mut table = Measured::new(head());
    let payloads_bytes: &[usize] = setting.mode.pick(&[4 * KIB, 64 * KIB, 2 * MIB], &[4 * KIB, 64 * KIB], &[4 * KIB]);
    for &payload_bytes in payloads_bytes {
        let trips = if payload_bytes < MIB { 200 } else { 20 };
        let candidates = [SUBJECT, UNCHECKED, FILES, BARE].map(|candidate| {
            Candidate::new(candidate, move |(), _| {
                let count = |trips| -> Outcome<[f64; 2]> {
                    let task = Task { section: ID, candidate, site: &setting.site, numbers: &[payload_bytes, trips] };
                    Ok([instructions(&task)?, system_calls(&task)?])
                };
                let (once, twice) = (count(trips)?, count(2 * trips)?);
                Ok([0, 1].map(|kind| Some((twice[kind] - once[kind]) / real(trips))).into())
            })
        });
        let laps = in_turns(Rounds { timed: 1, warm_up: 0 }, &mut (), candidates.into())?;
        table.row(format!("{}, instructions", length(payload_bytes)), &laps, 0);
        table.row(format!("{}, system calls", length(payload_bytes)), &laps, 1);
    }
    Ok(vec![table.into()])
}

fn head() -> Head {
    Head {
        id: ID,
        title: "What a round trip makes the machine do",
        note: "Instructions outside of the kernel (callgrind) and system calls (strace) of one round trip into a vector used \
               before: of twice as many trips in a process, less those of once as many, so that starting and warming up do not \
               count."
            .to_owned(),
        unit: "count",
        better: Better::Less,
        subject: SUBJECT,
        references: Vec::new(),
    }
}

/// Makes round trips and nothing else.
pub(super) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[payload_bytes, trips] = numbers else { return Err("counts need a length and a number of trips".into()) };
    let mut buffers = Buffers::new(Destination::Reused, payload_bytes);
    match candidate {
        SUBJECT => make(&mut buffers, Paged::new(site)?, trips)?,
        UNCHECKED => make(&mut buffers, Paged::without_integrity(site)?, trips)?,
        FILES => make(&mut buffers, NamedFiles::new(site)?, trips)?,
        BARE => make(&mut buffers, Bare::new(site)?, trips)?,
        other => return Err(format!("{other} is not counted").into()),
    }
    Ok(Vec::new())
}

fn make(buffers: &mut Buffers, mut store: impl Store, trips: usize) -> Outcome<()> {
    store.prepare()?;
    buffers.trips(&store, trips)?;
    buffers.check()
}

fn instructions(task: &Task<'_>) -> Outcome<f64> {
    let output = under("valgrind", &["--tool=callgrind", "--callgrind-out-file=/dev/null"], task)?;
    let text = String::from_utf8(output.stderr)?;
    let line = text.lines().find_map(|line| line.split_once("Collected :")).ok_or("callgrind did not say what it collected")?;
    Ok(line.1.trim().parse()?)
}

fn system_calls(task: &Task<'_>) -> Outcome<f64> {
    // The table ends with the line of the totals: percent, seconds, microseconds a call, calls, errors if there were any.
    let output = under("strace", &["-c", "-f"], task)?;
    let text = String::from_utf8(output.stderr)?;
    let total = text.lines().rfind(|line| line.ends_with("total")).ok_or("strace did not print its table")?;
    Ok(total.split_whitespace().nth(3).ok_or("strace printed another table")?.parse()?)
}

/// Runs the task under a program that watches it.
fn under(program: &str, arguments: &[&str], task: &Task<'_>) -> Outcome<Output> {
    let mut command = Command::new(program);
    command.args(arguments).arg(std::env::current_exe()?);
    match task.add_to(&mut command).output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
        Err(error) => Err(format!("{program}: {error}").into()),
    }
}
