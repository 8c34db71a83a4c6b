//! A memory budget in a memory group, beside somebody who takes memory of the group and gives it back: resident memory stays within
//! its bound, and nothing is lost. `scripts/soak --budget` does it for as long as it is told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pageout::{Error, Pager};
use pageout_testing::draws::Draws;
use pageout_testing::simulation::campaign::seed;
use pageout_testing::{KIB, MIB, assert_same, builder, check_works, elements, in_own_process, report, scratch, skip, u64_of};

use super::Payload;
use super::becomes;
use super::forks::Child;
use super::memory_group::Group;

const GROUP_BYTES: usize = 256 * MIB;
const BUDGET: usize = 32 * MIB;
const ANTAGONIST_BYTES: usize = 96 * MIB;
const LEN_MAX: usize = 512 * KIB;
const THREADS: usize = 2;
/// Payloads that each thread has out: three times the budget together.
const HANDLES: usize = 3 * BUDGET / (LEN_MAX / 2) / THREADS;
/// What a thread has in its hands beside what is out: what it made, compares with and read.
const IN_HAND_BYTES: usize = 4 * LEN_MAX;

/// Memory of the process that no other has, in bytes.
fn anonymous_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line of it");
    line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") * KIB
}

fn take_and_give_back(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let taken = std::hint::black_box(vec![1u8; ANTAGONIST_BYTES]);
        std::thread::sleep(Duration::from_millis(30));
        drop(taken);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One thread: everything that a budget does, on payloads of its own.
fn work(pager: &Pager, mut draws: Draws<'_>, deadline: Instant, operations: &AtomicU64) {
    let mut held: Vec<Payload> = Vec::new();
    while Instant::now() < deadline {
        operations.fetch_add(1, Relaxed);
        if held.len() < HANDLES {
            let len = 64 * KIB + draws.index(LEN_MAX - 64 * KIB);
            held.push(Payload::new(pager, len, draws.number()));
            continue;
        }
        // Some more often than others.
        let position = draws.index(held.len()).min(draws.index(held.len()));
        match draws.below(8) {
            0..=3 => match held[position].handle.borrow() {
                Ok(borrowed) => assert_same(&borrowed, &elements::<u8>(held[position].handle.len(), held[position].seed)),
                Err(error) => assert!(matches!(error, Error::Budget(_)), "{error:?}"),
            },
            4 => held[position].check(),
            5 => held[position].handle.prefetch(..).expect("a hint"),
            6 => drop(held.swap_remove(position)),
            _ => {
                let Payload { handle, seed } = held.swap_remove(position);
                let len = handle.len();
                assert_same(&handle.take().expect("a take"), &elements::<u8>(len, seed));
            }
        }
    }
    held.iter().for_each(Payload::check);
}

fn soak(time: Duration, is_told: bool) {
    let antagonist = Child::fork(|_| take_and_give_back(time));
    let directory = scratch();
    let pager = builder(directory.path()).resident_bytes(u64_of(BUDGET)).build().expect("a pager");
    check_works(&pager);
    let idle_bytes = anonymous_bytes();
    let bound_bytes = idle_bytes + BUDGET + 16 * MIB + THREADS * IN_HAND_BYTES;
    let (seed, operations) = (seed(), AtomicU64::new(0));
    let deadline = Instant::now() + time;
    let mut peak_bytes = 0;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pager, operations) = (&pager, &operations);
            let draws = Draws::seeded(seed.wrapping_add(u64_of(thread) << 32));
            scope.spawn(move || work(pager, draws, deadline, operations));
        }
        while Instant::now() < deadline {
            peak_bytes = peak_bytes.max(anonymous_bytes());
            assert!(pager.stats().resident_bytes <= u64_of(BUDGET));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let stats = pager.stats();
    if is_told {
        let operations = usize::try_from(operations.load(Relaxed)).expect("64 bits");
        let outcome = format!(
            "seed {seed}: {idle_bytes} bytes idle, at most {peak_bytes} of {bound_bytes}; {} evictions, {} without a write, {} hits, {} misses",
            stats.evictions, stats.evictions_without_write, stats.resident_hits, stats.resident_misses
        );
        report("a memory budget in a memory group", "temporary", operations, 0, &outcome);
    }
    assert!(peak_bytes <= bound_bytes, "PAGEOUT_TEST_SEED={seed}: {peak_bytes} bytes, {bound_bytes} allowed, {idle_bytes} idle");
    assert!(stats.evictions > 0 && stats.background_write_failures == 0, "{stats:?}");
    assert!(becomes(|| pager.stats().resident_bytes + pager.stats().used_bytes == 0), "{:?}", pager.stats());
    antagonist.passes();
}

fn in_a_group(test: &str, time: Duration, is_told: bool) {
    in_own_process(
        test,
        |command| {
            // The allocator keeps none of what is freed.
            command.env("MALLOC_MMAP_THRESHOLD_", "32768").env("MALLOC_TRIM_THRESHOLD_", "131072");
        },
        || match Group::new("budget", GROUP_BYTES).and_then(|group| group.enter().map(|()| group)) {
            Ok(_group) => soak(time, is_told),
            Err(error) => skip(test, &format!("no memory group: {error}")),
        },
    );
}

#[test]
fn memory_stays_within_its_bound_beside_somebody_who_wants_it() {
    in_a_group("memory_stays_within_its_bound_beside_somebody_who_wants_it", Duration::from_secs(3), false);
}

#[test]
#[ignore = "scripts/soak sets how long it takes"]
fn soak_for_a_time() {
    let seconds = std::env::var("PAGEOUT_SOAK_SECONDS").map_or(60, |value| value.parse().expect("a number of seconds"));
    in_a_group("soak_for_a_time", Duration::from_secs(seconds), true);
}
