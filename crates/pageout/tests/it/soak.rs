//! Sixteen threads of random operations on one pager and on the same payloads, on a device on which calls go wrong and on a
//! real file system. `scripts/soak` does it for as long as it is told.

use std::time::Duration;

use pageout_testing::simulation::campaign::seed;
use pageout_testing::simulation::soak::{Length, Soak};
use pageout_testing::{in_own_process, skip};

/// Files that a pager has open at most: four of each of 28 size classes, and what a growing directory needs beside them.
const DESCRIPTORS_MAX: u64 = 4 * 28 + 8;

fn soak(is_faulty: bool) -> Soak {
    let (threads, round_operations, length) = (16, 150, Length::Rounds(4));
    Soak { is_faulty, threads, round_operations, length, seed: seed(), is_told: false }
}

#[test]
fn threads_on_a_faulty_device_get_right_bytes_or_typed_errors() {
    let report = soak(true).run();
    let counts = report.counts;
    assert!(counts.faults > 0 && counts.failed > 0 && counts.corrupt > 0, "{report:?}");
}

#[test]
fn threads_on_a_real_file_system_get_right_bytes_and_leave_nothing() {
    let test = "threads_on_a_real_file_system_get_right_bytes_and_leave_nothing";
    // Descriptors belong to the whole process.
    in_own_process(test, |_| {}, || check_on_disk(soak(false)));
}

fn check_on_disk(soak: Soak) {
    let report = soak.run();
    assert_eq!((report.counts.faults, report.counts.failed, report.counts.corrupt), (0, 0, 0), "{report:?}");
    if report.descriptors.peak == 0 {
        return skip("the descriptors of a soak", "this system does not list them");
    }
    assert_eq!(report.descriptors.end, report.descriptors.start, "{report:?}");
    assert!(report.descriptors.peak <= report.descriptors.start + DESCRIPTORS_MAX, "{report:?}");
}

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(format!("PAGEOUT_SOAK_{name}"));
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

#[test]
#[ignore = "scripts/soak sets how long it takes"]
fn soak_for_a_time() {
    let half = Duration::from_secs(number("SECONDS", 60)) / 2;
    let threads = usize::try_from(number("THREADS", 16)).expect("a few threads");
    for is_faulty in [true, false] {
        let soak = Soak { threads, round_operations: 500, length: Length::Time(half), is_told: true, ..soak(is_faulty) };
        if is_faulty {
            soak.run();
        } else {
            check_on_disk(soak);
        }
    }
}
