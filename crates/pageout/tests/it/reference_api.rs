//! The module-level functions, used the way a program written for the reference uses them.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pageout::{self as pager, Backend, Handle};
use pageout_testing::{
    assert_passed, assert_same, by_way_of, elements, gather, in_own_process, is_own_process, names, own_process, scratch, skip,
    text,
};

/// What a program keeps of a column that is out.
struct Column {
    rows: Handle,
    weights: Handle<f32>,
}

#[test]
fn columns_go_out_and_come_back() {
    let rows = elements::<u64>(30_000, 1);
    let weights = elements::<f32>(30_000, 2);
    let mut row_chunks: Vec<Vec<u64>> = rows.chunks(7_000).map(<[u64]>::to_vec).collect();
    let column = Column { rows: pager::pageout(&mut row_chunks), weights: pager::pageout(&mut [weights.clone()]) };
    assert!(row_chunks.iter().all(|chunk| chunk.is_empty() && chunk.capacity() >= 2_000));
    assert_eq!((column.rows.len(), column.rows.len_bytes(), column.rows.is_empty()), (30_000, 240_000, false));
    assert_eq!((column.weights.len(), column.weights.len_bytes()), (30_000, 120_000));

    let mut some = Vec::new();
    pager::read_at(&column.rows, 6_990, 20, &mut some);
    pager::read_at_many(&column.rows, &[(29_999, 1), (0, 3), (3, 4)], &mut some);
    assert_same(&some, &gather(&rows, &[(6_990, 20), (29_999, 1), (0, 7)]));

    pager::prefetch(&column.rows, &[(0, 30_000)]);
    let mut all = Vec::with_capacity(30_000);
    pager::take(column.rows, &mut all);
    assert_same(&all, &rows);
    let mut all = Vec::new();
    pager::take(column.weights, &mut all);
    assert_same(&all, &weights);
    pager::trim();
}

#[test]
fn results_are_returned_by_the_try_forms() {
    fn job(whole: &[u64]) -> std::io::Result<Vec<u64>> {
        let mut chunks = [whole[..500].to_vec(), whole[500..].to_vec()];
        let handle = pager::try_pageout(&mut chunks)?;
        let mut some = Vec::new();
        pager::try_read_at(&handle, 1, 2, &mut some)?;
        pager::try_read_at_many(&handle, &[(5, 1), (3, 2)], &mut some)?;
        let mut all = Vec::new();
        pager::try_take(handle, &mut all)?;
        assert_same(&some, &gather(&all, &[(1, 2), (5, 1), (3, 2)]));
        Ok(all)
    }
    let whole = elements::<u64>(1_000, 3);
    assert_same(&job(&whole).expect("a file system that works"), &whole);
    let handle = pager::try_pageout_with(Backend::Swap, &mut [whole.clone()]).expect("memory");
    assert_eq!(handle.backend(), Backend::Swap);
    let mut all = Vec::new();
    pager::try_take(handle, &mut all).unwrap();
    assert_same(&all, &whole);
}

#[test]
fn both_backends_can_be_named() {
    for backend in [Backend::Swap, Backend::File] {
        let mut chunks = [elements::<u64>(100, 1), Vec::new(), elements::<u64>(100, 2)];
        let handle: Handle = pager::pageout_with(backend, &mut chunks);
        assert_eq!((handle.backend(), handle.len()), (backend, 200));
        let mut all = Vec::new();
        pager::take(handle, &mut all);
        assert_same(&all, &[elements::<u64>(100, 1), elements::<u64>(100, 2)].concat());
    }
}

/// The message of the panic that `wrong` must end in.
fn panic_message(wrong: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(wrong)).expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("a panic with a message")).to_owned(),
    }
}

