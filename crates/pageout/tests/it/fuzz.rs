//! The fuzz targets on made-up bytes, and on the inputs that fuzzers found (`fuzz/corpus`): what runs everywhere. A fuzzer
//! runs the same functions by `cargo +nightly fuzz run <target>`.
//!
//! `PAGEOUT_TEST_SEED` repeats a run, and `PAGEOUT_FUZZ_INPUTS` sets how many inputs each target gets.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use pageout_testing::draws::Draws;
use pageout_testing::in_own_process;
use pageout_testing::simulation::campaign::seed;
use pageout_testing::simulation::targets;

/// Gives a target the inputs of the corpus and made-up ones of up to `len_max` bytes; a failure prints its input.
fn feed(name: &str, target: fn(&[u8]), inputs: u64, len_max: usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    for entry in std::fs::read_dir(corpus).expect("a corpus") {
        feed_one(name, target, &std::fs::read(entry.expect("an entry").path()).expect("an input"));
    }
    let inputs = std::env::var("PAGEOUT_FUZZ_INPUTS").map_or(inputs, |inputs| inputs.parse().expect("a number of inputs"));
    let mut draws = Draws::seeded(seed());
    for _ in 0..inputs {
        let len = draws.index(len_max + 1);
        // Small numbers are more likely to mean something.
        let mask = draws.pick(&[0xff, 0xff, 0x1f, 0x03]);
        let input: Vec<u8> = (0..len).map(|_| draws.below(256).to_le_bytes()[0] & mask).collect();
        feed_one(name, target, &input);
    }
}

fn feed_one(name: &str, target: fn(&[u8]), input: &[u8]) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        pageout_testing::tell(&format!("the target {name} failed with {input:?}"));
        resume_unwind(cause);
    }
}

#[test]
fn ranges_are_judged_as_by_looking_at_each_element() {
    feed("ranges", targets::ranges, 10_000, 200);
}

#[test]
fn frames_come_back_and_damaged_ones_are_survived() {
    feed("frames", targets::frames, 3_000, 600);
}

#[test]
fn operations_agree_with_the_model() {
    feed("operations", targets::operations, 2_000, 600);
}

#[test]
fn options_are_taken_or_refused_by_name() {
    feed("options", targets::options, 1_000, 300);
}

#[test]
fn the_environment_names_a_directory_or_the_search_goes_on() {
    let test = "the_environment_names_a_directory_or_the_search_goes_on";
    in_own_process(test, |_| {}, || feed("environment", targets::environment, 500, 300));
}
