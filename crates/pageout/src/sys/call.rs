//! What every system call here shares: the error number, and repeating what a signal interrupted.

use super::failure::{Failure, Outcome};

/// Calls until the result is not "interrupted by a signal", and turns -1 into a [`Failure`].
pub(super) fn retried(syscall: &'static str, mut call: impl FnMut() -> libc::ssize_t) -> Outcome<usize> {
    loop {
        if let Ok(done) = usize::try_from(call()) {
            return Ok(done);
        }
        let failure = last(syscall);
        if failure.errno != libc::EINTR {
            return Err(failure);
        }
    }
}

/// As [`retried`], for calls that give an int.
pub(super) fn retried_int(syscall: &'static str, mut call: impl FnMut() -> libc::c_int) -> Outcome<libc::c_int> {
    loop {
        let done = call();
        if done >= 0 {
            return Ok(done);
        }
        let failure = last(syscall);
        if failure.errno != libc::EINTR {
            return Err(failure);
        }
    }
}

/// As [`retried`], for calls that the standard library makes and does not repeat itself.
pub(super) fn retried_io<T>(syscall: &'static str, mut call: impl FnMut() -> std::io::Result<T>) -> Outcome<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            outcome => return outcome.map_err(|error| of(syscall, &error)),
        }
    }
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
}
