//! What is counted.

use std::error::Error;
use std::io;
use std::process::Command;

use pageout::{Handle, Pager, PagerBuilder, TakeError};

use crate::trace::{Counts, Traced, mark};

/// The first argument of the process that is stepped through; a case follows.
pub(crate) const CHILD: &str = "--child";

/// Payloads.
const LENGTHS_KIB: [usize; 2] = [4, 64];
/// Trips before the first that is counted: files are there, slots are warm, and the key is drawn.
const WARM_UP_TRIPS: usize = 100;
/// Trips that are counted.
const TRIPS: usize = 5;
/// What a trip does between two marks each. The first does nothing, and so costs what marks do.
const VERBS: [&str; 4] = ["nothing", "pageout", "read", "take"];

/// A kind of pager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unchecked,
    Checked,
    /// Within a memory budget that holds all.
    Resident,
}

const KINDS: [Kind; 3] = [Kind::Unchecked, Kind::Checked, Kind::Resident];

impl Kind {
    /// Its name in what is recorded: checksums are computed in the way of the processor.
    fn name(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Checked if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vbmi2") => "checked-avx512",
            Self::Checked if is_x86_feature_detected!("avx2") => "checked-avx2",
            Self::Checked => "checked-sse2",
            Self::Resident => "resident",
        }
    }

    fn builder(self) -> PagerBuilder {
        let builder = Pager::builder();
        match self {
            Self::Unchecked => builder.integrity(false),
            Self::Checked => builder,
            Self::Resident => builder.resident_bytes(1 << 20),
        }
    }
}

/// What a verb costs.
pub(crate) struct Counted {
    /// Length, pager and verb.
    pub(crate) name: String,
    pub(crate) counts: Counts,
}

/// Counts all verbs of all cases.
pub(crate) fn count_all() -> io::Result<Vec<Counted>> {
    let mut all = Vec::new();
    for kind in KINDS {
        for length_kib in LENGTHS_KIB {
            let case = format!("{length_kib}KiB {}", kind.name());
            let trips = count(&case)?;
            let nothing = median(&trips, 0);
            for (position, verb) in VERBS.iter().enumerate().skip(1) {
                let counts = median(&trips, position).without(nothing);
                all.push(Counted { name: format!("{case} {verb}"), counts });
            }
        }
    }
    Ok(all)
}

/// Runs a case in a process of its own, and counts each verb of each trip.
fn count(case: &str) -> io::Result<Vec<[Counts; VERBS.len()]>> {
    let mut child = Traced::start(Command::new(std::env::current_exe()?).args([CHILD, case]))?;
    let mut trips = Vec::new();
    while child.run()? {
        let mut trip = [Counts::default(); VERBS.len()];
        for counts in &mut trip {
            *counts = child.count()?.ok_or_else(|| io::Error::other("the process ended within a trip"))?;
        }
        trips.push(trip);
    }
    Ok(trips)
}

/// The usual count of the verb at `position`: now and then one has more to do, such as memory to get.
fn median(trips: &[[Counts; VERBS.len()]], position: usize) -> Counts {
    let mut all: Vec<Counts> = trips.iter().map(|trip| trip[position]).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Makes the trips of a case.
pub(crate) fn be_child(case: &str) -> Result<(), Box<dyn Error>> {
    let (length, kind_name) = case.split_once("KiB ").ok_or("a case has a length and a pager")?;
    let kind = KINDS.into_iter().find(|kind| kind.name() == kind_name).ok_or("no such pager")?;
    let mut trips = Trips::new(kind, length.parse::<usize>()? * 1024)?;
    for _ in 0..WARM_UP_TRIPS {
        trips.one(&mut || Ok(()))?;
    }
    for _ in 0..TRIPS {
        mark()?;
        trips.one(&mut mark)?;
    }
    Ok(())
}

struct Trips {
    kind: Kind,
    pager: Pager,
    payload: Vec<u8>,
    target: Vec<u8>,
}

impl Trips {
    fn new(kind: Kind, len_bytes: usize) -> io::Result<Self> {
        let payload = vec![7; len_bytes];
        Ok(Self { kind, pager: kind.builder().build()?, target: Vec::with_capacity(len_bytes), payload })
    }

    /// Pages the payload out, reads it, and takes it back. The next trip has the memory that came back.
    fn one(&mut self, between: &mut impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let Self { pager, payload, target, .. } = self;
        let len = payload.len();
        between()?;
        let handle = pager.pageout(std::slice::from_mut(payload))?;
        between()?;
        pager.read_at(&handle, 0, len, target)?;
        between()?;
        let taken = Self::take(self.kind, pager, handle, payload);
        between()?;
        taken?;
        assert_eq!(*target, *payload);
        target.clear();
        Ok(())
    }

    fn take(kind: Kind, pager: &Pager, handle: Handle<u8>, payload: &mut Vec<u8>) -> io::Result<()> {
        match kind {
            // The very memory that went out.
            Kind::Resident => *payload = handle.take().map_err(TakeError::into_error)?,
            Kind::Unchecked | Kind::Checked => pager.take(handle, payload).map_err(TakeError::into_error)?,
        }
        Ok(())
    }
}
