//! A memory budget: payloads that are out stay in memory as long as there is room, and the coldest leave for scratch by
//! themselves.
//!
//! ```text
//!   pageout                        the keeper, early                     room is needed
//! ───────────▶ dirty in memory ───────────────────▶ clean in memory ─────────────────────▶ on disk
//!     claims    no good copy on disk   writes        the copy is good      drops memory        │
//!     a place          ▲                                    ▲                                  │
//!                      └── it was lent and changed ─────────┤◀────── borrow, prefetch ─────────┘
//! ```
//!
//! - **Room** ([`Room`]): a token of bytes of the budget that lives with the memory it stands for, wherever that goes. What is
//!   resident, leaving, being read in or borrowed has one, so the sum is exact at any moment.
//! - **Admission**: the place on disk is claimed by the pageout, so that a full disk is told by that call; then the memory moves
//!   in. Without room the pageout writes, as without a budget.
//! - **[`ledger`]**: the entries ([`entry`], in a [`slab`]), behind one lock that is held for a few instructions and never during a
//!   transfer. A [`Ticket`] is what a handle holds of one.
//! - **[`policy`]**: which is the coldest. Pure.
//! - **[`writer`]**: what the keeper does, and in want of room whoever wants it: gives dirty payloads a good copy.
//! - **Fork**: a child has the residents that it inherited. The keeper is outside of the ledger when a process forks, and what
//!   it was writing is dirty in the child, which claims a place of its own for what leaves there.

mod account;
mod entry;
mod ledger;
#[cfg(all(test, pageout_loom))]
mod models;
mod policy;
mod resident;
mod slab;
mod ticket;
mod writer;

use std::fmt;
use std::sync::Weak;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

pub(crate) use account::Account;
pub(crate) use resident::{ResidentMemory, Room};
#[cfg(feature = "addon-internals")]
pub(crate) use ticket::Gathered;
#[cfg(feature = "addon-internals")]
pub use ticket::{Brought, Purpose};
pub(crate) use ticket::{Loan, Ticket};

use crate::error::{BudgetFacts, Error};
use crate::keeper::{self, Chore};
use crate::limits;
use crate::sync::{AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, UnsizedArc, lock, wait};
use crate::sys::fork;
use crate::units::KIB;
use ledger::Ledger;

/// A payload takes at least this much of a budget.
const PAYLOAD_BYTES_MIN: u64 = KIB;

/// Time between two looks at what an automatic limit follows.
const AUTO_TIME: Duration = Duration::from_secs(2);

/// No process has this number.
const NOBODY: u32 = u32::MAX;

/// How much of a pager's payloads may stay in memory while they are out: the option
/// [`PagerBuilder::resident_bytes`](crate::PagerBuilder::resident_bytes). A number of bytes and a [`MemoryBudget`] convert into it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Resident {
    /// At most this many bytes. 0, the default: nothing stays, each pageout writes.
    Bytes(u64),
    /// A share of what the memory group and the machine leave free, followed as it changes.
    Auto,
    /// What a budget allows to all its pagers together.
    Shared(MemoryBudget),
}

impl From<u64> for Resident {
    fn from(bytes: u64) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<MemoryBudget> for Resident {
    fn from(budget: MemoryBudget) -> Self {
        Self::Shared(budget)
    }
}

impl From<&MemoryBudget> for Resident {
    fn from(budget: &MemoryBudget) -> Self {
        Self::Shared(budget.clone())
    }
}

/// A budget that several pagers share, in any threads: the most bytes of their payloads that stay in memory while they are out.
/// Clones are the same budget.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{MemoryBudget, Pager};
///
/// let budget = MemoryBudget::new(64 << 20);
/// let pagers = [(); 2].map(|()| Pager::builder().resident_bytes(&budget).build());
/// let mut handles = Vec::new();
/// for pager in pagers {
///     handles.push(pager?.pageout_vec(vec![1u64; 1 << 17])?);
/// }
/// assert_eq!(budget.resident_bytes(), 2 << 20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBudget(UnsizedArc<Budget>);

impl MemoryBudget {
    /// A budget of its own of so many bytes, or one that follows the memory that is free ([`Resident::Auto`]).
    #[must_use]
    pub fn new(limit: impl Into<Resident>) -> Self {
        match limit.into() {
            Resident::Bytes(bytes) => Self(Budget::new(bytes, false)),
            Resident::Auto => Self(Budget::new(0, true)),
            Resident::Shared(budget) => budget,
        }
    }

