//! What `fork` does to things that a process shares with its children: scratch files, of which both have the same ones.
//!
//! Time is counted in forks. What came into being before a fork is known to both sides of it; what one side frees, the other
//! may still read. So a slot that was handed out before a fork is not used again as long as a child of that fork may hold its
//! file, and a child never uses a slot of a file that it inherited.
//!
//! Whether a child is still there is known by a pipe that each fork makes while a store is open: the child keeps the writing
//! end, which goes when it exits, starts another program, or closes its descriptors. A fork that leads straight to another
//! program (`vfork`, `posix_spawn`) runs no handler and shares nothing for long.

use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};

use super::failure::{Failure, Outcome};

/// Forks that this process and those before it have seen.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// The value of [`FORKS`] with which this process began.
static BEGINNING: AtomicU32 = AtomicU32::new(0);
/// What came into being before this moment may be held by a child that nobody watches.
static UNWATCHED: AtomicU32 = AtomicU32::new(0);
/// Stores that are open. Without any, a fork shares nothing.
static STORES: AtomicU32 = AtomicU32::new(0);
/// Children that may be there.
static CHILDREN: PerProcess<Mutex<Vec<Child>>> = PerProcess::new(Mutex::new(Vec::new()));

/// Children that are watched at a time; each costs a descriptor.
const CHILDREN_MAX: usize = 256;

/// A child that was there when it was last looked at.
#[derive(Debug)]
struct Child {
    /// The number of its fork.
    moment: u32,
    /// The reading end of its pipe.
    pipe: libc::c_int,
}

thread_local! {
    /// The pipe of the fork that this thread is making: reading and writing end, -1 where there is none.
    static PIPE: Cell<(libc::c_int, libc::c_int)> = const { Cell::new(NO_PIPE) };
    /// The locks that it holds meanwhile.
    static KEPT: Cell<Option<AllKept>> = const { Cell::new(None) };
}

const NO_PIPE: (libc::c_int, libc::c_int) = (-1, -1);

/// How many forks this process and those before it have seen: a slot that is handed out remembers the number.
pub(crate) fn moment() -> u32 {
    FORKS.load(Relaxed)
}

/// A number that differs between this process and those that it was forked from or forks.
pub(crate) fn process() -> u32 {
    BEGINNING.load(Relaxed)
}

/// Whether another process may hold what came into being at `moment`.
pub(crate) fn is_shared(moment: u32) -> bool {
    if moment == self::moment() {
        return false;
    }
    if is_shared_for_good(moment) {
        return true;
    }
    let mut children = children().lock().unwrap_or_else(PoisonError::into_inner);
    children.retain(is_there);
    children.iter().any(|child| child.moment > moment)
}

/// Whether another process may hold what came into being at `moment`, and nobody will hear of its end.
pub(crate) fn is_shared_for_good(moment: u32) -> bool {
    moment < process() || moment < UNWATCHED.load(Relaxed)
}

/// A value of which each process has its own: a forked child gets a new one, since the locks in the old one may be held by
/// threads that the child does not have.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    process: u32,
    value: T,
    /// The value of a process that was forked from this one.
    next: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    /// `value` in this process; in statics, which are made before any fork, in the first one.
    pub(crate) const fn new(value: T) -> Self {
        Self { process: 0, value, next: OnceLock::new() }
    }

    /// The same, made in the process that runs now.
    pub(crate) fn here(value: T) -> Self {
        Self { process: process(), ..Self::new(value) }
    }

    /// The value of this process, which `make` makes where there is none yet.
    pub(crate) fn get(&self, make: impl Fn() -> T) -> &T {
        let mut this = self;
        while this.process != process() {
            this = this.next.get_or_init(|| Box::new(Self::here(make())));
        }
        &this.value
    }

    /// The values of this process and of those it was forked from.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        std::iter::successors(Some(self), |this| this.next.get().map(|next| &**next)).map(|this| &this.value)
    }
}

/// That no fork happens in this process, until it is dropped. For the keeper's thread, which the child does not have: what it does
/// meanwhile is a matter of microseconds, and whoever forks waits for that.
#[must_use]
pub(crate) struct Hold(());

/// Held by the keeper or by whoever forks.
static HELD: AtomicBool = AtomicBool::new(false);

