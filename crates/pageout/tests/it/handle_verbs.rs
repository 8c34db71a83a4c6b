//! The crate as its users have it: verbs of the handle, vectors by value, adapters of the standard library, errors that
//! convert, and panics that point at the caller.

use std::cell::RefCell;
use std::error::Error as _;
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use bytemuck::Pod;
use pageout::{Backend, Error, Handle, Pager, PagerStats, TakeError};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{BACKENDS, KIB, MIB, Setup, assert_same, elements, in_own_process, memory, on_every_pager, u64_of};
use proptest::prelude::*;

fn out<T: Pod>(pager: &Pager, backend: Backend, whole: &[T]) -> Handle<T> {
    let (head, tail) = whole.split_at(whole.len() / 3);
    pager.pageout_with(backend, &mut [head.to_vec(), tail.to_vec()]).expect("a pageout without a fault")
}

/// A fault that hits each `call` from now on.
fn for_good(call: Call, errno: i32) -> Fault {
    Fault { call, index: 0, effect: Effect::Fail(errno), lasts: Lasts::ForGood }
}

#[test]
fn a_handle_reads_ranges_and_gives_the_whole_back() {
    on_every_pager(|pager, backend| {
        let whole = elements::<u32>(50_000, 1);
        let handle = out(pager, backend, &whole);
        assert_same(&handle.read(10_000..30_000).expect("a read"), &whole[10_000..30_000]);
        assert_same(&handle.read(..).expect("a read"), &whole);
        assert_same(&handle.read(49_999..=49_999).expect("a read"), &whole[49_999..]);
        assert_same(&handle.read((Bound::Excluded(9), Bound::Included(11))).expect("a read"), &whole[10..=11]);
        assert!(handle.read(50_000..).expect("a read of nothing").is_empty());
        let mut target = vec![0; 70];
        handle.read_into(30..100, &mut target).expect("a read");
        assert_same(&target, &whole[30..100]);
        let many = handle.read_many(&[40_000..40_003, 7..7, 0..2, 2..4]).expect("a read");
        assert_same(&many, &[&whole[40_000..40_003], &whole[..4]].concat());
        assert!(handle.read_many(&[]).expect("a read of nothing").is_empty());
        handle.prefetch(1_000..).expect("a hint");
        assert_same(&handle.take().expect("a take"), &whole);
    });
}

#[test]
fn verbs_of_the_handle_are_counted_as_those_of_the_pager() {
    let pager = Setup::Native.pager();
    let handle = pager.pageout_vec(elements::<u64>(1_000, 1)).expect("a pageout");
    handle.read(..10).expect("a read");
    handle.read_many(&[0..1, 5..7]).expect("a read");
    handle.read_into(3..5, &mut [0; 2]).expect("a read");
    handle.prefetch(..).expect("a hint");
    handle.read(..1_001).expect_err("past the end");
    handle.take().expect("a take");
    let PagerStats { pageouts, reads, read_bytes, takes, take_bytes, handles, .. } = pager.stats();
    assert_eq!((pageouts, reads, read_bytes, takes, take_bytes, handles), (1, 3, 15 * 8, 1, 8_000, 0));
}

