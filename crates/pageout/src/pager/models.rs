//! Models of a pager's life: opening, handles that are read, taken and dropped, closing, statistics.

use std::path::{Path, PathBuf};

use loom::thread;

use super::*;
use crate::models::{Pages, explore};

fn builder(device: &Pages) -> PagerBuilder {
    Pager::builder().device(device.clone()).capacity_bytes(2 * 4096)
}

fn pager(device: &Pages) -> Pager {
    builder(device).scratch_dir("/scratch").build().expect("a device that works")
}

fn page_out(pager: &Pager, word: u64) -> Handle {
    pager.pageout(&mut [vec![word]]).expect("room")
}

fn read(handle: &Handle) -> Vec<u64> {
    let mut back = Vec::new();
    handle.pager().read_at(handle, 0, 1, &mut back).expect("what went out comes back");
    back
}

#[test]
fn the_last_reader_frees_the_payload_and_closes_the_pager() {
    explore("the_last_reader_frees_the_payload_and_closes_the_pager", || {
        let device = Pages::with_room(2);
        let pager = pager(&device);
        let handle = Arc::new(page_out(&pager, 7));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let handle = Arc::clone(&handle);
                thread::spawn(move || assert_eq!(read(&handle), [7]))
            })
            .collect();
        drop(handle);
        drop(pager);
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
        assert_eq!((device.open_files(), device.room_pages()), (0, 2));
    });
}

#[test]
fn a_place_that_is_taken_serves_the_next_payload() {
    explore("a_place_that_is_taken_serves_the_next_payload", || {
        let device = Pages::with_room(2);
        let pager = pager(&device);
        let (first, second) = (page_out(&pager, 7), page_out(&pager, 8));
        let taking = {
            let pager = pager.clone();
            thread::spawn(move || {
                let mut back = Vec::new();
                pager.take(first, &mut back).expect("what went out comes back");
                assert_eq!(back, [7]);
            })
        };
        // The capacity is two payloads: there is room once the first one is taken.
        let third = pager.pageout(&mut [vec![9]]);
        assert_eq!(read(&second), [8]);
        if let Ok(third) = &third {
            assert_eq!(read(third), [9]);
        }
        taking.join().expect("no panic");
        drop((second, third));
        let stats = pager.stats();
        assert_eq!((stats.handles, stats.payload_bytes, stats.used_bytes, stats.takes), (0, 0, 0, 1));
        drop(pager);
        assert_eq!((device.open_files(), device.room_pages()), (0, 2));
    });
}

#[test]
fn statistics_never_count_an_end_without_its_beginning() {
    explore("statistics_never_count_an_end_without_its_beginning", || {
        let pager = pager(&Pages::with_room(2));
        let passed_on = Arc::new(Mutex::new(None));
        // One thread begins the handle, another one ends it: they count on lines of their own.
        let beginning = {
            let (pager, passed_on) = (pager.clone(), Arc::clone(&passed_on));
            thread::spawn(move || *lock(&passed_on) = Some(pager.handle::<u64>(Body::File(Stored::empty()), 0)))
        };
        let ending = thread::spawn(move || {
            let handle = lock(&passed_on).take();
            drop(handle);
        });
        // Counts what is there now; ends without beginnings would be a subtraction below zero.
        let mut stats = PagerStats::default();
        pager.shared.counters.fill(&mut stats);
        assert!(stats.handles <= 1 && stats.pageouts <= 1, "{stats:?}");
        beginning.join().expect("no panic");
        ending.join().expect("no panic");
        assert_eq!((pager.stats().handles, pager.stats().pageouts), (0, 1));
    });
}

#[test]
fn one_thread_opens_the_directory() {
    explore("one_thread_opens_the_directory", || {
        let device = Pages::with_room(2);
        let pager = builder(&device).build().expect("nothing is opened yet");
        let other = {
            let pager = pager.clone();
            thread::spawn(move || read(&page_out(&pager, 7)))
        };
        assert_eq!(read(&page_out(&pager, 8)), [8]);
        assert_eq!(other.join().expect("no panic"), [7]);
        assert_eq!(device.directories(), 1);
    });
}

#[test]
fn a_directory_is_named_before_the_first_payload_or_not_at_all() {
    explore("a_directory_is_named_before_the_first_payload_or_not_at_all", || {
        let device = Pages::with_room(2);
        let pager = builder(&device).build().expect("nothing is opened yet");
        let other = {
            let pager = pager.clone();
            thread::spawn(move || read(&page_out(&pager, 7)))
        };
        let named = pager.set_scratch_dir(PathBuf::from("/named"));
        assert_eq!(other.join().expect("no panic"), [7]);
        let is_used = pager.stats().scratch_dir.expect("a directory is open") == Path::new("/named");
        match named {
            Ok(()) => assert!(is_used),
            Err(error) => assert!(matches!(error, Error::ScratchDirInUse { .. }) && !is_used, "{error}"),
        }
        assert_eq!(device.directories(), 1);
    });
}
