//! The one error type, its codes, and the names of the operating system's error numbers.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sys::Failure;
use crate::sys::device::Exposure;

/// Why an operation failed. The caller's data and handles are as before.
///
/// Each method names the variants that it returns. [`Self::is_usage_error`] tells a wrong argument from a failure of the system,
/// which may be gone when the call is made again. As a [`std::io::Error`] it has the same [kind](Self::kind).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{Error, Pager};
///
/// let pager = Pager::builder().capacity_bytes(4096).build()?;
/// match pager.pageout(&mut [vec![0u64; 1024]]) {
///     Err(Error::Capacity(space)) => assert_eq!((space.requested_bytes, space.capacity_bytes), (8192, 4096)),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a call.
    #[non_exhaustive]
    System {
        /// Name of the call, for instance `pwritev`.
        syscall: &'static str,
        /// The positive error number, for instance `ENOSPC`.
        errno: i32,
        /// The scratch directory, where one was involved.
        path: Option<Arc<Path>>,
        /// What was asked for and in use, where the call needed room.
        space: Option<Box<SpaceFacts>>,
    },
    /// The pager's own limit would be exceeded.
    Capacity(Box<SpaceFacts>),
    /// No directory can serve as scratch directory.
    ScratchDir {
        /// Every directory that was tried, in order, and why it was refused.
        tried: Vec<RefusedDir>,
    },
    /// The scratch directory lives in memory, so paging out to it would free nothing.
    #[non_exhaustive]
    RamBacked {
        /// The directory.
        path: Arc<Path>,
        /// Name of its file system.
        file_system: String,
    },
    /// The owner or the mode of the scratch directory, or of files created there, cannot be trusted or cannot be set.
    #[non_exhaustive]
    Exposed {
        /// The directory.
        path: Arc<Path>,
        /// Which owner and mode, and what is wrong with them.
        exposure: Box<Exposure>,
    },
    /// The pager has a scratch directory already, and it is another one.
    #[non_exhaustive]
    ScratchDirInUse {
        /// The directory asked for.
        requested: PathBuf,
        /// The directory in use.
        current: Arc<Path>,
    },
    /// The bytes that came back are not the bytes that went out.
    #[non_exhaustive]
    Corrupt {
        /// Where in the payload the first wrong page begins.
        byte_offset: u64,
        /// The error number with which the device lost something that was written to the same file, where the system said so.
        write_back_errno: Option<i32>,
    },
    /// A range does not lie within the payload, or ends before it begins. Caller's error.
    #[non_exhaustive]
    OutOfRange {
        /// Offset asked for, in elements.
        offset: usize,
        /// Length asked for, in elements.
        len: usize,
        /// Length of the payload, in elements.
        payload_len: usize,
        /// Where the range ends, when that is before its offset; `len` is 0 then.
        inverted_end: Option<usize>,
    },
    /// Two ranges of one call share elements. Caller's error.
    #[non_exhaustive]
    Overlap {
        /// The range that begins first, as (offset, length) in elements.
        first: (usize, usize),
        /// The range that begins within it.
        second: (usize, usize),
    },
    /// A destination slice does not have the length of what is read into it. Caller's error.
    #[non_exhaustive]
    TargetLength {
        /// Elements asked for.
        expected: usize,
        /// Elements the slice holds.
        actual: usize,
    },
    /// The handle belongs to another pager. Caller's error.
    ForeignHandle,
    /// The pager is closed. Caller's error.
    Closed,
    /// The payload is borrowed, so that it cannot be taken. Caller's error.
    Borrowed,
    /// All of the memory budget is borrowed.
    Budget(Box<BudgetFacts>),
    /// A key of a [`PagedMap`](crate::PagedMap) is used within its own update, by the thread that does that. Caller's error.
    InUpdate,
    /// A value is longer than all of a [`PagedMap`](crate::PagedMap) may be. Caller's error.
    #[non_exhaustive]
    OverLimit {
        /// Bytes of the value.
        len_bytes: u64,
        /// The most bytes of values that the map may have.
        max_bytes: u64,
    },
    /// An option has a value that it cannot have. Caller's error.
    #[non_exhaustive]
    Option {
        /// Name of the option.
        name: &'static str,
        /// What is wrong with the value.
        problem: String,
    },
}

/// Room asked for, in use, and allowed, in bytes: part of [`Error::Capacity`] and of a full disk's [`Error::System`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceFacts {
    /// Bytes of scratch space the call needs: its slots, which are at least as long as its payload.
    pub requested_bytes: u64,
    /// Bytes of slots handed out before the call.
    pub used_bytes: u64,
    /// Upper limit on bytes of slots in use.
    pub capacity_bytes: u64,
    /// Payloads that are out, where the capacity is the reason.
    pub payloads: u64,
}

