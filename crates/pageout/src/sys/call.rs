//! What every system call here shares: the error number, and repeating what a signal interrupted.

use super::failure::{Failure, Outcome};

/// How often a call is made again that a signal interrupts each time. No signal that a program handles comes so often that a
/// call never gets through; where one does, the caller hears of it instead of waiting for ever.
pub(super) const INTERRUPTIONS_MAX: u32 = 4_096;
/// How often a call that allocates space is made again that a signal interrupts each time: it begins anew then, and one that is
/// too long to get through between two signals never does. A shorter one may.
pub(super) const ALLOCATION_INTERRUPTIONS_MAX: u32 = 8;

/// Makes `attempt` again as long as it is interrupted by a signal, `interruptions_max` times at most.
///
/// # Errors
/// The last failure; EINTR after so many interruptions.
pub(super) fn repeated<T>(interruptions_max: u32, mut attempt: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    let mut interruptions = 0;
    loop {
        match attempt() {
            Err(failure) if failure.errno == libc::EINTR && interruptions < interruptions_max => interruptions += 1,
            outcome => return outcome,
        }
    }
}

/// Makes a call that gives a count until it is not interrupted, and turns -1 into a [`Failure`].
pub(super) fn retried(syscall: &'static str, mut call: impl FnMut() -> libc::ssize_t) -> Outcome<usize> {
    repeated(INTERRUPTIONS_MAX, || usize::try_from(call()).map_err(|_| last(syscall)))
}

/// As [`retried`], for calls that give an int.
pub(super) fn retried_int(syscall: &'static str, mut call: impl FnMut() -> libc::c_int) -> Outcome<libc::c_int> {
    repeated(INTERRUPTIONS_MAX, || checked(syscall, call()))
}

/// As [`retried`], for calls that the standard library makes and does not repeat itself.
pub(super) fn retried_io<T>(syscall: &'static str, mut call: impl FnMut() -> std::io::Result<T>) -> Outcome<T> {
    repeated(INTERRUPTIONS_MAX, || call().map_err(|error| of(syscall, &error)))
}

/// The answer of a call that gives an int, or why there is none.
pub(super) fn checked(syscall: &'static str, answer: libc::c_int) -> Outcome<libc::c_int> {
    if answer >= 0 { Ok(answer) } else { Err(last(syscall)) }
}

/// The failure that the calling thread's last call left behind.
pub(super) fn last(syscall: &'static str) -> Failure {
    of(syscall, &std::io::Error::last_os_error())
}

/// The failure in an error of the standard library; what carries no error number was invalid input.
pub(super) fn of(syscall: &'static str, error: &std::io::Error) -> Failure {
    Failure::new(syscall, error.raw_os_error().unwrap_or(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the last call of this thread one that failed with `errno`.
    fn fail_with(errno: i32) {
        #[cfg(target_os = "linux")]
        // SAFETY: it gives the address of this thread's own error number, which is there as long as the thread.
        let place = unsafe { libc::__errno_location() };
        #[cfg(not(target_os = "linux"))]
        // SAFETY: as above.
        let place = unsafe { libc::__error() };
        // SAFETY: the address is valid for writes, and nobody holds a reference to the number.
        unsafe { place.write(errno) };
    }

    /// What is done by a call that fails with each of `errnos` and gives 7 then, and how often it was made.
    fn calls<R>(errnos: &[i32], outcome_of: impl FnOnce(&mut dyn FnMut() -> libc::c_int) -> R) -> (R, usize) {
        let mut count = 0;
        let outcome = outcome_of(&mut || {
            count += 1;
            errnos.get(count - 1).map_or(7, |&errno| {
                fail_with(errno);
                -1
            })
        });
        (outcome, count)
    }

    fn wide(answer: libc::c_int) -> libc::ssize_t {
        libc::ssize_t::try_from(answer).expect("an int fits")
    }

    #[test]
    fn what_a_signal_interrupted_is_repeated_and_nothing_else() {
        let failure = Failure::new("call", libc::EIO);
        let (interrupted, broken) = ([libc::EINTR; 3], [libc::EINTR, libc::EIO]);
        assert_eq!(calls(&interrupted, |call| retried("call", || wide(call()))), (Ok(7), 4));
        assert_eq!(calls(&broken, |call| retried("call", || wide(call()))), (Err(failure), 2));
        assert_eq!(calls(&interrupted, |call| retried_int("call", call)), (Ok(7), 4));
        assert_eq!(calls(&broken, |call| retried_int("call", call)), (Err(failure), 2));
    }

    #[test]
    fn a_call_that_is_interrupted_without_end_fails_with_that() {
        let interrupted = Failure::new("call", libc::EINTR);
        let storm = vec![libc::EINTR; 10_000];
        let attempts = usize::try_from(INTERRUPTIONS_MAX).expect("32 bits") + 1;
        assert_eq!(calls(&storm, |call| retried("call", || wide(call()))), (Err(interrupted), attempts));
        assert_eq!(calls(&storm, |call| retried_int("call", call)), (Err(interrupted), attempts));
        assert_eq!(calls(&storm, |call| repeated(8, || checked("call", call()))), (Err(interrupted), 9));
    }
}