    /// The most bytes that may stay in memory.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes()
    }

    /// Sets another limit, which ends following what is free. A smaller one is reached as writes and borrows allow; until then
    /// nothing more comes into memory.
    pub fn set_limit_bytes(&self, bytes: u64) {
        self.0.set_limit(bytes);
    }

    /// Bytes that are in memory now, borrowed ones included.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.0.used_bytes()
    }

    /// Bytes of payloads that are borrowed now.
    #[must_use]
    pub fn borrowed_bytes(&self) -> u64 {
        self.0.lock().borrowed_bytes()
    }

    /// The budget, as long as others keep it.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    #[must_use]
    pub fn downgrade(&self) -> WeakBudget {
        WeakBudget(UnsizedArc::downgrade(&self.0))
    }

    pub(crate) fn inner(&self) -> &UnsizedArc<Budget> {
        &self.0
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryBudget")
            .field("limit_bytes", &self.limit_bytes())
            .field("resident_bytes", &self.resident_bytes())
            .finish_non_exhaustive()
    }
}

/// A budget that does not exist for this alone.
#[cfg(feature = "addon-internals")]
#[doc(hidden)]
#[derive(Debug)]
pub struct WeakBudget(Weak<Budget>);

#[cfg(feature = "addon-internals")]
impl WeakBudget {
    #[must_use]
    pub fn upgrade(&self) -> Option<MemoryBudget> {
        self.0.upgrade().map(MemoryBudget)
    }
}

/// The budget: how much there may be, how much there is, and of what.
pub(crate) struct Budget {
    this: Weak<Self>,
    limit_bytes: AtomicU64,
    /// Bytes of all rooms.
    used_bytes: AtomicU64,
    /// Bytes of rooms whose memory waits for its own thread to free it.
    departing_bytes: AtomicU64,
    ledger: UnsizedArc<Mutex<Ledger>>,
    /// The process whose threads have the rooms.
    process: AtomicU32,
    /// Told when an entry was written, or read in, or the attempt failed.
    settled: Condvar,
    /// Who waits for that: telling nobody would be a system call.
    waiting: AtomicU32,
    /// The process whose keeper was told that there is work and has not come yet, [`NOBODY`] where none was.
    urged: AtomicU32,
    /// The same of one that need not come at once.
    called: AtomicU32,
    /// What an automatic limit follows, and when it is looked at again.
    auto: Mutex<Option<(limits::Auto, Instant)>>,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// It is more than the budget, however empty.
    TooLarge,
    /// There is, as soon as other threads free what has left already.
    Departing,
    /// What is in memory may not leave now.
    Full,
}

