//! Models of the slots' protocol: claim, write, publish, free, grow, give back, set aside.

use std::io::IoSlice;

use loom::thread::{self, JoinHandle};

use super::claim::Order;
use super::files::SHARDS;
use super::*;
use crate::models::{FAILING, Pages, explore};
use crate::pager::NEVER;
use crate::sys::destination;
use crate::units::KIB;

const SLOT_BYTES: u64 = 4 * KIB;
const WORD_BYTES: u64 = 8;

/// A store of the smallest slots alone, which may hand out so many.
fn store(device: &Pages, capacity_slots: u64) -> Arc<Store> {
    let device: UnsizedArc<dyn Device> = UnsizedArc::new(device.clone());
    let (root, _) = Root::open(&device, Path::new("/scratch"), false).expect("a device that works");
    let space = Space::new(capacity_slots * SLOT_BYTES, Weak::<Store>::new());
    Arc::new(Store {
        this: Weak::new(),
        root,
        followed_up_to: None,
        files: fork::PerProcess::here(Files::with_shards(&device, space, SHARDS)),
        device,
        _watch: fork::Watch::begin().expect("handlers"),
    })
}

fn put_in(store: &Store, shard: usize, word: u64) -> Result<Place, Error> {
    let claim = store.try_claim(WORD_BYTES, Order::Own, shard)?;
    claim.write(&mut |place| place.write(&[IoSlice::new(&word.to_le_bytes())], &NEVER, || store.push_what_is_due()))
}

/// As [`put_in`] the thread's own shard, with all that is tried when there is no room.
fn put(store: &Store, word: u64) -> Result<Place, Error> {
    let claim = store.claim(WORD_BYTES)?;
    store.write(claim, &[IoSlice::new(&word.to_le_bytes())], &NEVER)
}

#[track_caller]
fn assert_holds(place: &Place, word: u64) {
    let segment = place.segments(0..WORD_BYTES).next().expect("a payload has bytes");
    let mut back = [0u8; 8];
    destination::overwrite(&mut back, |whole| segment.slot.read(&mut [whole], 0)).expect("a device that reads");
    assert_eq!(u64::from_le_bytes(back), word, "somebody else wrote to the slot");
}

fn spawn<R: 'static>(store: &Arc<Store>, body: impl FnOnce(&Store) -> R + 'static) -> JoinHandle<R> {
    let store = Arc::clone(store);
    thread::spawn(move || body(&store))
}

/// Files that are open are known to the store: one that it let go held no payload.
#[track_caller]
fn assert_all_files_are_listed(store: &Store, device: &Pages) {
    let listed = store.files().all().count();
    assert_eq!(device.open_files(), u64::try_from(listed).expect("few files"), "a file with a payload is not listed");
}

/// Nothing is counted that is not there, and the device has all of its room back.
#[track_caller]
fn assert_nothing_is_left(store: Arc<Store>, device: &Pages, room_pages: u64) {
    assert_eq!((store.used_bytes(), store.write_behind().dirty_bytes()), (0, 0));
    assert_all_files_are_listed(&store, device);
    store.trim().expect("a device that works");
    assert_eq!((store.space().scratch_bytes(), device.room_pages()), (0, room_pages));
    let space = Arc::clone(&store.files().space);
    drop(store);
    assert_eq!((space.scratch_bytes(), device.open_files()), (0, 0));
}

#[test]
fn claims_never_collide() {
    explore("claims_never_collide", || {
        let device = Pages::with_room(2);
        let store = store(&device, 2);
        let twice = |first: u64| {
            move |store: &Store| {
                for word in [first, first + 1] {
                    let place = put_in(store, 0, word).expect("there is a slot for each thread");
                    assert_holds(&place, word);
                }
            }
        };
        let other = spawn(&store, twice(10));
        twice(20)(&store);
        other.join().expect("no panic");
        assert_nothing_is_left(store, &device, 2);
    });
}

#[test]
fn three_threads_share_a_file_that_grows() {
    explore("three_threads_share_a_file_that_grows", || {
        let device = Pages::with_room(3);
        let store = store(&device, 3);
        let once = |word: u64| move |store: &Store| put_in(store, 0, word).expect("there is a slot for each thread");
        let others = [spawn(&store, once(10)), spawn(&store, once(20))];
        let place = once(30)(&store);
        let [first, second] = others.map(|other| other.join().expect("no panic"));
        for (place, word) in [(&first, 10), (&second, 20), (&place, 30)] {
            assert_holds(place, word);
        }
        drop((first, second, place));
        assert_nothing_is_left(store, &device, 3);
    });
}

#[test]
fn a_file_that_is_given_back_loses_no_slot_that_is_being_claimed() {
    explore("a_file_that_is_given_back_loses_no_slot_that_is_being_claimed", || {
        let device = Pages::with_room(2);
        let store = store(&device, 2);
        // A file without payloads, which is what giving back looks for.
        drop(put_in(&store, 0, 1).expect("room"));
        let trim = spawn(&store, |store| store.trim().expect("a device that works"));
        let place = put_in(&store, 0, 10).expect("room");
        trim.join().expect("no panic");
        assert_holds(&place, 10);
        assert_all_files_are_listed(&store, &device);
        drop(place);
        assert_nothing_is_left(store, &device, 2);
    });
}

#[test]
fn space_is_given_back_around_payloads() {
    explore("space_is_given_back_around_payloads", || {
        let device = Pages::with_room(2);
        let store = store(&device, 2);
        let kept = put_in(&store, 0, 1).expect("room");
        let trim = spawn(&store, |store| store.trim().expect("a device that works"));
        let place = put_in(&store, 0, 10).expect("room");
        assert_holds(&place, 10);
        drop(place);
        let place = put_in(&store, 0, 11).expect("room");
        trim.join().expect("no panic");
        assert_holds(&place, 11);
        assert_holds(&kept, 1);
        drop((place, kept));
        assert_nothing_is_left(store, &device, 2);
    });
}

