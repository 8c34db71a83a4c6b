//! What a core dump and swap space show of a key, and of payloads that are out.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use pageout::Compression;
use pageout_testing::{
    MIB, PAGE, builder, eventually, is_own_process, own_process, scratch, short_or_long, skip, succeeds, text, u64_of,
};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Where the marks begin of the payloads, which are out, and of other memory of the process, so that a search that misses something
/// is noticed.
const OUT: u64 = 1;
const KEPT: u64 = 2;
/// Bytes of a record: a mark, and zeros, so that it becomes shorter where it is compressed and the mark is still there.
const RECORD_BYTES: usize = 64;
const MARKS: usize = MIB / RECORD_BYTES;
/// What the last calls may have left in registers. A page that was left anywhere has 64.
const MARKS_MAX: usize = 8;
/// Set where payloads are compressed.
const COMPRESSED: &str = "PAGEOUT_TEST_COMPRESSED";

/// Numbers that stand nowhere else.
fn marks(seed: u64) -> impl Iterator<Item = u64> {
    (1..=u64_of(MARKS)).map(move |number| (number ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) | 1)
}

fn fill(bytes: &mut [u8], seed: u64) {
    let (records, _) = bytes.as_chunks_mut::<RECORD_BYTES>();
    records.iter_mut().zip(marks(seed)).for_each(|(record, mark)| record[..8].copy_from_slice(&mark.to_ne_bytes()));
}

/// How many of the marks are there.
fn found(bytes: &[u8], seed: u64) -> usize {
    let all: HashSet<u64> = marks(seed).collect();
    let words = bytes.windows(8).map(|window| u64::from_ne_bytes(window.try_into().expect("8 bytes")));
    words.filter(|word| *word != 0 && all.contains(word)).collect::<HashSet<_>>().len()
}

/// A process that has paged out, read and taken, and still has payloads out.
#[test]
#[ignore = "is started by other tests"]
fn has_sealed_payloads() {
    if !is_own_process("has_sealed_payloads") {
        return;
    }
    let unlimited = Rlimit { current: None, maximum: None };
    // Refused to others than root where the limit is lower, and then whoever reads the core dump says so.
    let _ = setrlimit(Resource::Core, unlimited);
    let directory = scratch();
    let compression = if std::env::var_os(COMPRESSED).is_some() { Compression::Lz4 } else { Compression::None };
    let pager = builder(directory.path()).encryption(true).compression(compression).build().expect("a pager");
    // One buffer for all, which is overwritten: what is found is the pager's.
    let mut bytes = vec![0; MIB];
    fill(&mut bytes, OUT);
    let held = [100, PAGE, 70_001, MIB].map(|len| pager.pageout_copy(&[&bytes[..len]]).expect("a pageout"));
    for handle in &held {
        handle.read_into(.., &mut bytes[..handle.len()]).expect("a read");
    }
    let taken = pager.pageout_copy(&[&bytes[..]]).expect("a pageout");
    pager.take(taken, &mut bytes).expect("a take");
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    assert!(records.iter().zip(marks(OUT)).all(|(record, mark)| record[..8] == mark.to_ne_bytes()), "it has come back");
    let stats = pager.stats();
    assert_eq!(stats.stored_bytes < stats.payload_bytes, compression == Compression::Lz4);
    std::hint::black_box(&mut bytes).fill(0);
    let mut kept = vec![0; MIB];
    fill(std::hint::black_box(&mut kept), KEPT);
    say("out");
    for line in std::io::stdin().lines() {
        match &*line.expect("a line") {
            "abort" => std::process::abort(),
            "swap" => swap_all_out(),
            line => panic!("{line}"),
        }
        say("done");
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "\n{line}").and_then(|()| output.flush()).expect("somebody reads");
}

/// Advises the kernel to swap out whatever this process may write to.
#[allow(unsafe_code, reason = "advice on memory has no safe form")]
fn swap_all_out() {
    for (start, end) in mappings("self", |permissions, _| permissions.starts_with("rw-p")) {
        // SAFETY: the advice changes no byte. Mappings that are gone by now, and those that the kernel does not swap, it refuses.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_PAGEOUT) };
    }
}

/// The mappings of a process with permissions and flags that `fits`, as proc(5) describes them under smaps.
fn mappings(process: &str, fits: impl Fn(&str, &str) -> bool) -> Vec<(usize, usize)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).expect("the mappings of a process");
    let (mut here, mut found) = (None, Vec::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let number = |digits| usize::from_str_radix(digits, 16).expect("an address");
            here = Some((number(start), number(end), words.next().expect("permissions").to_owned()));
        } else if first == "VmFlags:" {
            let (start, end, permissions) = here.take().expect("a mapping before its flags");
            found.extend(fits(&permissions, line).then_some((start, end)));
        }
    }
    found
}

/// The process of [`has_sealed_payloads`].
struct Holder {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(directory: &Path, is_compressed: bool) -> Self {
        let mut command: Command = own_process("has_sealed_payloads");
        if is_compressed {
            command.env(COMPRESSED, "1");
        }
        command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("this executable runs again");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut this = Self { process, lines };
        this.hear("out");
        this
    }

