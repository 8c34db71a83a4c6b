//! Finds a shorter plan that fails in the same way.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use super::plan::{Plan, Step};
use super::world::{Counts, run};
use crate::panic_text;

/// Plans that are tried at most.
const TRIALS_MAX: u32 = 5_000;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does a plan; says why where it fails, without a word on standard error.
pub(super) fn attempt(plan: &Plan, scratch: &Path) -> Result<Counts, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                loud(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(plan, scratch)));
    IS_QUIET.set(false);
    outcome.map_err(|cause| panic_text(&*cause))
}

/// Leaves out as many steps of a failing plan as it can, half of them at a time, then fewer; then lets nothing go wrong in
/// steps and makes payloads shorter, as far as it still fails for that `reason`.
pub(super) fn shrink(plan: &Plan, reason: &str, scratch: &Path) -> Plan {
    let mut best = plan.clone();
    let mut trials = 0;
    let mut try_plan = |candidate: &Plan| {
        trials += 1;
        trials <= TRIALS_MAX && attempt(candidate, scratch).is_err_and(|other| kind(&other).eq(kind(reason)))
    };
    let mut len = best.turns.len().div_ceil(2);
    while len > 0 {
        let mut start = 0;
        while start < best.turns.len() {
            let mut candidate = best.clone();
            candidate.turns.drain(start..(start + len).min(best.turns.len()));
            if try_plan(&candidate) {
                best = candidate;
            } else {
                start += len;
            }
        }
        len = if len == 1 { 0 } else { len.div_ceil(2) };
    }
    for position in 0..best.turns.len() {
        for simpler in simpler(&best, position) {
            if try_plan(&simpler) {
                best = simpler;
            }
        }
    }
    best
}

/// A reason without its numbers.
fn kind(reason: &str) -> impl Iterator<Item = char> {
    reason.chars().filter(|character| !character.is_ascii_digit())
}

/// The plan with one step made simpler.
fn simpler(plan: &Plan, position: usize) -> Vec<Plan> {
    let mut calm = plan.clone();
    calm.turns[position].weather = None;
    let mut plans = vec![calm];
    if let Step::Pageout { lens, .. } | Step::Copy { lens, .. } = &plan.turns[position].step {
        for shorter in [vec![1], vec![lens.iter().sum()], lens.iter().map(|len| len / 2).collect()] {
            let mut candidate = plan.clone();
            if let Step::Pageout { lens, .. } | Step::Copy { lens, .. } = &mut candidate.turns[position].step {
                *lens = shorter;
            }
            plans.push(candidate);
        }
    }
    plans
}
