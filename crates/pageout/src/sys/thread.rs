//! A thread of our own that disturbs nobody: it gets no signal, and a system that cannot give it all it needs refuses it.
//!
//! The standard library's threads ask for more memory once they run, and end the process where that is refused.

use std::mem::MaybeUninit;
use std::ptr;

use super::failure::{Failure, Outcome};

/// What the thread's functions need, a few times over.
const STACK_BYTES: usize = 256 << 10;

/// Starts a thread that runs `body` and ends with it. A panic in it ends the thread alone.
///
/// # Errors
/// What the operating system said. There is no thread then.
pub(crate) fn start(body: fn()) -> Outcome<()> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `attributes` is writable memory of the right type, which the call initialises where it succeeds.
    checked("pthread_attr_init", unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: the call above succeeded.
    let mut attributes = unsafe { attributes.assume_init() };
    let started = while_blocked(|| start_with(&mut attributes, body));
    // SAFETY: initialised above, and not used again.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    started
}

fn start_with(attributes: &mut libc::pthread_attr_t, body: fn()) -> Outcome<()> {
    // SAFETY: the attributes are initialised, and the size is a multiple of every page size and above every minimum.
    checked("pthread_attr_setstacksize", unsafe { libc::pthread_attr_setstacksize(attributes, STACK_BYTES) })?;
    // SAFETY: the attributes are initialised.
    let detached = unsafe { libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED) };
    checked("pthread_attr_setdetachstate", detached)?;
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are initialised, `thread` is writable, and what `run` gets is a function, which lives as long as
    // the program.
    let answer = unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, run, body as *mut libc::c_void) };
    checked("pthread_create", answer)
}

extern "C" fn run(body: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start_with` passes a function of this type.
    let body = unsafe { std::mem::transmute::<*mut libc::c_void, fn()>(body) };
    set_name();
    // Nothing can be told from here; what the body leaves undone its owner does elsewhere.
    let _ = std::panic::catch_unwind(body);
    ptr::null_mut()
}

fn set_name() {
    // Miri does not know the call.
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the name ends in NUL and has at most 16 bytes; the calling thread names itself.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"pageout-keeper".as_ptr());
    }
    #[cfg(target_os = "macos")]
    // SAFETY: the name ends in NUL; the calling thread names itself.
    unsafe {
        libc::pthread_setname_np(c"pageout-keeper".as_ptr());
    }
}

/// These functions give the error number itself.
fn checked(syscall: &'static str, answer: libc::c_int) -> Outcome<()> {
    if answer == 0 { Ok(()) } else { Err(Failure::new(syscall, answer)) }
}

/// Does `start` while this thread gets no signal: a thread inherits that from the one that makes it. Signals of the program
/// are for the program's own threads.
fn while_blocked<R>(start: impl FnOnce() -> R) -> R {
    let before = set_mask(&all_signals());
    let outcome = start();
    if let Some(before) = before {
        set_mask(&before);
    }
    outcome
}

fn all_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::zeroed();
    // SAFETY: `all` is writable memory of the right type, which the call fills.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a set without signals, and the call has filled it.
    unsafe { all.assume_init() }
}

/// Makes `mask` the signals that this thread does not get; gives the ones before.
fn set_mask(mask: &libc::sigset_t) -> Option<libc::sigset_t> {
    let mut before = MaybeUninit::zeroed();
    // SAFETY: both sets are of the right type, and `before` is writable.
    let answer = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, before.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a set without signals, and a call that succeeded has filled it.
    (answer == 0).then(|| unsafe { before.assume_init() })
}

// Miri has no such calls.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Mutex, OnceLock};

    use super::*;

    static TELL: OnceLock<Mutex<mpsc::Sender<bool>>> = OnceLock::new();

    #[test]
    fn a_thread_runs_without_signals_and_may_panic() {
        let (tell, told) = mpsc::channel();
        TELL.get_or_init(|| Mutex::new(tell));
        start(|| {
            let blocked = set_mask(&all_signals()).expect("a mask");
            // SAFETY: the set is one, and the number is a signal's.
            let is_blocked = unsafe { libc::sigismember(&raw const blocked, libc::SIGTERM) } == 1;
            TELL.get().expect("set above").lock().expect("no panic").send(is_blocked).expect("the test waits");
            std::panic::resume_unwind(Box::new(()));
        })
        .expect("a thread");
        assert!(told.recv().expect("it ran"));
    }
}
