//! What a pager is given from outside: limits of the process, and variables of its environment.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Payload;
use pageout::Error;
use pageout_testing::{KIB, MIB, Setup, builder, check_works, in_own_process, scratch};

#[test]
fn a_file_size_limit_is_an_error_and_no_signal() {
    in_own_process(
        "a_file_size_limit_is_an_error_and_no_signal",
        |_| {},
        || {
            for setup in [Setup::Native, Setup::Portable] {
                let pager = setup.pager();
                let held = Payload::new(&pager, 100, 1);
                let before = getrlimit(Resource::Fsize);
                // What `ulimit -f 8192` sets. The signal of this limit ends the process, unless it is not sent.
                setrlimit(Resource::Fsize, Rlimit { current: Some(4 << 20), ..before }).expect("a lower limit");
                for len in [64 * MIB, 5 * MIB, 100 * MIB] {
                    let error = Payload::try_new(&pager, len, 2).expect_err("no file may be so long");
                    assert_eq!(error.code(), "EFBIG", "{setup:?}, {len} bytes: {error}");
                }
                // More than one file holds.
                let fitting: Vec<_> = (0..24).filter_map(|seed| Payload::try_new(&pager, 500 * KIB, seed).ok()).collect();
                assert!(fitting.len() >= 8, "{setup:?}: {} of 24 fit", fitting.len());
                fitting.iter().chain([&held]).for_each(Payload::check);
                setrlimit(Resource::Fsize, before).expect("the limit before");
                drop(fitting);
                Payload::new(&pager, 64 * MIB, 2).check();
                check_works(&pager);
            }
        },
    );
}

const CAPACITY: &str = "PAGEOUT_CAPACITY_BYTES";

fn set_capacity(command: &mut Command, value: &str) {
    command.env(CAPACITY, value);
}

#[track_caller]
fn check_is_over_a_mebibyte(error: &Error) {
    assert_eq!(error.code(), "ERR_PAGEOUT_CAPACITY", "{error}");
    let Error::Capacity(facts) = error else { panic!("an error of another kind: {error:?}") };
    assert_eq!((facts.capacity_bytes, facts.requested_bytes), (1_048_576, 2 << 20));
}

#[test]
fn the_environment_sets_the_default_capacity() {
    let test = "the_environment_sets_the_default_capacity";
    in_own_process(
        test,
        |command| set_capacity(command, "1048576"),
        || {
            let scratch = scratch();
            let pager = builder(scratch.path()).build().expect("a pager");
            assert_eq!(pager.stats().capacity_bytes, 1_048_576);
            check_is_over_a_mebibyte(&Payload::try_new(&pager, 2 * MIB, 1).expect_err("twice the capacity"));
            Payload::new(&pager, MIB, 1).check();
        },
    );
}

#[test]
fn the_environment_sets_the_capacity_of_the_process_wide_pager() {
    let test = "the_environment_sets_the_capacity_of_the_process_wide_pager";
    let scratch = scratch();
    let prepare = |command: &mut Command| {
        command.env(CAPACITY, "1048576").env("PAGEOUT_SCRATCH_DIR", scratch.path());
    };
    in_own_process(test, prepare, || {
        check_is_over_a_mebibyte(&pageout::try_pageout(&mut [vec![7u8; 2 * MIB]]).expect_err("twice the capacity"));
        drop(pageout::try_pageout(&mut [vec![7u8; MIB]]).expect("as much as the capacity"));
    });
}

#[test]
fn a_capacity_that_is_no_number_is_told_by_name_and_value() {
    for value in ["1 GiB", "-1", "0", "1e9", "99999999999999999999"] {
        let test = "a_capacity_that_is_no_number_is_told_by_name_and_value";
        in_own_process(
            test,
            |command| set_capacity(command, value),
            || {
                let value = std::env::var(CAPACITY).expect("the variable is set");
                let scratch = scratch();
                let pageout = |pager: pageout::Pager| Payload::try_new(&pager, 100, 1);
                let error = builder(scratch.path()).build().and_then(pageout).expect_err("a value that cannot be");
                let words = error.to_string();
                assert!(words.contains(CAPACITY) && words.contains(&value), "{words}");
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            },
        );
    }
}

#[test]
fn an_option_of_the_pager_wins_over_the_environment() {
    let test = "an_option_of_the_pager_wins_over_the_environment";
    in_own_process(
        test,
        |command| set_capacity(command, "1048576"),
        || {
            let scratch = scratch();
            let pager = builder(scratch.path()).capacity_bytes(4 << 20).build().expect("a pager");
            assert_eq!(pager.stats().capacity_bytes, 4 << 20);
            Payload::new(&pager, 2 * MIB, 1).check();
        },
    );
}
