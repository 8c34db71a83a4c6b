//! What happens when the system fails: every system call of every operation over the real device, in every way.

// Functions of the C library are put in front of the real ones, which needs one that is linked when the program starts.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod interposed;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use interposed::{Effect, Fault, Made, Rules, hits, made, names_made, set_rules, unwatch, watch};
use pageout::{Backend, Compression, Error, Pager};
use pageout_testing::faulty::{Lasts, Short};
use pageout_testing::ledger::{LEDGER, Ledger, Point, Total};
use pageout_testing::sweep::{
    Ground, MODULE_OPERATIONS, Named, OPERATIONS, Operation, Trouble, World, try_trouble, without_trouble,
};
use pageout_testing::{assert_passed, check_works, is_own_process, names, own_process, scratch, skip};
use tempfile::TempDir;

/// Error numbers that a call may plausibly give.
fn errnos(call: &str) -> &'static [i32] {
    use libc::{
        EACCES, EAGAIN, EBADF, EBUSY, EDQUOT, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EIO, EISDIR, ELOOP, EMFILE, EMLINK,
        ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOLCK, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, ENOTEMPTY, ENXIO, EOPNOTSUPP, EOVERFLOW,
        EPERM, EROFS, ESPIPE, ESTALE, EXDEV,
    };
    match call {
        "open" | "openat (unnamed)" => &[
            EACCES,
            EDQUOT,
            EINTR,
            EINVAL,
            EIO,
            EISDIR,
            ELOOP,
            EMFILE,
            ENAMETOOLONG,
            ENFILE,
            ENOENT,
            ENOMEM,
            ENOSPC,
            ENOSYS,
            ENOTDIR,
            EOPNOTSUPP,
            EOVERFLOW,
            EPERM,
            EROFS,
            ESTALE,
        ],
        "openat" | "openat (directory)" => &[
            EACCES,
            EDQUOT,
            EEXIST,
            EINTR,
            EINVAL,
            EIO,
            ELOOP,
            EMFILE,
            ENAMETOOLONG,
            ENFILE,
            ENOENT,
            ENOMEM,
            ENOSPC,
            ENOSYS,
            ENOTDIR,
            EOVERFLOW,
            EPERM,
            EROFS,
            ESTALE,
        ],
        "mkdir" | "mkdirat" => &[EACCES, EDQUOT, EEXIST, EINTR, EIO, EMLINK, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS],
        "renameat" => &[
            EACCES, EBUSY, EDQUOT, EINTR, EINVAL, EIO, ELOOP, EMLINK, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS, ESTALE,
            EXDEV,
        ],
        "unlinkat" => &[EACCES, EBUSY, EINTR, EIO, ENOENT, EPERM, EROFS, ESTALE],
        "unlinkat (directory)" => &[EACCES, EBUSY, EINTR, EIO, ENOENT, ENOTEMPTY, EPERM, EROFS, ESTALE],
        // The standard library never calls statx again where it once said that there is no such call.
        "statx" => &[EACCES, EINTR, EIO, ENOMEM, EOVERFLOW, ESTALE],
        "fstat" | "fstatfs" => &[EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW, ESTALE],
        "lseek" => &[EINVAL, EOVERFLOW, ESPIPE],
        "fallocate (reserve)" => &[EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM],
        "fallocate (punch)" => &[EDQUOT, EINTR, EINVAL, EIO, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM],
        "pwrite" | "pwritev" => {
            &[EAGAIN, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOMEM, ENOSPC, ENOSYS, ENXIO, EPERM, EROFS, ESTALE]
        }
        "read" | "pread" | "pread64" | "preadv" => &[EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, ENODEV, ENOMEM, ENOSYS, ESTALE],
        "preadv2" => &[EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, ENODEV, ENOMEM, ENOSYS, EOPNOTSUPP, EPERM, ESTALE],
        "sync_file_range (start)" | "sync_file_range (ask)" | "sync_file_range (wait)" | "fdatasync" => {
            &[EDQUOT, EINTR, EINVAL, EIO, ENOMEM, ENOSPC, ENOSYS]
        }
        "posix_fadvise (announce)" | "posix_fadvise (evict)" => &[EINVAL, ENOSYS],
        "madvise" => &[EAGAIN, EINVAL, ENOMEM, ENOSYS, EPERM],
        "flock" => &[EAGAIN, EBADF, EINTR, EINVAL, ENOLCK, ENOMEM, ENOSYS, EOPNOTSUPP],
        "fchmod" => &[EACCES, EINTR, EIO, ENOSYS, EOPNOTSUPP, EPERM, EROFS],
        "getrlimit" => &[EFAULT, EINVAL, ENOSYS, EPERM],
        "getrandom" => &[EAGAIN, EFAULT, EINTR, EINVAL, ENOSYS, EPERM],
        "mmap" => &[EACCES, EAGAIN, EINVAL, ENFILE, ENODEV, ENOMEM, EPERM],
        "munmap" => &[EINVAL, ENOMEM],
        "mincore" => &[EAGAIN, EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM],
        "sysinfo" => &[EFAULT, ENOSYS],
        "fcntl" => &[EINTR, EINVAL, EMFILE],
        "close" => &[EDQUOT, EINTR, EIO, ENOSPC],
        other => panic!("nothing is known of {other}"),
    }
}

