//! After a fork both sides have what was in memory, and neither disturbs the other.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pageout::{Error, MemoryBudget, Pager};
use pageout_testing::{KIB, MIB, Setup, TestPager, assert_same, elements, in_own_process, scratch, short_or_long};

use super::forks::Child;
use super::halting::{Gate, Halting, OpenWhenDropped};
use super::{Payload, SetWhenDropped, becomes, check_all, payloads};

const ALL: usize = 2 * MIB;
const BUDGET: u64 = ALL as u64;
/// Several of each fit the budget.
const LENS: [usize; 6] = [100, 4 * KIB, 10 * KIB, 64 * KIB, 150 * KIB, 300 * KIB];

fn pager() -> TestPager {
    let scratch = scratch();
    let pager = Setup::Native.builder(scratch.path()).resident_bytes(BUDGET).build().expect("a pager");
    TestPager { pager, scratch }
}

fn check_borrowed(payload: &Payload) {
    match payload.handle.borrow() {
        Ok(borrowed) => assert_same(&borrowed, &elements::<u8>(payload.handle.len(), payload.seed)),
        // Others borrow at this moment, or did when this process was forked from theirs.
        Err(error) => assert!(matches!(error, Error::Budget(_)), "{error:?}"),
    }
}

/// All verbs on payloads of its own and on those that are given; gives what is still out.
fn keep_busy(pager: &Pager, held: &mut Vec<Payload>, seed: u64) -> Vec<Payload> {
    let mut own = payloads(pager, &LENS.repeat(4), seed);
    own.iter().for_each(check_borrowed);
    held.iter().for_each(check_borrowed);
    for from in [&mut own, held] {
        let taken = from.swap_remove(from.len() / 2);
        let len = taken.handle.len();
        assert_same(&taken.handle.take().expect("a take"), &elements::<u8>(len, taken.seed));
        drop(from.swap_remove(from.len() / 3));
        from[0].handle.prefetch(..).expect("a hint");
    }
    check_all(&own);
    check_all(held);
    let stats = pager.stats();
    assert!(stats.resident_bytes <= BUDGET, "{stats:?}");
    own
}

/// Once the payloads are gone, nothing of them is left but what threads had that this process lacks.
fn ends_empty(pager: &Pager) {
    assert!(becomes(|| pager.stats().resident_bytes == 0), "{:?}", pager.stats());
    assert_eq!((pager.stats().borrowed_bytes, pager.stats().handles), (0, 0));
}

#[test]
fn what_is_resident_is_there_on_both_sides_of_a_fork() {
    in_own_process(
        "what_is_resident_is_there_on_both_sides_of_a_fork",
        |_| {},
        || {
            for round in 0..short_or_long(6, 300) as u64 {
                let pager = pager();
                // The keeper is writing at this moment, or has just ended.
                let held = RefCell::new(payloads(&pager, &LENS.repeat(6), round * 1000));
                let child = Child::fork(|_| {
                    let mut held = held.take();
                    check_all(&held);
                    let own = keep_busy(&pager, &mut held, 1_000_000 + round);
                    check_all(&held);
                    drop((own, held));
                    assert_eq!((pager.stats().borrowed_bytes, pager.stats().handles), (0, 0));
                    // The child's keeper starts where it is needed.
                    let own = payloads(&pager, &[64 * KIB; 80], 2_000_000);
                    assert!(becomes(|| pager.stats().evictions > 0 || pager.stats().used_bytes > BUDGET));
                    check_all(&own);
                });
                let own = keep_busy(&pager, &mut held.borrow_mut(), 3_000_000 + round);
                check_all(&held.borrow());
                child.passes();
                check_all(&held.borrow());
                drop((own, held.take()));
                ends_empty(&pager);
            }
        },
    );
}

