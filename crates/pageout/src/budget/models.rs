//! Models of a memory budget: what the keeper does is called by a thread of the model, since it has no keeper.

use std::sync::atomic::Ordering::{Acquire, Release};

use loom::thread;

use super::*;
use crate::models::{FAILING, Pages, explore};
use crate::pager::{Claiming, Handle, LentRoom, Pager};
use crate::payload::Chunk;
use crate::sync::{Arc, AtomicBool};

/// Memory of an owner who lets others see it at times.
struct Owned {
    is_seen: Arc<AtomicBool>,
    _room: LentRoom,
}

impl Chunk for Owned {
    fn bytes(&self) -> &[u8] {
        assert!(!self.is_seen.load(Acquire), "nobody reads what others see");
        WORD
    }

    fn key(&self) -> Option<u64> {
        Some(1)
    }
}

/// The bytes of lent payloads.
const WORD: &[u8; 8] = &[7; 8];

fn lent(is_seen: &Arc<AtomicBool>, room: LentRoom) -> Box<dyn Chunk> {
    Box::new(Owned { is_seen: Arc::clone(is_seen), _room: room })
}

/// Lets others see a payload for a moment.
fn show(handle: &Handle<u8>, is_seen: &AtomicBool) {
    assert_eq!(handle.expose(true).expect("an open pager"), Some(1));
    is_seen.store(true, Release);
    is_seen.store(false, Release);
    handle.end_exposure();
}

fn read(handle: &Handle<u8>) -> Result<[u8; 8], Error> {
    let mut target = [0; 8];
    handle.pager().read_into(handle, &[(0, 8)], &mut target).map(|()| target)
}

/// A budget with room for so many of the payloads of a model, a pager in it, and the device below.
struct Scene {
    device: Pages,
    budget: MemoryBudget,
    pager: Pager,
}

impl Scene {
    fn with_room_for(payloads: u64) -> Self {
        let device = Pages::with_room(4);
        let budget = MemoryBudget::new(payloads * PAYLOAD_BYTES_MIN);
        let pager = pager(&device, &budget);
        Self { device, budget, pager }
    }

    /// A payload in memory, of which there is no copy.
    fn resident(&self, word: u64) -> Handle {
        resident(&self.pager, word)
    }

    /// A payload on disk.
    fn stored(&self, word: u64) -> Handle {
        self.pager.pageout_copy(&[&[word]]).expect("room")
    }

    /// A payload in memory that somebody lends.
    fn lent(&self, is_seen: &Arc<AtomicBool>) -> Handle<u8> {
        let Ok(Claiming::Claimed(claimed)) = self.pager.claim(8, 8) else { panic!("there is room") };
        self.pager.admit_lent(claimed, 8, |room| vec![lent(is_seen, room)]).expect("memory")
    }

    /// Does in a thread what the keeper would do.
    fn keep(&self) -> thread::JoinHandle<()> {
        let budget = self.budget.clone();
        thread::spawn(move || {
            budget.inner().tend();
        })
    }

    /// Closes the pager in a thread.
    fn close(&self) -> thread::JoinHandle<()> {
        let pager = self.pager.clone();
        thread::spawn(move || pager.close())
    }

    /// Once all handles are gone nothing is left.
    fn ends_empty(self) {
        let stats = self.pager.stats();
        assert_eq!((stats.handles, stats.payload_bytes, stats.used_bytes), (0, 0, 0));
        assert_eq!((stats.resident_bytes, stats.borrowed_bytes, self.budget.resident_bytes()), (0, 0, 0));
        let ledger = self.budget.inner().lock();
        assert_eq!((ledger.dirty_bytes(), ledger.borrowed_bytes(), ledger.is_any_on_its_way(0)), (0, 0, false));
        assert!(ledger.failure().is_none());
        drop(ledger);
        drop(self.pager);
        assert_eq!((self.device.open_files(), self.device.room_pages()), (0, 4));
    }
}

fn pager(device: &Pages, budget: &MemoryBudget) -> Pager {
    let builder = Pager::builder().device(device.clone()).capacity_bytes(4 * 4096);
    builder.scratch_dir("/scratch").resident_bytes(budget).build().expect("a device that works")
}

