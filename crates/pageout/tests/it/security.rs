//! What must not get out: foreign or stale memory to the disk or to the caller, payload bytes or paths to a text.

use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use pageout::{Backend, BatchRead, Error, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{BACKENDS, MIB, PAGE, Setup, assert_same, elements, in_own_process, text};

/// What nobody paged out, or what must stay in its payload. It stands in no other text.
const MARKER: &[u8; 8] = b"SECRETbY";

/// Memory full of the marker.
fn marked(len_bytes: usize) -> Vec<u8> {
    let mut bytes = MARKER.repeat(len_bytes.div_ceil(MARKER.len()));
    bytes.truncate(len_bytes);
    bytes
}

/// The same as long numbers.
fn marked_words(len: usize) -> Vec<u64> {
    vec![u64::from_ne_bytes(*MARKER); len]
}

/// Whether there are 15 bytes of the marker in a row, wherever in it they begin.
fn holds_marker(bytes: &[u8]) -> bool {
    let rotations: [u64; 8] = std::array::from_fn(|start| {
        let mut rotated = *MARKER;
        rotated.rotate_left(start);
        u64::from_ne_bytes(rotated)
    });
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_ne_bytes(*word)).any(|word| word != 0 && rotations.contains(&word))
}

/// Lengths that end within a page, and some that do not.
const LENS: [usize; 12] = [1, 7, 100, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 8, 20_000, 16 * PAGE, 70_001, 262_145, 4 * MIB + 3];

/// Leaves freed memory full of the marker behind, of every length that an allocation here may have.
fn mark_freed_memory() {
    let held: Vec<Vec<u8>> = (0..23).flat_map(|power| (0..4).map(move |_| marked(1 << power))).collect();
    drop(held);
}

#[cfg(target_os = "linux")]
mod scratch_files {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::RawFd;

    use super::{LENS, MIB, PAGE, Path, Setup, assert_same, elements, holds_marker, in_own_process, mark_freed_memory, marked};