/// Memory asked for, borrowed, in use, and allowed, in bytes: part of [`Error::Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetFacts {
    /// Bytes that the call needs in memory.
    pub requested_bytes: u64,
    /// Bytes of payloads that are borrowed.
    pub borrowed_bytes: u64,
    /// Bytes of payloads that are in memory, the borrowed ones included.
    pub resident_bytes: u64,
    /// The most there may be.
    pub limit_bytes: u64,
}

/// A directory that cannot serve as scratch directory.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{Error, Pager};
///
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("file");
/// # std::fs::write(&file, "")?;
/// match Pager::builder().scratch_dir(&file).build() {
///     Err(Error::ScratchDir { tried }) => assert_eq!((&tried[0].path, tried[0].reason.code()), (&file, "ENOTDIR")),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedDir {
    /// The directory.
    pub path: PathBuf,
    /// Why not.
    pub reason: Error,
}

impl Error {
    /// The stable code: the operating system's name of an error number (`ENOSPC`), or one of the `ERR_` codes that the
    /// JavaScript package uses too.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::System { errno, .. } => errno_name(*errno),
            Self::Capacity(_) => "ERR_PAGEOUT_CAPACITY",
            Self::ScratchDir { .. } | Self::Exposed { .. } | Self::ScratchDirInUse { .. } => "ERR_PAGEOUT_SCRATCH_DIR",
            Self::RamBacked { .. } => "ERR_PAGEOUT_RAM_BACKED",
            Self::Corrupt { .. } => "ERR_PAGEOUT_CORRUPT",
            Self::Overlap { .. } => "ERR_PAGEOUT_OVERLAP",
            Self::OutOfRange { .. } | Self::TargetLength { .. } | Self::OverLimit { .. } => "ERR_OUT_OF_RANGE",
            Self::ForeignHandle | Self::Option { .. } => "ERR_INVALID_ARG_VALUE",
            Self::Closed => "ERR_PAGEOUT_CLOSED",
            Self::Borrowed => "ERR_PAGEOUT_BORROWED",
            Self::InUpdate => "ERR_PAGEOUT_RELEASED",
            Self::Budget(_) => "ERR_PAGEOUT_BUDGET",
        }
    }

    /// The kind of the same error as a [`std::io::Error`]: full disk `StorageFull`, capacity `QuotaExceeded`, failed
    /// checksum `InvalidData`, caller's errors `InvalidInput`, else what the operating system said.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::System { errno, .. } => io::Error::from_raw_os_error(*errno).kind(),
            Self::Capacity(_) | Self::Budget(_) => io::ErrorKind::QuotaExceeded,
            Self::ScratchDir { tried } => tried.last().map_or(io::ErrorKind::NotFound, |refused| refused.reason.kind()),
            Self::ScratchDirInUse { .. } => io::ErrorKind::AlreadyExists,
            Self::Exposed { .. } => io::ErrorKind::PermissionDenied,
            Self::RamBacked { .. } => io::ErrorKind::Unsupported,
            Self::Corrupt { .. } => io::ErrorKind::InvalidData,
            Self::OutOfRange { .. }
            | Self::Overlap { .. }
            | Self::TargetLength { .. }
            | Self::ForeignHandle
            | Self::Closed
            | Self::Borrowed
            | Self::InUpdate
            | Self::OverLimit { .. }
            | Self::Option { .. } => io::ErrorKind::InvalidInput,
        }
    }

    /// The operating system's error number, where it caused the error.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the call was wrong, so that it can never succeed as it is. The module-level functions panic then.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec(vec![1u64, 2])?;
    /// assert!(handle.read(1..3).unwrap_err().is_usage_error());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_usage_error(&self) -> bool {
        self.kind() == io::ErrorKind::InvalidInput && !matches!(self, Self::System { .. } | Self::ScratchDir { .. })
    }

    /// The operating system refused a call that involves the scratch directory `path`.
    pub(crate) fn from_failure(failure: Failure, path: &Arc<Path>) -> Self {
        Self::System { syscall: failure.syscall, errno: failure.errno, path: Some(Arc::clone(path)), space: None }
    }

    /// Whether the device has no room for more: full disk or quota.
    pub(crate) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::System { syscall, errno, .. } if Failure::new(syscall, *errno).is_out_of_space())
    }

    /// Whether the call may succeed once other payloads and pagers have given back what they do not use: room, or descriptors.
    pub(crate) fn may_pass_with_room(&self) -> bool {
        let lacks_descriptors = matches!(self, Self::System { errno: libc::EMFILE | libc::ENFILE, .. });
        lacks_descriptors || self.is_out_of_space() || matches!(self, Self::Capacity(_))
    }

    /// The same error with the numbers of the space accounting, where it is one of the operating system.
    pub(crate) fn with_space(self, facts: SpaceFacts) -> Self {
        match self {
            Self::System { syscall, errno, path, .. } => Self::System { syscall, errno, path, space: Some(Box::new(facts)) },
            other => other,
        }
    }

    /// The same error of a call that had claimed so many bytes of slots before, of which nothing is in use any more.
    #[cfg(feature = "compression")]
    pub(crate) fn with_claimed(mut self, bytes: u64) -> Self {
        if let Self::Capacity(facts) | Self::System { space: Some(facts), .. } = &mut self {
            facts.requested_bytes += bytes;
            facts.used_bytes = facts.used_bytes.saturating_sub(bytes);
        }
        self
    }

    /// Whether it ended because it was to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.raw_os_error() == Some(libc::ECANCELED)
    }

    /// Memory for the pager's own bookkeeping, or for a result, could not be had.
    pub(crate) fn out_of_memory() -> Self {
        Failure::new("malloc", libc::ENOMEM).into()
    }
}

