//! The kinds of calls, and the record of those that were made.

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Open,
    Facts,
    Create,
    Write,
    Read,
    ReadCached,
    Announce,
    Evict,
    Reserve,
    Punch,
    Truncate,
    WriteBack,
    CheckWriteBack,
    Room,
    /// Whether the directory is where it was.
    Current,
}

impl Call {
    pub const ALL: [Self; 15] = [
        Self::Open,
        Self::Facts,
        Self::Create,
        Self::Write,
        Self::Read,
        Self::ReadCached,
        Self::Announce,
        Self::Evict,
        Self::Reserve,
        Self::Punch,
        Self::Truncate,
        Self::WriteBack,
        Self::CheckWriteBack,
        Self::Room,
        Self::Current,
    ];

    /// Name of the kind, unlike any other.
    pub fn name(self) -> &'static str {
        match self {
            Self::Announce => "posix_fadvise (announce)",
            Self::Evict => "posix_fadvise (evict)",
            Self::Reserve => "fallocate (reserve)",
            Self::Punch => "fallocate (punch)",
            Self::WriteBack => "sync_file_range (start)",
            Self::CheckWriteBack => "sync_file_range (ask)",
            Self::Room => "fstatfs (of a file)",
            other => other.syscall(),
        }
    }

    pub fn syscall(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Facts | Self::Room => "fstatfs",
            Self::Current => "stat",
            Self::Create => "openat",
            Self::Write => "pwritev",
            Self::Read => "preadv",
            Self::ReadCached => "preadv2",
            Self::Announce | Self::Evict => "posix_fadvise",
            Self::Reserve | Self::Punch => "fallocate",
            Self::Truncate => "ftruncate",
            Self::WriteBack | Self::CheckWriteBack => "sync_file_range",
        }
    }
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub call: Call,
    /// Number of the file, in the order of creation; 0 for calls without one.
    pub file: u64,
    pub offset: u64,
    pub len_bytes: u64,
}