    /// Descriptors of this process below a directory, and the directory's own.
    fn descriptors(scratch: &Path) -> Vec<RawFd> {
        let entries = std::fs::read_dir("/proc/self/fd").expect("a listing").map(|entry| entry.expect("an entry"));
        let below = entries.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(scratch)));
        below.map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number")).collect()
    }

    /// The content of every scratch file in a directory, by way of this process's own descriptors.
    fn contents(scratch: &Path) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for descriptor in descriptors(scratch) {
            let mut file = File::open(format!("/proc/self/fd/{descriptor}")).expect("an open file");
            if !file.metadata().expect("its metadata").is_dir() {
                let mut content = Vec::new();
                file.read_to_end(&mut content).expect("its content");
                all.push(content);
            }
        }
        assert!(!all.is_empty(), "a payload is out");
        all
    }

    /// Content that begins as no other does, so that it can be found on the disk.
    fn distinct(len: usize, seed: u64) -> Vec<u8> {
        let mut whole = elements::<u8>(len, seed);
        let beginning = format!("payload {seed} ");
        let front = len.min(beginning.len());
        whole[..front].copy_from_slice(&beginning.as_bytes()[..front]);
        whole
    }

    /// The whole pages of such a payload, wherever they lie.
    fn pages_of<'a>(contents: &'a [Vec<u8>], payload: &[u8]) -> &'a [u8] {
        let found = contents.iter().find_map(|content| {
            let starts = (0..content.len()).step_by(PAGE);
            let start = starts.into_iter().find(|&start| content[start..].starts_with(payload))?;
            Some(&content[start..content.len().min(start + payload.len().next_multiple_of(PAGE))])
        });
        found.expect("the payload begins at a page of a scratch file")
    }

    /// A payload goes to disk with zeros up to the end of its last page, and no other memory of this process goes with it.
    #[test]
    fn nothing_but_payloads_and_zeros_goes_to_the_disk() {
        for setup in Setup::ALL {
            let pager = setup.pager();
            let mut held = Vec::new();
            for (seed, len) in (1..).zip(LENS) {
                mark_freed_memory();
                // Behind their elements the chunks hold the marker too.
                let whole = distinct(len, seed);
                let mut chunks = [len / 3, len / 2].map(|cut| marked(cut + 2 * PAGE));
                chunks[0].truncate(0);
                chunks[0].extend_from_slice(&whole[..len / 2]);
                chunks[1].truncate(0);
                chunks[1].extend_from_slice(&whole[len / 2..]);
                held.push(pager.pageout(&mut chunks).expect("a pageout"));
                let mut collector = pager.collector();
                mark_freed_memory();
                whole.chunks(1 + len / 5).for_each(|chunk| collector.append(chunk).expect("a place"));
                held.push(collector.finish().expect("a payload"));
            }
            let contents = contents(pager.scratch.path());
            assert!(contents.iter().all(|content| !holds_marker(content)), "{setup:?}: freed memory is on the disk");
            // Those that can be told from others, and that are whole in one slot whichever way they went out.
            let lens = (1..).zip(LENS).filter(|(_, len)| setup.is_plain() && (100..MIB).contains(len));
            for (seed, len) in lens {
                let stored = pages_of(&contents, &distinct(len, seed));
                assert!(stored[len..].iter().all(|&byte| byte == 0), "{setup:?}, {len} bytes");
            }
        }
    }

    #[test]
    fn the_last_page_of_a_payload_holds_nothing_of_what_was_in_its_place_before() {
        for setup in Setup::ALL.into_iter().filter(|setup| setup.is_plain()) {
            let pager = setup.pager();
            for len in [100, PAGE + 1, 2 * PAGE - 1, 70_001] {
                drop(pager.pageout(&mut [marked(len.next_multiple_of(PAGE))]).expect("a pageout"));
                let whole = distinct(len, 1);
                let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout into the same place");
                let contents = contents(pager.scratch.path());
                let stored = pages_of(&contents, &whole);
                assert_eq!(stored.len(), len.next_multiple_of(PAGE));
                assert!(stored[len..].iter().all(|&byte| byte == 0), "{setup:?}, {len} bytes");
                let mut all = Vec::new();
                pager.take(handle, &mut all).expect("a take");
                assert_same(&all, &whole);
            }
        }
    }

    /// Without this the tests above would not find what they look for.
    #[test]
    fn a_marker_that_goes_out_is_found_on_the_disk() {
        let pager = Setup::Native.pager();
        let _held = pager.pageout(&mut [marked(10_000)]).expect("a pageout");
        assert!(contents(pager.scratch.path()).iter().any(|content| holds_marker(content)));
        assert!((0..8).all(|start| holds_marker(&marked(23)[start..start + 15])) && !holds_marker(&[0; 100]));
    }

    /// The files that say how much memory there is are opened with the scratch directory.
    #[test]
    #[allow(unsafe_code, reason = "closing a standard stream has no safe form")]
    fn no_file_of_ours_becomes_a_standard_stream() {
        let test = "scratch_files::no_file_of_ours_becomes_a_standard_stream";
        in_own_process(
            test,
            |_| {},
            || {
                // SAFETY: nothing owns standard input, and this process does not read it.
                unsafe { libc::close(0) };
                let pager = Setup::Native.pager();
                let handle = pager.pageout(&mut [vec![1u8; 20]]).expect("a pageout");
                assert!(descriptors(pager.scratch.path()).len() > 1);
                let input = std::fs::read_link("/proc/self/fd/0");
                assert!(input.is_err(), "standard input is {input:?}");
                drop(handle);
            },
        );
    }
}

#[test]
fn a_place_never_shows_what_was_in_it_before() {
    for setup in Setup::ALL {
        let pager = setup.pager();
        for (seed, len) in (1..).zip(LENS) {
            let former = pager.pageout(&mut [marked(len)]).expect("a pageout");
            pager.read_at(&former, 0, len, &mut Vec::new()).expect("a read");
            drop(former);
            let whole = elements::<u8>(len.div_ceil(2), seed);
            let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout into the same place");
            mark_freed_memory();
            let mut some = marked(3);
            some.reserve(len);
            let ranges = [(len / 4, len / 4), (0, len.min(2) / 2)];
            pager.read_at_many(&handle, &ranges, &mut some).expect("a read");
            assert!(!holds_marker(&some[3..]), "{setup:?}, {len} bytes");
            let mut all = Vec::new();
            pager.take(handle, &mut all).expect("a take");
            assert_same(&all, &whole);
        }
    }
}

#[test]
fn a_write_that_the_device_lost_shows_no_former_payload() {
    for effect in [Effect::LoseWrite, Effect::TearWrite] {
        let disk = Disk::new();
        let pager = disk.pager();
        for len in [100, PAGE, 20_000] {
            drop(pager.pageout(&mut [marked(len)]).expect("a pageout"));
            disk.arm(Fault { call: Call::Write, index: 0, effect, lasts: Lasts::Once });
            let handle = pager.pageout(&mut [elements::<u8>(len, 1)]).expect("the device says that all is well");
            disk.disarm();
            // Half a page that was torn is enough for the first, so its end is looked at.
            for ranges in [vec![(0, len)], vec![(len - 1, 1), (0, 1)]] {
                let mut dst = Vec::with_capacity(len);
                if pager.read_at_many(&handle, &ranges, &mut dst).is_err() {
                    assert_eq!(dst.len(), 0, "a read that fails gives nothing");
                }
                assert!(!holds_marker(&dst), "{effect:?}, {len} bytes");
            }
        }
    }
}