#[test]
fn no_range_panics_and_a_wrong_one_is_named_before_anything_is_read() {
    const MAX: usize = usize::MAX;
    let disk = Disk::new();
    for backend in BACKENDS {
        let pager = disk.pager();
        let handle = out(&pager, backend, &elements::<u64>(100, 1));
        disk.forget();
        for (bounds, offset) in [
            ((Bound::Included(101), Bound::Unbounded), 101),
            ((Bound::Included(40), Bound::Excluded(101)), 40),
            ((Bound::Unbounded, Bound::Included(100)), 0),
            ((Bound::Unbounded, Bound::Included(MAX)), 0),
            ((Bound::Included(MAX / 8 + 1), Bound::Excluded(MAX / 8 + 2)), MAX / 8 + 1),
            ((Bound::Included(60), Bound::Excluded(40)), 60),
            ((Bound::Included(MAX), Bound::Excluded(0)), MAX),
            ((Bound::Excluded(100), Bound::Unbounded), 101),
            ((Bound::Excluded(MAX), Bound::Unbounded), MAX),
        ] {
            let errors = [
                handle.read(bounds).expect_err("a wrong range"),
                handle.read_into(bounds, &mut [1; 3]).expect_err("a wrong range"),
                handle.prefetch(bounds).expect_err("a wrong range"),
            ];
            for error in errors {
                let named = matches!(error, Error::OutOfRange { offset: at, payload_len: 100, .. } if at == offset);
                assert!(named && error.is_usage_error() && error.kind() == ErrorKind::InvalidInput, "{bounds:?}: {error:?}");
                assert!(error.to_string().contains(&offset.to_string()) && error.to_string().contains("100"), "{error}");
            }
        }
        #[allow(clippy::reversed_empty_ranges, reason = "what is tested")]
        let inverted = handle.read_many(&[0..2, 5..3]).expect_err("a range that ends before it begins");
        assert!(inverted.to_string().contains("5..3"), "{inverted}");
        let overlap = handle.read_many(&[4..8, 0..5]).expect_err("element 4 twice");
        assert!(matches!(overlap, Error::Overlap { first: (0, 5), second: (4, 4), .. }), "{overlap:?}");
        let short = handle.read_into(0..3, &mut [0; 2]).expect_err("a target that is too short");
        assert!(matches!(short, Error::TargetLength { expected: 3, actual: 2, .. }), "{short:?}");
        assert_eq!(disk.log(), []);
    }
}

#[test]
fn a_failed_take_gives_the_handle_back_and_converts() {
    fn as_error(failed: TakeError<u64>) -> Result<(), Error> {
        Err(failed)?
    }
    fn as_io_error(failed: TakeError<u64>) -> io::Result<()> {
        Err(failed)?
    }
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u64>(10_000, 1);
    let mut handle = pager.pageout_vec(whole.clone()).expect("a pageout");
    for attempt in 0..3 {
        disk.arm(for_good(Call::Read, libc::EIO));
        let failed = handle.take().expect_err("the device fails");
        disk.disarm();
        assert_eq!(
            (failed.error().raw_os_error(), failed.source().map(ToString::to_string)),
            (Some(libc::EIO), Some(failed.error().to_string()))
        );
        handle = match attempt {
            0 => failed.into_handle(),
            1 => {
                assert_eq!(as_error(failed).expect_err("what was given").raw_os_error(), Some(libc::EIO));
                assert_eq!(pager.stats().used_bytes, 0, "the handle went with it");
                pager.pageout_vec(whole.clone()).expect("a pageout")
            }
            _ => {
                assert_eq!(as_io_error(failed).expect_err("what was given").raw_os_error(), Some(libc::EIO));
                assert_eq!(pager.stats().used_bytes, 0, "the handle went with it");
                return;
            }
        };
    }
}

#[test]
fn vectors_by_value_are_freed_or_moved() {
    on_every_pager(|pager, backend| {
        pager.set_backend(backend);
        let whole = elements::<u16>(30_000, 2);
        let vec = whole.clone();
        let before = memory(&vec);
        let handle = pager.pageout_vec(vec).expect("a pageout");
        assert_eq!((handle.backend(), handle.len()), (backend, 30_000));
        let back = handle.take().expect("a take");
        assert_same(&back, &whole);
        assert!(backend == Backend::File || memory(&back) == before, "the swap backend moves");

        let vecs = vec![whole[..7].to_vec(), Vec::new(), whole[7..].to_vec()];
        let handle = pager.pageout_vecs(vecs).expect("a pageout");
        assert_same(&handle.take().expect("a take"), &whole);
        assert!(pager.pageout_vec(Vec::<u8>::new()).expect("nothing to do").is_empty());
        assert!(pager.pageout_vecs(Vec::<Vec<u8>>::new()).expect("nothing to do").is_empty());
    });
}