#[test]
fn a_range_past_the_end_panics_in_both_forms() {
    for backend in [Backend::File, Backend::Swap] {
        let handle = pager::pageout_with(backend, &mut [elements::<u64>(100, 1)]);
        for (offset, len) in [(100, 1), (101, 0), (40, 61), (usize::MAX, 2), (1, usize::MAX), (usize::MAX / 8 + 1, 1)] {
            let mut dst = vec![1, 2];
            let messages = [
                panic_message(|| pager::read_at(&handle, offset, len, &mut dst)),
                panic_message(|| drop(pager::try_read_at(&handle, offset, len, &mut dst))),
                panic_message(|| pager::read_at_many(&handle, &[(0, 1), (offset, len)], &mut dst)),
                panic_message(|| drop(pager::try_read_at_many(&handle, &[(offset, len), (0, 1)], &mut dst))),
                panic_message(|| pager::prefetch(&handle, &[(offset, len)])),
            ];
            for message in messages {
                assert!(message.contains("out of bounds"), "{message}");
                assert!([offset, len, 100].iter().all(|number| message.contains(&number.to_string())), "{message}");
            }
            assert_eq!(dst, [1, 2]);
        }
    }
}

#[test]
fn overlapping_ranges_panic_in_both_forms() {
    let handle = pager::pageout(&mut [elements::<u64>(100, 1)]);
    for ranges in [[(10, 5), (12, 1)], [(12, 1), (10, 5)], [(7, 7), (7, 7)], [(0, 100), (99, 1)]] {
        let mut dst = vec![1, 2];
        let messages = [
            panic_message(|| pager::read_at_many(&handle, &ranges, &mut dst)),
            panic_message(|| drop(pager::try_read_at_many(&handle, &ranges, &mut dst))),
            panic_message(|| pager::prefetch(&handle, &ranges)),
        ];
        for message in messages {
            assert!(message.contains("overlapping ranges"), "{message}");
            let numbers = ranges.iter().flat_map(|range| [range.0, range.1]);
            assert!(numbers.into_iter().all(|number| message.contains(&number.to_string())), "{message}");
        }
        assert_eq!(dst, [1, 2]);
    }
}

#[test]
fn a_handle_of_another_pager_panics() {
    let scratch = scratch();
    let other = pageout_testing::builder(scratch.path()).build().expect("a pager");
    let handle = other.pageout(&mut [elements::<u64>(100, 1)]).expect("a pageout");
    let mut dst = Vec::new();
    let message = panic_message(|| drop(pager::try_read_at(&handle, 0, 1, &mut dst)));
    assert!(message.contains("another pager"), "{message}");
    let message = panic_message(|| drop(pager::try_take(handle, &mut dst)));
    assert!(message.contains("another pager"), "{message}");
}

#[test]
fn the_backend_is_set_for_later_calls() {
    in_own_process(
        "the_backend_is_set_for_later_calls",
        |_| {},
        || {
            assert_eq!(pager::backend(), Backend::File);
            let file = pager::pageout(&mut [vec![1u64]]);
            pager::set_backend(Backend::Swap);
            assert_eq!(pager::backend(), Backend::Swap);
            let swap = pager::try_pageout(&mut [vec![2u64]]).unwrap();
            let empty: Handle = pager::pageout(&mut []);
            pager::set_backend(Backend::File);
            assert_eq!((file.backend(), swap.backend(), empty.backend()), (Backend::File, Backend::Swap, Backend::Swap));
            assert_eq!(pager::pageout(&mut [vec![1u64]]).backend(), Backend::File);
        },
    );
}

/// Messages of the warnings that were logged.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() == log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        WARNINGS.lock().expect("no panic holds it").push(record.args().to_string());
    }

    fn flush(&self) {}
}

fn collect_warnings() {
    log::set_logger(&Warnings).expect("the only logger of this process");
    log::set_max_level(log::LevelFilter::Warn);
}

/// The warnings since the last call.
fn warnings() -> Vec<String> {
    std::mem::take(&mut *WARNINGS.lock().expect("no panic holds it"))
}

fn used_dir() -> Option<PathBuf> {
    pager::pager().stats().scratch_dir
}