/// Texts that must not show the payload, and why each of them exists.
#[derive(Default)]
struct Texts(Vec<String>);

impl Texts {
    fn debug(&mut self, value: &impl Debug) {
        self.0.extend([format!("{value:?}"), format!("{value:#?}"), format!("{value:x?}")]);
    }

    fn error<E: std::error::Error>(&mut self, error: &E) {
        self.debug(error);
        self.display(error);
        let mut source = error.source();
        while let Some(error) = source {
            self.display(error);
            self.0.push(format!("{error:?}"));
            source = error.source();
        }
    }

    fn display(&mut self, value: &(impl Display + ?Sized)) {
        self.0.push(value.to_string());
    }

    /// Checks that no text shows the marker: as text, in lists of numbers, or as long numbers.
    #[track_caller]
    fn check(&self) {
        let list = |bytes: &[u8], form: fn(u8) -> String| bytes.iter().map(|&byte| form(byte)).collect::<Vec<_>>().join(",");
        let mut needles = vec![String::from_utf8_lossy(MARKER).into_owned()];
        for half in [&MARKER[..4], &MARKER[4..]] {
            needles.push(list(half, |byte| byte.to_string()));
            needles.push(list(half, |byte| format!("{byte:x}")));
            needles.push(list(half, |byte| format!("0x{byte:x}")));
        }
        needles.extend([u64::from_ne_bytes(*MARKER).to_string(), format!("{:x}", u64::from_ne_bytes(*MARKER))]);
        for text in &self.0 {
            let dense: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
            let shown = needles.iter().find(|needle| dense.contains(*needle));
            assert_eq!(shown, None, "a text shows payload: {}", text.chars().take(2_000).collect::<String>());
        }
    }

    /// Checks that each path in the texts is one of `allowed`, or below.
    #[track_caller]
    fn check_paths(&self, allowed: &[&Path]) {
        let is_end = |letter: char| letter.is_whitespace() || "'\"`,;()[]{}".contains(letter);
        let mut paths = 0;
        for said in &self.0 {
            let words = said.split(is_end).filter(|word| word.starts_with('/') && word.len() > 1);
            for word in words {
                assert!(allowed.iter().any(|path| Path::new(word).starts_with(path)), "{word} in: {said}");
                paths += 1;
            }
        }
        assert!(paths > 0, "the scratch directory is named");
    }
}

/// Without this the tests below would not find what they look for.
#[test]
fn a_marker_that_is_shown_is_found_in_every_form() {
    for shown in [
        format!("{:?}", marked(16)),
        format!("{:#?}", marked(16)),
        format!("{:x?}", marked(16)),
        format!("{:?}", marked_words(2)),
        String::from_utf8_lossy(&marked(16)).into_owned(),
    ] {
        assert!(catch_unwind(|| Texts(vec![shown]).check()).is_err());
    }
    let foreign = Texts(vec!["in scratch directory '/scratch' of /proc/meminfo".to_owned()]);
    assert!(catch_unwind(|| foreign.check_paths(&[Path::new("/scratch")])).is_err());
}

#[test]
fn no_text_about_a_pager_or_a_payload_shows_its_bytes_or_foreign_paths() {
    for setup in Setup::ALL {
        let pager = setup.pager();
        let mut texts = Texts::default();
        texts.debug(&setup.builder(pager.scratch.path()));
        for backend in BACKENDS {
            let handle = pager.pageout_with(backend, &mut [marked(10_000), marked(9)]).expect("a pageout");
            let words = pager.pageout_with(backend, &mut [marked_words(100)]);
            let mut collector = pager.collector();
            collector.append(&marked(100)).expect("memory");
            let mut target = marked(8);
            texts.debug(&BatchRead { handle: &handle, ranges: &[(0, 8)], target: &mut target, is_counted: true });
            pager.read_into(&handle, &[(0, 8)], &mut target).expect("a read");
            texts.error(&pager.read_at(&handle, 10_009, 1, &mut marked(8)).expect_err("past the end"));
            texts.error(&pager.read_at_many(&handle, &[(0, 2), (1, 2)], &mut marked(8)).expect_err("an overlap"));
            texts.error(&pager.read_into(&handle, &[(0, 8)], &mut marked(7)).expect_err("too short"));
            let other = Setup::Native.pager();
            let failed = other.take(handle, &mut marked(8)).expect_err("a handle of another pager");
            texts.error(&failed);
            texts.debug(&(failed.into_handle(), words, collector, &*pager, pager.stats(), backend));
        }
        texts.check();
        texts.check_paths(&[pager.scratch.path()]);
    }
}