impl From<Failure> for Error {
    /// The operating system refused a call that involves no directory.
    fn from(failure: Failure) -> Self {
        Self::System { syscall: failure.syscall, errno: failure.errno, path: None, space: None }
    }
}

impl From<std::collections::TryReserveError> for Error {
    fn from(_: std::collections::TryReserveError) -> Self {
        Self::out_of_memory()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { syscall, errno, path, space } => {
                write!(out, "{}: {}, {syscall}", errno_name(*errno), io::Error::from_raw_os_error(*errno))?;
                if let Some(path) = path {
                    write!(out, " in scratch directory '{}'", path.display())?;
                }
                match space {
                    Some(facts) => write!(out, " ({facts})"),
                    None => Ok(()),
                }
            }
            Self::Capacity(facts) => write!(out, "the capacity of the pager is exceeded: {facts}"),
            Self::ScratchDir { tried } => {
                write!(out, "no usable scratch directory")?;
                for (position, refused) in tried.iter().enumerate() {
                    let separator = if position == 0 { ": " } else { "; " };
                    write!(out, "{separator}'{}': {}", refused.path.display(), refused.reason)?;
                }
                Ok(())
            }
            Self::RamBacked { path, file_system } => write!(
                out,
                "the scratch directory '{}' lives in memory ({file_system}), so paging out to it would free nothing; \
                 an option allows it",
                path.display()
            ),
            Self::Exposed { path, exposure } => {
                let Exposure { owner, mode, problem } = &**exposure;
                write!(out, "the directory '{}' {problem} (owner {owner}, mode {mode:04o})", path.display())
            }
            Self::ScratchDirInUse { requested, current } => write!(
                out,
                "the scratch directory is '{}' already and cannot become '{}'",
                current.display(),
                requested.display()
            ),
            Self::Corrupt { byte_offset, write_back_errno } => {
                write!(out, "the bytes read back fail their checksum at byte {byte_offset} of the payload")?;
                match write_back_errno {
                    Some(errno) => {
                        let reason = io::Error::from_raw_os_error(*errno);
                        write!(out, "; the device could not write all of their file: {}: {reason}", errno_name(*errno))
                    }
                    None => Ok(()),
                }
            }
            Self::OutOfRange { offset, len, payload_len, inverted_end } => match inverted_end {
                Some(end) => write!(
                    out,
                    "read range out of bounds: {offset}..{end} ends before it begins, in a payload of length {payload_len}"
                ),
                None => write!(
                    out,
                    "read range out of bounds: offset {offset} + length {len} is past the end of a payload of length {payload_len}"
                ),
            },
            Self::Overlap { first, second } => write!(
                out,
                "overlapping ranges: offset {} + length {} and offset {} + length {} share elements",
                first.0, first.1, second.0, second.1
            ),
            Self::TargetLength { expected, actual } => {
                write!(out, "the target slice has {actual} elements, and exactly {expected} are read")
            }
            Self::ForeignHandle => write!(out, "the handle belongs to another pager"),
            Self::Closed => write!(out, "the pager is closed"),
            Self::Borrowed => write!(out, "the payload is borrowed"),
            Self::Budget(facts) => {
                let BudgetFacts { requested_bytes, borrowed_bytes, resident_bytes, limit_bytes } = **facts;
                write!(
                    out,
                    "no room in the memory budget: {requested_bytes} bytes asked for, {borrowed_bytes} borrowed and \
                     {resident_bytes} of {limit_bytes} in use"
                )
            }
            Self::InUpdate => write!(out, "the key is being updated by the same thread"),
            Self::OverLimit { len_bytes, max_bytes } => {
                write!(out, "the value has {len_bytes} bytes, and all of the map may have {max_bytes}")
            }
            Self::Option { name, problem } => write!(out, "the option {name} {problem}"),
        }
    }
}

