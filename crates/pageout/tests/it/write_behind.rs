//! Dirty pages leave steadily when they are more than a share of the memory, and are left alone while they are not.

use pageout::{Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Entry, Fault, Lasts};
use pageout_testing::{KIB, MIB, assert_same, elements, in_own_process, u64_of};

/// Bytes of a payload here, which fill their slot.
const PAYLOAD: usize = MIB;
/// Payloads that may be dirty.
const BUDGET: u64 = 16;

/// A pager on a device beside so much memory that [`BUDGET`] payloads may be dirty.
fn short_of_memory() -> (Disk, Pager) {
    short_of_memory_beyond(BUDGET)
}

/// As [`short_of_memory`], with another budget.
fn short_of_memory_beyond(budget: u64) -> (Disk, Pager) {
    let disk = Disk::new();
    disk.set_memory(budget * u64_of(PAYLOAD) * 8);
    let pager = disk.pager();
    (disk, pager)
}

fn page_out(pager: &Pager, seed: u64) -> Handle<u8> {
    pager.pageout(&mut [elements::<u8>(PAYLOAD, seed)]).expect("a pageout")
}

fn pushes(disk: &Disk) -> Vec<Entry> {
    disk.log().into_iter().filter(|entry| entry.call == Call::WriteBack).collect()
}

fn pushed_bytes(disk: &Disk) -> u64 {
    pushes(disk).iter().map(|entry| entry.len_bytes).sum()
}

#[test]
fn what_fits_the_budget_is_left_alone_however_often_it_is_replaced() {
    let (disk, pager) = short_of_memory();
    let mut held: Vec<_> = (0..BUDGET).map(|seed| page_out(&pager, seed)).collect();
    for round in 0..60 {
        let position = usize::try_from(round * 7 % BUDGET).expect("small");
        drop(held.swap_remove(position));
        held.push(page_out(&pager, round));
    }
    assert_eq!(pushes(&disk), []);
    let stats = pager.stats();
    assert_eq!((stats.dirty_bytes, stats.dirty_budget_bytes), (BUDGET * u64_of(PAYLOAD), BUDGET * u64_of(PAYLOAD)));
    drop(held);
    assert_eq!(pager.stats().dirty_bytes, 0);
}

#[test]
fn past_the_budget_as_much_leaves_as_comes_oldest_first() {
    let (disk, pager) = short_of_memory();
    let held: Vec<_> = (0..4 * BUDGET).map(|seed| page_out(&pager, seed)).collect();
    assert_eq!(pushed_bytes(&disk), 3 * BUDGET * u64_of(PAYLOAD));
    let stats = pager.stats();
    assert_eq!((stats.pushed_bytes, stats.dirty_bytes), (3 * BUDGET * u64_of(PAYLOAD), BUDGET * u64_of(PAYLOAD)));
    let offsets: Vec<u64> = pushes(&disk).iter().map(|entry| entry.offset).collect();
    assert!(offsets.is_sorted() && offsets[0] == 0, "{offsets:?}");
    drop(held);
    assert_eq!(pager.stats().dirty_bytes, 0);
}

#[test]
fn a_small_hot_set_beside_a_large_cold_one_is_left_alone_in_the_end() {
    let (disk, pager) = short_of_memory();
    let cold: Vec<_> = (0..8 * BUDGET).map(|seed| page_out(&pager, seed)).collect();
    let mut hot: Vec<_> = (0..BUDGET / 2).map(|seed| page_out(&pager, seed)).collect();
    let mut replace = |rounds| {
        for round in 0..rounds {
            drop(hot.remove(0));
            hot.push(page_out(&pager, round));
        }
    };
    replace(4 * BUDGET);
    disk.forget();
    replace(6 * BUDGET);
    assert_eq!(pushes(&disk), []);
    drop(cold);
}

#[test]
fn what_was_pushed_leaves_memory_when_it_is_freed_if_not_all_fits() {
    // Little enough space for one pager to keep all of it, and no other pager in the process that shares what may be kept.
    let budget = BUDGET / 2;
    let test = "what_was_pushed_leaves_memory_when_it_is_freed_if_not_all_fits";
    let body = || {
        let (disk, pager) = short_of_memory_beyond(budget);
        // Four budgets are what memory holds; the slots freed last stay in it for the next pageouts.
        let warm = 16;
        let mut held: Vec<_> = (0..6 * budget).map(|seed| page_out(&pager, seed)).collect();
        let places: Vec<_> = pushes(&disk).iter().map(|entry| (entry.file, entry.offset, entry.len_bytes)).collect();
        disk.forget();
        let mut back = Vec::new();
        held.drain(..usize::try_from(3 * budget).expect("small"))
            .for_each(|handle| pager.take(handle, &mut back).expect("a take"));
        let evicted = || -> Vec<_> {
            let evictions = disk.log().into_iter().filter(|entry| entry.call == Call::Evict);
            evictions.map(|entry| (entry.file, entry.offset, entry.len_bytes)).collect()
        };
        assert_eq!(evicted(), places[..evicted().len()], "each as it was pushed");
        assert_eq!(u64_of(evicted().len()), 3 * budget - warm);
        drop(held);
        assert_eq!(evicted(), places[..evicted().len()], "what was not pushed may be rewritten before it is written");
        assert_eq!(u64_of(evicted().len()), 6 * budget - warm);
    };
    in_own_process(test, |_| {}, body);
}