#[test]
fn no_error_of_the_device_shows_payload_or_foreign_paths() {
    let mut texts = Texts::default();
    for call in Call::ALL {
        for errno in [libc::EIO, libc::ENOSPC, libc::EMFILE, libc::EACCES, 9999] {
            let disk = Disk::new();
            disk.set_cold_from(0);
            disk.arm(Fault { call, index: 0, effect: Effect::Fail(errno), lasts: Lasts::ForGood });
            let Ok(pager) = disk.builder().build().inspect_err(|error| texts.error(error)) else { continue };
            let mut chunks = [marked(10_000)];
            let Ok(handle) = pager.pageout(&mut chunks).inspect_err(|error| texts.error(error)) else { continue };
            let _ = pager.read_at(&handle, 1, 9, &mut Vec::new()).inspect_err(|error| texts.error(error));
            let _ = pager.take(handle, &mut Vec::new()).inspect_err(|error| texts.error(error));
            let _ = pager.trim().inspect_err(|error| texts.error(error));
            texts.debug(&pager);
        }
    }
    let disk = Disk::new();
    let pager = disk.builder().capacity_bytes(20_000).build().expect("a pager in memory");
    let handle = pager.pageout(&mut [marked(10_000)]).expect("a pageout");
    texts.error(&pager.pageout(&mut [marked(10_000)]).expect_err("past the capacity"));
    let (file, start) = disk.last_place();
    disk.flip(file, start);
    let failed = pager.take(handle, &mut marked(1)).expect_err("a flipped bit");
    texts.error(&failed);
    texts.error(&std::io::Error::from(failed.into_error()));
    texts.error(&Pager::builder().capacity_bytes(0).build().expect_err("no capacity"));
    assert!(texts.0.len() > 200, "{} texts", texts.0.len());
    texts.check();
    texts.check_paths(&[Path::new("/scratch")]);
}

/// Every warning of this process.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        WARNINGS.lock().expect("no test panics while it logs").push(format!("{record:?} {}", record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn no_warning_or_panic_of_the_functions_shows_payload_or_foreign_paths() {
    let scratch = pageout_testing::scratch();
    let test = "no_warning_or_panic_of_the_functions_shows_payload_or_foreign_paths";
    let prepare = |command: &mut std::process::Command| {
        command.env("PAGEOUT_SCRATCH_DIR", scratch.path()).env("TMPDIR", scratch.path());
    };
    in_own_process(test, prepare, || {
        log::set_logger(&Logger).expect("the only logger of this process");
        log::set_max_level(log::LevelFilter::Trace);
        let own = std::env::var_os("PAGEOUT_SCRATCH_DIR").expect("the variable is set");
        let own = Path::new(&own);
        let mut texts = Texts::default();
        // Refused by what it is, then because another one is in use.
        let file = own.join("file");
        std::fs::write(&file, b"").expect("a new file");
        pageout::set_scratch_dir(&file);
        let usable = own.join("usable");
        let outcome = pageout::try_set_scratch_dir(&usable);
        if let Err(error) = &outcome {
            // Where temporary directories are in memory.
            assert!(matches!(error, Error::RamBacked { .. }), "{error:?}");
        }
        pageout::set_scratch_dir(own.join("another"));
        let handle = pageout::pageout_with(Backend::Swap, &mut [marked(1_000)]);
        for ranges in [&[(999, 2)][..], &[(0, 9), (8, 1)]] {
            let read = || pageout::read_at_many(&handle, ranges, &mut marked(8));
            let message = catch_unwind(AssertUnwindSafe(read)).expect_err("the caller's error");
            texts.0.push(*message.downcast::<String>().expect("a message"));
        }
        let mut warnings = WARNINGS.lock().expect("no test panics while it logs");
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        // The log's own record says in which source file it was made.
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        texts.0.append(&mut warnings);
        texts.check();
        texts.check_paths(&[own, Path::new(source)]);
        assert!(texts.0.iter().any(|said| said.contains(text(&file))), "the refused directory is named");
    });
}