#[test]
fn a_failed_pageout_gives_the_vectors_back_as_they_were_and_converts() {
    fn as_error(pager: &Pager, vec: Vec<u8>) -> Result<Handle<u8>, Error> {
        Ok(pager.pageout_vec(vec)?)
    }
    fn as_io_error(pager: &Pager, vecs: Vec<Vec<u8>>) -> io::Result<Handle<u8>> {
        Ok(pager.pageout_vecs(vecs)?)
    }
    fn boxed(pager: &Pager, vec: Vec<u8>) -> Result<Handle<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(pager.pageout_vec(vec)?)
    }
    let disk = Disk::new();
    let pager = disk.pager();
    let mut vec = elements::<u8>(100 * KIB, 3);
    vec.reserve(17);
    let (whole, before) = (vec.clone(), memory(&vec));
    disk.arm(for_good(Call::Write, libc::EIO));

    let failed = pager.pageout_vec(vec).expect_err("the device fails");
    assert_eq!(failed.error().raw_os_error(), Some(libc::EIO));
    assert!(failed.source().is_some_and(|source| source.to_string().contains("EIO")));
    assert!(format!("{failed:?}").len() < 300, "no payload");
    let vec = failed.into_inner();
    assert_same(&vec, &whole);
    assert_eq!(memory(&vec), before);

    let failed = pager.pageout_vecs(vec![vec, vec![1]]).expect_err("the device fails");
    let vecs = failed.into_inner();
    assert_same(&vecs[0], &whole);
    assert_eq!((memory(&vecs[0]), &vecs[1][..]), (before, &[1][..]));

    assert_eq!(as_error(&pager, whole.clone()).expect_err("the device fails").raw_os_error(), Some(libc::EIO));
    assert_eq!(as_io_error(&pager, vecs).expect_err("the device fails").raw_os_error(), Some(libc::EIO));
    assert!(boxed(&pager, whole.clone()).expect_err("the device fails").to_string().contains("could not be paged out"));
    disk.disarm();
    assert_same(&as_error(&pager, whole.clone()).expect("it works again").take().expect("a take"), &whole);
}

#[test]
fn a_take_moves_a_chunk_in_memory_unless_the_destination_has_room() {
    let pager = Setup::Native.pager();
    let whole = elements::<u64>(1_000, 1);
    for (capacity, is_moved) in [(0, true), (10, true), (999, true), (1_000, false), (2_000, false)] {
        let chunk = whole.clone();
        let before = memory(&chunk).address();
        let handle = pager.pageout_with(Backend::Swap, &mut [chunk]).expect("a pageout");
        let mut dst = Vec::with_capacity(capacity);
        dst.resize(capacity.min(3), 7);
        let own = memory(&dst).address();
        pager.take(handle, &mut dst).expect("a take");
        assert_same(&dst, &whole);
        assert_eq!(memory(&dst).address(), if is_moved { before } else { own }, "capacity {capacity}");
    }
    let reserved = Vec::<u64>::with_capacity(500);
    let before = memory(&reserved);
    let handle = pager.pageout_with(Backend::Swap, &mut [reserved]).expect("a pageout");
    assert_eq!(memory(&handle.take().expect("a take")), before, "an empty chunk brings its memory back");
}

#[test]
fn every_verb_of_a_handle_says_that_its_pager_is_closed() {
    for backend in BACKENDS {
        let pager = Setup::Native.pager();
        let handle = out(&pager, backend, &elements::<u8>(10_000, 1));
        let mut collector = pager.collector::<u8>();
        let mut reader = handle.reader();
        reader.read_exact(&mut [0; 10]).expect("it is open");
        pager.close();
        reader.seek(SeekFrom::Start(9_000)).expect("no I/O");
        let read = reader.read(&mut [0]).expect_err("it is closed");
        assert!(matches!(read.get_ref().and_then(|inner| inner.downcast_ref()), Some(Error::Closed)), "{read:?}");
        collector.extend([1]);
        for error in [
            handle.read(..1).expect_err("it is closed"),
            handle.read_into(..1, &mut [0]).expect_err("it is closed"),
            handle.read_many(&[0..1, 2..3]).expect_err("it is closed"),
            handle.prefetch(..).expect_err("it is closed"),
            collector.append(&[1]).expect_err("it is closed"),
            collector.finish().expect_err("it is closed"),
            pager.pageout_vec(vec![1]).expect_err("it is closed").into_error(),
            handle.take().expect_err("it is closed").into_error(),
        ] {
            assert!(matches!(error, Error::Closed), "{error:?}");
        }
    }
}

