//! The questions that are asked, each in a section that can run alone.

mod budget;
mod chunks;
mod churn;
mod compressed;
mod counts;
mod fresh;
mod merge;
mod out_of_core;
mod ranges;
mod round_trip;
mod sealed;
mod stored;
mod swap;
mod threads;
mod trips;

use std::error::Error;
use std::fmt;

use crate::measure::{Outcome, Rounds};
use crate::options::Mode;
use crate::report::Table;
use crate::site::{FreshDirectories, Site};

/// A question.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Setting) -> Outcome<Vec<Table>>,
}

pub(crate) const SECTIONS: [Section; 14] = [
    Section { id: "round-trip", title: "Round trip", run: round_trip::run },
    Section { id: "sealed", title: "Encryption", run: sealed::run },
    Section { id: "compressed", title: "Compression", run: compressed::run },
    Section { id: "fresh", title: "New memory", run: fresh::run },
    Section { id: budget::ID, title: "Memory budget", run: budget::run },
    Section { id: "chunks", title: "A payload in several chunks", run: chunks::run },
    Section { id: "threads", title: "Threads", run: threads::run },
    Section { id: churn::ID, title: "Churn", run: churn::run },
    Section { id: "ranges", title: "Scattered ranges", run: ranges::run },
    Section { id: out_of_core::ID, title: "More payload than memory", run: out_of_core::run },
    Section { id: stored::ID, title: "More payload than memory, compressed and encrypted", run: stored::run },
    Section { id: merge::ID, title: "Merge of sorted chains", run: merge::run },
    Section { id: "swap", title: "Swap backend", run: swap::run },
    Section { id: counts::ID, title: "What a round trip makes the machine do", run: counts::run },
];

/// How and where to measure.
pub(crate) struct Setting {
    pub(crate) mode: Mode,
    pub(crate) site: Site,
}

impl Setting {
    pub(crate) fn rounds(&self) -> Rounds {
        let timed = self.mode.pick(7, 3, 1);
        Rounds { timed, warm_up: usize::from(self.mode != Mode::Smoke) }
    }
}

/// Why a section cannot run here.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Error for Skip {}

/// Does what a section had a process of its own started for.
pub(crate) fn be_child(task: &[String]) -> Outcome<()> {
    let [section, candidate, directory, numbers @ ..] = task else {
        return Err("a child needs a section, a candidate and a directory".into());
    };
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    // A directory of its own for each candidate, because the place on the disk changes what the device can do.
    let fresh = FreshDirectories::new(&Site::open(Some(directory.as_ref()))?)?;
    let site = Site::open(Some(fresh.path()))?;
    let lap = match section.as_str() {
        budget::ID => budget::be_child(candidate, &site, &numbers)?,
        churn::ID => churn::set::be_child(candidate, &site, &numbers)?,
        out_of_core::ID => out_of_core::be_child(candidate, &site, &numbers)?,
        stored::ID => stored::be_child(candidate, &site, &numbers)?,
        merge::ID => merge::be_child(candidate, &site, &numbers)?,
        counts::ID => counts::be_child(candidate, &site, &numbers)?,
        other => return Err(format!("{other} has no children").into()),
    };
    crate::child::answer(&lap);
    Ok(())
}
