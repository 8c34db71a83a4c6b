//! What the integration tests share: payloads, pagers, and processes for tests that change what belongs to a whole process.

#![allow(dead_code, reason = "every test binary uses a part of this module")]

pub(crate) mod draws;
pub(crate) mod faulty;
pub(crate) mod ledger;
#[cfg(target_os = "linux")]
pub(crate) mod mounts;
pub(crate) mod sweep;
pub(crate) mod weather;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytemuck::Pod;
use pageout::{Backend, Pager, PagerBuilder};
use tempfile::TempDir;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;
pub(crate) const PAGE: usize = 4 * KIB;
/// The largest slot; longer payloads take several.
pub(crate) const LARGEST_SLOT: usize = 64 * MIB;
pub(crate) const BACKENDS: [Backend; 2] = [Backend::File, Backend::Swap];

/// A pager over the real file system, with the options that change which code runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setup {
    /// Everything the platform offers.
    Native,
    /// Only what every platform offers.
    Portable,
    /// Without checksums.
    Unchecked,
}

impl Setup {
    pub(crate) const ALL: [Self; 3] = [Self::Native, Self::Portable, Self::Unchecked];

    pub(crate) fn builder(self, scratch: &Path) -> PagerBuilder {
        let builder = builder(scratch);
        match self {
            Self::Native => builder,
            Self::Portable => builder.portable(),
            Self::Unchecked => builder.integrity(false),
        }
    }

    pub(crate) fn pager(self) -> TestPager {
        let scratch = scratch();
        let pager = self.builder(scratch.path()).build().expect("a pager in a temporary directory");
        TestPager { pager, scratch }
    }
}

/// A pager with its own scratch directory.
#[derive(Debug)]
pub(crate) struct TestPager {
    pub(crate) pager: Pager,
    pub(crate) scratch: TempDir,
}

impl std::ops::Deref for TestPager {
    type Target = Pager;

    fn deref(&self) -> &Pager {
        &self.pager
    }
}

/// Checks something on pagers of every setup with every backend, after which nothing may be out.
pub(crate) fn on_every_pager(check: impl Fn(&Pager, Backend)) {
    for setup in Setup::ALL {
        let pager = setup.pager();
        for backend in BACKENDS {
            check(&pager, backend);
            let stats = pager.stats();
            assert_eq!((stats.handles, stats.payload_bytes, stats.used_bytes), (0, 0, 0), "{setup:?}, {backend:?}");
        }
    }
}

/// Checks that a pager works, where it may have failed before.
#[track_caller]
pub(crate) fn check_works(pager: &Pager) {
    let whole = elements::<u64>(3_000, 1);
    let handle = pager.pageout(&mut cut(&whole, &[1_000])).expect("a pageout without a fault");
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("a take without a fault");
    assert_same(&all, &whole);
}

/// Waits for what another thread does soon.
///
/// # Panics
/// When it did not come true for ten seconds.
#[track_caller]
pub(crate) fn eventually<W: Display>(what: impl Fn() -> W, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come true: {}", what());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a panic said.
pub(crate) fn panic_text(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

/// A builder for a pager in `scratch`, which may be in memory on the machine that runs the tests.
pub(crate) fn builder(scratch: &Path) -> PagerBuilder {
    Pager::builder().scratch_dir(scratch).allow_ram_backed(true)
}

/// A directory of the caller's own, removed when it is dropped.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a listing");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Bytes of the pattern before it repeats: a prime, so that no page, slot or chunk equals its neighbour.
const PERIOD: usize = 65_521;

/// Elements that differ from place to place and from seed to seed.
pub(crate) fn elements<T: Pod>(len: usize, seed: u64) -> Vec<T> {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(pattern);
    let mut vec = vec![T::zeroed(); len];
    let mut rest = bytemuck::cast_slice_mut::<T, u8>(&mut vec);
    let mut start = usize::try_from(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).expect("32 bits") % PERIOD;
    while !rest.is_empty() {
        let part = rest.len().min(PERIOD - start);
        let (front, behind) = rest.split_at_mut(part);
        front.copy_from_slice(&pattern[start..start + part]);
        (rest, start) = (behind, 0);
    }
    vec
}

fn pattern() -> Vec<u8> {
    let mut bytes = vec![0; PERIOD];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for eight in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
    }
    bytes
}

/// Cuts `whole` into chunks of the lengths given, the rest into a last one.
pub(crate) fn cut<T: Pod>(whole: &[T], lens: &[usize]) -> Vec<Vec<T>> {
    let mut rest = whole;
    let mut chunks = Vec::new();
    for &len in lens {
        let (front, back) = rest.split_at(len.min(rest.len()));
        chunks.push(front.to_vec());
        rest = back;
    }
    if !rest.is_empty() {
        chunks.push(rest.to_vec());
    }
    chunks
}

/// Bit for bit the same, which `==` does not say of floating point numbers. Prints no content: payloads may be long.
#[track_caller]
pub(crate) fn assert_same<T: Pod>(actual: &[T], expected: &[T]) {
    assert_eq!(actual.len(), expected.len(), "the lengths differ");
    let (actual, expected): (&[u8], &[u8]) = (bytemuck::cast_slice(actual), bytemuck::cast_slice(expected));
    if actual != expected {
        let first = actual.iter().zip(expected).position(|(a, b)| a != b);
        panic!("{} bytes differ first at byte {first:?}", actual.len());
    }
}

/// The elements that ranges name, one after the other: the plain way to read.
pub(crate) fn gather<T: Pod>(whole: &[T], ranges: &[(usize, usize)]) -> Vec<T> {
    let parts: Vec<&[T]> = ranges.iter().map(|&(offset, len)| &whole[offset..offset + len]).collect();
    parts.concat()
}

/// What can be observed of a vector: an operation that must leave it alone leaves all of it alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    address: usize,
    capacity: usize,
    bytes: Vec<u8>,
}