/// What may go wrong with a call.
fn effects(made: Made, lasts: Lasts) -> Vec<Effect> {
    let shorts = Short::all_of(made.len_bytes, lasts).map(Effect::Short);
    errnos(made.call).iter().map(|&errno| Effect::Fail(errno)).chain(shorts).collect()
}

/// What the system and the pager are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All that Linux has.
    File,
    /// A file system that has only files with names, which are removed at once.
    Named,
    /// Only what every platform has.
    Portable,
    /// Nothing is in memory.
    Cold,
    /// Memory is short, so that what is written is pushed to the device and what is freed leaves memory.
    MemoryShort,
    /// All that Linux has, and payloads are encrypted.
    Sealed,
    /// And compressed.
    Compressed,
    /// And both.
    Both,
    /// Payloads stay in memory unless the file backend is asked for.
    Swap,
    /// The same, and out of core dumps.
    SwapExcluded,
    /// The process has no standard input, so that its first descriptor has to be moved.
    StandardStreamClosed,
}

impl Mode {
    fn rules(self) -> Rules {
        Rules {
            names_only: self == Self::Named,
            // What leaves memory, and when, is for the system to choose.
            cold: matches!(self, Self::Cold | Self::MemoryShort),
            memory_short: self == Self::MemoryShort,
        }
    }

    /// Whether a call is one of the mode: where only descriptors differ, the others are those of another mode.
    fn has(self, call: &str) -> bool {
        self != Self::StandardStreamClosed || matches!(call, "fcntl" | "close")
    }

    /// Whether an operation is swept: the calls that keep each of very many chunks out of core dumps are all alike.
    fn has_operation(self, operation: &Operation) -> bool {
        self != Self::SwapExcluded || operation.name != "pageout of many chunks"
    }

    fn world(self, integrity: bool, scratch: &Path) -> World {
        let is_swap = matches!(self, Self::Swap | Self::SwapExcluded);
        let backend = if is_swap { Backend::Swap } else { Backend::File };
        let directory = scratch.to_owned();
        let build = move |named| {
            let builder = Pager::builder().integrity(integrity).backend(backend).allow_ram_backed(true);
            let builder = builder.encryption(matches!(self, Self::Sealed | Self::Both)).compression(self.compression());
            let builder = if self == Self::Portable { builder.portable() } else { builder };
            let builder = builder.exclude_from_core_dumps(self == Self::SwapExcluded);
            if named == Named::Directory { builder.scratch_dir(&directory).build() } else { builder.build() }
        };
        let ground = Ground::Real(scratch.to_owned());
        World::new(ground, Box::new(build), self.compression())
    }