fn round_trip() {
    let whole = elements::<u64>(5_000, 1);
    let handle = pager::pageout_with(Backend::File, &mut [whole.clone()]);
    let mut all = Vec::new();
    pager::take(handle, &mut all);
    assert_same(&all, &whole);
}

/// Whether the temporary directory can serve as scratch directory: in memory it is refused by default.
fn has_disk(test: &str) -> bool {
    let usable = pageout::Pager::builder().scratch_dir(std::env::temp_dir()).build().is_ok();
    if !usable {
        skip(test, "the temporary directory is in memory");
    }
    usable
}

#[test]
fn the_scratch_directory_is_made_with_its_parents_and_kept() {
    let test = "the_scratch_directory_is_made_with_its_parents_and_kept";
    if !has_disk(test) {
        return;
    }
    in_own_process(
        test,
        |_| {},
        || {
            collect_warnings();
            let (own, other) = (scratch(), scratch());
            let root: PathBuf = own.path().join("deep/deeper/scratch");
            pager::set_scratch_dir(root.clone());
            assert!(root.is_dir());
            assert_eq!(used_dir().as_deref(), Some(&*root));
            round_trip();

            // The same again, also in other words, is nothing.
            pager::set_scratch_dir(root.clone());
            pager::try_set_scratch_dir(root.as_path()).unwrap();
            pager::try_set_scratch_dir(own.path().join("deep/../deep/deeper/./scratch/")).unwrap();
            std::env::set_current_dir(own.path()).expect("a directory that exists");
            pager::try_set_scratch_dir("deep/deeper/scratch").unwrap();
            assert_eq!(warnings(), [""; 0]);

            // Another one is refused, and ignored with a warning.
            let error = pager::try_set_scratch_dir(other.path().join("new")).unwrap_err();
            assert_eq!((error.code(), error.kind()), ("ERR_PAGEOUT_SCRATCH_DIR", ErrorKind::AlreadyExists));
            let named = |path: &Path, text: &str| text.contains(path.to_str().expect("a name in UTF-8"));
            assert!(named(&root, &error.to_string()) && named(other.path(), &error.to_string()), "{error}");
            pager::set_scratch_dir(other.path());
            let warned = warnings();
            assert!(warned.len() == 1 && warned[0].contains(text(other.path())), "{warned:?}");
            assert_eq!(used_dir(), Some(root.clone()));
            round_trip();
            assert_eq!((names(&root), names(other.path())), (vec![], vec![]), "no name, nor a directory that is not used");
        },
    );
}

#[test]
fn a_refused_directory_decides_nothing_and_another_may_follow() {
    let test = "a_refused_directory_decides_nothing_and_another_may_follow";
    if !has_disk(test) {
        return;
    }
    in_own_process(
        test,
        |_| {},
        || {
            collect_warnings();
            let own = scratch();
            let file = own.path().join("file");
            std::fs::write(&file, "kept").expect("a file");
            for unusable in [file.clone(), file.join("below")] {
                let error = pager::try_set_scratch_dir(&unusable).unwrap_err();
                assert_eq!(error.code(), "ERR_PAGEOUT_SCRATCH_DIR");
                assert!(matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists), "{error:?}");
                assert!(error.to_string().contains(text(&unusable)), "{error}");
                pager::set_scratch_dir(unusable);
                assert_eq!((warnings().len(), used_dir()), (1, None));
            }
            assert_eq!(std::fs::read(&file).expect("the file is left alone"), b"kept");
            // The cause goes away, and the very same path serves.
            std::fs::remove_file(&file).expect("a file");
            pager::set_scratch_dir(file.clone());
            assert_eq!((warnings(), used_dir()), (vec![], Some(file)));
            round_trip();
        },
    );
}