fn resident(pager: &Pager, word: u64) -> Handle {
    pager.pageout(&mut [vec![word]]).expect("room")
}

fn take(handle: Handle) -> Vec<u64> {
    handle.take().expect("what went out comes back")
}

fn joined<R>(thread: thread::JoinHandle<R>) -> R {
    thread.join().expect("no panic")
}

#[test]
fn what_is_taken_while_the_keeper_writes_it_comes_back() {
    explore("what_is_taken_while_the_keeper_writes_it_comes_back", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.resident(7);
        let keeping = scene.keep();
        assert_eq!(take(handle), [7]);
        joined(keeping);
        scene.ends_empty();
    });
}

#[test]
fn what_is_dropped_while_the_keeper_writes_it_leaves_nothing() {
    explore("what_is_dropped_while_the_keeper_writes_it_leaves_nothing", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.resident(7);
        let keeping = scene.keep();
        drop(handle);
        joined(keeping);
        scene.ends_empty();
    });
}

#[test]
fn a_pageout_beside_the_keeper_moves_in_or_writes_and_evicts_the_cold() {
    explore("a_pageout_beside_the_keeper_moves_in_or_writes_and_evicts_the_cold", || {
        let scene = Scene::with_room_for(1);
        let first = scene.resident(7);
        let keeping = scene.keep();
        let second = scene.resident(8);
        assert!(scene.budget.resident_bytes() <= scene.budget.limit_bytes());
        assert_eq!((take(first), take(second)), (vec![7], vec![8]));
        joined(keeping);
        scene.ends_empty();
    });
}

#[test]
fn a_payload_that_cannot_be_written_stays() {
    explore("a_payload_that_cannot_be_written_stays", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.resident(FAILING);
        let keeping = scene.keep();
        assert_eq!(take(handle), [FAILING]);
        joined(keeping);
        scene.ends_empty();
    });
}