    fn compression(self) -> Compression {
        if matches!(self, Self::Compressed | Self::Both) { Compression::Lz4 } else { Compression::None }
    }
}

/// A fault of a system call.
#[derive(Debug)]
struct SystemTrouble {
    fault: Fault,
    scratch: PathBuf,
    /// Names that were left when it ended.
    names_left: Cell<usize>,
}

impl SystemTrouble {
    fn new(fault: Fault, scratch: &Path) -> Self {
        Self { fault, scratch: scratch.to_owned(), names_left: Cell::new(0) }
    }
}

impl Trouble for SystemTrouble {
    fn begin(&self) {
        watch(Some(self.fault));
    }

    fn hits(&self) -> u64 {
        hits()
    }

    fn end(&self) {
        unwatch();
        self.names_left.set(remove_names(self.fault, &self.scratch));
    }

    fn spares_reads(&self) -> bool {
        !matches!(self.fault.call, "pread" | "preadv" | "preadv2")
    }

    fn check(&self, error: &Error) {
        check_error(error, self.fault);
    }

    fn check_success(&self) {
        assert_eq!(self.names_left.get(), 0, "a name that is left is a failure");
    }
}

/// A name may be left where the system refuses to remove it again and again, but no byte behind it. Removes what is left
/// and counts it.
fn remove_names(fault: Fault, scratch: &Path) -> usize {
    let places = [scratch.to_owned(), std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let paths = names_made().into_iter().flat_map(|name| places.each_ref().map(|place| place.join(&name)));
    let left: BTreeSet<PathBuf> = paths.filter(|path| path.symlink_metadata().is_ok()).collect();
    for path in &left {
        let is_refused = fault.call.starts_with("unlinkat") && fault.lasts == Lasts::ForGood;
        assert!(is_refused, "{} is left", path.display());
        let facts = path.symlink_metadata().expect("what is left");
        if facts.is_dir() {
            std::fs::remove_dir(path).expect("an empty directory of this test");
        } else {
            assert_eq!(facts.len(), 0, "bytes in {}", path.display());
            std::fs::remove_file(path).expect("a file of this test");
        }
    }
    left.len()
}

/// An error says what went wrong.
fn check_error(error: &Error, fault: Fault) {
    match (error, fault.effect) {
        (Error::ScratchDir { tried }, _) => tried.iter().for_each(|refused| check_error(&refused.reason, fault)),
        (Error::System { errno, .. }, Effect::Fail(injected)) => {
            assert_ne!(injected, libc::EINTR, "an interrupted call is made again: {error:?}");
            assert_ne!(fault.call, "close", "what close says does not matter: {error:?}");
            assert_eq!(*errno, injected, "{error:?}");
        }
        // Nothing is written or read, again and again: an end where none should be.
        (Error::Corrupt { .. }, Effect::Short(Short::Bytes(0))) => {}
        (Error::System { errno, .. }, Effect::Short(Short::Bytes(0))) => {
            let expected = if fault.call == "read" { libc::EINVAL } else { libc::EIO };
            assert_eq!(*errno, expected, "{error:?}");
        }
        _ => panic!("{error:?}"),
    }
}

/// The calls that an operation makes without a fault.
fn calls_of(operation: &Operation, world: World) -> Vec<Made> {
    let mut calls = Vec::new();
    let end = |_: &World| {
        unwatch();
        calls = made();
    };
    without_trouble(world, operation, |_| watch(None), end);
    calls
}

fn point(operation: &'static str, made: Made, fault: Fault) -> Point {
    let outcome = match fault.effect {
        Effect::Short(short) => format!("{} bytes", short.of(made.len_bytes)),
        effect @ Effect::Fail(_) => format!("{effect:?}"),
    };
    Point { operation, call: made.call, index: made.index, outcome, lasts: format!("{:?}", fault.lasts) }
}

/// Puts an operation through every fault of the calls that it makes.
fn sweep_calls(name: &'static str, calls: Vec<Made>, trial: &dyn Fn(Fault) -> bool, ledger: &mut Ledger) {
    for made in calls {
        for lasts in [Lasts::Once, Lasts::ForGood] {
            for effect in effects(made, lasts) {
                let fault = Fault { call: made.call, index: made.index, effect, lasts };
                let hit = std::panic::catch_unwind(AssertUnwindSafe(|| trial(fault)));
                let hit = hit.unwrap_or_else(|_| panic!("{name}, {fault:?}"));
                // Whether a chunk holds a whole page, which alone is advised, depends on where it lies.
                if hit || made.call != "madvise" {
                    ledger.enter(point(name, made, fault), hit);
                }
            }
        }
    }
}

/// Names the directory that the process of a sweep works in.
const SCRATCH_VARIABLE: &str = "PAGEOUT_SCRATCH_DIR";

fn scratch_of_process() -> PathBuf {
    std::env::var_os(SCRATCH_VARIABLE).expect("the variable is set").into()
}

/// Points of all modes together. This floor and those of the modes lie a quarter below what one machine reached: how many
/// files say how much memory there is, and how long they are, differs between machines.
static TOTAL: Total = Total::new("system calls", 20, 48_000);

/// A directory in memory where there is one: nothing here depends on the device, and its file system is the fastest.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| scratch())
}

