//! How a model is run; the models of the addon are run by this file too.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Preemptions of one run: errors of a protocol rarely need more to appear.
const PREEMPTIONS_MAX: usize = 3;
/// Steps of one run: more than any model has; every lock of a store is a step.
const STEPS_MAX: usize = 100_000;

/// Runs `model` in every order of events, and prints their number.
pub(crate) fn explore(name: &str, model: impl Fn() + Sync + Send + 'static) {
    let count = Arc::new(AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS_MAX));
    builder.max_branches = STEPS_MAX;
    let counted = Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let count = count.load(Relaxed);
    assert!(count > 1, "the threads of {name} never meet");
    writeln!(std::io::stderr(), "model {name}: {count} interleavings").expect("standard error can be written");
}