#[test]
fn a_reader_is_a_file_of_the_payload() {
    on_every_pager(|pager, backend| {
        let words = elements::<u64>(40_000, 5);
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        let handle = out(pager, backend, &words);
        let mut reader = handle.reader();
        let mut head = [0; 5];
        reader.read_exact(&mut head).expect("a read");
        assert_eq!(head, bytes[..5]);
        assert_eq!(reader.stream_position().expect("a position"), 5);
        let mut copied = Vec::new();
        io::copy(&mut reader, &mut copied).expect("a read");
        assert_same(&copied, &bytes[5..]);

        assert_eq!(reader.seek(SeekFrom::End(-3)).expect("a position"), u64_of(bytes.len()) - 3);
        assert_eq!(reader.fill_buf().expect("a read"), &bytes[bytes.len() - 3..]);
        let error = reader.read_exact(&mut head).expect_err("three bytes are left");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(reader.read(&mut head).expect("the end"), 0);
        reader.seek(SeekFrom::Start(u64::MAX)).expect("a position past the end is allowed");
        assert_eq!((reader.read(&mut head).expect("the end"), reader.fill_buf().expect("the end").len()), (0, 0));
        assert_eq!(reader.read_to_end(&mut Vec::new()).expect("the end"), 0);
        reader.rewind().expect("a position");
        for refused in [SeekFrom::Current(-1), SeekFrom::End(i64::MIN)] {
            assert_eq!(reader.seek(refused).expect_err("before the beginning").kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(reader.stream_position().expect("a position"), 0, "a refused seek moves nothing");
        drop(handle.take().expect("a take"));
    });
}

#[test]
fn a_reader_hands_on_nothing_that_is_not_verified_and_can_be_tried_again() {
    let disk = Disk::new();
    let pager = disk.pager();
    disk.forget();
    let whole = elements::<u8>(20 * KIB, 4);
    let handle = pager.pageout_vec(whole.clone()).expect("a pageout");
    let (file, offset) = disk.last_place();
    let mut reader = handle.reader();
    let mut page = [0; 4 * KIB];
    reader.read_exact(&mut page).expect("a good page");

    disk.flip(file, offset + 4_097);
    let error = reader.read(&mut page).expect_err("a byte is wrong");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert!(matches!(inner, Some(Error::Corrupt { byte_offset: 4_096, .. })), "{error:?}");
    assert_eq!((error.kind(), reader.stream_position().expect("a position")), (ErrorKind::InvalidData, 4_096));

    disk.flip(file, offset + 4_097);
    disk.arm(for_good(Call::Read, libc::EIO));
    let error = reader.read_to_end(&mut Vec::new()).expect_err("the device fails");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    disk.disarm();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("the fault is gone");
    assert_same(&rest, &whole[4 * KIB..]);
}

/// What a program does with a reader or a file.
#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    Fill(usize),
    Seek(SeekFrom),
    Rest,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seek = prop_oneof![
        (0..300_000u64).prop_map(SeekFrom::Start),
        (-300_000..50_000i64).prop_map(SeekFrom::End),
        (-9_000..9_000i64).prop_map(SeekFrom::Current),
    ];
    let step = prop_oneof![
        4 => (0..9_000usize).prop_map(Step::Read),
        1 => (60_000..140_000usize).prop_map(Step::Read),
        3 => (0..5_000usize).prop_map(Step::Fill),
        3 => seek.prop_map(Step::Seek),
        1 => Just(Step::Rest),
    ];
    prop::collection::vec(step, 1..30)
}

/// Does a step, and says what came of it.
fn take_step<F: BufRead + Seek>(file: &mut F, step: &Step) -> (Vec<u8>, Option<u64>) {
    let mut bytes = Vec::new();
    let moved = match *step {
        Step::Read(len) => {
            bytes.resize(len, 0);
            file.read_exact(&mut bytes).map(|()| 0).inspect_err(|_| bytes.clear()).ok()
        }
        Step::Fill(len) => {
            let buffered = file.fill_buf().expect("no fault");
            let len = len.min(buffered.len()).min(1);
            bytes.extend_from_slice(&buffered[..len]);
            file.consume(len);
            Some(0)
        }
        Step::Seek(to) => file.seek(to).ok(),
        Step::Rest => Some(u64_of(file.read_to_end(&mut bytes).expect("no fault"))),
    };
    (bytes, moved)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against the standard library's reader of the same bytes.
    #[test]
    fn a_reader_agrees_with_the_one_of_the_standard_library(len in 0..250_000usize, steps in steps()) {
        let pager = Disk::new().pager();
        let whole = elements::<u8>(len, 6);
        let handle = pager.pageout_vec(whole.clone()).expect("a pageout");
        let (mut reader, mut other) = (handle.reader(), io::BufReader::new(io::Cursor::new(whole)));
        for step in steps {
            prop_assert_eq!(take_step(&mut reader, &step), take_step(&mut other, &step), "{:?}", step);
            prop_assert_eq!(reader.stream_position().expect("no I/O"), other.stream_position().expect("no I/O"));
        }
    }
}

#[test]
fn a_collector_of_bytes_is_a_writer() {
    let pager = Setup::Native.pager();
    let whole = elements::<u8>(5 * MIB + 3, 2);
    let mut collector = pager.collector::<u8>();
    io::copy(&mut &whole[..], &mut collector).expect("a write");
    collector.flush().expect("it stays staged");
    assert_eq!(collector.len_bytes(), u64_of(whole.len()));
    write!(collector, "{}", 17).expect("a write");
    let handle = collector.finish().expect("a finish");
    assert_same(&handle.take().expect("a take"), &[&whole[..], b"17"].concat());
}

#[test]
fn a_writer_fails_with_the_error_of_the_system_and_goes_on() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u8>(4 * MIB, 2);
    let mut collector = pager.collector::<u8>();
    disk.arm(for_good(Call::Write, libc::EIO));
    let error = collector.write_all(&whole).expect_err("the device fails");
    assert_eq!((error.raw_os_error(), error.kind()), (Some(libc::EIO), io::Error::from_raw_os_error(libc::EIO).kind()));
    disk.disarm();
    collector.flush().expect("a write that failed appended nothing, and is no loss");
    collector.write_all(&whole).expect("the fault is gone");
    assert_same(&collector.finish().expect("a finish").take().expect("a take"), &whole);
}