/// Does `sweep` in a process of its own, whose descriptors are those of the sweep alone.
fn in_swept_process(test: &str, place: fn() -> TempDir, sweep: impl FnOnce(&Path)) {
    if is_own_process(test) {
        // The standard library finds out now whether there is a statx.
        std::fs::metadata("/nonexistent").expect_err("no such file");
        // What says how much memory there is stays open from the first pager on, for as long as the process lives.
        check_works(&Pager::builder().scratch_dir(scratch_of_process()).allow_ram_backed(true).build().expect("a pager"));
        return sweep(&scratch_of_process());
    }
    let scratch = place();
    let mut command = own_process(test);
    command.env(SCRATCH_VARIABLE, scratch.path()).env("TMPDIR", scratch.path());
    // Panics are part of the sweep, and where they come from takes long to find out.
    command.env("RUST_BACKTRACE", "0");
    let output = command.output().expect("this executable runs again");
    assert_passed(test, &output);
    assert_eq!(names(scratch.path()), Vec::<String>::new());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = said.lines().find_map(|line| line.strip_prefix(LEDGER)?.split(' ').rev().nth(3)?.parse().ok());
    TOTAL.add(count.expect("the process says how many points it hit"));
}

fn sweep(test: &str, mode: Mode, integrity: bool, floor: usize) {
    in_swept_process(test, in_memory, |scratch| {
        if mode == Mode::StandardStreamClosed {
            // SAFETY: nobody reads standard input here; the descriptor is free from now on.
            unsafe { libc::close(libc::STDIN_FILENO) };
        }
        set_rules(mode.rules());
        let mut ledger = Ledger::new(format!("system calls, {mode:?}, integrity {}", if integrity { "on" } else { "off" }));
        for operation in OPERATIONS.iter().filter(|operation| mode.has_operation(operation)) {
            let world = || mode.world(integrity, scratch);
            let calls = calls_of(operation, world()).into_iter().filter(|made| mode.has(made.call)).collect();
            let trial = |fault| try_trouble(world(), operation, &SystemTrouble::new(fault, scratch));
            sweep_calls(operation.name, calls, &trial, &mut ledger);
        }
        ledger.close(floor);
    });
}

#[test]
fn every_operation_survives_every_system_call() {
    sweep("every_operation_survives_every_system_call", Mode::File, true, 3_500);
}

#[test]
fn every_operation_survives_every_system_call_without_checksums() {
    sweep("every_operation_survives_every_system_call_without_checksums", Mode::File, false, 3_450);
}