impl Memory {
    pub(crate) fn address(&self) -> usize {
        self.address
    }
}

pub(crate) fn memory<T: Pod>(vec: &Vec<T>) -> Memory {
    Memory { address: vec.as_ptr().addr(), capacity: vec.capacity(), bytes: bytemuck::cast_slice(vec).to_vec() }
}

pub(crate) fn memories<T: Pod>(chunks: &[Vec<T>]) -> Vec<Memory> {
    chunks.iter().map(memory).collect()
}

/// Bytes of slots that a payload takes, by looking at every slot length there is.
pub(crate) fn slot_bytes(len_bytes: usize) -> u64 {
    let lengths = (12..=26).flat_map(|power| [1 << power, (1 << power) / 2 * 3]);
    // Half as much again as one page is no whole number of pages.
    let slots = lengths.filter(|length: &usize| length.is_multiple_of(PAGE) && *length <= LARGEST_SLOT);
    let rest = len_bytes % LARGEST_SLOT;
    let last = if rest == 0 { 0 } else { slots.filter(|&length| length >= rest).min().expect("no longer than the largest") };
    u64_of(len_bytes - rest + last)
}

pub(crate) fn u64_of(value: usize) -> u64 {
    u64::try_from(value).expect("a usize of at most 64 bits")
}

/// Names the test that the process was started for.
const OWN_PROCESS_VARIABLE: &str = "PAGEOUT_TEST_IN_OWN_PROCESS";

/// Runs `body` in a process that runs the test `test` alone, since it changes what belongs to the whole process. `test`
/// must be the name of the calling test; `prepare` may set variables and a directory.
#[track_caller]
pub(crate) fn in_own_process(test: &str, prepare: impl FnOnce(&mut Command), body: impl FnOnce()) {
    if is_own_process(test) {
        return body();
    }
    let mut command = own_process(test);
    prepare(&mut command);
    assert_passed(test, &command.output().expect("this executable runs again"));
}

/// Checks that a process of [`own_process`] ran its one test and that it passed.
#[track_caller]
pub(crate) fn assert_passed(test: &str, output: &Output) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the process of {test} ended with {}:\n{said}", output.status);
    assert!(said.contains("1 passed"), "{test} is not the name of a test:\n{said}");
    let handed_on = [SKIPPED, REPORT, ledger::LEDGER];
    for line in said.lines().filter(|line| handed_on.iter().any(|start| line.starts_with(start))) {
        tell(line);
    }
}

/// Whether this process was made by [`own_process`] for `test`.
pub(crate) fn is_own_process(test: &str) -> bool {
    std::env::var_os(OWN_PROCESS_VARIABLE).is_some_and(|name| name == test)
}

/// A command that runs the test `test` of this executable alone.
pub(crate) fn own_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path of this executable"));
    command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]);
    command.env(OWN_PROCESS_VARIABLE, test);
    command.env_remove("PAGEOUT_SCRATCH_DIR");
    command
}

const SKIPPED: &str = "skipped: ";

/// Says that a test, or a part of it, cannot run here.
pub(crate) fn skip(test: &str, reason: &str) {
    tell(&format!("{SKIPPED}{test}: {reason}"));
}

const REPORT: &str = "report: ";

/// Says what a scenario came to, for the table of the long form: how often it ran, and how many refusals, damaged places or
/// kills it has seen.
pub(crate) fn report(scenario: &str, file_system: &str, rounds: usize, faults: usize, outcome: &str) {
    tell(&format!("{REPORT}{scenario} | {file_system} | {rounds} | {faults} | {outcome}"));
}

/// A number for every run of the tests, and a larger one for the long form, which `PAGEOUT_TEST_LONG` asks for.
pub(crate) fn short_or_long(short: usize, long: usize) -> usize {
    if std::env::var_os("PAGEOUT_TEST_LONG").is_some() { long } else { short }
}

/// Writes a line past the test harness, which would swallow it.
pub(crate) fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error can be written");
}

/// Starts `command` by way of another program, which gets it as its last arguments.
pub(crate) fn by_way_of(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Names the directory in which a process may mount file systems.
#[cfg(target_os = "linux")]
const ROOT_VARIABLE: &str = "PAGEOUT_TEST_ROOT";

/// As [`in_own_process`], where `body` may mount file systems in the empty directory it gets. Nobody else sees them, and
/// they end with the process, so that the directory can be removed behind it.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn in_own_mounts(test: &str, body: impl FnOnce(&Path)) {
    if is_own_process(test) {
        return body(Path::new(&std::env::var_os(ROOT_VARIABLE).expect("the variable is set")));
    }
    if !succeeds("unshare", &["-m", "true"]) {
        return skip(test, "this process may not mount file systems");
    }
    let root = scratch();
    let mut command = by_way_of("unshare", &["-m"], &own_process(test));
    assert_passed(test, &command.env(ROOT_VARIABLE, root.path()).output().expect("unshare ran before"));
}

/// Runs a program that the test cannot do without; says whether it succeeded.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}
