//! Which signals a thread gets.

use std::mem::MaybeUninit;

/// Does `start` while this thread gets no signal, so that a thread it starts never gets one.
pub(crate) fn while_blocked<R>(start: impl FnOnce() -> R) -> R {
    let before = set_mask(&all());
    let outcome = start();
    if let Some(before) = before {
        set_mask(&before);
    }
    outcome
}

/// The set of all signals.
fn all() -> libc::sigset_t {
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