#[test]
fn every_operation_survives_every_system_call_where_files_have_names() {
    sweep("every_operation_survives_every_system_call_where_files_have_names", Mode::Named, true, 4_700);
}

#[test]
fn every_operation_survives_every_system_call_where_files_have_names_without_checksums() {
    sweep("every_operation_survives_every_system_call_where_files_have_names_without_checksums", Mode::Named, false, 4_700);
}

#[test]
fn every_operation_survives_every_system_call_of_the_portable_device() {
    sweep("every_operation_survives_every_system_call_of_the_portable_device", Mode::Portable, true, 4_250);
}

#[test]
fn every_operation_survives_every_system_call_of_the_portable_device_without_checksums() {
    sweep("every_operation_survives_every_system_call_of_the_portable_device_without_checksums", Mode::Portable, false, 4_250);
}

#[test]
fn every_operation_survives_every_system_call_when_nothing_is_in_memory() {
    sweep("every_operation_survives_every_system_call_when_nothing_is_in_memory", Mode::Cold, true, 3_700);
}

#[test]
fn every_operation_survives_every_system_call_when_nothing_is_in_memory_without_checksums() {
    sweep("every_operation_survives_every_system_call_when_nothing_is_in_memory_without_checksums", Mode::Cold, false, 3_700);
}

#[test]
fn every_operation_survives_every_system_call_when_memory_is_short() {
    sweep("every_operation_survives_every_system_call_when_memory_is_short", Mode::MemoryShort, true, 3_800);
}

#[test]
fn every_operation_survives_every_system_call_when_memory_is_short_without_checksums() {
    sweep("every_operation_survives_every_system_call_when_memory_is_short_without_checksums", Mode::MemoryShort, false, 3_750);
}

#[test]
fn every_operation_survives_every_system_call_with_encryption() {
    sweep("every_operation_survives_every_system_call_with_encryption", Mode::Sealed, true, 3_500);
}

#[test]
fn every_operation_survives_every_system_call_with_compression() {
    sweep("every_operation_survives_every_system_call_with_compression", Mode::Compressed, true, 3_500);
}

#[test]
fn every_operation_survives_every_system_call_with_compression_and_encryption() {
    sweep("every_operation_survives_every_system_call_with_compression_and_encryption", Mode::Both, true, 3_500);
}

#[test]
fn every_operation_survives_every_system_call_with_the_swap_backend() {
    sweep("every_operation_survives_every_system_call_with_the_swap_backend", Mode::Swap, true, 1_900);
}

#[test]
fn every_operation_survives_every_system_call_with_the_swap_backend_without_checksums() {
    sweep("every_operation_survives_every_system_call_with_the_swap_backend_without_checksums", Mode::Swap, false, 1_900);
}

#[test]
fn every_operation_survives_every_system_call_with_payloads_out_of_core_dumps() {
    sweep("every_operation_survives_every_system_call_with_payloads_out_of_core_dumps", Mode::SwapExcluded, true, 2_550);
}

#[test]
fn every_operation_survives_every_system_call_without_standard_input() {
    sweep("every_operation_survives_every_system_call_without_standard_input", Mode::StandardStreamClosed, true, 170);
}

#[test]
fn every_operation_survives_every_system_call_without_standard_input_without_checksums() {
    sweep(
        "every_operation_survives_every_system_call_without_standard_input_without_checksums",
        Mode::StandardStreamClosed,
        false,
        170,
    );
}

/// Whether a directory is refused since it is in memory, which is then said.
fn is_skipped(test: &str, opened: Result<(), Error>) -> bool {
    let Err(error) = opened else { return false };
    assert!(matches!(error, Error::RamBacked { .. }), "{error:?}");
    skip(test, &error.to_string());
    true
}

/// As [`is_skipped`], in a sweep, whose process says how many points it hit.
fn is_sweep_skipped(test: &str, opened: Result<(), Error>) -> bool {
    let is_skipped = is_skipped(test, opened);
    if is_skipped {
        Ledger::new("system calls, process-wide pager").close(0);
    }
    is_skipped
}

