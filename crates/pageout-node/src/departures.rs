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
    /// Told when a lease ends and the environment waits for that.
    ended: Condvar,
    /// Leases that exist.
    leases: AtomicU64,
}

struct Waiting {
    departed: Vec<Departed>,
    /// Of what JavaScript is freeing now.
    freeing: Option<LentRoom>,
    bytes: u64,
    is_woken: bool,
    /// Whether the environment ends, and waits for leases: telling nobody would be a system call.
    is_closing: bool,
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
            freeing: None,
            bytes: 0,
            is_woken: false,
            is_closing: false,
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

    /// The memory that is to be freed next. Its room stays taken until the next call, which says that it is freed.
    pub fn next(&self) -> Option<Departed> {
        let mut waiting = self.lock();
        let freed = waiting.freeing.take();
        let departed = waiting.next();
        drop(waiting);
        drop(freed);
        departed
    }

    /// The environment ends: frees its payloads, and waits until nobody uses their memory.
    pub fn close(&self) {
        let tables = {
            let mut waiting = self.lock();
            (waiting.flag, waiting.wake, waiting.is_closing) = (None, None, true);
            std::mem::take(&mut waiting.tables)
        };
        for table in tables.iter().filter_map(Weak::upgrade) {
            table.close();
        }
        let mut waiting = self.lock();
        while self.leases.load(Acquire) > 0 {
            waiting = self.ended.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let freed = (std::mem::take(&mut waiting.departed), waiting.freeing.take());
        drop(waiting);
        drop(freed);
    }

    /// A lease is over, and its memory is to be freed where there is some.
    fn end_lease(&self, departed: Option<Departed>) {
        let mut waiting = self.lock();
        if let Some(departed) = departed {
            waiting.add(departed);
        }
        self.leases.fetch_sub(1, AcqRel);
        if waiting.is_closing {
            self.ended.notify_all();
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

    fn add(&mut self, departed: Departed) {
        self.bytes += departed.bytes();
        self.departed.push(departed);
        self.set_flag(1);
        if self.bytes >= WAKING_BYTES {
            self.wake();
        }
    }

    fn next(&mut self) -> Option<Departed> {
        let Some(mut departed) = self.departed.pop() else {
            self.is_woken = false;
            self.set_flag(0);
            return None;
        };
        self.bytes -= departed.bytes();
        self.freeing = departed.room.take();
        Some(departed)
    }

    fn set_flag(&self, value: i32) {
        if let Some(flag) = self.flag {
            flag.set(value);
        }
    }
}

impl Departed {
    fn bytes(&self) -> u64 {
        self.room.as_ref().map_or(0, LentRoom::bytes)
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
        let is_given_back = self.is_given_back.load(Relaxed);
        let room = self.room.take().filter(|_| !is_given_back);
        if let Some(room) = &room {
            room.depart();
        }
        let departed = Departed { key: self.key, is_evicted: self.is_evicted.load(Relaxed), room };
        self.departures.end_lease((!is_given_back).then_some(departed));
    }
}

/// A private buffer of JavaScript, as the pager sees it.
pub struct LentChunk {
    lease: Arc<Lease>,
    start: *const u8,
    len_bytes: usize,
    element_bytes: usize,
}

// SAFETY: the memory is that of a private buffer, which JavaScript frees, changes or gives away only after the lease has ended or
// while the payload is exposed, when the pager does not read it.
unsafe impl Send for LentChunk {}
// SAFETY: as above; it is only read.
unsafe impl Sync for LentChunk {}

impl LentChunk {
    /// `bytes` are all of a private buffer, which lives until the lease ends: elements of `element_bytes` each.
    pub fn new(lease: &Arc<Lease>, bytes: &[u8], element_bytes: usize) -> Self {
        Self { lease: Arc::clone(lease), start: bytes.as_ptr(), len_bytes: bytes.len(), element_bytes }
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

    fn element_bytes(&self) -> usize {
        self.element_bytes
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
