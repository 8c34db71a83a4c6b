//! What one pager has of a budget, and what became of its payloads.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Budget, MemoryBudget};
use crate::payload::Packing;
use crate::store::Store;
use crate::sync::{AtomicBool, AtomicU64, OnceLock, UnsizedArc};

/// A pager's share of a budget.
pub(crate) struct Account {
    budget: UnsizedArc<Budget>,
    /// The pager's, once it is open.
    store: OnceLock<UnsizedArc<Store>>,
    pub(super) packing: Packing,
    pub(super) exclude: bool,
    is_closed: AtomicBool,
    resident_bytes: AtomicU64,
    pub(super) borrowed_bytes: AtomicU64,
    pub(super) counters: Counters,
}

/// What happened to payloads of the file backend.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) evictions_without_write: AtomicU64,
    pub(crate) writes_elided: AtomicU64,
    pub(crate) background_write_failures: AtomicU64,
    pub(crate) changed_borrows: AtomicU64,
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Account {
    pub(crate) fn open(budget: &MemoryBudget, packing: Packing, exclude: bool) -> UnsizedArc<Self> {
        let account = UnsizedArc::new(Self {
            budget: UnsizedArc::clone(budget.inner()),
            store: OnceLock::new(),
            packing,
            exclude,
            is_closed: AtomicBool::new(false),
            resident_bytes: AtomicU64::new(0),
            borrowed_bytes: AtomicU64::new(0),
            counters: Counters::default(),
        });
        budget.inner().lock().register(&account);
        account
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Remembers where payloads are written to.
    pub(crate) fn use_store(&self, store: &UnsizedArc<Store>) {
        self.store.get_or_init(|| UnsizedArc::clone(store));
    }

    pub(super) fn store(&self) -> &Store {
        self.store.get().expect("a payload was admitted with a place in it")
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Acquire)
    }

    pub(super) fn set_closed(&self) {
        self.is_closed.store(true, Release);
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_bytes.load(Acquire)
    }

    pub(crate) fn borrowed_bytes(&self) -> u64 {
        self.borrowed_bytes.load(Acquire)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn add_resident(&self, bytes: u64) {
        self.resident_bytes.fetch_add(bytes, Release);
    }

    pub(super) fn forget_resident(&self) {
        self.resident_bytes.store(0, Release);
    }

    pub(super) fn remove_resident(&self, bytes: u64) {
        self.resident_bytes.fetch_sub(bytes, Release);
    }
}