/// How the process of a trial ends where its fault hit nothing.
const NOT_HIT: i32 = 3;

/// Does a trial in a process that is a copy of this one, since the process-wide pager remembers what the system has said.
/// Says whether the fault hit.
fn in_copy(trial: impl FnOnce() -> bool) -> bool {
    // SAFETY: the copy goes on with this thread alone; the other one waits for this one and holds no lock meanwhile.
    let process = unsafe { libc::fork() };
    if process == 0 {
        let code = std::panic::catch_unwind(AssertUnwindSafe(trial)).map_or(1, |hit| if hit { 0 } else { NOT_HIT });
        // SAFETY: ends the copy without what only the original may do at its end.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable memory of the right type.
    let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert_eq!(ended, process);
    let code = ExitStatus::from_raw(status).code();
    assert!(matches!(code, Some(0 | NOT_HIT)), "the trial ended with {code:?}");
    code == Some(0)
}

/// The verbs of the process-wide pager, once its directory is open.
#[test]
fn every_module_level_verb_survives_every_system_call() {
    let test = "every_module_level_verb_survives_every_system_call";
    in_swept_process(test, scratch, |scratch| {
        if is_sweep_skipped(test, pageout::try_set_scratch_dir(scratch)) {
            return;
        }
        let world = || {
            let directory = scratch.to_owned();
            let build = move |_| pageout::try_set_scratch_dir(&directory).map(|()| pageout::pager().clone());
            World::new(Ground::Real(scratch.to_owned()), Box::new(build), Compression::None)
        };
        let mut ledger = Ledger::new("system calls, module-level verbs");
        for operation in MODULE_OPERATIONS {
            let trial = |fault| in_copy(|| try_trouble(world(), operation, &SystemTrouble::new(fault, scratch)));
            sweep_calls(operation.name, calls_of(operation, world()), &trial, &mut ledger);
        }
        ledger.close(480);
    });
}

/// Makes every call of a kind fail from now on.
fn deny(call: &'static str, errno: i32) {
    watch(Some(Fault { call, index: 0, effect: Effect::Fail(errno), lasts: Lasts::OneOf(1) }));
}

#[test]
fn a_directory_serves_by_named_files_whichever_way_unnamed_ones_are_denied() {
    use libc::{EACCES, EINVAL, EISDIR, ENOENT, ENOSYS, EOPNOTSUPP, EPERM};

    for errno in [EACCES, EINVAL, EISDIR, ENOENT, ENOSYS, EOPNOTSUPP, EPERM] {
        let scratch = scratch();
        deny("openat (unnamed)", errno);
        let pager = Pager::builder().scratch_dir(scratch.path()).allow_ram_backed(true).build();
        let pager = pager.unwrap_or_else(|error| panic!("errno {errno}: {error}"));
        check_works(&pager);
        assert_eq!(hits(), 1, "errno {errno}: what the first answer says is remembered");
        unwatch();
        assert_eq!(names(scratch.path()), [""; 0]);
    }
}

#[test]
fn what_helps_only_to_find_out_what_stays_in_memory_refuses_no_directory_on_a_disk() {
    let test = "what_helps_only_to_find_out_what_stays_in_memory_refuses_no_directory_on_a_disk";
    let scratch = scratch();
    if is_skipped(test, Pager::builder().scratch_dir(scratch.path()).build().map(drop)) {
        return;
    }
    for call in ["sync_file_range (wait)", "fdatasync", "posix_fadvise (evict)", "mmap", "mincore", "pwrite"] {
        for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL, libc::EIO, libc::EINTR] {
            deny(call, errno);
            let built = Pager::builder().scratch_dir(scratch.path()).build();
            unwatch();
            match built {
                Ok(pager) => check_works(&pager),
                // Without it there is no scratch file either.
                Err(Error::ScratchDir { .. }) if call == "pwrite" => {}
                Err(error) => panic!("{call}, errno {errno}: {error}"),
            }
        }
    }
}