/// Puts forks off.
pub(crate) fn hold() -> Hold {
    // A model knows its own threads alone.
    if !cfg!(pageout_loom) {
        while HELD.swap(true, Acquire) {
            std::thread::yield_now();
        }
    }
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.store(false, Release);
    }
}

/// A mutex that is not locked when a child begins: whoever forks locks it first. A child would never get a lock that another thread
/// of its parent held. Nobody may wait for [`hold`] while it has the lock.
pub(crate) fn kept_free<M: KeptFree>(mutex: M) -> Arc<M> {
    let mutex = Arc::new(mutex);
    let weak = Arc::downgrade(&mutex);
    let mut all = KEPT_FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() == all.capacity() {
        all.retain(|lock| lock.strong_count() > 0);
    }
    all.push(weak);
    drop(all);
    mutex
}

/// A lock that whoever forks can take and give back.
pub(crate) trait KeptFree: Send + Sync + 'static {
    /// Takes the lock, until what this gives is dropped.
    fn keep(self: Arc<Self>) -> Box<dyn Any>;
}

impl<T: Send + 'static> KeptFree for Mutex<T> {
    fn keep(self: Arc<Self>) -> Box<dyn Any> {
        struct Kept<T: 'static> {
            // Before the mutex.
            _guard: MutexGuard<'static, T>,
            _mutex: Arc<Mutex<T>>,
        }
        let guard = self.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime changes. The mutex is behind a share that lies beside the guard and is dropped after it, and
        // nobody takes the two apart.
        let guard = unsafe { std::mem::transmute::<MutexGuard<'_, T>, MutexGuard<'static, T>>(guard) };
        Box::new(Kept { _guard: guard, _mutex: self })
    }
}

/// A model forks no process.
#[cfg(pageout_loom)]
impl<T: Send + 'static> KeptFree for crate::sync::Mutex<T> {
    fn keep(self: Arc<Self>) -> Box<dyn Any> {
        Box::new(())
    }
}

static KEPT_FREE: Mutex<Vec<Weak<dyn KeptFree>>> = Mutex::new(Vec::new());

/// All those locks, and that no further one comes into being.
struct AllKept {
    _locks: Vec<Box<dyn Any>>,
    _all: MutexGuard<'static, Vec<Weak<dyn KeptFree>>>,
}

impl AllKept {
    fn take() -> Self {
        let all = KEPT_FREE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { _locks: all.iter().filter_map(Weak::upgrade).map(KeptFree::keep).collect(), _all: all }
    }
}

/// Sees forks from now on. Before that a child takes itself for its parent: whoever has what both must not use alike, as a key,
/// calls this first.
///
/// # Errors
/// What the operating system said.
pub(crate) fn see() -> Outcome<()> {
    static IS_REGISTERED: Mutex<bool> = Mutex::new(false);
    let mut is_registered = IS_REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_registered {
        register()?;
        *is_registered = true;
    }
    Ok(())
}

/// That a store is open: forks are watched as long as one of these exists.
#[derive(Debug)]
pub(crate) struct Watch(());