impl Budget {
    fn new(limit_bytes: u64, is_auto: bool) -> UnsizedArc<Self> {
        let mut auto = is_auto.then(limits::Auto::default);
        let limit_bytes = auto.as_mut().map_or(limit_bytes, |auto| auto.next(0));
        let budget = UnsizedArc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            limit_bytes: AtomicU64::new(limit_bytes),
            used_bytes: AtomicU64::new(0),
            departing_bytes: AtomicU64::new(0),
            ledger: fork::kept_free(Mutex::new(Ledger::new())),
            process: AtomicU32::new(fork::process()),
            settled: Condvar::new(),
            waiting: AtomicU32::new(0),
            urged: AtomicU32::new(NOBODY),
            called: AtomicU32::new(NOBODY),
            auto: Mutex::new(auto.map(|auto| (auto, Instant::now() + AUTO_TIME))),
        });
        if is_auto {
            budget.urge();
        }
        budget
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Relaxed)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Acquire)
    }

    fn set_limit(&self, bytes: u64) {
        *lock(&self.auto) = None;
        self.limit_bytes.store(bytes, Relaxed);
        self.urge();
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = lock(&self.ledger);
        if self.is_inherited() {
            // Rooms of threads that this process, being a forked one, does not have.
            let lost_bytes = self.settled_bytes().saturating_sub(ledger.resident_bytes());
            self.used_bytes.fetch_sub(lost_bytes, AcqRel);
            ledger.inherit();
            self.process.store(fork::process(), Release);
        }
        ledger
    }

    /// Whether this process is a forked one that has not used it yet.
    fn is_inherited(&self) -> bool {
        self.process.load(Acquire) != fork::process()
    }

    /// Waits until something has changed, with the ledger given up meanwhile.
    fn wait<'a>(&'a self, ledger: MutexGuard<'a, Ledger>) -> MutexGuard<'a, Ledger> {
        // Counted behind the lock, so that whoever changes something behind it later sees it.
        self.waiting.fetch_add(1, Relaxed);
        let ledger = wait(&self.settled, ledger);
        self.waiting.fetch_sub(1, Relaxed);
        ledger
    }

    /// Tells those who wait that something has changed.
    fn tell(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.settled.notify_all();
        }
    }

    /// Bytes of all rooms but those whose memory has left.
    fn settled_bytes(&self) -> u64 {
        // Memory departs while its room is held; but the two are not looked at in one moment.
        self.used_bytes().saturating_sub(self.departing_bytes.load(Acquire))
    }

    /// Room for memory of `held_bytes`, for which clean payloads leave that are the coldest.
    fn room(&self, account: &UnsizedArc<Account>, held_bytes: u64) -> Result<Room, NoRoom> {
        let bytes = held_bytes.max(PAYLOAD_BYTES_MIN);
        if self.is_inherited() {
            drop(self.lock());
        }
        loop {
            let limit_bytes = self.limit_bytes();
            if bytes > limit_bytes {
                return Err(NoRoom::TooLarge);
            }
            let used_bytes = self.used_bytes();
            if used_bytes + bytes <= limit_bytes {
                let reserved = self.used_bytes.compare_exchange_weak(used_bytes, used_bytes + bytes, AcqRel, Relaxed);
                if reserved.is_ok() {
                    return Ok(Room::new(UnsizedArc::clone(account), bytes));
                }
                continue;
            }
            // Of the same moment: what is free by now is taken by the next turn.
            if (used_bytes + bytes).saturating_sub(self.departing_bytes.load(Acquire)) <= limit_bytes {
                return Err(NoRoom::Departing);
            }
            if !self.evict() {
                return Err(NoRoom::Full);
            }
        }
    }

    /// Lets the coldest clean payload leave. Says whether there was one.
    fn evict(&self) -> bool {
        let mut ledger = self.lock();
        let evicted = ledger.evict();
        // In its turn: waking it for each costs more than it saves (7.5 against 13 us a trip of random replacement at 64 KiB).
        if ledger.listed() > 0 {
            self.call_keeper();
        }
        drop(ledger);
        // Its memory is freed without the lock.
        evicted.is_some()
    }

    /// The error of a call that found no room.
    fn no_room(&self, ledger: &Ledger, requested_bytes: u64) -> Error {
        let failure = ledger.failure().filter(|_| requested_bytes <= self.limit_bytes());
        failure.cloned().unwrap_or_else(|| Error::Budget(Box::new(self.facts(ledger, requested_bytes))))
    }

    fn facts(&self, ledger: &Ledger, requested_bytes: u64) -> BudgetFacts {
        BudgetFacts {
            requested_bytes: requested_bytes.max(PAYLOAD_BYTES_MIN),
            borrowed_bytes: ledger.borrowed_bytes(),
            resident_bytes: self.used_bytes(),
            limit_bytes: self.limit_bytes(),
        }
    }

    /// The error of a call for which there will be room as soon as memory that has left is freed, for which it has waited in vain.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn no_room_yet(&self, requested_bytes: u64) -> Error {
        Error::Budget(Box::new(self.facts(&self.lock(), requested_bytes)))
    }

    /// Tells the keeper where there is enough to write.
    fn urge_if_due(&self, ledger: &Ledger) {
        if ledger.dirty_bytes() > self.dirty_bytes_max() {
            self.urge();
        }
    }

    /// Has the keeper come at once.
    fn urge(&self) {
        self.summon(&self.urged, keeper::urge);
    }

    /// Has the keeper come in its next turn.
    fn call_keeper(&self) {
        self.summon(&self.called, keeper::tend);
    }

    fn summon(&self, summoned: &AtomicU32, summon: fn(Weak<dyn Chore>) -> bool) {
        let process = fork::process();
        if summoned.load(Relaxed) != process && summoned.swap(process, AcqRel) != process {
            let this = Weak::clone(&self.this);
            if !summon(this as Weak<dyn Chore>) {
                summoned.store(NOBODY, Relaxed);
            }
        }
    }

    /// Dirty bytes from which on the keeper writes: the rest is free, or clean and leaves at once.
    fn dirty_bytes_max(&self) -> u64 {
        self.limit_bytes() / 8 * 7
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Budget").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}