#[test]
fn what_a_side_does_with_residents_is_not_seen_by_the_other() {
    in_own_process(
        "what_a_side_does_with_residents_is_not_seen_by_the_other",
        |_| {},
        || {
            let pager = pager();
            let held = RefCell::new(payloads(&pager, &LENS.repeat(10), 1000));
            let mut child = Child::fork(|parent| {
                for _ in 0..2 {
                    parent.wait();
                    check_all(&held.borrow());
                    parent.tell();
                }
                // Written by the child where there was no copy.
                drop(payloads(&pager, &[64 * KIB; 60], 9000));
                check_all(&held.borrow());
                held.borrow().iter().for_each(check_borrowed);
            });
            // All that both have is dropped, and its space wanted for something else.
            drop(held.take());
            child.tell();
            child.wait();
            let own = payloads(&pager, &LENS.repeat(20), 5000);
            child.tell();
            child.wait();
            child.passes();
            check_all(&own);
            drop(own);
            ends_empty(&pager);
        },
    );
}

#[test]
fn a_fork_while_other_threads_use_the_budget_leaves_a_child_that_works() {
    in_own_process(
        "a_fork_while_other_threads_use_the_budget_leaves_a_child_that_works",
        |_| {},
        || {
            let pager = pager();
            let held = RefCell::new(payloads(&pager, &LENS.repeat(4), 1000));
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                // A failed child ends the threads, too.
                let _end = SetWhenDropped(&is_over);
                for number in 0..3 {
                    let (pager, is_over) = (&*pager, &is_over);
                    scope.spawn(move || {
                        let mut round = 0;
                        while !is_over.load(Relaxed) {
                            let own = payloads(pager, &LENS.repeat(2), number * 1_000_000 + round);
                            own.iter().for_each(check_borrowed);
                            for payload in &own {
                                payload.handle.prefetch(..).expect("a hint");
                            }
                            check_all(&own);
                            round += 1;
                        }
                    });
                }
                for round in 0..short_or_long(15, 2000) as u64 {
                    let child = Child::fork(|_| {
                        let mut held = held.take();
                        check_all(&held);
                        let own = keep_busy(&pager, &mut held, 10_000_000 + round);
                        check_all(&own);
                        // Those whom a thread was reading in at the fork, too.
                        held.iter().for_each(check_borrowed);
                    });
                    child.passes();
                }
            });
            check_all(&held.take());
            ends_empty(&pager);
        },
    );
}

#[test]
fn a_child_inherits_a_shared_budget_of_its_own() {
    in_own_process(
        "a_child_inherits_a_shared_budget_of_its_own",
        |_| {},
        || {
            let scratch = scratch();
            let budget = MemoryBudget::new(BUDGET);
            let pagers =
                [(); 2].map(|()| Setup::Native.builder(scratch.path()).resident_bytes(&budget).build().expect("a pager"));
            let held: Vec<_> = pagers.iter().flat_map(|pager| payloads(pager, &[100 * KIB; 8], 1)).collect();
            let borrowed = held[0].handle.borrow().expect("a borrow");
            let resident_bytes = budget.resident_bytes();
            let child = Child::fork(|_| {
                budget.set_limit_bytes(300 * KIB as u64);
                assert!(becomes(|| budget.resident_bytes() <= 300 * KIB as u64), "{}", budget.resident_bytes());
                check_all(&held);
                assert_same(&borrowed, &elements::<u8>(100 * KIB, 1));
            });
            child.passes();
            assert_eq!((budget.limit_bytes(), budget.resident_bytes()), (BUDGET, resident_bytes));
            check_all(&held);
            assert_same(&borrowed, &elements::<u8>(100 * KIB, 1));
        },
    );
}

/// What a thread does when it halts in a call of the device, and its process forks.
struct Moment {
    shut: fn(&Gate),
    /// Bytes of a payload on disk, and of one in memory of which there is no copy.
    lens: [usize; 2],
    /// What it does with the first.
    act: fn(&Payload),
    /// Whether it uses the memory of the second, which the child cannot let leave then: to it that looks used until it is freed.
    is_stuck: bool,
}

/// Less than what is written early.
const MUCH: usize = ALL / 4 * 3;
/// More than that.
const MOST: usize = ALL / 16 * 15;

fn borrow(payload: &Payload) {
    assert_same(&payload.handle.borrow().expect("room"), &elements::<u8>(payload.handle.len(), payload.seed));
}

fn prefetch(payload: &Payload) {
    payload.handle.prefetch(..).expect("a hint");
}

