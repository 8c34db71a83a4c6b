//! Memory that one thread's environment keeps for payloads of a memory budget. JavaScript outside of the package cannot reach it,
//! and only the thread itself can free it. What has left the budget waits here until the thread comes to it.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use pageout::{Chunk, LentRoom};

use crate::table::Table;

/// When so much waits, the thread is woken: its next call may be far away.
const WAKING_BYTES: u64 = 1 << 20;

/// Those of all threads.
static ALL: LazyLock<Mutex<Vec<Weak<Departures>>>> = LazyLock::new(Mutex::default);

/// What has left and waits to be freed by one thread.
pub struct Departures {
    waiting: Mutex<Waiting>,
    /// Told when a lease ends.
    ended: Condvar,
    /// Leases that exist.
    leases: AtomicU64,
}

struct Waiting {
    departed: Vec<Departed>,
    /// What JavaScript is freeing now.
    freeing: Vec<LentRoom>,
    bytes: u64,
    is_woken: bool,
    /// Says to JavaScript, which looks there before each call, that something waits. Nothing once the environment ends.
    flag: Option<Flag>,
    wake: Option<Box<dyn Fn() + Send>>,
    tables: Vec<Weak<Table>>,
}

/// Memory that is to be freed.
pub struct Departed {
    pub key: u64,
    pub is_evicted: bool,
    room: Option<LentRoom>,
}

/// A number in memory of JavaScript.
#[derive(Clone, Copy)]
pub struct Flag(*const AtomicI32);

// SAFETY: the memory is there until the environment ends, before which nobody uses it any more, and is only used atomically here.
unsafe impl Send for Flag {}

impl Flag {
    /// The first of `numbers`, which JavaScript keeps as long as its environment exists.
    pub fn new(numbers: &[i32]) -> Option<Self> {
        numbers.first().map(|number| Self(std::ptr::from_ref(number).cast()))
    }

    fn set(self, value: i32) {
        // SAFETY: the memory is there, as said above, aligned for the type, and nobody writes to it but through this.
        unsafe { &*self.0 }.store(value, Release);
    }
}

impl Departures {
    /// Has all threads free what has left: somebody waits for the room.
    pub fn wake_all() {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        for departures in all.iter().filter_map(Weak::upgrade) {
            departures.lock().wake();
        }
    }

    pub fn new(flag: Flag, wake: Box<dyn Fn() + Send>) -> Arc<Self> {
        let waiting = Waiting {
            departed: Vec::new(),
            freeing: Vec::new(),
            bytes: 0,
            is_woken: false,
            flag: Some(flag),
            wake: Some(wake),
            tables: Vec::new(),
        };
        let this = Arc::new(Self { waiting: Mutex::new(waiting), ended: Condvar::new(), leases: AtomicU64::new(0) });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|departures| departures.strong_count() > 0);
        all.push(Arc::downgrade(&this));
        this
    }

    /// Remembers a table whose payloads have memory of this thread.
    pub fn add_table(&self, table: &Arc<Table>) {
        let mut waiting = self.lock();
        waiting.tables.retain(|table| table.strong_count() > 0);
        waiting.tables.push(Arc::downgrade(table));
    }

    /// What is to be freed now. Its rooms stay taken until [`Self::set_freed`].
    pub fn drain(&self) -> Vec<Departed> {
        let mut waiting = self.lock();
        (waiting.bytes, waiting.is_woken) = (0, false);
        if let Some(flag) = waiting.flag {
            flag.set(0);
        }
        let mut departed = std::mem::take(&mut waiting.departed);
        for one in &mut departed {
            waiting.freeing.extend(one.room.take());
        }
        departed
    }

    /// What was drained is freed.
    pub fn set_freed(&self) {
        let freed = std::mem::take(&mut self.lock().freeing);
        drop(freed);
    }

    /// The environment ends: frees its payloads, and waits until nobody uses their memory.
    pub fn close(&self) {
        let tables = {
            let mut waiting = self.lock();
            (waiting.flag, waiting.wake) = (None, None);
            std::mem::take(&mut waiting.tables)
        };
        for table in tables.iter().filter_map(Weak::upgrade) {
            table.close();
        }
        let mut waiting = self.lock();
        while self.leases.load(Acquire) > 0 {
            waiting = self.ended.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let departed = std::mem::take(&mut waiting.departed);
        drop(waiting);
        drop(departed);
        self.set_freed();
    }

    fn add(&self, departed: Departed) {
        let mut waiting = self.lock();
        waiting.bytes += departed.room.as_ref().map_or(0, LentRoom::bytes);
        waiting.departed.push(departed);
        if let Some(flag) = waiting.flag {
            flag.set(1);
        }
        if waiting.bytes >= WAKING_BYTES {
            waiting.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Wakes the thread where something waits.
    fn wake(&mut self) {
        if self.departed.is_empty() || self.is_woken {
            return;
        }
        self.is_woken = true;
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}

/// That the pager uses memory of a thread, until it is dropped.
pub struct Lease {
    departures: Arc<Departures>,
    key: u64,
    room: Option<LentRoom>,
    is_evicted: AtomicBool,
    /// Whether JavaScript has the memory again, and nothing is to be freed.
    is_given_back: AtomicBool,
}

impl Lease {
    pub fn new(departures: &Arc<Departures>, key: u64, room: LentRoom) -> Arc<Self> {
        departures.leases.fetch_add(1, Relaxed);
        let (departures, is_not) = (Arc::clone(departures), || AtomicBool::new(false));
        Arc::new(Self { departures, key, room: Some(room), is_evicted: is_not(), is_given_back: is_not() })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_given_back.load(Relaxed) {
            let room = self.room.take();
            if let Some(room) = &room {
                room.depart();
            }
            self.departures.add(Departed { key: self.key, is_evicted: self.is_evicted.load(Relaxed), room });
        }
        let _waiting = self.departures.lock();
        self.departures.leases.fetch_sub(1, AcqRel);
        self.departures.ended.notify_all();
    }
}

/// A private buffer of JavaScript, as the pager sees it.
pub struct LentChunk {
    lease: Arc<Lease>,
    start: *const u8,
    len_bytes: usize,
}

// SAFETY: the memory is that of a private buffer, which JavaScript frees, changes or gives away only after the lease has ended or
// while the payload is exposed, when the pager does not read it.
unsafe impl Send for LentChunk {}
// SAFETY: as above; it is only read.
unsafe impl Sync for LentChunk {}

impl LentChunk {
    /// `bytes` are all of a private buffer, which lives until the lease ends.
    pub fn new(lease: &Arc<Lease>, bytes: &[u8]) -> Self {
        Self { lease: Arc::clone(lease), start: bytes.as_ptr(), len_bytes: bytes.len() }
    }

    /// The same key stands for `bytes` from now on, of which the same is true. Says whether they are as many.
    pub fn relocate(&mut self, bytes: &[u8]) -> bool {
        let is_as_long = bytes.len() == self.len_bytes;
        if is_as_long {
            self.start = bytes.as_ptr();
        }
        is_as_long
    }
}

impl Chunk for LentChunk {
    fn bytes(&self) -> &[u8] {
        // SAFETY: `new` was given live memory, and the lease that is held here keeps it.
        unsafe { std::slice::from_raw_parts(self.start, self.len_bytes) }
    }

    fn key(&self) -> Option<u64> {
        Some(self.lease.key)
    }

    fn set_evicted(&self) {
        self.lease.is_evicted.store(true, Relaxed);
    }

    fn give_back(&mut self) {
        self.lease.is_given_back.store(true, Relaxed);
    }
}
