//! Random operations on a pager, compared step by step with a plain model, with and without faults of the device.
//!
//! `PAGEOUT_TEST_SEED` repeats a run: a failure names its seed and the shortest steps that were found to fail.
//! `scripts/model` does as many operations as it is told.

use pageout_testing::simulation::Counts;
use pageout_testing::simulation::Ground;
use pageout_testing::simulation::campaign::{Campaign, seed};
use pageout_testing::simulation::residents::{self, Under};
use pageout_testing::tell;

/// Operations of each short form.
const OPERATIONS: u64 = 20_000;

fn agrees_with_the_model(ground: Ground) -> Counts {
    Campaign::new(ground, OPERATIONS).run()
}

#[test]
fn a_device_in_memory_agrees_with_the_model() {
    let counts = agrees_with_the_model(Ground::Simulated);
    assert!(counts.refused > 0 && counts.callers > 0, "{counts:?}");
    assert_eq!((counts.faults, counts.failed, counts.corrupt), (0, 0, 0));
}

#[test]
fn a_faulty_device_agrees_with_the_model() {
    let counts = agrees_with_the_model(Ground::Faulty);
    assert!(counts.faults > 0 && counts.failed > 0 && counts.corrupt > 0, "{counts:?}");
}

#[test]
fn the_real_file_system_agrees_with_the_model() {
    let counts = agrees_with_the_model(Ground::Disk);
    assert_eq!((counts.faults, counts.failed, counts.corrupt), (0, 0, 0));
}

#[test]
fn a_memory_budget_changes_no_byte() {
    for under in [Under::Simulated, Under::Disk] {
        let report = residents::run(under, OPERATIONS / 4, seed());
        assert!(report.hits > 0 && report.misses > 0 && report.evictions > 0 && report.full > 0, "{report:?}");
        assert_eq!((report.faults, report.failed, report.background_failures), (0, 0, 0), "{report:?}");
    }
}

#[test]
fn a_memory_budget_on_a_faulty_device_loses_nothing() {
    // Half of it meets no write of the background once in 500 times.
    let report = residents::run(Under::Faulty, OPERATIONS, seed());
    assert!(report.faults > 0 && report.failed > 0 && report.background_failures > 0, "{report:?}");
    assert!(report.evictions_without_write > 0 && report.writes_elided > 0, "{report:?}");
}

/// A number that `scripts/model` passes on.
fn option(name: &str) -> Option<String> {
    std::env::var(format!("PAGEOUT_MODEL_{name}")).ok()
}

fn number(name: &str, default: u64) -> u64 {
    option(name)
        .map_or(default, |value| value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

#[test]
#[ignore = "scripts/model sets how long it takes"]
fn campaign() {
    let operations = number("OPERATIONS", 1_000_000);
    let device = option("DEVICE");
    if matches!(device.as_deref(), Some("residents" | "each") | None) {
        for under in [Under::Simulated, Under::Faulty, Under::Disk] {
            let seed = seed();
            tell(&format!("model: residents on {under:?}, seed {seed}: {:?}", residents::run(under, operations, seed)));
        }
    }
    let grounds = match device.as_deref() {
        Some("residents") => vec![],
        Some("simulated") => vec![Ground::Simulated],
        Some("faulty") => vec![Ground::Faulty],
        Some("disk") => vec![Ground::Disk],
        Some("each") | None => vec![Ground::Simulated, Ground::Faulty, Ground::Disk],
        Some(other) => panic!("simulated, faulty, disk, residents or each, not {other}"),
    };
    let threads = usize::try_from(number("THREADS", 2)).expect("a few threads");
    for ground in grounds {
        Campaign { threads, is_told: true, ..Campaign::new(ground, operations) }.run();
    }
}
