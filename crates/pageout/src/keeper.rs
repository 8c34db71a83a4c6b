//! The background thread: gives disk space back that nobody uses, and closes large files.
//!
//! There is at most one for the process. It starts when something is left to it, ends a moment after the last of it is done,
//! and no verb waits for it. A forked child has none until it needs one.
//!
//! What it does is a [`Chore`], of which it knows nothing but that it wants to be looked after again. A chore is held weakly:
//! what is gone needs no looking after.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::sys::device::Remainder;
use crate::sys::{fork, thread};

/// Time between two looks at the same chore. What was not used in between counts as idle.
const TURN: Duration = Duration::from_millis(400);

/// Work that comes back until it is done.
pub(crate) trait Chore: Send + Sync {
    /// Does what is due, in steps that nobody has to wait for long. Says whether to come again.
    fn tend(&self) -> bool;
}

/// What is left to the thread.
struct Work {
    chores: Vec<Weak<dyn Chore>>,
    /// To be looked after at once, and then in turns as the others.
    urgent: Vec<Weak<dyn Chore>>,
    remainders: Vec<Remainder>,
    is_running: bool,
}

struct Keeper {
    work: Mutex<Work>,
    arrived: Condvar,
    /// Held while remainders are dropped.
    dropping: Mutex<()>,
}

static KEEPER: fork::PerProcess<Keeper> = fork::PerProcess::new(Keeper::new());

/// Looks after `chore` until it is done. Says whether it will be: a process that may start no thread has no keeper.
pub(crate) fn tend(chore: Weak<dyn Chore>) -> bool {
    // A model knows its own threads alone.
    if cfg!(pageout_loom) {
        return true;
    }
    let keeper = Keeper::of_this_process();
    let mut work = keeper.lock();
    if work.chores.try_reserve(1).is_err() || !work.start() {
        return false;
    }
    work.chores.push(chore);
    true
}

/// Looks after `chore` now, and again each turn until it is done. Says whether somebody will.
pub(crate) fn urge(chore: Weak<dyn Chore>) -> bool {
    // A model knows its own threads alone.
    if cfg!(pageout_loom) {
        return true;
    }
    let keeper = Keeper::of_this_process();
    let mut work = keeper.lock();
    if work.urgent.try_reserve(1).is_err() || !work.start() {
        return false;
    }
    work.urgent.push(chore);
    keeper.arrived.notify_one();
    true
}

/// Drops what keeps the space of a closed file, in the background where there can be a thread.
pub(crate) fn drop_remainder(remainder: Remainder) {
    let keeper = Keeper::of_this_process();
    let mut work = keeper.lock();
    if work.remainders.try_reserve(1).is_err() || !work.start() {
        drop(work);
        drop(remainder);
        return;
    }
    work.remainders.push(remainder);
    keeper.arrived.notify_one();
}

/// Drops all remainders now: whoever needs room has no time to wait for the thread. Says whether there were some.
pub(crate) fn drop_remainders() -> bool {
    Keeper::of_this_process().drop_remainders()
}

impl Keeper {
    const fn new() -> Self {
        let work = Work { chores: Vec::new(), urgent: Vec::new(), remainders: Vec::new(), is_running: false };
        Self { work: Mutex::new(work), arrived: Condvar::new(), dropping: Mutex::new(()) }
    }

    fn of_this_process() -> &'static Self {
        KEEPER.get(Self::new)
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn run(&self) {
        let mut tended: Vec<Weak<dyn Chore>> = Vec::new();
        let mut next_turn = Instant::now();
        let mut work = self.lock();
        while !(work.is_empty() && tended.is_empty()) {
            if tended.try_reserve(work.chores.len() + work.urgent.len()).is_ok() {
                tended.append(&mut work.chores);
            }
            let urgent = std::mem::take(&mut work.urgent);
            drop(work);
            self.drop_remainders();
            for chore in urgent {
                tended.retain(|other| !other.ptr_eq(&chore));
                if tend_one(&chore) && tended.len() < tended.capacity() {
                    tended.push(chore);
                }
            }
            if Instant::now() >= next_turn {
                tended.retain(tend_one);
                next_turn = Instant::now() + TURN;
            }
            work = self.wait(self.lock(), next_turn);
        }
        work.is_running = false;
    }

    fn drop_remainders(&self) -> bool {
        let _turn = self.dropping.lock().unwrap_or_else(PoisonError::into_inner);
        let remainders = std::mem::take(&mut self.lock().remainders);
        !remainders.is_empty()
    }

    /// Waits for the next turn, or for less where something arrives that does not wait.
    fn wait<'a>(&self, work: MutexGuard<'a, Work>, next_turn: Instant) -> MutexGuard<'a, Work> {
        let time = next_turn.saturating_duration_since(Instant::now());
        let is_idle = |work: &mut Work| work.remainders.is_empty() && work.urgent.is_empty();
        let waited = self.arrived.wait_timeout_while(work, time, is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn tend_one(chore: &Weak<dyn Chore>) -> bool {
    chore.upgrade().is_some_and(|chore| chore.tend())
}

impl Work {
    fn is_empty(&self) -> bool {
        self.chores.is_empty() && self.urgent.is_empty() && self.remainders.is_empty()
    }

    /// Starts the thread where it is not running. Says whether it runs: not where a child would take it for its own.
    fn start(&mut self) -> bool {
        let start = || fork::see().is_ok() && thread::start(|| Keeper::of_this_process().run()).is_ok();
        self.is_running = self.is_running || start();
        self.is_running
    }
}

#[cfg(all(test, not(pageout_loom), not(miri)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Comes again a number of times.
    struct Counted {
        left: AtomicU32,
        done: mpsc::SyncSender<thread::ThreadId>,
    }

    impl Chore for Counted {
        fn tend(&self) -> bool {
            let is_last = self.left.fetch_sub(1, SeqCst) == 1;
            if is_last {
                self.done.send(thread::current().id()).expect("the test waits");
            }
            !is_last
        }
    }

    #[test]
    fn a_chore_is_looked_after_until_it_is_done() {
        let (done, is_done) = mpsc::sync_channel(1);
        let chore = Arc::new(Counted { left: AtomicU32::new(3), done });
        let weak: Weak<dyn Chore> = Arc::downgrade(&chore) as Weak<dyn Chore>;
        assert!(tend(weak));
        assert_ne!(is_done.recv().expect("it is done"), thread::current().id());
        assert_eq!(chore.left.load(SeqCst), 0);
    }

    #[test]
    fn a_remainder_is_dropped_elsewhere() {
        struct Tells(mpsc::Sender<thread::ThreadId>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send(thread::current().id()).expect("the test waits");
            }
        }
        let (tell, told) = mpsc::channel();
        drop_remainder(Box::new(Tells(tell)));
        assert_ne!(told.recv().expect("it is dropped"), thread::current().id());
    }
}
