//! How a test says what came of it, and waits for what comes of others.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::ledger::LEDGER;

/// What a panic said.
pub fn panic_text(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

/// Waits for what another thread does soon.
///
/// # Panics
/// When it did not come true for ten seconds.
#[track_caller]
pub fn eventually<W: Display>(what: impl Fn() -> W, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    for trial in 0.. {
        if is_so() {
            return;
        }
        assert!(Instant::now() < deadline, "it did not come true: {}", what());
        // Mostly another thread only has to run.
        if trial < 100 { std::thread::yield_now() } else { std::thread::sleep(Duration::from_millis(1)) }
    }
}

/// The beginnings of lines that a process of its own hands on.
pub const LINES_HANDED_ON: [&str; 3] = [SKIPPED, REPORT, LEDGER];
const SKIPPED: &str = "skipped: ";

/// Says that a test, or a part of it, cannot run here.
pub fn skip(test: &str, reason: &str) {
    tell(&format!("{SKIPPED}{test}: {reason}"));
}

const REPORT: &str = "report: ";

/// Says what a scenario came to, for the table of the long form: how often it ran, and how many refusals, damaged places or
/// kills it has seen.
pub fn report(scenario: &str, file_system: &str, rounds: usize, faults: usize, outcome: &str) {
    tell(&format!("{REPORT}{scenario} | {file_system} | {rounds} | {faults} | {outcome}"));
}

/// A number for every run of the tests, and a larger one for the long form, which `PAGEOUT_TEST_LONG` asks for.
pub fn short_or_long(short: usize, long: usize) -> usize {
    if std::env::var_os("PAGEOUT_TEST_LONG").is_some() { long } else { short }
}

/// Writes a line past the test harness, which would swallow it.
pub fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error can be written");
}
