//! The functions of the C library that make system calls, in front of the real ones.
//!
//! A symbol that the executable defines is the one that all its code calls, the standard library's included. So the
//! production code runs as it is, and the n-th call of a thread that is watched fails or moves less than it was asked to.
//! Nothing happens to the calls of other threads.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use libc::{iovec, off_t, size_t, ssize_t};

use pageout_testing::faulty::{Lasts, Short};
use pageout_testing::u64_of;

/// A call that was made: its kind, its number among those of its kind, and the bytes it was to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) call: &'static str,
    pub(crate) index: u64,
    pub(crate) len_bytes: u64,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Fail(i32),
    Short(Short),
}

/// What goes wrong: the call number `index` of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) call: &'static str,
    pub(crate) index: u64,
    pub(crate) effect: Effect,
    pub(crate) lasts: Lasts,
}

impl Fault {
    fn hits(self, index: u64) -> bool {
        match self.lasts {
            Lasts::Once => index == self.index,
            // A call that is interrupted again and again is repeated again and again, which has to end.
            Lasts::ForGood if self.effect == Effect::Fail(libc::EINTR) => (self.index..self.index + 3).contains(&index),
            Lasts::ForGood => index >= self.index,
            Lasts::OneOf(calls) => index % calls == self.index % calls,
        }
    }
}

/// What the system is like for a thread, watched or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// The file system has no files without a name.
    pub(crate) names_only: bool,
    /// Nothing is in the page cache.
    pub(crate) cold: bool,
    /// The machine has hardly any memory available.
    pub(crate) memory_short: bool,
}

#[derive(Debug)]
struct State {
    rules: Rules,
    is_watched: bool,
    fault: Option<Fault>,
    hits: u64,
    seen: BTreeMap<&'static str, u64>,
    made: Vec<Made>,
    /// Names given to files and directories.
    names: Vec<String>,
}

thread_local! {
    static STATE: RefCell<State> = const {
        RefCell::new(State {
            rules: Rules { names_only: false, cold: false, memory_short: false },
            is_watched: false,
            fault: None,
            hits: 0,
            seen: BTreeMap::new(),
            made: Vec::new(),
            names: Vec::new(),
        })
    };
}

/// Sets what the system is like for this thread.
pub(crate) fn set_rules(rules: Rules) {
    STATE.with_borrow_mut(|state| state.rules = rules);
}

/// Watches the calls of this thread from now on, one of which may go wrong.
pub(crate) fn watch(fault: Option<Fault>) {
    STATE.with_borrow_mut(|state| {
        (state.is_watched, state.fault, state.hits) = (true, fault, 0);
        state.seen.clear();
        state.made.clear();
        state.names.clear();
    });
}

/// Ends watching.
pub(crate) fn unwatch() {
    STATE.with_borrow_mut(|state| (state.is_watched, state.fault) = (false, None));
}

/// How many calls the fault hit.
pub(crate) fn hits() -> u64 {
    STATE.with_borrow(|state| state.hits)
}

/// The calls that were watched.
pub(crate) fn made() -> Vec<Made> {
    STATE.with_borrow(|state| state.made.clone())
}

/// The names that watched calls gave to files and directories, below whichever directory.
pub(crate) fn names_made() -> Vec<String> {
    STATE.with_borrow(|state| state.names.clone())
}

/// What becomes of a call.
enum Verdict {
    Real,
    Fail(i32),
    Move(usize),
}

impl State {
    fn verdict(&mut self, call: &'static str, len_bytes: u64) -> Verdict {
        if !self.is_watched {
            return Verdict::Real;
        }
        let seen = self.seen.entry(call).or_default();
        let index = *seen;
        *seen += 1;
        self.made.push(Made { call, index, len_bytes });
        let Some(fault) = self.fault.filter(|fault| fault.call == call && fault.hits(index)) else { return Verdict::Real };
        let verdict = match fault.effect {
            Effect::Fail(errno) => Verdict::Fail(errno),
            Effect::Short(short) if short.of(len_bytes) >= len_bytes => return Verdict::Real,
            Effect::Short(short) => Verdict::Move(usize::try_from(short.of(len_bytes)).expect("less than was asked for")),
        };
        self.hits += 1;
        verdict
    }
}

fn verdict(call: &'static str, len_bytes: usize) -> Verdict {
    // A thread that ends calls functions behind the end of its variables.
    let asked = STATE.try_with(|state| state.try_borrow_mut().map(|mut state| state.verdict(call, u64_of(len_bytes))));
    match asked {
        Ok(Ok(verdict)) => verdict,
        _ => Verdict::Real,
    }
}

