//! Maps of vectors within a memory budget: what they have, what threads do to each other, limits, and random calls beside a plain map.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use pageout::{Backend, Borrowed, Error, Evicted, MemoryBudget, PagedMap, PagerBuilder};
use pageout_testing::{assert_same, builder, elements, scratch};
use proptest::prelude::*;
use tempfile::TempDir;

/// Bytes of the budget, and of a sixteenth of it.
const BUDGET: u64 = 1 << 20;
const PIECE: usize = 1 << 16;

/// A map of bytes with a directory of its own.
struct Site {
    map: PagedMap<u32, u8>,
    _scratch: TempDir,
}

impl std::ops::Deref for Site {
    type Target = PagedMap<u32, u8>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

fn options(scratch: &TempDir) -> PagerBuilder {
    builder(scratch.path()).resident_bytes(BUDGET)
}

fn new_map() -> Site {
    let scratch = scratch();
    Site { map: PagedMap::new(options(&scratch)).expect("a map"), _scratch: scratch }
}

fn limited(max_bytes: u64, on_evict: impl Fn(u32, Evicted<u8>) + Send + Sync + 'static) -> Site {
    let scratch = scratch();
    Site { map: PagedMap::with_limit(options(&scratch), max_bytes, on_evict).expect("a map"), _scratch: scratch }
}

fn bytes(seed: u32) -> Vec<u8> {
    elements(PIECE, u64::from(seed))
}

/// Nothing is left of what a map had, as soon as a write that was under way has stopped.
fn assert_empty(map: &PagedMap<u32, u8>) {
    let left = || {
        let stats = map.stats();
        [stats.handles, stats.payload_bytes, stats.used_bytes, stats.resident_bytes, stats.borrowed_bytes]
    };
    for _ in 0..1000 {
        if left() == [0; 5] {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", map.stats());
}

#[test]
fn values_are_set_looked_at_read_and_taken() {
    let map = new_map();
    for key in 0..64 {
        map.set(key, bytes(key)).expect("a set");
        assert!(map.stats().resident_bytes <= BUDGET);
    }
    assert_eq!((map.len(), map.len_bytes(), map.is_empty()), (64, 64 << 16, false));
    for key in 0..64 {
        assert_same(&map.borrow(&key).expect("a borrow").expect("it is there"), &bytes(key));
        assert_eq!(map.read(&key, 10..12).expect("a read").as_deref(), Some(&bytes(key)[10..12]));
        let ends = map.read_many(&key, &[PIECE - 1..PIECE, 0..1]).expect("a read").expect("it is there");
        assert_eq!(ends, [bytes(key)[PIECE - 1], bytes(key)[0]]);
        let mut target = [0; 5];
        assert!(map.read_into(&key, 7..12, &mut target).expect("a read"));
        assert_eq!(target, bytes(key)[7..12]);
        assert!(map.stats().resident_bytes <= BUDGET);
    }
    let mut keys = map.keys();
    keys.sort_unstable();
    assert_eq!(keys, (0..64).collect::<Vec<_>>());
    for key in 0..64 {
        assert_same(&map.take(&key).expect("a take").expect("it is there"), &bytes(key));
    }
    assert_empty(&map);
}

#[test]
fn a_key_that_is_not_there_is_none() {
    let map = new_map();
    map.set(1, bytes(1)).expect("a set");
    assert!(map.borrow(&0).expect("no failure").is_none());
    assert!(map.borrow_all([&1, &0]).expect("no failure").is_none());
    assert!(map.read(&0, ..).expect("no failure").is_none());
    assert!(map.read_many(&0, &[]).expect("no failure").is_none());
    assert!(!map.read_into(&0, .., &mut []).expect("no failure"));
    assert!(map.take(&0).expect("no failure").is_none());
    assert!(!map.delete(&0).expect("no failure"));
    assert!(!map.has(&0) && map.has(&1));
    map.prefetch(&0);
    assert_eq!(map.stats().borrowed_bytes, 0);
}

#[test]
fn a_take_of_what_is_in_memory_gives_the_same_allocation() {
    let map = new_map();
    let vec = bytes(1);
    let address = vec.as_ptr();
    map.set(1, vec).expect("a set");
    let taken = map.take(&1).expect("a take").expect("it is there");
    assert_eq!(taken.as_ptr(), address);
    assert_eq!(map.stats().writes_elided, 1);
}

#[test]
fn what_is_replaced_deleted_or_cleared_stays_with_its_borrowers() {
    type End = fn(&PagedMap<u32, u8>);
    let map = new_map();
    let ends: [End; 3] = [
        |map| map.set(1, vec![9; 100]).expect("a set"),
        |map| assert!(map.delete(&1).expect("a delete")),
        |map| map.clear().expect("a clear"),
    ];
    for end in ends {
        map.set(1, bytes(1)).expect("a set");
        let [one, other] = [(); 2].map(|()| map.borrow(&1).expect("a borrow").expect("it is there"));
        end(&map);
        assert_same(&one, &bytes(1));
        drop(one);
        assert_same(&other, &bytes(1));
        assert_eq!(map.stats().borrowed_bytes, PIECE as u64);
        let elided = map.stats().writes_elided;
        drop(other);
        assert_eq!((map.stats().borrowed_bytes, map.stats().writes_elided), (0, elided + 1), "it is freed unwritten");
        map.clear().expect("a clear");
        assert_empty(&map);
    }
}

#[test]
fn what_is_borrowed_is_neither_taken_nor_updated() {
    let map = new_map();
    map.set(1, bytes(1)).expect("a set");
    let borrowed = map.borrow(&1).expect("a borrow");
    assert!(matches!(map.take(&1), Err(Error::Borrowed)));
    let failed = map.update(1, |_| unreachable!()).expect_err("it is borrowed");
    assert!(matches!(failed.error(), Error::Borrowed));
    assert!(failed.into_inner().is_none());
    assert_same(&map.read(&1, ..).expect("a read").expect("it is there"), &bytes(1));
    drop(borrowed);
    assert_same(&map.take(&1).expect("a take").expect("it is there"), &bytes(1));
}

#[test]
fn several_are_borrowed_in_order_all_or_none() {
    let map = new_map();
    for key in 0..32 {
        map.set(key, bytes(key)).expect("a set");
    }
    let three = map.borrow_all([&3, &1, &3]).expect("a borrow").expect("they are there");
    assert_same(&three[0], &bytes(3));
    assert_same(&three[1], &bytes(1));
    assert_eq!(three[0].as_ptr(), three[2].as_ptr());
    assert_eq!(map.stats().borrowed_bytes, 2 * PIECE as u64);
    drop(three);
    let all: Vec<u32> = (0..16).collect();
    assert_eq!(map.borrow_all(&all).expect("they fit").expect("they are there").len(), 16);
    let held = map.borrow(&20).expect("a borrow");
    let refused = map.borrow_all(&all).expect_err("one of them has no room");
    assert!(matches!(&refused, Error::Budget(_)), "{refused}");
    assert_eq!(map.stats().borrowed_bytes, PIECE as u64, "nothing of the others is held");
    drop(held);
    let more: Vec<u32> = (0..17).collect();
    match map.borrow_all(&more) {
        Err(Error::Budget(facts)) => assert_eq!((facts.requested_bytes, facts.limit_bytes), (17 * PIECE as u64, BUDGET)),
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert_eq!(map.borrow_all::<u32>([]).expect("nothing").map(|none| none.len()), Some(0));
    map.set(99, Vec::new()).expect("a set");
    let with_empty = map.borrow_all([&99, &0]).expect("a borrow").expect("they are there");
    assert!(with_empty[0].is_empty());
    assert_same(&with_empty[1], &bytes(0));
}

#[test]
fn threads_that_borrow_several_find_room_in_one_step() {
    let map = Arc::new(new_map());
    let keys: Vec<u32> = (0..36).collect();
    for key in &keys {
        map.set(*key, bytes(*key)).expect("a set");
    }
    // Each needs half of the budget and a bit: one at a time has it, and always one.
    let threads = 3;
    let barrier = Arc::new(Barrier::new(threads));
    let work = |thread: usize| {
        let (map, barrier) = (Arc::clone(&map), Arc::clone(&barrier));
        let keys = keys[thread * 9..][..9].to_vec();
        thread::spawn(move || {
            let mut lent = 0;
            for _ in 0..50 {
                barrier.wait();
                match map.borrow_all(&keys) {
                    Ok(borrowed) => {
                        let borrowed = borrowed.expect("they are there");
                        borrowed.iter().zip(&keys).for_each(|(value, key)| assert_same(value, &bytes(*key)));
                        lent += 1;
                        barrier.wait();
                    }
                    Err(Error::Budget(_)) => _ = barrier.wait(),
                    Err(other) => panic!("{other}"),
                }
            }
            lent
        })
    };
    let lent: usize = (0..threads).map(work).collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(lent, 50, "in each round one has all of its room, and the others none");
    assert_eq!(map.stats().borrowed_bytes, 0);
}

#[test]
fn concurrent_misses_of_one_key_make_one_read() {
    let map = Arc::new(new_map());
    for key in 0..32 {
        map.set(key, bytes(key)).expect("a set");
    }
    for key in (1..32).rev() {
        map.borrow(&key).expect("a borrow");
    }
    let before = map.stats().resident_misses;
    let barrier = Arc::new(Barrier::new(4));
    let looks = [(); 4].map(|()| {
        let (map, barrier) = (Arc::clone(&map), Arc::clone(&barrier));
        thread::spawn(move || {
            barrier.wait();
            let borrowed = map.borrow(&0).expect("a borrow").expect("it is there");
            assert_same(&borrowed, &bytes(0));
            barrier.wait();
            borrowed.as_ptr() as usize
        })
    });
    let addresses: Vec<usize> = looks.into_iter().map(|look| look.join().expect("no panic")).collect();
    assert!(addresses.iter().all(|address| *address == addresses[0]));
    // All of them borrowed it at one moment, so it was read once at most.
    assert!(map.stats().resident_misses <= before + 4);
    assert!(map.stats().borrowed_bytes == 0);
}

#[test]
fn update_begins_changes_and_deletes() {
    let map = new_map();
    map.update(1, |value| *value = Some(vec![1, 2])).expect("an update");
    let before = map.update(1, |value| value.as_mut().map(|vec| std::mem::replace(&mut vec[0], 7))).expect("an update");
    assert_eq!(before, Some(1));
    assert_eq!(map.read(&1, ..).expect("a read"), Some(vec![7, 2]));
    assert!(map.update(2, |value| value.is_none()).expect("an update"));
    assert_eq!((map.len(), map.len_bytes()), (1, 2));
    map.update(1, |value| *value = None).expect("an update");
    assert_empty(&map);
    assert!(map.is_empty());
}

#[test]
fn a_panic_in_an_update_leaves_the_value_as_it_is_then() {
    let map = new_map();
    map.set(1, vec![1, 2, 3]).expect("a set");
    let panics = || {
        map.update(1, |value| {
            value.as_mut().expect("it is there")[0] = 9;
            panic!("mine");
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(map.take(&1).expect("a take"), Some(vec![9, 2, 3]));
    assert!(catch_unwind(AssertUnwindSafe(|| map.update(1, |_| panic!("mine")))).is_err());
    assert!(!map.has(&1));
    assert_empty(&map);
}

#[test]
fn within_an_update_the_same_thread_cannot_use_the_key() {
    let map = new_map();
    map.set(2, vec![2]).expect("a set");
    for key in [1, 2] {
        map.update(key, |value| {
            assert!(matches!(map.borrow(&key), Err(Error::InUpdate)));
            assert!(matches!(map.borrow_all([&2, &key]), Err(Error::InUpdate)));
            assert!(matches!(map.read(&key, ..), Err(Error::InUpdate)));
            assert!(matches!(map.take(&key), Err(Error::InUpdate)));
            assert!(matches!(map.delete(&key), Err(Error::InUpdate)));
            assert!(matches!(map.set(key, vec![1]).expect_err("not now").error(), Error::InUpdate));
            assert!(matches!(map.update(key, |_| ()).expect_err("not now").error(), Error::InUpdate));
            map.set(3, vec![3]).expect("another key");
            map.prefetch(&key);
            assert!(matches!(map.clear(), Err(Error::InUpdate)));
            assert!(map.has(&3), "nothing was removed");
            *value = Some(vec![5]);
        })
        .expect("an update");
        assert_eq!(map.read(&key, ..).expect("a read"), Some(vec![5]));
    }
}

#[test]
fn other_threads_wait_for_an_update_of_their_key_alone() {
    let map = Arc::new(new_map());
    map.set(1, vec![1]).expect("a set");
    map.set(2, vec![2]).expect("a set");
    let (read, reads) = channel();
    let reader = map.update(1, |value| {
        let other = Arc::clone(&map);
        let reader = thread::spawn(move || {
            assert_eq!(other.read(&2, ..).expect("a read"), Some(vec![2]));
            read.send(2).expect("somebody listens");
            let value = other.read(&1, ..).expect("a read");
            read.send(1).expect("somebody listens");
            value
        });
        assert_eq!(reads.recv(), Ok(2));
        thread::sleep(Duration::from_millis(20));
        assert!(reads.try_recv().is_err(), "it waits");
        value.as_mut().expect("it is there").push(7);
        reader
    });
    assert_eq!(reader.expect("an update").join().expect("no panic"), Some(vec![1, 7]));
}

#[test]
fn a_clear_removes_what_another_thread_is_changing_when_that_is_settled() {
    let map = Arc::new(new_map());
    for key in [1, 2] {
        map.set(key, vec![1]).expect("a set");
    }
    for changed in [1, 3] {
        let clearer = map.update(changed, |value| {
            value.get_or_insert_default().push(7);
            let other = Arc::clone(&map);
            let clearer = thread::spawn(move || other.clear());
            while map.has(&2) {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            assert!(!clearer.is_finished(), "it waits");
            clearer
        });
        clearer.expect("an update").join().expect("no panic").expect("a clear");
        assert_empty(&map);
        map.set(2, vec![1]).expect("a set");
    }
}

#[test]
fn a_vector_that_cannot_be_set_comes_back() {
    let scratch = scratch();
    let map = PagedMap::new(builder(scratch.path()).resident_bytes(8 << 10).capacity_bytes(64 << 10)).expect("a map");
    map.set(1, vec![1u8; 1000]).expect("a set");
    let failed = map.set(1, vec![2; 200 << 10]).expect_err("there is no room");
    assert!(matches!(failed.error(), Error::Capacity(_)), "{failed:?}");
    assert_eq!(failed.into_inner().len(), 200 << 10);
    assert_eq!(map.read(&1, ..).expect("a read"), Some(vec![1; 1000]), "the map is as it was");
    let failed = map.update(1, |value| value.as_mut().expect("it is there").resize(200 << 10, 3)).expect_err("there is no room");
    assert!(matches!(failed.error(), Error::Capacity(_)), "{failed:?}");
    assert_eq!(failed.into_inner().expect("it comes back").len(), 200 << 10);
    assert!(!map.has(&1));
    assert_eq!((map.len_bytes(), map.stats().handles), (0, 0));
    let panics = || {
        map.update(1, |value| {
            *value = Some(vec![4; 200 << 10]);
            panic!("mine");
        })
    };
    let panic = catch_unwind(AssertUnwindSafe(panics)).expect_err("the panic goes on");
    assert_eq!(panic.downcast_ref(), Some(&"mine"));
    assert!(!map.has(&1));
    assert_eq!((map.len_bytes(), map.stats().handles), (0, 0));
}

#[test]
fn a_closed_map_has_nothing_and_refuses_everything() {
    let map = new_map();
    map.set(1, bytes(1)).expect("a set");
    let borrowed = map.borrow(&1).expect("a borrow").expect("it is there");
    map.close();
    map.close();
    assert_same(&borrowed, &bytes(1));
    drop(borrowed);
    assert!(matches!(map.set(1, vec![1]).expect_err("closed").error(), Error::Closed));
    assert!(matches!(map.update(1, |_| ()).expect_err("closed").error(), Error::Closed));
    assert!(matches!(map.borrow(&1), Err(Error::Closed)));
    assert!(matches!(map.borrow_all([&1]), Err(Error::Closed)));
    assert!(matches!(map.read(&1, ..), Err(Error::Closed)));
    assert!(matches!(map.take(&1), Err(Error::Closed)));
    assert!(matches!(map.delete(&1), Err(Error::Closed)));
    assert!(matches!(map.clear(), Err(Error::Closed)));
    map.prefetch(&1);
    assert_eq!((map.len(), map.len_bytes(), map.has(&1), map.keys()), (0, 0, false, vec![]));
}

#[test]
fn a_close_ends_those_who_wait_and_gives_an_update_its_vector_back() {
    let map = Arc::new(new_map());
    map.set(1, vec![1]).expect("a set");
    let waiter = Mutex::new(None);
    let failed = map
        .update(1, |_| {
            let other = Arc::clone(&map);
            *waiter.lock().expect("no panic") = Some(thread::spawn(move || other.take(&1)));
            thread::sleep(Duration::from_millis(20));
            map.close();
        })
        .expect_err("it is closed");
    assert!(matches!(failed.error(), Error::Closed));
    assert_eq!(failed.into_inner(), Some(vec![1]));
    let waiter = waiter.into_inner().expect("no panic").expect("it was begun");
    assert!(matches!(waiter.join().expect("no panic"), Err(Error::Closed)));
}

#[test]
fn options_are_checked() {
    let scratch = scratch();
    let name_of = |result: Result<PagedMap<u32, u8>, Error>| match result {
        Err(Error::Option { name, .. }) => name,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert_eq!(name_of(PagedMap::new(builder(scratch.path()))), "resident_bytes");
    assert_eq!(name_of(PagedMap::new(options(&scratch).backend(Backend::Swap))), "backend");
    assert_eq!(name_of(PagedMap::with_limit(options(&scratch), 0, |_, _| ())), "max_bytes");
}

#[test]
fn several_maps_share_one_budget() {
    let (scratch, budget) = (scratch(), MemoryBudget::new(BUDGET));
    let maps = [(); 2].map(|()| PagedMap::new(builder(scratch.path()).resident_bytes(&budget)).expect("a map"));
    for key in 0..32 {
        for map in &maps {
            map.set(key, bytes(key)).expect("a set");
            assert!(budget.resident_bytes() <= BUDGET);
        }
    }
    for key in 0..32 {
        for map in &maps {
            assert_same(&map.borrow(&key).expect("a borrow").expect("it is there"), &bytes(key));
        }
    }
    drop(maps);
    assert_eq!(budget.resident_bytes(), 0);
}

fn told(gone: Sender<(u32, usize)>) -> impl Fn(u32, Evicted<u8>) + Send + Sync {
    move |key, value| gone.send((key, value.len())).expect("somebody listens")
}

#[test]
fn past_the_limit_those_go_that_were_used_longest_ago() {
    let (gone, log) = channel();
    let map = limited(4000, told(gone));
    for key in 0..4 {
        map.set(key, vec![0; 1000]).expect("a set");
    }
    map.borrow(&0).expect("a borrow");
    map.read(&1, ..1).expect("a read");
    assert!(map.has(&2), "which is no use of it");
    map.set(4, vec![0; 1000]).expect("a set");
    assert_eq!(log.try_iter().collect::<Vec<_>>(), [(2, 1000)]);
    map.set(5, vec![0; 2500]).expect("a set");
    assert_eq!(log.try_iter().map(|(key, _)| key).collect::<Vec<_>>(), [3, 0, 1]);
    assert_eq!((map.len(), map.len_bytes()), (2, 3500));
    map.update(5, |value| value.as_mut().expect("it is there").resize(3500, 1)).expect("an update");
    assert_eq!(log.try_iter().collect::<Vec<_>>(), [(4, 1000)]);
    map.clear().expect("a clear");
    assert!(log.try_iter().next().is_none(), "what is cleared is not told");
    assert_empty(&map);
}

#[test]
fn what_is_borrowed_does_not_go_and_where_nothing_can_the_vector_comes_back() {
    let (gone, log) = channel();
    let map = limited(3000, told(gone));
    for key in 0..3 {
        map.set(key, vec![1; 1000]).expect("a set");
    }
    let mut borrowed: Vec<Option<Borrowed<u8>>> = [0, 1].map(|key| map.borrow(&key).expect("a borrow")).into();
    map.set(3, vec![3; 1000]).expect("a set");
    assert_eq!(log.try_iter().collect::<Vec<_>>(), [(2, 1000)]);
    borrowed.push(map.borrow(&3).expect("a borrow"));
    let failed = map.set(4, vec![4; 1000]).expect_err("nothing can go");
    match failed.error() {
        Error::Budget(facts) => assert_eq!((facts.requested_bytes, facts.borrowed_bytes, facts.limit_bytes), (1000, 3000, 3000)),
        other => panic!("{other}"),
    }
    assert_eq!(failed.into_inner(), [4; 1000]);
    let failed = map.update(4, |value| *value = Some(vec![4; 1000])).expect_err("nothing can go");
    assert_eq!(failed.into_inner(), Some(vec![4; 1000]));
    map.set(3, vec![5; 1000]).expect("in the place of its own value it has room");
    let failed = map.set(3, vec![6; 3001]).expect_err("it is longer than the limit");
    assert!(matches!(failed.error(), Error::OverLimit { len_bytes: 3001, max_bytes: 3000, .. }));
    assert_eq!(map.read(&3, ..1).expect("a read"), Some(vec![5]));
    drop(borrowed);
    map.set(4, vec![4; 3000]).expect("a set");
    assert_eq!((map.keys(), map.len_bytes()), (vec![4], 3000));
}

#[test]
fn what_is_being_updated_does_not_go() {
    let (gone, log) = channel();
    let map = limited(2000, told(gone));
    map.set(1, vec![1; 1000]).expect("a set");
    map.set(2, vec![2; 1000]).expect("a set");
    map.update(1, |_| {
        map.read(&2, ..1).expect("a read");
        map.set(3, vec![3; 1000]).expect("a set");
        let failed = map.set(4, vec![4; 2000]).expect_err("nothing else can go");
        assert!(matches!(failed.error(), Error::Budget(_)), "{failed:?}");
    })
    .expect("an update");
    assert_eq!(log.try_iter().collect::<Vec<_>>(), [(2, 1000)]);
    assert_eq!((map.has(&1), map.has(&3), map.len_bytes()), (true, true, 2000));
}

#[test]
fn all_that_go_are_told_also_where_somebody_panics() {
    let (gone, log) = channel();
    let map = limited(2000, move |key, _| {
        gone.send(key).expect("somebody listens");
        assert!(key > 1, "told of {key}");
    });
    let message = |panic: Box<dyn Any + Send>| *panic.downcast::<String>().expect("a message");
    for key in 0..2 {
        map.set(key, vec![1; 1000]).expect("a set");
    }
    let panic = catch_unwind(AssertUnwindSafe(|| map.set(2, vec![1; 2000]))).expect_err("the first panic goes on");
    assert_eq!((message(panic).as_str(), log.try_iter().collect::<Vec<_>>()), ("told of 0", vec![0, 1]));
    map.clear().expect("a clear");
    for key in [0, 3, 4] {
        map.set(key, vec![1; 500]).expect("a set");
    }
    let panics = || {
        map.update(5, |value| {
            *value = Some(vec![1; 2000]);
            panic!("{}", "mine".to_owned());
        })
    };
    let panic = catch_unwind(AssertUnwindSafe(panics)).expect_err("that of work goes on");
    assert_eq!((message(panic).as_str(), log.try_iter().collect::<Vec<_>>()), ("mine", vec![0, 3, 4]));
    assert_eq!((map.keys(), map.len_bytes()), (vec![5], 2000), "what it left was set");
}

#[test]
fn whoever_is_told_may_take_the_value_call_the_map_and_panic() {
    let site: Arc<Mutex<Option<Arc<Site>>>> = Arc::default();
    let (taken, log) = channel();
    let inner = Arc::clone(&site);
    let map = Arc::new(limited(2000, move |key, value| {
        let map = inner.lock().expect("no panic").clone().expect("it was made");
        assert!(!map.has(&key), "it is gone by then");
        assert!(key != 7, "mine");
        let vec = value.take().expect("a take");
        taken.send((key, vec.clone())).expect("somebody listens");
        if key == 0 {
            map.set(100, vec).expect("a set");
        }
    }));
    *site.lock().expect("no panic") = Some(Arc::clone(&map));
    map.set(0, vec![1; 1000]).expect("a set");
    map.set(1, vec![2; 1000]).expect("a set");
    map.set(2, vec![3; 1000]).expect("a set");
    assert_eq!(log.try_iter().collect::<Vec<_>>(), [(0, vec![1; 1000]), (1, vec![2; 1000])]);
    map.clear().expect("a clear");
    map.set(7, vec![7; 1000]).expect("a set");
    assert!(catch_unwind(AssertUnwindSafe(|| map.set(8, vec![8; 1500]))).is_err());
    assert_eq!(map.read(&8, ..1).expect("a read"), Some(vec![8]), "what was set stands");
    site.lock().expect("no panic").take();
    map.clear().expect("a clear");
    assert_empty(&map);
}

/// A call of a map and what it is about.
#[derive(Clone, Debug)]
enum Step {
    Set(u32, usize),
    Delete(u32),
    Take(u32),
    Read(u32),
    Look(Vec<u32>),
    Hold(u32),
    Release(usize),
    Grow(u32, usize),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..6u32;
    let len = prop_oneof![Just(0), 1..10usize, 1_000..5_000usize, Just(30_000), Just(100_000)];
    let step = prop_oneof![
        4 => (key(), len.clone()).prop_map(|(key, len)| Step::Set(key, len)),
        1 => key().prop_map(Step::Delete),
        2 => key().prop_map(Step::Take),
        2 => key().prop_map(Step::Read),
        2 => proptest::collection::vec(key(), 1..4).prop_map(Step::Look),
        2 => key().prop_map(Step::Hold),
        2 => any::<usize>().prop_map(Step::Release),
        2 => (key(), len).prop_map(|(key, len)| Step::Grow(key, len)),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 1..80)
}

/// The naive twin: a map of vectors, and what is held of it.
#[derive(Default)]
struct Twin {
    values: HashMap<u32, Vec<u8>>,
    /// Borrows, whether their values are still the map's, and what they are.
    held: Vec<(Borrowed<u8>, Option<u32>, Vec<u8>)>,
}

impl Twin {
    fn step(&mut self, map: &PagedMap<u32, u8>, step: &Step, seed: u64) {
        match step {
            Step::Set(key, len) => {
                map.set(*key, elements(*len, seed)).expect("a set");
                self.values.insert(*key, elements(*len, seed));
                self.forget(Some(*key));
            }
            Step::Delete(key) => {
                assert_eq!(map.delete(key).expect("a delete"), self.values.remove(key).is_some());
                self.forget(Some(*key));
            }
            Step::Take(key) if self.is_held(*key) => assert!(matches!(map.take(key), Err(Error::Borrowed))),
            Step::Take(key) => assert_eq!(map.take(key).expect("a take"), self.values.remove(key)),
            Step::Read(key) => assert_eq!(map.read(key, ..).expect("a read").as_ref(), self.values.get(key)),
            Step::Look(keys) => self.look(map, keys),
            Step::Hold(key) => match map.borrow(key) {
                Ok(Some(borrowed)) => self.held.push((borrowed, Some(*key), self.values[key].clone())),
                Ok(None) => assert!(!self.values.contains_key(key)),
                Err(error) => assert!(matches!(error, Error::Budget(_)), "{error}"),
            },
            Step::Release(at) if !self.held.is_empty() => {
                let (borrowed, _, value) = self.held.swap_remove(at % self.held.len());
                assert_same(&borrowed, &value);
            }
            Step::Release(_) => {}
            Step::Grow(key, _) if self.is_held(*key) => {
                assert!(matches!(map.update(*key, |_| ()).expect_err("it is borrowed").error(), Error::Borrowed));
            }
            Step::Grow(key, len) => {
                let grow = |value: &mut Option<Vec<u8>>| value.get_or_insert_default().extend(elements::<u8>(*len, seed));
                map.update(*key, grow).expect("an update");
                self.values.entry(*key).or_default().extend(elements::<u8>(*len, seed));
            }
            Step::Clear => {
                map.clear().expect("a clear");
                self.values.clear();
                self.forget(None);
            }
        }
        assert_eq!(map.len(), self.values.len());
        assert_eq!(map.len_bytes(), self.values.values().map(|value| value.len() as u64).sum::<u64>());
    }

    fn look(&self, map: &PagedMap<u32, u8>, keys: &[u32]) {
        match map.borrow_all(keys) {
            Ok(Some(all)) => {
                assert_eq!(all.len(), keys.len());
                all.iter().zip(keys).for_each(|(value, key)| assert_same(value, &self.values[key]));
            }
            Ok(None) => assert!(keys.iter().any(|key| !self.values.contains_key(key))),
            Err(error) => assert!(matches!(error, Error::Budget(_)), "{error}"),
        }
    }

    fn is_held(&self, key: u32) -> bool {
        self.held.iter().any(|(_, of, _)| *of == Some(key))
    }

    /// What is held of a key, or of all, is the map's no more.
    fn forget(&mut self, key: Option<u32>) {
        self.held.iter_mut().filter(|(_, of, _)| key.is_none() || *of == key).for_each(|(_, of, _)| *of = None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_do_what_they_do_to_a_plain_map_and_leave_nothing(steps in steps()) {
        let scratch = scratch();
        let map = PagedMap::new(builder(scratch.path()).resident_bytes(256 << 10)).expect("a map");
        let mut twin = Twin::default();
        for (seed, step) in steps.iter().enumerate() {
            twin.step(&map, step, seed as u64);
            prop_assert!(map.stats().resident_bytes <= 256 << 10);
        }
        map.clear().expect("a clear");
        drop(twin);
        assert_empty(&map);
    }
}

#[test]
fn threads_use_few_keys_at_random_and_lose_nothing() {
    let map = Arc::new(new_map());
    let threads: Vec<_> = (0..4u32)
        .map(|thread| {
            let map = Arc::clone(&map);
            thread::spawn(move || {
                for round in 0..300u32 {
                    let key = (round * 7 + thread * 3) % 5;
                    match (round + thread) % 7 {
                        0 | 1 => map.set(key, vec![u8::try_from(key).expect("small"); PIECE]).expect("a set"),
                        2 => drop(map.delete(&key).expect("a delete")),
                        3 => match map.take(&key) {
                            Ok(taken) => assert!(taken.is_none_or(|vec| vec.iter().all(|byte| u32::from(*byte) == key))),
                            Err(error) => assert!(matches!(error, Error::Borrowed), "{error}"),
                        },
                        4 => match map
                            .update(key, |value| value.get_or_insert_default().resize(PIECE, u8::try_from(key).expect("small")))
                        {
                            Ok(()) => {}
                            Err(failed) => assert!(matches!(failed.error(), Error::Borrowed), "{failed:?}"),
                        },
                        _ => {
                            let value = map.borrow(&key).expect("a borrow");
                            assert!(value.is_none_or(|value| value.iter().all(|byte| u32::from(*byte) == key)));
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    map.clear().expect("a clear");
    assert_empty(&map);
}