#[test]
fn a_collector_is_extended_by_iterators() {
    let pager = Setup::Native.pager();
    let whole = elements::<u64>(MIB, 2);
    let mut collector = pager.collector();
    collector.extend(whole[..3].iter().copied());
    collector.extend(None);
    collector.append(&whole[3..5]).expect("memory");
    collector.extend(whole[5..].iter().copied());
    assert_same(&collector.finish().expect("a finish").take().expect("a take"), &whole);

    let pairs = elements::<[u64; 4_096]>(3, 1);
    let mut collector = pager.collector();
    collector.extend(pairs.clone());
    assert_same(&collector.finish().expect("a finish").take().expect("a take"), &pairs);
}

#[test]
fn elements_that_extend_could_not_write_are_never_missing_silently() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u8>(9 * MIB, 2);
    let mut collector = pager.collector::<u8>();
    disk.arm(for_good(Call::Write, libc::EIO));
    let mut elements = whole.iter().copied();
    collector.extend(elements.by_ref());
    disk.disarm();
    assert!(elements.len() > 4 * MIB, "it stops where the write failed");
    let left = elements.len();
    collector.extend(elements.by_ref());
    assert_eq!(elements.len(), left, "nothing more is taken from the iterator");
    for _ in 0..2 {
        let errors =
            [collector.append(&[1]).expect_err("elements are missing"), collector.finish().expect_err("elements are missing")];
        assert!(errors.iter().all(|error| error.raw_os_error() == Some(libc::EIO)), "{errors:?}");
        let errors =
            [collector.write(&[1]).expect_err("elements are missing"), collector.flush().expect_err("elements are missing")];
        assert!(errors.iter().all(|error| error.raw_os_error() == Some(libc::EIO)), "{errors:?}");
    }
    drop(collector);
    assert_eq!(pager.stats().used_bytes, 0);
}

