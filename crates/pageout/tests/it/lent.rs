//! Payloads within a memory budget whose memory somebody else owns, as the addon has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pageout::{Brought, Chunk, Claiming, Compression, Error, Handle, Hold, LentRoom, Pager, PagerBuilder, Purpose};
use pageout_testing::faulty::Disk;
use pageout_testing::{MIB, assert_same, elements, eventually};

const LEN: usize = 100_000;

/// Memory of an owner, who counts what the pager still has of it.
struct Owned {
    bytes: Vec<u8>,
    key: u64,
    _room: LentRoom,
    lent: Arc<AtomicU64>,
}

impl Chunk for Owned {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn key(&self) -> Option<u64> {
        Some(self.key)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.lent.fetch_sub(1, Relaxed);
    }
}

struct Owner {
    _disk: Disk,
    pager: Pager,
    lent: Arc<AtomicU64>,
}

impl Owner {
    fn new() -> Self {
        Self::with(false, Compression::None)
    }

    fn with(encryption: bool, compression: Compression) -> Self {
        Self::of(|builder| builder.encryption(encryption).compression(compression))
    }

    fn of(options: impl FnOnce(PagerBuilder) -> PagerBuilder) -> Self {
        let disk = Disk::new();
        let pager = options(disk.builder().resident_bytes(MIB as u64)).build().expect("a pager");
        Self { _disk: disk, pager, lent: Arc::default() }
    }

    fn owned(&self, key: u64, bytes: Vec<u8>, room: LentRoom) -> Box<dyn Chunk> {
        self.lent.fetch_add(1, Relaxed);
        Box::new(Owned { bytes, key, _room: room, lent: Arc::clone(&self.lent) })
    }

    fn resident(&self, key: u64) -> Handle<u8> {
        let claimed = match self.pager.claim(LEN as u64, LEN as u64).expect("a claim") {
            Claiming::Claimed(claimed) => claimed,
            Claiming::NotYet | Claiming::NoRoom => panic!("there is room"),
        };
        let lend = |room| vec![self.owned(key, elements(LEN, key), room)];
        self.pager.admit_lent(claimed, LEN as u64, lend).expect("an admission")
    }

    fn bring(&self, handle: &Handle<u8>, key: u64, purpose: Purpose) -> (Brought, Option<Hold>) {
        let mut target = vec![0; LEN];
        handle.bring_lent(&mut target, purpose, None, |room| self.owned(key, elements(LEN, key), room)).expect("a read")
    }

    fn numbers(&self) -> [u64; 4] {
        let stats = self.pager.stats();
        [stats.resident_bytes, stats.borrowed_bytes, stats.resident_hits, stats.resident_misses]
    }
}

/// Changes the memory of a payload that is exposed.
fn change(handle: &Handle<u8>, bytes: Vec<u8>) {
    let is_changed = handle.change_exposed(|chunk| {
        let chunk: &mut dyn std::any::Any = chunk;
        chunk.downcast_mut::<Owned>().expect("what was lent").bytes = bytes;
    });
    assert!(is_changed);
}

fn read(handle: &Handle<u8>) -> Result<Vec<u8>, Error> {
    let mut target = vec![0; LEN];
    handle.pager().read_into(handle, &[(0, LEN)], &mut target).map(|()| target)
}

#[test]
fn what_is_exposed_is_read_by_its_owner_alone_until_that_ends() {
    let owner = Owner::new();
    let mut handle = owner.resident(7);
    assert_eq!(handle.expose(true).expect("an open pager"), Some(7));
    assert!(matches!(read(&handle), Err(Error::Borrowed)));
    assert!(matches!(handle.read(1..2), Err(Error::Borrowed)));
    assert!(matches!(handle.write_out(true), Err(Error::Borrowed)));
    assert!(matches!(handle.take_lent(), Err(Error::Borrowed)));
    assert_eq!(owner.numbers(), [LEN as u64, LEN as u64, 1, 0], "what is refused is neither hit nor miss");
    handle.count_use();
    handle.end_exposure();
    assert_same(&read(&handle).expect("a read"), &elements::<u8>(LEN, 7));
    assert_eq!(owner.numbers(), [LEN as u64, 0, 3, 0]);
    assert_eq!(handle.take_lent().expect("nobody borrows"), Some(7));
    drop(handle);
    assert_eq!((owner.numbers()[0], owner.lent.load(Relaxed)), (0, 0));
}

#[test]
fn memory_that_callers_keep_is_replaced_in_its_room() {
    let owner = Owner::new();
    let handle = owner.resident(7);
    assert!(!handle.change_exposed(|_| panic!("it is not exposed")));
    handle.expose(true).expect("an open pager");
    change(&handle, elements(LEN, 8));
    handle.end_exposure();
    assert_same(&read(&handle).expect("a read"), &elements::<u8>(LEN, 8));
    assert_eq!(owner.numbers()[..2], [LEN as u64, 0]);
}