#[test]
fn a_call_that_is_interrupted_without_end_ends() {
    let scratch = scratch();
    for call in ["fallocate (reserve)", "pwrite", "pread"] {
        let pager = Pager::builder().scratch_dir(scratch.path()).allow_ram_backed(true).build().expect("a pager");
        let whole = vec![7u64; 512];
        let held = pager.pageout(&mut [whole.clone()]).expect("a pageout");
        deny(call, libc::EINTR);
        let mut chunks = [vec![7u64; 100_000]];
        let outcome = pager.pageout(&mut chunks);
        let read = pager.read_at(&held, 0, 512, &mut Vec::new());
        unwatch();
        for error in [outcome.as_ref().err(), read.as_ref().err()].into_iter().flatten() {
            assert_eq!(error.code(), "EINTR", "{call}");
        }
        assert_eq!(chunks[0].len(), if outcome.is_ok() { 0 } else { 100_000 }, "{call}");
        assert_eq!(read.is_err(), call == "pread");
        let mut all = Vec::new();
        pager.take(held, &mut all).expect("a take without signals");
        assert_eq!(all, whole);
    }
}

/// Names the directory, or lets the first pageout search for one.
type Open = fn(&Pager, &Path) -> Result<(), Error>;

fn open_by_pageout(pager: &Pager, _: &Path) -> Result<(), Error> {
    let mut chunks = [vec![5u64; 100]];
    let outcome = pager.pageout(&mut chunks);
    assert_eq!(chunks[0].len(), if outcome.is_ok() { 0 } else { 100 }, "the caller's chunk");
    outcome.map(drop)
}

fn open_under_fault(open: Open, fault: Fault, scratch: &Path) -> bool {
    let trouble = SystemTrouble::new(fault, scratch);
    trouble.begin();
    let outcome = open(pageout::pager(), scratch);
    let hits = trouble.hits();
    trouble.end();
    match outcome {
        Ok(()) => trouble.check_success(),
        Err(error) => {
            assert!(hits > 0, "nothing went wrong: {error:?}");
            trouble.check(&error);
            open(pageout::pager(), scratch).expect("the directory can be opened once the fault is gone");
        }
    }
    check_works(pageout::pager());
    assert_eq!((names(scratch), pageout::pager().stats().used_bytes), (Vec::new(), 0));
    hits > 0
}

/// The calls that opening makes without a fault, of a pager that is like the process-wide one.
fn calls_of_opening(open: impl FnOnce() -> Pager) -> Vec<Made> {
    watch(None);
    let pager = open();
    unwatch();
    drop(pager);
    made()
}

#[test]
fn the_process_wide_pager_survives_every_system_call_of_its_opening() {
    let test = "the_process_wide_pager_survives_every_system_call_of_its_opening";
    in_swept_process(test, scratch, |scratch| {
        if is_sweep_skipped(test, Pager::builder().scratch_dir(scratch).build().map(drop)) {
            return;
        }
        let mut ledger = Ledger::new("system calls, opening of the process-wide pager");
        let set: Open = |_, scratch| pageout::try_set_scratch_dir(scratch);
        let calls = calls_of_opening(|| Pager::builder().scratch_dir(scratch).build().expect("a pager"));
        let trial = |fault| in_copy(|| open_under_fault(set, fault, scratch));
        sweep_calls("try_set_scratch_dir", calls, &trial, &mut ledger);
        let calls = calls_of_opening(|| {
            let pager = Pager::builder().build().expect("nothing is opened");
            open_by_pageout(&pager, scratch).expect("a pageout");
            pager
        });
        let trial = |fault| in_copy(|| open_under_fault(open_by_pageout, fault, scratch));
        sweep_calls("first pageout of the process-wide pager", calls, &trial, &mut ledger);
        ledger.close(2_000);
    });
}