    fn hear(&mut self, expected: &str) {
        let mut lines = self.lines.by_ref().map(|line| line.expect("text"));
        assert!(lines.any(|line| line == expected), "the process has ended before it said {expected}");
    }

    fn tell(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().expect("a pipe");
        writeln!(input, "{line}").expect("the process reads");
    }

    /// Its key: alone in a page that is left out of core dumps and locked in memory.
    fn key(&self) -> [u8; 16] {
        let process = self.process.id().to_string();
        let has = |flags: &str, flag| flags.split(' ').any(|other| other == flag);
        let pages = mappings(&process, |permissions, flags| permissions == "rw-p" && has(flags, "dd") && has(flags, "lo"));
        let [(start, end)] = pages[..] else { panic!("one page of a key, not {pages:x?}") };
        assert_eq!(end - start, PAGE);
        let mut page = [0; PAGE];
        let memory = File::open(format!("/proc/{process}/mem")).expect("the memory of a process that was started here");
        memory.read_exact_at(&mut page, start as u64).expect("a page that is mapped");
        let (key, rest) = page.split_first_chunk().expect("a page");
        assert!(*key != [0; 16] && rest.iter().all(|&byte| byte == 0), "a key and nothing else");
        *key
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        self.lines.by_ref().for_each(drop);
        self.process.wait().expect("the process ends");
    }
}

#[track_caller]
fn assert_shows_nothing(bytes: &[u8], key: &[u8; 16]) {
    let [kept, out] = [KEPT, OUT].map(|seed| found(bytes, seed));
    assert!(kept >= MARKS / 2, "other memory is there: {kept} marks");
    assert!(out <= MARKS_MAX, "a payload that is out is there: {out} marks");
    let (halves, _) = key.as_chunks::<8>();
    let shown = halves.iter().filter(|half| bytes.windows(8).any(|window| window == *half));
    assert_eq!(shown.count(), 0, "a half of the key is there");
}

/// The core dump of a process that aborts, in its own directory, where the kernel writes it there; else what gcore makes of it.
fn core_dump(holder: &mut Holder, directory: &Path) -> Result<Vec<u8>, &'static str> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with("core") {
        holder.tell("abort");
        holder.process.wait().expect("the process ends");
    } else if succeeds("sh", &["-c", "command -v gcore"]) {
        let process = holder.process.id().to_string();
        assert!(succeeds("gcore", &["-o", text(&directory.join("core")), &process]), "gcore is allowed to read the process");
    } else {
        return Err("the kernel gives core dumps to a program, and gcore (gdb) is not there");
    }
    let mut names = std::fs::read_dir(directory).expect("a listing").map(|entry| entry.expect("an entry").path());
    let name = names.find(|name| name.is_file()).ok_or("core dumps are limited")?;
    Ok(std::fs::read(name).expect("a core dump"))
}

#[test]
fn a_core_dump_shows_neither_the_key_nor_what_is_out() {
    for is_compressed in [false, true] {
        let directory = scratch();
        let mut holder = Holder::start(directory.path(), is_compressed);
        let key = holder.key();
        match core_dump(&mut holder, directory.path()) {
            Ok(dump) => assert_shows_nothing(&dump, &key),
            Err(reason) => skip("a_core_dump_shows_neither_the_key_nor_what_is_out", reason),
        }
        holder.end();
    }
}

/// Swap space in a file, while it is there.
struct Swap<'a>(&'a Path);

impl<'a> Swap<'a> {
    fn on(path: &'a Path) -> Option<Self> {
        let file = File::create(path).expect("a file");
        (0..64).for_each(|position| file.write_all_at(&vec![0; MIB], position * MIB as u64).expect("room"));
        file.sync_all().expect("a disk");
        let is_on = succeeds("chmod", &["600", text(path)]) && succeeds("mkswap", &[text(path)]);
        // Before all other swap space.
        (is_on && succeeds("swapon", &["--priority", "32000", text(path)])).then_some(Self(path))
    }

    /// What is on the disk of it.
    fn content(&self) -> Vec<u8> {
        let mut file = File::open(self.0).expect("a file");
        fadvise(&file, 0, None, Advice::DontNeed).expect("what is cached may be dropped");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("its content");
        content
    }
}

impl Drop for Swap<'_> {
    fn drop(&mut self) {
        succeeds("swapoff", &[text(self.0)]);
    }
}

/// In the long form alone, since the whole machine has the swap space meanwhile.
#[test]
fn swap_space_shows_neither_the_key_nor_what_is_out() {
    let test = "swap_space_shows_neither_the_key_nor_what_is_out";
    if short_or_long(0, 1) == 0 {
        return skip(test, "turns on swap space for the whole machine: PAGEOUT_TEST_LONG=1 asks for it");
    }
    let directory = scratch();
    let path = directory.path().join("swap");
    let Some(swap) = Swap::on(&path) else {
        return skip(test, "no swap space can be turned on here");
    };
    let mut holder = Holder::start(directory.path(), true);
    let key = holder.key();
    holder.tell("swap");
    holder.hear("done");
    let is_out = || found(&swap.content(), KEPT) >= MARKS / 2;
    eventually(|| "what the process keeps is swapped out".to_owned(), is_out);
    assert_shows_nothing(&swap.content(), &key);
    holder.end();
}