#[test]
fn what_was_pushed_stays_in_memory_when_it_is_freed_if_all_fits() {
    let (disk, pager) = short_of_memory();
    let held: Vec<_> = (0..2 * BUDGET).map(|seed| page_out(&pager, seed)).collect();
    assert!(pushed_bytes(&disk) > 0);
    drop(held);
    assert_eq!(disk.count(Call::Evict), 0);
}

#[test]
fn a_limit_that_changes_is_seen() {
    let (disk, pager) = short_of_memory();
    let budget_bytes = |pager: &Pager| pager.stats().dirty_budget_bytes;
    let mut held = vec![page_out(&pager, 0)];
    disk.set_memory(2 * u64_of(PAYLOAD) * 8);
    // It is looked at again after 64 MiB, also where nothing grows.
    for round in 1..=64 {
        drop(held.pop());
        held.push(page_out(&pager, round));
    }
    assert_eq!(budget_bytes(&pager), 2 * u64_of(PAYLOAD));
    assert_eq!(pushes(&disk), []);
    held.extend((0..BUDGET).map(|seed| page_out(&pager, seed)));
    assert!(pager.stats().dirty_bytes <= 2 * u64_of(PAYLOAD));
    disk.set_memory(8 * BUDGET * u64_of(PAYLOAD) * 8);
    disk.forget();
    held.extend((0..4 * BUDGET).map(|seed| page_out(&pager, seed)));
    assert_eq!(budget_bytes(&pager), 8 * BUDGET * u64_of(PAYLOAD));
    disk.forget();
    held.extend((0..BUDGET).map(|seed| page_out(&pager, seed)));
    assert_eq!(pushes(&disk), [], "within the greater budget");
}

#[test]
fn what_is_freed_first_is_not_pushed() {
    let (disk, pager) = short_of_memory();
    let first: Vec<_> = (0..BUDGET).map(|seed| page_out(&pager, seed)).collect();
    drop(first);
    let second: Vec<_> = (0..BUDGET).map(|seed| page_out(&pager, seed)).collect();
    assert_eq!(pushes(&disk), []);
    drop(second);
}

#[test]
fn dirty_slots_of_other_classes_leave_too() {
    let (disk, pager) = short_of_memory();
    let large: Vec<_> = (0..BUDGET).map(|seed| page_out(&pager, seed)).collect();
    let (large_file, _) = disk.last_place();
    let small: Vec<_> = (0..400).map(|seed| pager.pageout(&mut [elements::<u8>(4 * KIB, seed)]).expect("a pageout")).collect();
    assert!(pushes(&disk).iter().all(|entry| entry.file == large_file) && pushed_bytes(&disk) > 0);
    assert!(pager.stats().dirty_bytes <= pager.stats().dirty_budget_bytes);
    drop((large, small));
}

#[test]
fn a_payload_longer_than_the_largest_slot_is_pushed_as_well() {
    let (disk, pager) = short_of_memory();
    let whole = elements::<u8>(70 * MIB, 5);
    let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout");
    assert!(pushed_bytes(&disk) > 0);
    let mut back = Vec::new();
    pager.take(handle, &mut back).expect("a take");
    assert_same(&back, &whole);
}

#[test]
fn a_file_whose_write_back_fails_is_set_aside() {
    let (disk, pager) = short_of_memory();
    let held: Vec<_> = (0..BUDGET).map(|seed| page_out(&pager, seed)).collect();
    let (failed_file, _) = disk.last_place();
    disk.arm(Fault { call: Call::WriteBack, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
    let last = page_out(&pager, 77);
    assert!(disk.disarm() > 0, "the pageout itself is well: its bytes are in memory");
    disk.forget();
    let next = page_out(&pager, 78);
    assert_eq!(disk.count(Call::Create), 1, "a new file");
    assert_ne!(disk.last_place().0, failed_file);
    assert_eq!(pager.stats().dirty_bytes, u64_of(PAYLOAD), "only of the new file");
    for (handle, seed) in held.into_iter().zip(0..).chain([(last, 77), (next, 78)]) {
        let mut back = Vec::new();
        pager.take(handle, &mut back).expect("a take");
        assert_same(&back, &elements::<u8>(PAYLOAD, seed));
    }
}

#[test]
fn what_write_back_loses_behind_a_push_is_noticed_at_the_next_push() {
    let (disk, pager) = short_of_memory();
    let held: Vec<_> = (0..=BUDGET).map(|seed| page_out(&pager, seed)).collect();
    let (file, _) = disk.last_place();
    assert!(pushed_bytes(&disk) > 0 && pager.stats().write_back_failures == 0);
    disk.fail_write_back(file, libc::EIO);
    let next = page_out(&pager, 77);
    assert_eq!((pager.stats().write_back_failures, disk.unheard_losses()), (1, 0));
    assert!(held.iter().all(Handle::is_at_risk));
    for (handle, seed) in held.into_iter().zip(0..).chain([(next, 77)]) {
        let mut back = Vec::new();
        pager.take(handle, &mut back).expect("the bytes are still in memory");
        assert_same(&back, &elements::<u8>(PAYLOAD, seed));
    }
}
