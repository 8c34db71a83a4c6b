//! How often a borrow finds its payload in memory, where few payloads are borrowed often.

use std::time::{Duration, Instant};

use pageout::{Handle, Pager};

use super::lru::Lru;
use super::zipf::Zipf;
use crate::child::Task;
use crate::measure::{Candidate, Lap, Outcome, Rounds, in_turns, real, us_each};
use crate::payload::{self, KIB, as_u64, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::sections::Setting;
use crate::site::Site;
use crate::stores::BUDGET;

pub(super) const TASK: usize = 0;

const PAYLOAD_BYTES: usize = 64 * KIB;
const EXPONENT: f64 = 0.9;
/// Of so many payloads, one has room in memory.
const PAYLOADS_PER_ROOM: usize = 4;
/// Borrows a payload, half of them before anything is measured.
const BORROWS_PER_PAYLOAD: usize = 4;
const LRU: &str = "least recently used leaves first (computed)";

pub(super) fn run(setting: &Setting) -> Outcome<Table> {
    let payloads = setting.mode.pick(100_000, 8_000, 64);
    let mut table = Measured::new(Head {
        id: "budget-hits",
        title: "Borrows by popularity",
        note: format!(
            "{payloads} payloads of 64 KiB are out, with a budget that has room for a quarter of them. They are borrowed by a Zipf \
             distribution of exponent {EXPONENT}, {} times to warm up and as often measured. What is not in memory comes from the \
             page cache. The other line is computed: the same draws, and the least recently used of as many payloads leaves.",
            payloads * BORROWS_PER_PAYLOAD / 2
        ),
        unit: "%",
        better: Better::More,
        subject: BUDGET,
        references: vec![LRU],
    });
    let numbers = [TASK, payloads];
    let task = Task { section: super::ID, candidate: BUDGET, site: &setting.site, numbers: &numbers };
    let candidates = vec![
        Candidate::new(BUDGET, move |(), _| task.run(None)),
        Candidate::new(LRU, move |(), _| Ok(vec![Some(computed(payloads)), None, None])),
    ];
    // The draws are the same in each round.
    let rounds = Rounds { timed: setting.mode.pick(3, 1, 1), warm_up: 0 };
    let laps = in_turns(rounds, &mut (), candidates)?;
    table.row("borrows that found their payload in memory", &laps, 0);
    table.row_in("a borrow, mean", "us", Better::Less, &laps, 1);
    table.row_in("a borrow, p99", "us", Better::Less, &laps, 2);
    Ok(table.into())
}

fn computed(payloads: usize) -> f64 {
    let mut zipf = Zipf::new(payloads, EXPONENT);
    let mut lru = Lru::new(payloads / PAYLOADS_PER_ROOM);
    let half = payloads * BORROWS_PER_PAYLOAD / 2;
    (0..half).for_each(|_| _ = lru.hits(zipf.draw()));
    percent((0..half).filter(|_| lru.hits(zipf.draw())).count(), half)
}

/// Borrows, in a process that does nothing else.
pub(super) fn be_child(site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[payloads] = numbers else { return Err("how many payloads?".into()) };
    let resident_bytes = as_u64(payloads / PAYLOADS_PER_ROOM * PAYLOAD_BYTES);
    let pager = Pager::builder().scratch_dir(site.path()).resident_bytes(resident_bytes).build()?;
    let pattern = random_bytes(PAYLOAD_BYTES);
    let out = |number| -> Outcome<Handle<u8>> {
        let mut chunk = Vec::new();
        payload::make(&mut chunk, &pattern, number);
        Ok(pager.pageout_vec(chunk).map_err(pageout::PageoutError::into_error)?)
    };
    let handles = (0..payloads).map(out).collect::<Outcome<Vec<_>>>()?;
    let mut zipf = Zipf::new(payloads, EXPONENT);
    let half = payloads * BORROWS_PER_PAYLOAD / 2;
    let mut borrow = |_| -> Outcome<Duration> {
        let number = zipf.draw();
        let start = Instant::now();
        let is_right = payload::is(&handles[number].borrow()?, &pattern, number);
        let time = start.elapsed();
        if is_right { Ok(time) } else { Err(format!("payload {number} is another").into()) }
    };
    (0..half).try_for_each(|turn| borrow(turn).map(|_| ()))?;
    let before = pager.stats();
    let mut times = (0..half).map(borrow).collect::<Outcome<Vec<_>>>()?;
    let hits = usize::try_from(pager.stats().resident_hits - before.resident_hits)?;
    times.sort_unstable();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    Ok([percent(hits, half), us_each(times.iter().sum(), half), us_each(p99, 1)].map(Some).into())
}

fn percent(part: usize, whole: usize) -> f64 {
    real(part) * 100.0 / real(whole)
}
