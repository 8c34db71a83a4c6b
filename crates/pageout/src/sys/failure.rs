//! What a system call says when it fails.

/// A system call that failed: which one, and the operating system's error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the call as in its manual page, for instance `pwritev`.
    pub syscall: &'static str,
    /// The positive error number, for instance `ENOSPC`.
    pub errno: i32,
}

impl Failure {
    /// A failure of `syscall` with `errno`.
    #[must_use]
    pub const fn new(syscall: &'static str, errno: i32) -> Self {
        Self { syscall, errno }
    }

    /// Whether the call cannot be had here: not in this kernel, on this file system, or in this sandbox.
    #[must_use]
    pub const fn is_unsupported(self) -> bool {
        // On Linux ENOTSUP is EOPNOTSUPP.
        matches!(self.errno, libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EACCES) || self.errno == libc::ENOTSUP
    }

    /// Whether the device has lost what it was asked to write, where the system starts write-back: any failure but a lack of
    /// memory, an interruption, or a range that it does not take.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        !matches!(self.errno, libc::ENOMEM | libc::EINTR | libc::EAGAIN | libc::EINVAL | libc::EBADF | libc::ESPIPE)
    }

    /// Whether the device has no room for more: full disk or quota.
    #[must_use]
    pub const fn is_out_of_space(self) -> bool {
        matches!(self.errno, libc::ENOSPC | libc::EDQUOT)
    }
}

/// What a call gives.
pub type Outcome<T> = Result<T, Failure>;