#[test]
fn a_pager_and_its_builder_say_where_and_how_full_in_a_line() {
    let disk = Disk::new();
    let builder = disk.builder().capacity_bytes(1 << 20);
    let expected = "PagerBuilder { scratch_dir: Some(\"/scratch\"), capacity_bytes: Some(1048576), backend: File, .. }";
    assert_eq!(format!("{builder:?}"), expected);
    let pager = builder.build().expect("a pager in memory");
    let handle = pager.pageout_vec(vec![1u8; 5_000]).expect("a pageout");
    let expected =
        "Pager { scratch_dir: Some(\"/scratch\"), capacity_bytes: Some(1048576), used_bytes: 8192, backend: File, .. }";
    assert_eq!(format!("{pager:?}"), expected);
    assert_eq!(format!("{:?}", handle.reader()), "Reader { position: 0, len_bytes: 5000, .. }");
    let unopened = Pager::builder().backend(Backend::Swap).build().expect("nothing is opened");
    assert_eq!(format!("{unopened:?}"), "Pager { scratch_dir: None, capacity_bytes: None, used_bytes: 0, backend: Swap, .. }");
}

thread_local! {
    /// File and line of the last panic of this thread.
    static PANICKED_AT: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

/// Where `wrong` panics.
fn panics_at<R>(wrong: impl FnOnce() -> R) -> (String, u32) {
    assert!(catch_unwind(AssertUnwindSafe(wrong)).is_err(), "a panic");
    PANICKED_AT.take().expect("the hook was called")
}

/// Asserts that an expression panics at its own line.
macro_rules! assert_panics_here {
    ($($wrong:tt)*) => {
        assert_eq!(panics_at(|| $($wrong)*), (file!().to_owned(), line!()), "{}", stringify!($($wrong)*));
    };
}

#[test]
fn panics_of_the_module_level_functions_point_at_their_caller() {
    in_own_process(
        "panics_of_the_module_level_functions_point_at_their_caller",
        |_| {},
        || {
            set_hook(Box::new(|panic| {
                let place = panic.location().map(|place| (place.file().to_owned(), place.line()));
                PANICKED_AT.set(place);
            }));
            let handle = pageout::pageout_with(Backend::Swap, &mut [vec![1u64, 2]]);
            let other = Disk::new().pager();
            let foreign = || other.pageout_vec(vec![1u64]).expect("a pageout");
            let mut dst = Vec::new();
            assert_panics_here!(pageout::read_at(&handle, 2, 1, &mut dst));
            assert_panics_here!(pageout::try_read_at(&handle, 2, 1, &mut dst));
            assert_panics_here!(pageout::read_at_many(&handle, &[(0, 2), (1, 1)], &mut dst));
            assert_panics_here!(pageout::try_read_at_many(&handle, &[(0, 2), (1, 1)], &mut dst));
            assert_panics_here!(pageout::prefetch(&handle, &[(3, 0)]));
            assert_panics_here!(pageout::take(foreign(), &mut dst));
            assert_panics_here!(pageout::try_take(foreign(), &mut dst));

            pageout::pager().close();
            assert_panics_here!(pageout::pageout(&mut [vec![1u64]]));
            assert_panics_here!(pageout::pageout_with(Backend::File, &mut [vec![1u64]]));
        },
    );
}

#[test]
fn what_an_iterator_gave_before_it_panicked_is_appended() {
    let pager = Setup::Native.pager();
    let mut collector = pager.collector::<u32>();
    let elements = (0..).inspect(|&element| assert!(element < 7, "the iterator's own trouble"));
    let panicked = catch_unwind(AssertUnwindSafe(|| collector.extend(elements)));
    assert!(panicked.is_err());
    let handle = collector.finish().expect("the device works");
    assert_eq!(handle.take().expect("a payload"), [0, 1, 2, 3, 4, 5, 6]);
}
