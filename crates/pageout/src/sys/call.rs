//! What every system call here shares: the error number, and repeating what a signal interrupted.

use super::device::{Failure, Outcome};

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