fn has_rule(rule: impl FnOnce(Rules) -> bool) -> bool {
    STATE.try_with(|state| state.try_borrow().is_ok_and(|state| rule(state.rules))).unwrap_or(false)
}

fn remember_name(name: *const c_char) {
    // SAFETY: the caller of openat, mkdirat or renameat passes a string that ends in NUL.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let _ = STATE.try_with(|state| state.try_borrow_mut().map(|mut state| state.names.push(name)));
}

/// The answer of a call that fails.
fn refused<A: From<i8>>(errno: c_int) -> A {
    // SAFETY: the C library gives each thread an error number of its own.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the line above gave a place that this thread may write.
    unsafe { *place = errno };
    A::from(-1)
}

/// Calls the function of this name that the C library has.
macro_rules! real {
    ($name:ident($($argument:expr => $kind:ty),*) -> $answer:ty) => {{
        type Function = unsafe extern "C" fn($($kind),*) -> $answer;
        static REAL: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
        // SAFETY: dlsym takes a name that ends in NUL.
        let find = || unsafe { libc::dlsym(libc::RTLD_NEXT, concat!(stringify!($name), "\0").as_ptr().cast()) }.expose_provenance();
        let address = *REAL.get_or_init(find);
        assert!(address != 0, "the C library has this function");
        let address = std::ptr::with_exposed_provenance::<c_void>(address);
        // SAFETY: the C library's function of this name takes and gives just these types.
        let function = unsafe { std::mem::transmute::<*const c_void, Function>(address) };
        // SAFETY: the arguments are those of the caller, or name a part of its memory.
        unsafe { function($($argument),*) }
    }};
}

/// Puts functions that move no bytes in front of the real ones.
macro_rules! in_front {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty, $call:expr;)*) => {$(
        // SAFETY: the same name and signature as in the C library, whose promises it keeps.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $kind),*) -> $answer {
            match verdict($call, 0) {
                Verdict::Fail(errno) => refused(errno),
                Verdict::Real | Verdict::Move(_) => real!($name($($argument => $kind),*) -> $answer),
            }
        }
    )*};
}