#[test]
fn what_callers_changed_is_noticed_and_written_anew_with_checksums_and_with_tags() {
    let modes =
        [false, true].into_iter().flat_map(|encryption| [(encryption, Compression::None), (encryption, Compression::Lz4)]);
    for (encryption, compression) in modes {
        let owner = Owner::with(encryption, compression);
        let handle = owner.resident(7);
        // Of what was never written, and of what has a copy on disk.
        handle.expose(true).expect("an open pager");
        handle.end_exposure();
        handle.write_out(false).expect("a write");
        assert_eq!(owner.pager.stats().changed_borrows, 0);
        assert_eq!(owner.bring(&handle, 7, Purpose::Exposed).0, Brought::Here);
        handle.end_exposure();
        handle.write_out(false).expect("nothing to write");
        assert_eq!(owner.pager.stats().changed_borrows, 0, "encryption {encryption}: it is as it was");
        assert_eq!(owner.bring(&handle, 7, Purpose::Exposed).0, Brought::Here);
        change(&handle, elements(LEN, 8));
        handle.end_exposure();
        handle.write_out(false).expect("a write");
        assert_eq!(owner.pager.stats().changed_borrows, 1, "encryption {encryption}");
        assert_same(&read(&handle).expect("a read"), &elements::<u8>(LEN, 8));
        drop(handle);
        let handle = owner.resident(7);
        handle.expose(true).expect("an open pager");
        change(&handle, elements(LEN, 9));
        handle.end_exposure();
        handle.write_out(false).expect("a write");
        assert_eq!(owner.pager.stats().changed_borrows, 2, "encryption {encryption}");
        assert_same(&read(&handle).expect("a read"), &elements::<u8>(LEN, 9));
    }
}

#[test]
fn what_callers_changed_is_not_noticed_without_integrity_however_it_is_stored() {
    for compression in [Compression::None, Compression::Lz4] {
        let owner = Owner::of(|builder| builder.integrity(false).compression(compression));
        let handle = owner.resident(7);
        handle.write_out(false).expect("a write");
        assert_eq!(owner.bring(&handle, 7, Purpose::Exposed).0, Brought::Here);
        change(&handle, vec![0; LEN]);
        handle.end_exposure();
        handle.write_out(false).expect("nothing to write");
        assert_eq!(owner.pager.stats().changed_borrows, 0, "{compression:?}");
        assert_same(&read(&handle).expect("a read"), &elements::<u8>(LEN, 7));
    }
}

#[test]
fn what_is_held_stays_and_may_be_read_and_taken_and_moved() {
    let owner = Owner::new();
    let mut handle = owner.resident(7);
    let hold = handle.hold().expect("it is in memory");
    let others: Vec<_> = (0..20).map(|seed| owner.pager.pageout_vec(elements::<u8>(LEN, seed)).expect("a pageout")).collect();
    drop(others);
    // The background may be writing one of them still.
    eventually(|| format!("{:?}", owner.numbers()), || owner.numbers()[0] == LEN as u64);
    let hits = owner.numbers()[2];
    assert_same(&read(&handle).expect("a read"), &elements::<u8>(LEN, 7));
    assert_eq!(owner.numbers()[2], hits + 1, "it is still there");
    assert_eq!(handle.take_lent().expect("nobody borrows"), None, "whoever holds it may look at it yet");
    assert_eq!(owner.numbers()[..2], [LEN as u64, LEN as u64]);
    handle.write_out(true).expect("a write");
    assert_eq!((owner.numbers()[..2].to_vec(), owner.lent.load(Relaxed)), (vec![0, 0], 0));
    assert!(handle.hold().is_none());
    // Nothing of its old thread comes for it, but what its new one brings is counted as it should be.
    assert_eq!(owner.bring(&handle, 7, Purpose::Held).0, Brought::ByOther);
    assert_eq!(owner.lent.load(Relaxed), 0);
    drop(hold);
    assert_same(&handle.take().expect("a take"), &elements::<u8>(LEN, 7));
    assert_eq!(owner.numbers()[..2], [0, 0]);
}

#[test]
fn what_is_brought_ahead_is_no_miss_and_what_is_brought_to_be_held_is_one() {
    let owner = Owner::new();
    let handle = owner.resident(7);
    handle.write_out(false).expect("a write");
    assert_eq!(owner.bring(&handle, 7, Purpose::Ahead).0, Brought::Here);
    assert_eq!(owner.numbers(), [LEN as u64, 0, 0, 0]);
    let (brought, hold) = owner.bring(&handle, 7, Purpose::Held);
    assert_eq!((brought, hold.is_some()), (Brought::ByOther, true));
    assert_eq!(owner.numbers(), [LEN as u64, LEN as u64, 0, 0], "its borrow is counted when it comes");
    drop(hold);
    handle.write_out(false).expect("nothing is to be written");
    let (brought, hold) = owner.bring(&handle, 7, Purpose::Held);
    assert_eq!((brought, owner.numbers()), (Brought::Here, [LEN as u64, LEN as u64, 0, 1]));
    assert_eq!(handle.expose(false).expect("an open pager"), Some(7));
    drop(hold);
    assert!(handle.lose(), "it is on disk");
    assert_eq!(owner.numbers(), [0, 0, 0, 1]);
    assert_eq!(owner.bring(&handle, 7, Purpose::Exposed).0, Brought::Here);
    // What is lost while somebody else holds it is held when it comes again.
    let hold = handle.hold().expect("it is in memory");
    assert!(handle.lose());
    assert_eq!(owner.numbers()[..2], [0, 0]);
    assert_eq!(owner.bring(&handle, 7, Purpose::Ahead).0, Brought::Here);
    assert_eq!(owner.numbers()[..2], [LEN as u64, LEN as u64]);
    drop(hold);
    assert_eq!(owner.numbers()[..2], [LEN as u64, 0]);
    drop(handle);
    assert_eq!((owner.numbers()[0], owner.lent.load(Relaxed)), (0, 0));
}

#[test]
fn a_handle_that_is_dropped_exposed_or_held_leaves_nothing() {
    for is_exposed in [true, false] {
        let owner = Owner::new();
        let handle = owner.resident(7);
        let hold = handle.hold();
        if is_exposed {
            handle.expose(true).expect("an open pager");
        }
        drop(handle);
        assert_eq!((owner.numbers()[..2].to_vec(), owner.lent.load(Relaxed)), (vec![0, 0], 0), "a hold does not keep it");
        drop(hold);
        assert_eq!(owner.pager.stats().used_bytes, 0);
    }
}