impl fmt::Display for SpaceFacts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested_bytes, used_bytes, capacity_bytes, payloads } = self;
        write!(out, "{requested_bytes} bytes asked for, {used_bytes} of {capacity_bytes} bytes in use")?;
        if *payloads > 0 { write!(out, " by {payloads} payloads") } else { Ok(()) }
    }
}

impl std::error::Error for Error {
    /// Why the last directory was refused, for [`Error::ScratchDir`]. Every other error begins here.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ScratchDir { tried } => tried.last().map(|refused| &refused.reason as &(dyn std::error::Error + 'static)),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    /// An [`Error::System`] becomes its error number, so that [`raw_os_error`](Self::raw_os_error) gives it. Its call, directory
    /// and numbers have no room beside it. Every other error is wrapped, and [`get_ref`](Self::get_ref) gives it back.
    fn from(error: Error) -> Self {
        match error {
            Error::System { errno, .. } => Self::from_raw_os_error(errno),
            error => Self::new(error.kind(), error),
        }
    }
}

/// The symbolic name of an error number on this platform, `EUNKNOWN` for one that no call used here returns.
fn errno_name(errno: i32) -> &'static str {
    macro_rules! names {
        ($($name:ident)+) => {
            match errno { $(libc::$name => stringify!($name),)+ _ => "EUNKNOWN" }
        };
    }
    names! {
        EPERM ENOENT EINTR EIO ENXIO EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL
        ENFILE EMFILE ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
        ELOOP EOVERFLOW EOPNOTSUPP ENOBUFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY ESTALE EDQUOT ECANCELED
        ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOTCONN EPROTO EBADMSG ENODATA EILSEQ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(errno: i32) -> Error {
        Error::from_failure(Failure::new("pwritev", errno), &Arc::from(Path::new("/scratch")))
    }

    #[test]
    #[cfg_attr(miri, ignore = "the system's own text is not miri's")]
    fn system_errors_carry_name_call_directory_and_numbers() {
        let facts = SpaceFacts { requested_bytes: 8192, used_bytes: 4096, capacity_bytes: 10_000, payloads: 0 };
        let error = system(libc::ENOSPC).with_space(facts);
        assert_eq!((error.code(), error.kind()), ("ENOSPC", io::ErrorKind::StorageFull));
        assert_eq!(
            error.to_string(),
            "ENOSPC: No space left on device (os error 28), pwritev in scratch directory '/scratch' \
             (8192 bytes asked for, 4096 of 10000 bytes in use)"
        );
    }

    #[test]
    fn conversion_into_an_io_error_keeps_the_kind() {
        for error in [
            system(libc::EDQUOT),
            Error::Corrupt { byte_offset: 0, write_back_errno: None },
            Error::ForeignHandle,
            Error::out_of_memory(),
        ] {
            let kind = error.kind();
            assert_eq!(io::Error::from(error).kind(), kind);
        }
    }

    #[test]
    fn conversion_into_an_io_error_keeps_the_number_of_the_system_or_the_whole_error() {
        let facts = SpaceFacts { requested_bytes: 8192, used_bytes: 4096, capacity_bytes: 10_000, payloads: 0 };
        assert_eq!(io::Error::from(Error::out_of_memory()).raw_os_error(), Some(libc::ENOMEM));
        assert_eq!(io::Error::from(system(libc::EIO)).raw_os_error(), Some(libc::EIO));
        assert_eq!(io::Error::from(system(libc::ENOSPC).with_space(facts)).raw_os_error(), Some(libc::ENOSPC));
        let full = io::Error::from(Error::Capacity(Box::new(facts)));
        let inner = full.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        assert!(matches!(inner, Some(Error::Capacity(inner)) if **inner == facts), "{full:?}");
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_shown_as_it_was_given() {
        let error = Error::OutOfRange { offset: 5, len: 0, payload_len: 9, inverted_end: Some(3) };
        assert_eq!(error.to_string(), "read range out of bounds: 5..3 ends before it begins, in a payload of length 9");
    }

    #[test]
    fn only_wrong_calls_are_usage_errors() {
        assert!(Error::ForeignHandle.is_usage_error());
        assert!(Error::OutOfRange { offset: 1, len: 2, payload_len: 2, inverted_end: None }.is_usage_error());
        assert!(!system(libc::EINVAL).is_usage_error(), "an EINVAL of the system is no argument of the caller");
    }

    #[test]
    fn every_refused_directory_is_named() {
        let tried = vec![
            RefusedDir { path: "/a".into(), reason: system(libc::EACCES) },
            RefusedDir { path: "/b".into(), reason: system(libc::EROFS) },
        ];
        let error = Error::ScratchDir { tried };
        let text = error.to_string();
        assert!(text.contains("'/a': EACCES") && text.contains("'/b': EROFS"), "{text}");
        assert_eq!((error.code(), error.kind()), ("ERR_PAGEOUT_SCRATCH_DIR", io::ErrorKind::ReadOnlyFilesystem));
    }

    /// What the documents say of each error: code, kind, and what its text must name.
    #[test]
    fn every_error_has_a_code_a_kind_and_a_text_with_its_facts() {
        use io::ErrorKind;
        let path: Arc<Path> = Arc::from(Path::new("/scratch"));
        let facts = SpaceFacts { requested_bytes: 8192, used_bytes: 4096, capacity_bytes: 10_000, payloads: 0 };
        let lost = Error::Corrupt { byte_offset: 4096, write_back_errno: Some(libc::EIO) };
        let in_use = Error::ScratchDirInUse { requested: "/other".into(), current: Arc::clone(&path) };
        let in_memory = Error::RamBacked { path: Arc::clone(&path), file_system: "tmpfs".to_owned() };
        let exposure = Exposure { owner: 12, mode: 0o777, problem: "is not this user's" };
        let exposed = Error::Exposed { path, exposure: Box::new(exposure) };
        let past_the_end = Error::OutOfRange { offset: 8, len: 2, payload_len: 9, inverted_end: None };
        let option = Error::Option { name: "capacity_bytes", problem: "must be at least 1".to_owned() };
        let (scratch_dir, range, value) = ("ERR_PAGEOUT_SCRATCH_DIR", "ERR_OUT_OF_RANGE", "ERR_INVALID_ARG_VALUE");
        for (error, code, kind, named) in [
            (system(libc::EIO), "EIO", io::Error::from_raw_os_error(libc::EIO).kind(), "pwritev"),
            (Error::Capacity(Box::new(facts)), "ERR_PAGEOUT_CAPACITY", ErrorKind::QuotaExceeded, "4096 of 10000"),
            (Error::ScratchDir { tried: Vec::new() }, scratch_dir, ErrorKind::NotFound, "no usable"),
            (in_use, scratch_dir, ErrorKind::AlreadyExists, "'/other'"),
            (exposed, scratch_dir, ErrorKind::PermissionDenied, "owner 12, mode 0777"),
            (in_memory, "ERR_PAGEOUT_RAM_BACKED", ErrorKind::Unsupported, "tmpfs"),
            (lost, "ERR_PAGEOUT_CORRUPT", ErrorKind::InvalidData, "byte 4096 of the payload; the device could not"),
            (past_the_end, range, ErrorKind::InvalidInput, "offset 8 + length 2"),
            (Error::Overlap { first: (0, 5), second: (4, 4) }, "ERR_PAGEOUT_OVERLAP", ErrorKind::InvalidInput, "offset 4"),
            (Error::TargetLength { expected: 5, actual: 4 }, range, ErrorKind::InvalidInput, "4 elements"),
            (Error::ForeignHandle, value, ErrorKind::InvalidInput, "another pager"),
            (Error::Closed, "ERR_PAGEOUT_CLOSED", ErrorKind::InvalidInput, "closed"),
            (Error::InUpdate, "ERR_PAGEOUT_RELEASED", ErrorKind::InvalidInput, "updated"),
            (Error::OverLimit { len_bytes: 9, max_bytes: 8 }, range, ErrorKind::InvalidInput, "9 bytes"),
            (option, value, ErrorKind::InvalidInput, "capacity_bytes"),
        ] {
            assert_eq!((error.code(), error.kind()), (code, kind), "{error:?}");
            assert!(error.to_string().contains(named), "{error}");
            let is_system = matches!(error, Error::System { .. });
            assert_eq!(error.raw_os_error(), is_system.then_some(libc::EIO));
            assert_eq!(error.clone().with_space(facts).to_string() != error.to_string(), is_system, "{error}");
        }
    }

    #[test]
    fn an_unknown_number_has_a_code_too() {
        assert_eq!(system(9999).code(), "EUNKNOWN");
    }
}
