//! A process that may have less than it asks for: descriptors, file length, memory, threads, system calls.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use pageout::{Error, Handle, Pager};
use pageout_testing::{
    KIB, MIB, PAGE, Setup, assert_passed, assert_same, by_way_of, check_works, cut, elements, in_own_process, is_own_process,
    names, own_process, report, short_or_long, skip,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Runs the test `test` in a process of its own, which is all that the limits are for. Its threads share one heap, because
/// each heap of the GNU C library has 64 MiB of addresses in stock.
#[track_caller]
fn alone(test: &str, body: impl FnOnce()) {
    in_own_process(test, |command| _ = command.env("MALLOC_ARENA_MAX", "1"), body);
}

/// Runs `body` under a limit, which is as before afterwards.
fn with_limit<R>(resource: Resource, current: u64, body: impl FnOnce() -> R) -> R {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(current), maximum: before.maximum }).expect("a lower limit");
    let result = body();
    setrlimit(resource, before).expect("the limit before");
    result
}

/// The code that the operating system gave, also where it is the reason to refuse a directory.
fn system_code(error: &Error) -> &'static str {
    match error {
        Error::ScratchDir { tried } if tried.len() == 1 => system_code(&tried[0].reason),
        Error::System { .. } => error.code(),
        other => panic!("{other:?}"),
    }
}

/// What a few operations came to.
#[derive(Debug, Default)]
struct Tally {
    served: usize,
    /// Codes of the refusals.
    refused: Vec<&'static str>,
}

impl Tally {
    fn add<V>(&mut self, outcome: Result<V, Error>) -> Option<V> {
        match outcome {
            Ok(value) => {
                self.served += 1;
                Some(value)
            }
            Err(error) => {
                self.refused.push(system_code(&error));
                None
            }
        }
    }

    fn is_refused_only_with(&self, codes: &[&str]) -> bool {
        self.refused.iter().all(|code| codes.contains(code))
    }
}

/// Payloads to put out, made before there is a limit.
struct Material {
    wholes: Vec<Vec<u8>>,
    chunks: Vec<Vec<Vec<u8>>>,
}

impl Material {
    fn new(lens: &[usize]) -> Self {
        let wholes: Vec<_> = (0..).zip(lens).map(|(seed, &len)| elements::<u8>(len, seed)).collect();
        let chunks = wholes.iter().map(|whole| cut(whole, &[whole.len() / 3])).collect();
        Self { wholes, chunks }
    }

    /// Puts each payload out, reads some of it, and takes it back: right, or refused and as before.
    fn go_round(&mut self, pager: &Pager, tally: &mut Tally) {
        for (whole, chunks) in self.wholes.iter().zip(&mut self.chunks) {
            let Some(handle) = tally.add(pager.pageout(chunks)) else {
                assert_same(&chunks[0], &whole[..chunks[0].len()]);
                assert_same(&chunks[1], &whole[chunks[0].len()..]);
                continue;
            };
            read_back(pager, handle, whole, tally);
            let middle = whole.len() / 3;
            chunks[0].extend_from_slice(&whole[..middle]);
            chunks[1].extend_from_slice(&whole[middle..]);
        }
        if let Err(error) = pager.trim() {
            tally.refused.push(system_code(&error));
        }
    }
}

/// Reads ranges of a payload and takes it, as often as it takes for neither to be refused or twice.
fn read_back(pager: &Pager, handle: Handle<u8>, whole: &[u8], tally: &mut Tally) {
    let (mut some, mut all) = (Vec::new(), Vec::new());
    let middle = whole.len() / 2;
    let ranges = [(middle, whole.len() - middle), (0, whole.len() / 4)];
    match tally.add(pager.read_at_many(&handle, &ranges, &mut some)) {
        Some(()) => assert_same(&some[..whole.len() - middle], &whole[middle..]),
        None => assert!(some.is_empty()),
    }
    match pager.take(handle, &mut all) {
        Ok(()) => {
            tally.served += 1;
            assert_same(&all, whole);
        }
        Err(failed) => {
            assert!(all.is_empty());
            tally.refused.push(system_code(failed.error()));
        }
    }
}

/// A pager that is open before there is a limit, with a payload that must come through.
struct Before {
    pager: pageout_testing::TestPager,
    setup: Setup,
    held: Handle<u8>,
}

impl Before {
    const HELD: usize = 100_000;

    fn new(setup: Setup) -> Self {
        let pager = setup.pager();
        let held = pager.pageout(&mut [elements::<u8>(Self::HELD, 77)]).expect("a pageout");
        Self { pager, setup, held }
    }