#[test]
fn a_full_disk_is_no_lasting_state() {
    explore("a_full_disk_is_no_lasting_state", || {
        let device = Pages::with_room(1);
        let store = store(&device, 4);
        // Each thread has its own file; the disk has room for one slot.
        let attempt = |word: u64| {
            move |store: &Store| match put(store, word) {
                Ok(place) => assert_holds(&place, word),
                Err(error) => assert!(error.may_pass_with_room(), "{error}"),
            }
        };
        let other = spawn(&store, attempt(10));
        attempt(20)(&store);
        other.join().expect("no panic");
        let place = put(&store, 30).expect("the disk is free again");
        assert_holds(&place, 30);
        drop(place);
        assert_nothing_is_left(store, &device, 1);
    });
}

#[test]
fn a_file_that_fails_keeps_its_payloads() {
    explore("a_file_that_fails_keeps_its_payloads", || {
        let device = Pages::with_room(8);
        let store = store(&device, 4);
        let failing = spawn(&store, |store| put_in(store, 0, FAILING).map(drop).expect_err("the device fails"));
        let place = put_in(&store, 0, 10).expect("another thread's failure is not ours");
        failing.join().expect("no panic");
        let next = put_in(&store, 0, 20).expect("a new file");
        store.trim().expect("a device that works");
        assert_holds(&place, 10);
        assert_holds(&next, 20);
        assert_all_files_are_listed(&store, &device);
        drop((place, next));
        assert_nothing_is_left(store, &device, 8);
    });
}

#[test]
fn two_failures_set_a_file_aside_once() {
    explore("two_failures_set_a_file_aside_once", || {
        let device = Pages::with_room(8);
        let store = store(&device, 4);
        let kept = put_in(&store, 0, 1).expect("room");
        let fail = |store: &Store| put_in(store, 0, FAILING).map(drop).expect_err("the device fails");
        let failing = spawn(&store, fail);
        fail(&store);
        let place = put_in(&store, 0, 10).expect("a new file");
        failing.join().expect("no panic");
        assert_holds(&kept, 1);
        assert_holds(&place, 10);
        assert_all_files_are_listed(&store, &device);
        drop((place, kept));
        assert_nothing_is_left(store, &device, 8);
    });
}

fn explore_write_behind(name: &str, has_failing_write_back: bool) {
    explore(name, move || {
        let device = Pages::without_memory(4, has_failing_write_back);
        let store = store(&device, 2);
        let once = |word: u64| {
            move |store: &Store| {
                let place = put_in(store, 0, word).expect("room");
                let dirty_bytes = store.write_behind().dirty_bytes();
                assert!(dirty_bytes <= 2 * SLOT_BYTES, "{dirty_bytes} bytes are dirty in two slots");
                assert_holds(&place, word);
            }
        };
        let other = spawn(&store, once(10));
        once(20)(&store);
        other.join().expect("no panic");
        assert_nothing_is_left(store, &device, 4);
    });
}

#[test]
fn dirty_bytes_are_pushed_or_forgotten_once() {
    explore_write_behind("dirty_bytes_are_pushed_or_forgotten_once", false);
}

#[test]
fn dirty_bytes_end_with_a_file_that_fails() {
    explore_write_behind("dirty_bytes_end_with_a_file_that_fails", true);
}

#[test]
fn no_more_is_reserved_than_the_capacity() {
    explore("no_more_is_reserved_than_the_capacity", || {
        let space = Arc::new(Space::new(10, Weak::<Store>::new()));
        let reserve = |space: &Space| space.reserve(6).map(|mut held| held.hand_over(6)).is_ok();
        let other = {
            let space = Arc::clone(&space);
            thread::spawn(move || reserve(&space))
        };
        let raising = {
            let space = Arc::clone(&space);
            thread::spawn(move || space.set_capacity(12))
        };
        let own = reserve(&space);
        let both = [own, other.join().expect("no panic")];
        raising.join().expect("no panic");
        let reserved_bytes = 6 * both.iter().filter(|&&has_reserved| has_reserved).count();
        assert!(reserved_bytes > 0, "one of them fits whatever happens");
        assert_eq!(space.used_bytes(), u64::try_from(reserved_bytes).expect("few bytes"));
        assert_eq!((space.capacity_bytes(), space.used_bytes() <= 12), (12, true));
        space.release(space.used_bytes());
        assert!(space.reserve(12).is_ok());
    });
}

#[test]
fn a_close_waits_for_what_is_under_way_and_ends_the_rest() {
    explore("a_close_waits_for_what_is_under_way_and_ends_the_rest", || {
        let device = Pages::with_room(2);
        let store = store(&device, 2);
        let kept = put_in(&store, 0, 1).expect("room");
        let other = spawn(&store, |store| match put_in(store, 0, 10) {
            Ok(place) => drop(place),
            Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
        });
        store.close();
        assert_eq!(device.open_files(), 0, "a descriptor outlives the close");
        let segment = kept.segments(0..WORD_BYTES).next().expect("a payload has bytes");
        let mut back = [0u8; 8];
        let outcome = destination::overwrite(&mut back, |whole| segment.slot.read(&mut [whole], 0));
        assert!(matches!(outcome, Err(Some(Error::Closed))), "{outcome:?}");
        other.join().expect("no panic");
        drop(kept);
        assert_eq!((store.used_bytes(), device.open_files(), device.room_pages()), (0, 0, 2));
    });
}