#[test]
fn after_a_refused_directory_the_default_search_still_applies() {
    let test = "after_a_refused_directory_the_default_search_still_applies";
    if !has_disk(test) {
        return;
    }
    let named = scratch();
    in_own_process(
        test,
        |command| {
            command.env("PAGEOUT_SCRATCH_DIR", named.path());
        },
        || {
            let own = scratch();
            let file = own.path().join("file");
            std::fs::write(&file, "").expect("a file");
            pager::try_set_scratch_dir(file).unwrap_err();
            round_trip();
            let expected = std::env::var_os("PAGEOUT_SCRATCH_DIR").map(PathBuf::from);
            assert_eq!(used_dir(), expected);
            // The search has decided: its directory is the same path, any other is a change.
            pager::try_set_scratch_dir(expected.expect("the variable is set")).unwrap();
            assert_eq!(pager::try_set_scratch_dir(own.path()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        },
    );
}

/// The directories of one search.
struct Search {
    /// What the variable says.
    named: Option<PathBuf>,
    temporary: PathBuf,
    /// The one that must serve.
    expected: PathBuf,
}

/// Does a round trip in a process that searches, with directories that `arrange` makes below the one it gets.
fn searches(test: &str, arrange: impl FnOnce(&Path) -> Search) {
    if is_own_process(test) {
        assert_eq!(used_dir(), None, "nothing is opened before it is needed");
        round_trip();
        return assert_eq!(used_dir(), std::env::var_os("EXPECTED").map(PathBuf::from));
    }
    if !has_disk(test) {
        return;
    }
    let root = scratch();
    let Search { named, temporary, expected } = arrange(root.path());
    let mut command = own_process(test);
    command.env("TMPDIR", temporary).env("EXPECTED", expected);
    if let Some(named) = named {
        command.env("PAGEOUT_SCRATCH_DIR", named);
    }
    assert_passed(test, &command.output().expect("this executable runs again"));
}

fn new_dir(root: &Path, name: &str) -> PathBuf {
    std::fs::create_dir(root.join(name)).expect("a new directory");
    root.join(name)
}

fn new_file(root: &Path) -> PathBuf {
    std::fs::write(root.join("file"), "").expect("a new file");
    root.join("file")
}

#[test]
fn the_directory_named_by_the_variable_is_tried_first() {
    searches("the_directory_named_by_the_variable_is_tried_first", |root| {
        let named = root.join("made on the way");
        Search { named: Some(named.clone()), temporary: new_dir(root, "temporary"), expected: named }
    });
}

#[test]
fn the_temporary_directory_is_tried_next() {
    searches("the_temporary_directory_is_tried_next", |root| {
        let temporary = new_dir(root, "temporary");
        Search { named: None, temporary: temporary.clone(), expected: temporary }
    });
}

#[test]
fn a_variable_without_a_value_is_no_directory() {
    searches("a_variable_without_a_value_is_no_directory", |root| {
        let temporary = new_dir(root, "temporary");
        Search { named: Some(PathBuf::new()), temporary: temporary.clone(), expected: temporary }
    });
}

#[test]
fn a_directory_that_cannot_serve_is_passed_over() {
    searches("a_directory_that_cannot_serve_is_passed_over", |root| {
        let temporary = new_dir(root, "temporary");
        Search { named: Some(new_file(root)), temporary: temporary.clone(), expected: temporary }
    });
}

#[test]
fn the_last_directory_tried_is_var_tmp() {
    let test = "the_last_directory_tried_is_var_tmp";
    if pageout::Pager::builder().scratch_dir("/var/tmp").build().is_err() {
        return skip(test, "/var/tmp cannot serve");
    }
    searches(test, |root| {
        let file = new_file(root);
        Search { named: Some(file.clone()), temporary: file.join("below"), expected: PathBuf::from("/var/tmp") }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_in_memory_is_passed_over() {
    let test = "a_directory_in_memory_is_passed_over";
    let Ok(in_memory) = tempfile::tempdir_in("/dev/shm") else { return skip(test, "there is no /dev/shm") };
    searches(test, |root| {
        let temporary = new_dir(root, "temporary");
        Search { named: Some(in_memory.path().to_owned()), temporary: temporary.clone(), expected: temporary }
    });
}

/// Opens files until the process may not have another one.
fn use_up_descriptors() -> Vec<std::fs::File> {
    let mut held = Vec::new();
    loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return held;
            }
        }
    }
}

#[test]
fn a_search_without_result_names_every_directory_and_may_be_repeated() {
    let test = "a_search_without_result_names_every_directory_and_may_be_repeated";
    if !is_own_process(test) {
        if !has_disk(test) {
            return;
        }
        let (named, temporary) = (scratch(), scratch());
        // A process that may have few descriptors, so that it can use them up quickly.
        let limited = ["-c", "ulimit -n 64 && exec \"$0\" \"$@\""];
        let mut command = by_way_of("sh", &limited, &own_process(test));
        command.env("PAGEOUT_SCRATCH_DIR", named.path()).env("TMPDIR", temporary.path());
        return assert_passed(test, &command.output().expect("a shell"));
    }
    let expected = ["PAGEOUT_SCRATCH_DIR", "TMPDIR"].map(|name| PathBuf::from(std::env::var_os(name).expect("it is set")));
    let whole = elements::<u64>(100, 1);
    let mut chunks = [whole.clone()];
    let held = use_up_descriptors();
    let error = pager::try_pageout(&mut chunks).unwrap_err();
    let message = panic_message(|| drop(pager::pageout(&mut chunks)));
    let (swap, empty) = (pager::try_pageout_with(Backend::Swap, &mut [vec![1u8]]), pager::try_pageout::<u8>(&mut []));
    drop(held);

    drop(swap.expect("the swap backend needs no directory"));
    drop(empty.expect("a payload without elements needs no directory"));
    assert_same(&chunks[0], &whole);
    assert_eq!(error.code(), "ERR_PAGEOUT_SCRATCH_DIR");
    let pageout::Error::ScratchDir { tried } = &error else { panic!("{error:?}") };
    let paths: Vec<&Path> = tried.iter().map(|refused| refused.path.as_path()).collect();
    assert_eq!(paths, [&expected[0], &expected[1], Path::new("/var/tmp")]);
    assert!(tried.iter().all(|refused| refused.reason.raw_os_error() == Some(libc::EMFILE)), "{tried:?}");
    for text in [error.to_string(), message] {
        assert!(paths.iter().all(|path| text.contains(&format!("'{}': EMFILE", path.display()))), "{text}");
    }
    assert_eq!(used_dir(), None, "nothing is decided");
    round_trip();
    assert_eq!(used_dir().as_deref(), Some(&*expected[0]));
}

#[test]
fn threads_that_begin_together_agree_on_one_directory() {
    let test = "threads_that_begin_together_agree_on_one_directory";
    if !has_disk(test) {
        return;
    }
    in_own_process(
        test,
        |_| {},
        || {
            let roots: Vec<_> = (0..8).map(|_| scratch()).collect();
            let start = std::sync::Barrier::new(roots.len());
            let outcomes: Vec<_> = std::thread::scope(|scope| {
                let begin = |root: &tempfile::TempDir| {
                    start.wait();
                    let outcome = pager::try_set_scratch_dir(root.path());
                    round_trip();
                    outcome.map(|()| root.path().to_owned())
                };
                let threads: Vec<_> = roots.iter().map(|root| scope.spawn(move || begin(root))).collect();
                threads.into_iter().map(|thread| thread.join().expect("a thread that pages out")).collect()
            });
            let (chosen, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            let chosen: Vec<_> = chosen.into_iter().map(Result::unwrap).collect();
            assert_eq!((chosen.len(), refused.len()), (1, 7));
            assert_eq!(used_dir().as_ref(), chosen.first());
            assert!(refused.into_iter().all(|refused| matches!(refused, Err(pageout::Error::ScratchDirInUse { .. }))));
        },
    );
}