    /// A new pager in the same directory.
    fn another(&self) -> Result<Pager, Error> {
        self.setup.builder(self.pager.scratch.path()).build()
    }

    /// When the limit is gone all is as if it had never been.
    fn check(self) {
        let mut all = Vec::new();
        self.pager.take(self.held, &mut all).expect("a take");
        assert_same(&all, &elements::<u8>(Self::HELD, 77));
        check_works(&self.pager);
        assert_eq!(self.pager.stats().used_bytes, 0);
        assert_eq!(names(self.pager.scratch.path()), [""; 0]);
    }
}

/// Takes all descriptors below a limit but `spare`.
fn take_descriptors(spare: usize) -> Vec<File> {
    let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - spare);
    files
}

#[test]
fn every_limit_of_descriptors_is_an_ordinary_error() {
    let test = "every_limit_of_descriptors_is_an_ordinary_error";
    alone(test, || {
        let (mut runs, mut refusals) = (0, 0);
        for setup in [Setup::Native, Setup::Portable] {
            for spare in 0..12 {
                let before = Before::new(setup);
                let mut material = Material::new(&[1, PAGE, 10 * KIB, 20 * KIB, 40 * KIB, 70 * KIB, 200 * KIB, MIB]);
                let mut tally = Tally::default();
                with_limit(Resource::Nofile, 256, || {
                    let _others = take_descriptors(spare);
                    let mut all = Vec::new();
                    before.pager.read_at(&before.held, 0, Before::HELD, &mut all).expect("a read needs no descriptor");
                    material.go_round(&before.pager, &mut tally);
                    if let Some(another) = tally.add(before.another()) {
                        material.go_round(&another, &mut tally);
                    }
                });
                assert!(tally.is_refused_only_with(&["EMFILE"]), "{setup:?}, {spare} spare: {tally:?}");
                assert!(spare > 0 || !tally.refused.is_empty(), "{setup:?}, {spare} spare: {tally:?}");
                before.check();
                (runs, refusals) = (runs + 1, refusals + tally.refused.len());
            }
        }
        report("descriptor limit", "any", runs, refusals, "typed EMFILE, open files serve on");
    });
}

#[test]
fn every_limit_of_file_length_is_an_ordinary_error() {
    let test = "every_limit_of_file_length_is_an_ordinary_error";
    if !is_own_process(test) {
        // A program that sets such a limit must ignore the signal that comes with it, or it ends.
        let command = by_way_of("sh", &["-c", "trap '' XFSZ && exec \"$0\" \"$@\""], &own_process(test));
        return assert_passed(test, &{ command }.output().expect("a shell"));
    }
    let (mut runs, mut refusals) = (0, 0);
    for setup in [Setup::Native, Setup::Portable] {
        for limit in [0, 63, 64, PAGE - 1, PAGE, 64 * KIB - 1, 64 * KIB, 200 * KIB, MIB - 1, MIB, MIB + PAGE, 3 * MIB, 64 * MIB] {
            let before = Before::new(setup);
            let mut tally = Tally::default();
            with_limit(Resource::Fsize, limit.try_into().expect("64 bits"), || {
                for len in [1, PAGE, 64 * KIB, 200 * KIB, MIB, 2 * MIB] {
                    go_round_at_length(&before, len, limit, &mut tally);
                }
            });
            assert!(tally.is_refused_only_with(&["EFBIG"]), "{setup:?}, {limit} bytes: {tally:?}");
            before.check();
            (runs, refusals) = (runs + 1, refusals + tally.refused.len());
        }
    }
    report("file-size limit", "any", runs, refusals, "typed EFBIG, what fits is served");
}

#[test]
fn a_limit_of_file_length_sends_no_signal() {
    alone("a_limit_of_file_length_sends_no_signal", || {
        for setup in [Setup::Native, Setup::Portable] {
            with_limit(Resource::Fsize, 8 << 20, || {
                let pager = setup.pager();
                let mut chunks = [elements::<u8>(64 * MIB, 1)];
                let error = pager.pageout(&mut chunks).expect_err("longer than a file may be");
                assert_eq!(system_code(&error), "EFBIG", "{setup:?}");
                assert_same(&chunks[0], &elements::<u8>(64 * MIB, 1));
                check_works(&pager);
            });
            for limit in [0, 63] {
                let scratch = pageout_testing::scratch();
                let error = with_limit(Resource::Fsize, limit, || setup.builder(scratch.path()).build());
                assert_eq!(error.map(drop).map_err(|error| system_code(&error)), Err("EFBIG"), "{setup:?}, {limit} bytes");
                assert_eq!(names(scratch.path()), [""; 0]);
            }
        }
    });
}