/// Forks at such a moment. Both sides use the payload and others as if nothing had been.
fn fork_at(test: &str, moment: &Moment) {
    in_own_process(
        test,
        |_| {},
        || {
            let (scratch, gate) = (scratch(), Gate::new());
            let builder = Pager::builder().device(Halting(gate.clone())).scratch_dir(scratch.path());
            let pager = builder.resident_bytes(BUDGET).build().expect("a pager");
            let [subject_len, other_len] = moment.lens;
            let handle = pager.pageout_copy(&[&elements::<u8>(subject_len, 1)]).expect("a pageout");
            let subject = Payload { handle, seed: 1 };
            (moment.shut)(&gate);
            let other = Payload::new(&pager, other_len, 2);
            std::thread::scope(|scope| {
                let acting = scope.spawn(|| (moment.act)(&subject));
                let _open = OpenWhenDropped(&gate);
                gate.halts();
                let child = Child::fork(|_| {
                    gate.open();
                    use_all(&pager, &[&subject, &other], if moment.is_stuck { other_len } else { 0 });
                });
                child.passes();
                gate.open();
                acting.join().expect("no panic");
            });
            use_all(&pager, &[&subject, &other], 0);
            assert_same(&subject.handle.take().expect("a take"), &elements::<u8>(subject_len, 1));
            drop(other);
            ends_empty(&pager);
        },
    );
}

/// All of the budget, but for what is stuck, can be used for any of the payloads, and for new ones.
fn use_all(pager: &Pager, payloads: &[&Payload], stuck: usize) {
    // The first look at the budget.
    let mut new = Vec::new();
    for seed in 10..13 {
        new.push(Payload::new(pager, ALL - stuck, seed));
        for payload in payloads.iter().copied().chain(&new) {
            payload.check();
            if payload.handle.len() <= ALL - stuck {
                borrow(payload);
            }
            assert!(pager.stats().resident_bytes <= BUDGET, "{:?}", pager.stats());
        }
    }
    for Payload { handle, seed } in new {
        assert_same(&handle.take().expect("a take"), &elements::<u8>(ALL - stuck, seed));
    }
    assert_eq!(pager.stats().borrowed_bytes, 0);
    assert!(pager.stats().resident_bytes <= payloads.iter().map(|payload| payload.handle.len() as u64).sum());
}

#[test]
fn a_fork_while_a_payload_is_read_in_for_a_borrow_leaves_both_sides_whole() {
    let moment = Moment { shut: Gate::shut_for_reads, lens: [300 * KIB, MUCH], act: borrow, is_stuck: false };
    fork_at("a_fork_while_a_payload_is_read_in_for_a_borrow_leaves_both_sides_whole", &moment);
}

#[test]
fn a_fork_while_all_of_the_budget_is_read_in_leaves_both_sides_whole() {
    let moment = Moment { shut: Gate::shut_for_reads, lens: [ALL, MUCH], act: borrow, is_stuck: false };
    fork_at("a_fork_while_all_of_the_budget_is_read_in_leaves_both_sides_whole", &moment);
}

#[test]
fn a_fork_while_the_keeper_reads_a_payload_in_leaves_both_sides_whole() {
    let moment = Moment { shut: Gate::shut_for_reads, lens: [300 * KIB, MUCH], act: prefetch, is_stuck: false };
    fork_at("a_fork_while_the_keeper_reads_a_payload_in_leaves_both_sides_whole", &moment);
}

#[test]
fn a_fork_while_a_payload_on_disk_is_read_leaves_both_sides_whole() {
    let moment = Moment { shut: Gate::shut_for_reads, lens: [300 * KIB, MUCH], act: Payload::check, is_stuck: false };
    fork_at("a_fork_while_a_payload_on_disk_is_read_leaves_both_sides_whole", &moment);
}

#[test]
fn a_fork_while_a_borrow_writes_another_payload_leaves_both_sides_whole() {
    let moment = Moment { shut: Gate::shut_for_writes, lens: [ALL, MUCH], act: borrow, is_stuck: true };
    fork_at("a_fork_while_a_borrow_writes_another_payload_leaves_both_sides_whole", &moment);
}

#[test]
fn a_fork_while_the_keeper_writes_leaves_both_sides_whole() {
    let moment = Moment { shut: Gate::shut_for_writes, lens: [300 * KIB, MOST], act: |_| {}, is_stuck: true };
    fork_at("a_fork_while_the_keeper_writes_leaves_both_sides_whole", &moment);
}