in_front! {
    open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, "open";
    open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, "open";
    mkdir(path: *const c_char, mode: c_uint) -> c_int, "mkdir";
    unlinkat(directory: c_int, name: *const c_char, flags: c_int) -> c_int,
        if flags & libc::AT_REMOVEDIR == 0 { "unlinkat" } else { "unlinkat (directory)" };
    fstat(file: c_int, facts: *mut c_void) -> c_int, "fstat";
    fstat64(file: c_int, facts: *mut c_void) -> c_int, "fstat";
    fstatfs(file: c_int, facts: *mut c_void) -> c_int, "fstatfs";
    statx(directory: c_int, path: *const c_char, flags: c_int, mask: c_uint, facts: *mut c_void) -> c_int, "statx";
    fcntl(file: c_int, command: c_int, argument: c_long) -> c_int, "fcntl";
    lseek64(file: c_int, offset: off_t, whence: c_int) -> off_t, "lseek";
    sync_file_range(file: c_int, offset: off_t, len: off_t, flags: c_uint) -> c_int,
        match flags {
            libc::SYNC_FILE_RANGE_WRITE => "sync_file_range (start)",
            libc::SYNC_FILE_RANGE_WAIT_BEFORE => "sync_file_range (ask)",
            _ => "sync_file_range (wait)",
        };
    flock(file: c_int, operation: c_int) -> c_int, "flock";
    fchmod(file: c_int, mode: c_uint) -> c_int, "fchmod";
    fdatasync(file: c_int) -> c_int, "fdatasync";
    getrlimit(resource: c_uint, limit: *mut c_void) -> c_int, "getrlimit";
    munmap(start: *mut c_void, len: size_t) -> c_int, "munmap";
    mincore(start: *mut c_void, len: size_t, pages: *mut c_void) -> c_int, "mincore";
    madvise(start: *mut c_void, len: size_t, advice: c_int) -> c_int, "madvise";
    sysinfo(facts: *mut c_void) -> c_int, "sysinfo";
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn openat(directory: c_int, name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // The flag for files without a name includes that for directories.
    let is_unnamed = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let is_directory = !is_unnamed && flags & libc::O_DIRECTORY != 0;
    let call = match (is_unnamed, is_directory) {
        (true, _) => "openat (unnamed)",
        (_, true) => "openat (directory)",
        _ => "openat",
    };
    match verdict(call, 0) {
        Verdict::Fail(errno) => refused(errno),
        _ if is_unnamed && has_rule(|rules| rules.names_only) => refused(libc::EOPNOTSUPP),
        _ => {
            real!(openat(directory => c_int, name => *const c_char, flags => c_int, mode => c_uint) -> c_int)
        }
    }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn mkdirat(directory: c_int, name: *const c_char, mode: c_uint) -> c_int {
    if let Verdict::Fail(errno) = verdict("mkdirat", 0) {
        return refused(errno);
    }
    remember_name(name);
    real!(mkdirat(directory => c_int, name => *const c_char, mode => c_uint) -> c_int)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn renameat(directory: c_int, name: *const c_char, target: c_int, target_name: *const c_char) -> c_int {
    if let Verdict::Fail(errno) = verdict("renameat", 0) {
        return refused(errno);
    }
    remember_name(target_name);
    real!(renameat(directory => c_int, name => *const c_char, target => c_int, target_name => *const c_char) -> c_int)
}

// SAFETY: as above. Space is promised and not reserved: there is enough, and to give it and to take it back would take
// longer than all the rest.
#[unsafe(no_mangle)]
extern "C" fn fallocate(file: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int {
    match verdict(if mode == 0 { "fallocate (reserve)" } else { "fallocate (punch)" }, 0) {
        Verdict::Fail(errno) => refused(errno),
        _ if mode == 0 => 0,
        _ => real!(fallocate(file => c_int, mode => c_int, offset => off_t, len => off_t) -> c_int),
    }
}

// SAFETY: as above. The descriptor is gone whatever close says, as on Linux.
#[unsafe(no_mangle)]
extern "C" fn close(file: c_int) -> c_int {
    let verdict = verdict("close", 0);
    let answer = real!(close(file => c_int) -> c_int);
    if let Verdict::Fail(errno) = verdict { refused(errno) } else { answer }
}

// SAFETY: as above; this one gives the error number itself.
#[unsafe(no_mangle)]
extern "C" fn posix_fadvise(file: c_int, offset: off_t, len: off_t, advice: c_int) -> c_int {
    let call = if advice == libc::POSIX_FADV_DONTNEED { "posix_fadvise (evict)" } else { "posix_fadvise (announce)" };
    if let Verdict::Fail(errno) = verdict(call, 0) {
        return errno;
    }
    real!(posix_fadvise(file => c_int, offset => off_t, len => off_t, advice => c_int) -> c_int)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn mmap(start: *mut c_void, len: size_t, access: c_int, flags: c_int, file: c_int, offset: off_t) -> *mut c_void {
    if let Verdict::Fail(errno) = verdict("mmap", 0) {
        let failed: isize = refused(errno);
        return std::ptr::without_provenance_mut(failed.cast_unsigned());
    }
    real!(mmap(
        start => *mut c_void, len => size_t, access => c_int, flags => c_int, file => c_int, offset => off_t
    ) -> *mut c_void)
}

/// Puts functions that move bytes between a file and one piece of memory in front of the real ones.
macro_rules! moving {
    ($($name:ident($start:ty $(, $offset:ident: $kind:ty)?), $call:literal;)*) => {$(
        // SAFETY: as above.
        #[unsafe(no_mangle)]
        extern "C" fn $name(file: c_int, start: $start, len: size_t $(, $offset: $kind)?) -> ssize_t {
            let len = match verdict($call, len) {
                Verdict::Fail(errno) => return refused(errno),
                Verdict::Move(0) => return 0,
                Verdict::Move(len) => len,
                Verdict::Real => len,
            };
            real!($name(file => c_int, start => $start, len => size_t $(, $offset => $kind)?) -> ssize_t)
        }
    )*};
}

moving! {
    read(*mut c_void), "read";
    pread(*mut c_void, offset: off_t), "pread";
    pwrite(*const c_void, offset: off_t), "pwrite";
}

/// What a machine says that has next to nothing available.
const NO_MEMORY: &[u8] = b"MemAvailable: 64 kB\n";

// SAFETY: as above. The standard library reads by this name, the crate by the other.
#[unsafe(no_mangle)]
extern "C" fn pread64(file: c_int, start: *mut c_void, len: size_t, offset: off_t) -> ssize_t {
    let len = match verdict("pread64", len) {
        Verdict::Fail(errno) => return refused(errno),
        Verdict::Move(0) => return 0,
        Verdict::Move(len) => len,
        Verdict::Real => len,
    };
    let read = real!(pread64(file => c_int, start => *mut c_void, len => size_t, offset => off_t) -> ssize_t);
    let Ok(read_bytes) = usize::try_from(read) else { return read };
    // SAFETY: the call has just filled so many bytes of the caller's memory.
    let bytes = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), read_bytes) };
    if bytes.starts_with(b"MemTotal:") && bytes.len() >= NO_MEMORY.len() && has_rule(|rules| rules.memory_short) {
        bytes[..NO_MEMORY.len()].copy_from_slice(NO_MEMORY);
        return NO_MEMORY.len().try_into().expect("a short line");
    }
    read
}

/// The most pieces of memory that one call takes.
const VECTORS_MAX: usize = 1024;

/// Calls `call` with the pieces of memory of `vectors` up to `len_bytes` bytes.
fn with_shorter(
    vectors: *const iovec,
    count: usize,
    len_bytes: usize,
    call: impl FnOnce(*const iovec, c_int) -> ssize_t,
) -> ssize_t {
    // SAFETY: the caller of a vectored call passes so many of them.
    let vectors = unsafe { std::slice::from_raw_parts(vectors, count) };
    let mut shorter = [iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; VECTORS_MAX];
    let (mut used, mut rest) = (0, len_bytes);
    for (short, long) in shorter.iter_mut().zip(vectors) {
        *short = iovec { iov_base: long.iov_base, iov_len: long.iov_len.min(rest) };
        rest -= short.iov_len;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    call(shorter.as_ptr(), used)
}

/// Bytes of all pieces of memory together.
fn total_bytes(vectors: *const iovec, count: usize) -> usize {
    // SAFETY: the caller of a vectored call passes so many of them.
    let vectors = unsafe { std::slice::from_raw_parts(vectors, count) };
    vectors.iter().map(|vector| vector.iov_len).sum()
}

/// A vectored call: `real` with all, a part or none of the memory.
fn vectored(
    call: &'static str,
    vectors: *const iovec,
    count: c_int,
    real: impl FnOnce(*const iovec, c_int) -> ssize_t,
) -> ssize_t {
    let Ok(pieces) = usize::try_from(count) else { return real(vectors, count) };
    match verdict(call, total_bytes(vectors, pieces)) {
        Verdict::Fail(errno) => refused(errno),
        Verdict::Move(0) => 0,
        Verdict::Move(len_bytes) => with_shorter(vectors, pieces, len_bytes, real),
        Verdict::Real => real(vectors, count),
    }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn preadv(file: c_int, vectors: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    vectored(
        "preadv",
        vectors,
        count,
        |vectors, count| real!(preadv(file => c_int, vectors => *const iovec, count => c_int, offset => off_t) -> ssize_t),
    )
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn pwritev(file: c_int, vectors: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    vectored(
        "pwritev",
        vectors,
        count,
        |vectors, count| real!(pwritev(file => c_int, vectors => *const iovec, count => c_int, offset => off_t) -> ssize_t),
    )
}

// SAFETY: as above; arguments that the caller did not pass are handed on unread.
#[unsafe(no_mangle)]
extern "C" fn syscall(
    number: c_long,
    file: c_long,
    vectors: c_long,
    count: c_long,
    low: c_long,
    high: c_long,
    flags: c_long,
) -> c_long {
    let real = |second: c_long, third: c_long| {
        real!(syscall(
            number => c_long, file => c_long, second => c_long, third => c_long, low => c_long, high => c_long, flags => c_long
        ) -> c_long)
    };
    if number == libc::SYS_getrandom
        && let Verdict::Fail(errno) = verdict("getrandom", 0)
    {
        return refused(errno);
    }
    if number != libc::SYS_preadv2 {
        return real(vectors, count);
    }
    let vectors = std::ptr::with_exposed_provenance(usize::try_from(vectors).expect("an address"));
    let count = c_int::try_from(count).expect("a count");
    let answer = vectored("preadv2", vectors, count, |vectors, count| {
        if has_rule(|rules| rules.cold) {
            return refused(libc::EAGAIN);
        }
        real(vectors.expose_provenance().try_into().expect("an address"), count.into()).try_into().expect("a register")
    });
    answer.try_into().expect("a register")
}