/// Several payloads of one length, together longer than a file may be.
fn go_round_at_length(before: &Before, len: usize, limit: usize, tally: &mut Tally) {
    let whole = elements::<u8>(len, 5);
    let slot_bytes = usize::try_from(pageout_testing::slot_bytes(len)).expect("a small slot");
    let count = (limit / slot_bytes).clamp(4, 40);
    let outcomes = (0..count).map(|_| before.pager.pageout(&mut cut(&whole, &[len / 3])));
    let handles: Vec<_> = outcomes.map(|outcome| tally.add(outcome)).collect();
    if slot_bytes <= limit {
        let refused = handles.iter().filter(|handle| handle.is_none()).count();
        // Where space cannot be asked for, the write says that the file is at its end, and the next call has a new file.
        let refused_max = if matches!(before.setup, Setup::Portable) { count / 2 } else { 0 };
        assert!(refused <= refused_max, "{:?}: {refused} of {count} of {len} bytes refused below {limit}", before.setup);
    }
    for handle in handles.into_iter().flatten() {
        let mut all = Vec::new();
        before.pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole);
    }
}

/// Bytes of this process's address space.
fn address_space_bytes() -> u64 {
    let facts = std::fs::read_to_string("/proc/self/status").expect("facts of this process");
    let line = facts.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a line");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

#[test]
#[cfg_attr(
    target_env = "musl",
    ignore = "musl asks the kernel for memory in small pieces, and Rust ends a process that gets none"
)]
fn every_limit_of_memory_is_an_ordinary_error() {
    let test = "every_limit_of_memory_is_an_ordinary_error";
    alone(test, || {
        let (mut runs, mut refusals) = (0, 0);
        let spares_kib = [0, 4, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
        for setup in Setup::ALL {
            for spare_kib in spares_kib.into_iter().step_by(short_or_long(5, 1)) {
                let before = Before::new(setup);
                // Beyond 32 MiB the C library asks the kernel for each piece of memory by itself.
                let mut material = Material::new(&[1, 70 * KIB, MIB, 33 * MIB]);
                let mut tally = Tally::default();
                with_limit(Resource::As, address_space_bytes() + spare_kib * 1024, || {
                    if let Some(another) = tally.add(before.another()) {
                        material.go_round(&another, &mut tally);
                    }
                    material.go_round(&before.pager, &mut tally);
                });
                assert!(tally.is_refused_only_with(&["ENOMEM"]), "{setup:?}, {spare_kib} KiB: {tally:?}");
                assert!(spare_kib > 0 || !tally.refused.is_empty(), "{setup:?}, {spare_kib} KiB: {tally:?}");
                before.check();
                (runs, refusals) = (runs + 1, refusals + tally.refused.len());
            }
        }
        report("address-space limit", "any", runs, refusals, "typed ENOMEM, no abort");
    });
}

/// Threads of this process.
fn thread_count() -> usize {
    names(Path::new("/proc/self/task")).len()
}

#[test]
fn no_thread_is_started_while_little_is_idle() {
    alone("no_thread_is_started_while_little_is_idle", || {
        let count = thread_count();
        for setup in Setup::ALL {
            let before = Before::new(setup);
            let mut material = Material::new(&[1, 70 * KIB, 2 * MIB]);
            let mut tally = Tally::default();
            material.go_round(&before.pager, &mut tally);
            assert_eq!((thread_count(), tally.refused.len()), (count, 0), "{setup:?}");
            before.check();
        }
        report("thread limit", "any", Setup::ALL.len(), 0, "does not matter while little is idle: no thread is started");
    });
}

/// A system call that the library may use, and whether it can do without it.
#[derive(Clone, Copy, Debug)]
struct SystemCall {
    name: &'static str,
    number: libc::c_long,
    /// Only calls with these bits in the third argument.
    flags: Option<u32>,
}

impl SystemCall {
    const fn new(name: &'static str, number: libc::c_long) -> Self {
        Self { name, number, flags: None }
    }
}

const UNNAMED: &str = "openat(O_TMPFILE)";

/// All calls that a pager might make, but for `brk` and `geteuid`, whose answer is never an error number.
fn system_calls() -> Vec<SystemCall> {
    let flags = u32::try_from(libc::O_TMPFILE & !libc::O_DIRECTORY).expect("a positive flag");
    let mut calls = vec![
        SystemCall { name: UNNAMED, number: libc::SYS_openat, flags: Some(flags) },
        SystemCall::new("openat", libc::SYS_openat),
        SystemCall::new("unlinkat", libc::SYS_unlinkat),
        SystemCall::new("mkdirat", libc::SYS_mkdirat),
        SystemCall::new("renameat", libc::SYS_renameat),
        SystemCall::new("renameat2", libc::SYS_renameat2),
        SystemCall::new("statx", libc::SYS_statx),
        SystemCall::new("fstat", libc::SYS_fstat),
        SystemCall::new("newfstatat", libc::SYS_newfstatat),
        SystemCall::new("fstatfs", libc::SYS_fstatfs),
        SystemCall::new("flock", libc::SYS_flock),
        SystemCall::new("fchmod", libc::SYS_fchmod),
        SystemCall::new("prlimit64", libc::SYS_prlimit64),
        SystemCall::new("getdents64", libc::SYS_getdents64),
        SystemCall::new("read", libc::SYS_read),
        SystemCall::new("lseek", libc::SYS_lseek),
        SystemCall::new("getrandom", libc::SYS_getrandom),
        SystemCall::new("fcntl", libc::SYS_fcntl),
        SystemCall::new("fallocate", libc::SYS_fallocate),
        SystemCall::new("ftruncate", libc::SYS_ftruncate),
        SystemCall::new("pwrite64", libc::SYS_pwrite64),
        SystemCall::new("pwritev", libc::SYS_pwritev),
        SystemCall::new("pread64", libc::SYS_pread64),
        SystemCall::new("preadv", libc::SYS_preadv),
        SystemCall::new("preadv2", libc::SYS_preadv2),
        SystemCall::new("fadvise64", libc::SYS_fadvise64),
        SystemCall::new("sync_file_range", libc::SYS_sync_file_range),
        SystemCall::new("fdatasync", libc::SYS_fdatasync),
        SystemCall::new("mincore", libc::SYS_mincore),
        SystemCall::new("madvise", libc::SYS_madvise),
        SystemCall::new("mmap", libc::SYS_mmap),
        SystemCall::new("munmap", libc::SYS_munmap),
        SystemCall::new("mremap", libc::SYS_mremap),
        SystemCall::new("close", libc::SYS_close),
    ];
    #[cfg(target_arch = "x86_64")]
    calls.push(SystemCall::new("mkdir", libc::SYS_mkdir));
    calls.retain(|call| call.number >= 0);
    calls
}

/// Calls that can be done without: nothing is refused when they are.
const DISPENSABLE: [&str; 14] = [
    UNNAMED,
    "fallocate",
    "preadv2",
    "fadvise64",
    "sync_file_range",
    "fdatasync",
    "madvise",
    "mincore",
    "munmap",
    "flock",
    "prlimit64",
    "getrandom",
    "renameat",
    "renameat2",
];

/// From now on this thread's `call` does nothing and comes to `action`, one of the values that seccomp(2) names.
#[allow(unsafe_code, reason = "there is no safe form in the crates at hand")]
fn deny(call: SystemCall, action: u32) {
    let [load, equal, any_bit, end] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ,
        libc::BPF_JMP | libc::BPF_JSET,
        libc::BPF_RET,
    ]
    .map(|code| u16::try_from(code).expect("16 bits"));
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let number = u32::try_from(call.number).expect("a positive number");
    // The low half of the third argument is 32 bytes into the data.
    let mut program = [
        step(load, 0, 0, 0),
        step(equal, 0, 3, number),
        step(load, 0, 0, 32),
        step(any_bit, 0, 1, call.flags.unwrap_or(0)),
        step(end, 0, 0, action),
        step(end, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    if call.flags.is_none() {
        program[3] = step(load, 0, 0, 0);
    }
    let program = libc::sock_fprog { len: u16::try_from(program.len()).expect("a few"), filter: program.as_mut_ptr() };
    // SAFETY: this operation takes integers only.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(answer, 0, "no new privileges");
    // SAFETY: the program lives until after the call, which copies it, and its length is the one given.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(answer, 0, "a filter: {}", std::io::Error::last_os_error());
}

/// Everything a pager does, in a directory that is new to it and with one that is open.
fn do_everything(before: &Before, below: &str, material: &mut Material) -> Tally {
    let mut tally = Tally::default();
    let another = before.setup.builder(&before.pager.scratch.path().join(below)).build();
    if let Some(another) = tally.add(another) {
        material.go_round(&another, &mut tally);
    }
    material.go_round(&before.pager, &mut tally);
    tally
}

/// Removes the names that nobody may remove while it is denied; the files are empty.
fn remove_names(directory: &Path) {
    for name in names(directory) {
        let path = directory.join(&name);
        let facts = std::fs::metadata(&path).expect("a name");
        if facts.is_dir() {
            remove_names(&path);
            std::fs::remove_dir(path).expect("an empty directory");
            continue;
        }
        assert_eq!(facts.len(), 0, "{name}");
        std::fs::remove_file(path).expect("an empty file");
    }
}

/// Runs everything in a thread for which the call comes to `action`; then all must be as if nothing had been.
fn with_denied(call: SystemCall, action: u32, setup: Setup) -> Tally {
    let before = Before::new(setup);
    let mut material = Material::new(&[1, 70 * KIB, MIB]);
    let tally = std::thread::scope(|scope| {
        let work = || {
            // The heap of this thread is there before anything is denied.
            drop(vec![1u8; KIB]);
            deny(call, action);
            do_everything(&before, "new", &mut material)
        };
        scope.spawn(work).join().expect("no panic, whatever is denied")
    });
    if call.name == "unlinkat" {
        remove_names(before.pager.scratch.path());
    }
    let place = before.pager.scratch.path().join("new");
    if place.is_dir() {
        std::fs::remove_dir(place).expect("an empty directory");
    }
    before.check();
    tally
}

/// Names the call of a process that ends when it makes the call.
const FATAL: &str = "PAGEOUT_TEST_FATAL_CALL";

/// The part of the process that ends by its first call of the kind it is told.
#[test]
#[ignore = "is started by other tests"]
fn makes_a_fatal_call() {
    if !is_own_process("makes_a_fatal_call") {
        return;
    }
    let name = std::env::var(FATAL).expect("the variable is set");
    let call = system_calls().into_iter().find(|call| call.name == name).expect("a known call");
    for setup in [Setup::Native, Setup::Portable] {
        with_denied(call, libc::SECCOMP_RET_KILL_PROCESS, setup);
    }
}

/// Whether the library makes this call at all.
fn is_made(call: SystemCall) -> bool {
    let mut command = own_process("makes_a_fatal_call");
    let status = { command.env(FATAL, call.name) }.output().expect("this executable runs again").status;
    assert!(status.success() || status.signal() == Some(libc::SIGSYS), "{}: {status}", call.name);
    !status.success()
}

fn has_filters() -> bool {
    // What a seccomp filter needs is said there.
    std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").is_ok_and(|actions| actions.contains("kill_process"))
}

#[test]
#[cfg_attr(
    target_env = "musl",
    ignore = "musl asks the kernel for memory in small pieces, and Rust ends a process that gets none"
)]
fn every_denied_call_has_a_fallback_or_a_code() {
    let test = "every_denied_call_has_a_fallback_or_a_code";
    if !has_filters() {
        return skip(test, "this kernel has no seccomp filters");
    }
    alone(test, || {
        let calls: Vec<_> = system_calls().into_iter().filter(|&call| is_made(call)).collect();
        let made: Vec<_> = calls.iter().map(|call| call.name).collect();
        let needed =
            [UNNAMED, "openat", "unlinkat", "fstatfs", "flock", "fallocate", "pwritev", "pwrite64", "preadv2", "fadvise64"];
        for needed in needed {
            assert!(made.contains(&needed), "{needed} is not among the calls made: {made:?}");
        }
        let (mut runs, mut refusals, mut served) = (0, 0, 0);
        for call in calls {
            for (errno, code) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
                for setup in [Setup::Native, Setup::Portable] {
                    let tally = with_denied(call, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(), setup);
                    // A heap that cannot grow is what mmap comes to.
                    let codes = [code, "ENOMEM"];
                    let is_documented = tally.is_refused_only_with(if call.name == "mmap" { &codes } else { &codes[..1] });
                    assert!(is_documented, "{} without {code}: {tally:?}", call.name);
                    let is_dispensable = DISPENSABLE.contains(&call.name);
                    assert!(tally.refused.is_empty() || !is_dispensable, "{} with {code}: {tally:?}", call.name);
                    (runs, refusals) = (runs + 1, refusals + tally.refused.len());
                    served += usize::from(tally.refused.is_empty());
                }
            }
        }
        let outcome = format!("{} calls: {served} runs served by fallbacks, the others refused with the errno", made.len());
        report("denied system calls", "any", runs, refusals, &outcome);
    });
}