impl Watch {
    /// Watches forks from now on.
    ///
    /// # Errors
    /// What the operating system said. A fork would not be seen then, and both sides would write to the same slots.
    pub(crate) fn begin() -> Outcome<Self> {
        see()?;
        STORES.fetch_add(1, Relaxed);
        Ok(Self(()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        STORES.fetch_sub(1, Relaxed);
    }
}

/// Stores that are open in this process.
pub(crate) fn stores() -> u32 {
    STORES.load(Relaxed)
}

fn children() -> &'static Mutex<Vec<Child>> {
    CHILDREN.get(|| Mutex::new(Vec::new()))
}

fn register() -> Outcome<()> {
    // Miri knows neither the call nor forks.
    #[cfg(not(miri))]
    {
        // SAFETY: the three are functions that live as long as the program, or as the library that holds them, which the C
        // library knows by their address. What they do is allowed where they run.
        let answer = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        if answer != 0 {
            return Err(Failure::new("pthread_atfork", answer));
        }
    }
    Ok(())
}

/// Runs before a fork, in the thread that forks.
extern "C" fn before() {
    std::mem::forget(hold());
    // A thread that is ending has no place for them.
    let _ = KEPT.try_with(|kept| kept.set(Some(AllKept::take())));
    PIPE.set(if stores() > 0 { new_pipe() } else { NO_PIPE });
}

/// Runs behind a fork in the parent, in the thread that forks.
extern "C" fn in_parent() {
    give_back_locks();
    HELD.store(false, Release);
    let moment = FORKS.fetch_add(1, Relaxed) + 1;
    let (reading, writing) = PIPE.replace(NO_PIPE);
    close(writing);
    if stores() > 0 && !watch(Child { moment, pipe: reading }) {
        UNWATCHED.fetch_max(moment, Relaxed);
        close(reading);
    }
}

fn give_back_locks() {
    let _ = KEPT.try_with(|kept| drop(kept.take()));
}

/// Runs behind a fork in the child, which has this thread alone. Only what a signal handler may do is allowed here: no lock,
/// no allocation. The locks that are given back are this thread's, and the C library has its allocator in order before it calls
/// this. The writing end stays open.
extern "C" fn in_child() {
    let moment = FORKS.fetch_add(1, Relaxed) + 1;
    BEGINNING.store(moment, Relaxed);
    give_back_locks();
    HELD.store(false, Release);
    let (reading, _) = PIPE.replace(NO_PIPE);
    close(reading);
}

/// Adds a child to those that are watched; says whether that was possible.
fn watch(child: Child) -> bool {
    let mut children = match children().try_lock() {
        Ok(children) => children,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    children.retain(is_there);
    let has_room = child.pipe >= 0 && children.len() < CHILDREN_MAX && children.try_reserve(1).is_ok();
    if has_room {
        children.push(child);
    }
    has_room
}

/// Whether a child still holds its end of the pipe; the other end is closed where not.
fn is_there(child: &Child) -> bool {
    let mut asked = libc::pollfd { fd: child.pipe, events: 0, revents: 0 };
    // SAFETY: `asked` is one entry, writable for the call, which does not wait.
    let answers = unsafe { libc::poll(&raw mut asked, 1, 0) };
    let is_gone = answers == 1 && asked.revents & libc::POLLHUP != 0;
    if is_gone {
        close(child.pipe);
    }
    !is_gone
}

/// A pipe that goes when another program is started, above the standard streams; none where the system refuses.
fn new_pipe() -> (libc::c_int, libc::c_int) {
    let mut ends = [-1; 2];
    if open_pipe(&mut ends) != 0 {
        return NO_PIPE;
    }
    let [reading, writing] = ends;
    if reading.min(writing) <= libc::STDERR_FILENO {
        close(reading);
        close(writing);
        return NO_PIPE;
    }
    (reading, writing)
}

#[cfg(target_os = "linux")]
fn open_pipe(ends: &mut [libc::c_int; 2]) -> libc::c_int {
    // SAFETY: there is room for the two descriptors that the call writes.
    unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }
}

#[cfg(not(target_os = "linux"))]
fn open_pipe(ends: &mut [libc::c_int; 2]) -> libc::c_int {
    // SAFETY: there is room for the two descriptors that the call writes.
    let answer = unsafe { libc::pipe(ends.as_mut_ptr()) };
    for end in ends {
        // SAFETY: the call takes no memory; a descriptor that is none is refused.
        unsafe { libc::fcntl(*end, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    answer
}

fn close(descriptor: libc::c_int) {
    if descriptor >= 0 {
        // SAFETY: this module made the descriptor, and nothing else knows of it.
        unsafe { libc::close(descriptor) };
    }
}

// Miri knows no forks.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// Forks a child that does nothing but wait for a signal.
    fn fork() -> libc::pid_t {
        // SAFETY: the child does only what a signal handler may do.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "a fork");
        if child == 0 {
            // SAFETY: pause has no precondition.
            unsafe { libc::pause() };
            // SAFETY: ends the child at once, without anything that belongs to its parent.
            unsafe { libc::_exit(0) };
        }
        child
    }

    fn end(child: libc::pid_t) {
        // SAFETY: a child of this test, which was not waited for yet.
        unsafe { libc::kill(child, libc::SIGKILL) };
        // SAFETY: the same; no status is asked for.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }

    #[test]
    fn what_is_older_than_a_fork_is_shared_until_the_child_ends() {
        let _watch = Watch::begin().expect("handlers");
        let old = moment();
        assert!(!is_shared(old));
        let child = fork();
        let young = moment();
        assert!(is_shared(old) && !is_shared(young));
        end(child);
        assert!(!is_shared(old));
        assert_eq!(process(), 0, "the parent is the process it was");
    }
}