#[test]
fn two_who_borrow_what_is_on_disk_share_one_memory() {
    explore("two_who_borrow_what_is_on_disk_share_one_memory", || {
        let scene = Scene::with_room_for(1);
        let handle = Arc::new(scene.stored(7));
        let other = {
            let handle = Arc::clone(&handle);
            thread::spawn(move || {
                let borrowed = handle.borrow().expect("room for one");
                assert_eq!(*borrowed, [7]);
            })
        };
        let borrowed = handle.borrow().expect("room for one");
        assert_eq!(*borrowed, [7]);
        joined(other);
        assert_eq!(scene.pager.stats().resident_misses, 1);
        drop(borrowed);
        assert_eq!((scene.pager.stats().borrowed_bytes, scene.pager.stats().resident_bytes), (0, PAYLOAD_BYTES_MIN));
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn a_borrow_makes_the_other_payload_leave_or_says_that_it_is_borrowed() {
    explore("a_borrow_makes_the_other_payload_leave_or_says_that_it_is_borrowed", || {
        let scene = Scene::with_room_for(1);
        let (first, second) = (scene.resident(7), scene.stored(8));
        let other = thread::spawn(move || {
            match second.borrow() {
                Ok(borrowed) => assert_eq!(*borrowed, [8]),
                Err(error) => assert!(matches!(error, Error::Budget(_)), "{error:?}"),
            }
            second
        });
        match first.borrow() {
            Ok(borrowed) => {
                // Without its handle it is as good.
                drop(first);
                assert_eq!(*borrowed, [7]);
            }
            Err(error) => {
                assert!(matches!(error, Error::Budget(_)), "{error:?}");
                drop(first);
            }
        }
        assert!(scene.budget.resident_bytes() <= scene.budget.limit_bytes());
        drop(joined(other));
        scene.ends_empty();
    });
}

#[test]
fn a_borrow_beside_the_keeper_and_without_its_handle_is_whole() {
    explore("a_borrow_beside_the_keeper_and_without_its_handle_is_whole", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.resident(7);
        let keeping = scene.keep();
        let borrowed = handle.borrow().expect("it is in memory");
        drop(handle);
        assert_eq!(*borrowed, [7]);
        joined(keeping);
        assert_eq!(*borrowed, [7]);
        drop(borrowed);
        scene.ends_empty();
    });
}

#[test]
fn room_that_a_take_is_about_to_free_is_waited_for() {
    explore("room_that_a_take_is_about_to_free_is_waited_for", || {
        let scene = Scene::with_room_for(1);
        let (first, second) = (scene.resident(7), scene.stored(8));
        let taking = thread::spawn(move || assert_eq!(take(first), [7]));
        assert_eq!(*second.borrow().expect("nobody borrows"), [8]);
        joined(taking);
        drop(second);
        scene.ends_empty();
    });
}

#[test]
fn a_read_beside_an_eviction_is_whole() {
    explore("a_read_beside_an_eviction_is_whole", || {
        let scene = Scene::with_room_for(1);
        let (first, second) = (scene.resident(7), scene.stored(8));
        let other = thread::spawn(move || assert_eq!(*second.borrow().expect("nobody borrows"), [8]));
        assert_eq!(first.read(..).expect("what went out comes back"), [7]);
        joined(other);
        assert_eq!(take(first), [7]);
        scene.ends_empty();
    });
}

#[test]
fn a_close_beside_the_keeper_frees_all_memory() {
    explore("a_close_beside_the_keeper_frees_all_memory", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.resident(7);
        let keeping = scene.keep();
        scene.pager.close();
        assert_eq!((scene.pager.stats().resident_bytes, scene.device.open_files()), (0, 0));
        assert!(matches!(handle.read(..), Err(Error::Closed)));
        joined(keeping);
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn a_close_beside_a_pageout_leaves_nothing_in_a_shared_budget() {
    explore("a_close_beside_a_pageout_leaves_nothing_in_a_shared_budget", || {
        let scene = Scene::with_room_for(1);
        let closing = scene.close();
        let mut chunks = [vec![7u64]];
        let outcome = scene.pager.pageout(&mut chunks);
        match &outcome {
            Ok(handle) => assert_eq!(handle.len(), 1),
            Err(_) => assert_eq!(chunks[0], [7], "the chunks are as they were"),
        }
        joined(closing);
        assert_eq!(scene.budget.resident_bytes(), 0);
        drop(outcome);
        scene.ends_empty();
    });
}

#[test]
fn a_close_beside_a_borrow_leaves_what_is_borrowed() {
    explore("a_close_beside_a_borrow_leaves_what_is_borrowed", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.resident(7);
        let closing = scene.close();
        match handle.borrow() {
            Ok(borrowed) => assert_eq!(*borrowed, [7]),
            Err(error) => assert!(matches!(error, Error::Closed), "{error:?}"),
        }
        joined(closing);
        assert_eq!(scene.budget.resident_bytes(), 0);
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn a_prefetch_brings_in_what_nobody_has_dropped() {
    explore("a_prefetch_brings_in_what_nobody_has_dropped", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.stored(7);
        handle.prefetch(..).expect("a hint");
        let keeping = scene.keep();
        assert_eq!(*handle.borrow().expect("nobody else borrows"), [7]);
        drop(handle);
        joined(keeping);
        scene.ends_empty();
    });
}

#[test]
fn chunks_are_joined_beside_the_keeper() {
    explore("chunks_are_joined_beside_the_keeper", || {
        let scene = Scene::with_room_for(1);
        let handle = scene.pager.pageout(&mut [vec![7u64], vec![8]]).expect("room");
        let keeping = scene.keep();
        // There is no room for both: it leaves, and comes back. The device remembers the first word alone.
        match handle.borrow() {
            Ok(borrowed) => assert_eq!(borrowed[0], 7),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error:?}"),
        }
        joined(keeping);
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn a_smaller_limit_beside_a_pageout_is_kept() {
    explore("a_smaller_limit_beside_a_pageout_is_kept", || {
        let scene = Scene::with_room_for(2);
        let first = scene.resident(7);
        let limiting = {
            let budget = scene.budget.clone();
            thread::spawn(move || {
                budget.set_limit_bytes(PAYLOAD_BYTES_MIN);
                budget.inner().tend();
            })
        };
        let second = scene.resident(8);
        joined(limiting);
        // What was let in meanwhile leaves the next time.
        scene.budget.inner().tend();
        assert!(scene.budget.resident_bytes() <= PAYLOAD_BYTES_MIN);
        assert_eq!((take(first), take(second)), (vec![7], vec![8]));
        scene.ends_empty();
    });
}

#[test]
fn a_read_beside_an_exposure_is_refused_or_over_before_it() {
    explore("a_read_beside_an_exposure_is_refused_or_over_before_it", || {
        let (scene, is_seen) = (Scene::with_room_for(1), Arc::default());
        let handle = Arc::new(scene.lent(&is_seen));
        let reading = {
            let handle = Arc::clone(&handle);
            thread::spawn(move || match read(&handle) {
                Ok(bytes) => assert_eq!(bytes, *WORD),
                Err(error) => assert!(matches!(error, Error::Borrowed), "{error:?}"),
            })
        };
        show(&handle, &is_seen);
        joined(reading);
        assert_eq!(read(&handle).expect("nobody sees it"), *WORD);
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn the_keeper_beside_an_exposure_writes_before_it_or_after_it() {
    explore("the_keeper_beside_an_exposure_writes_before_it_or_after_it", || {
        let (scene, is_seen) = (Scene::with_room_for(1), Arc::default());
        let handle = scene.lent(&is_seen);
        let keeping = scene.keep();
        show(&handle, &is_seen);
        joined(keeping);
        assert_eq!(read(&handle).expect("nobody sees it"), *WORD);
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn what_moves_away_while_it_is_read_in_has_no_memory_then() {
    explore("what_moves_away_while_it_is_read_in_has_no_memory_then", || {
        let (scene, is_seen) = (Scene::with_room_for(1), Arc::<AtomicBool>::default());
        let handle = Arc::new(scene.pager.pageout_copy(&[&WORD[..]]).expect("room"));
        let bringing = {
            let (handle, is_seen) = (Arc::clone(&handle), Arc::clone(&is_seen));
            thread::spawn(move || {
                let brought = handle.bring_lent(&mut [0; 8], Purpose::Held, None, |room| lent(&is_seen, room));
                let (brought, hold) = brought.expect("room");
                assert_eq!(brought == Brought::Here, hold.is_some());
            })
        };
        handle.write_out(true).expect("a write");
        joined(bringing);
        assert_eq!(scene.pager.stats().resident_bytes, 0);
        drop(handle);
        scene.ends_empty();
    });
}

#[test]
fn of_two_threads_that_need_most_of_a_budget_one_finds_room_for_all() {
    explore("of_two_threads_that_need_most_of_a_budget_one_finds_room_for_all", || {
        let scene = Scene::with_room_for(3);
        let [one, two, three, four] = [1, 2, 3, 4].map(|word| scene.stored(word));
        // Of each thread's two, one is in memory. Nobody borrows it.
        drop([one.borrow(), three.borrow()].map(|borrowed| borrowed.expect("room")));
        let words = |borrowed: &[crate::Borrowed<u64>]| borrowed.iter().map(|word| word[0]).collect::<Vec<_>>();
        let other = thread::spawn(move || {
            let borrowed = Handle::borrow_all(&[&one, &two]);
            (borrowed, one, two)
        });
        let mine = Handle::borrow_all(&[&three, &four]);
        let (others, one, two) = joined(other);
        match (mine, others) {
            (Ok(borrowed), Err(Error::Budget(_))) => assert_eq!(words(&borrowed), [3, 4]),
            (Err(Error::Budget(_)), Ok(borrowed)) => assert_eq!(words(&borrowed), [1, 2]),
            (mine, others) => panic!("{:?} {:?}", mine.map(|_| ()), others.map(|_| ())),
        }
        drop((one, two, three, four));
        scene.ends_empty();
    });
}
