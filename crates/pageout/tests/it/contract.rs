//! The rules of the contract, through [`Pager`], on both backends: payloads, takes, handles, threads, errors.

use std::io::ErrorKind;
use std::sync::atomic::AtomicBool;

use bytemuck::{Pod, Zeroable};
use pageout::{Backend, Error, Handle, Pager, PagerBuilder, PagerStats, TakeError};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{
    BACKENDS, LARGEST_SLOT, MIB, PAGE, Setup, assert_same, cut, elements, gather, memories, memory, on_every_pager, slot_bytes,
    u64_of,
};

/// An element whose size divides neither a page nor a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Fix {
    time_ns: u64,
    east_m: f32,
    north_m: f32,
    flags: [u8; 8],
}

// SAFETY: all-zero bytes are a valid value of every field.
unsafe impl Zeroable for Fix {}

// SAFETY: repr(C) without padding (8 + 4 + 4 + 8 bytes, alignment 8), and every field is plain old data.
unsafe impl Pod for Fix {}

/// Pages a payload out and brings it back in every way, checking each promise on the way.
fn round_trip<T: Pod>(pager: &Pager, backend: Backend, whole: &[T], lens: &[usize]) {
    let mut chunks = cut(whole, lens);
    let capacities: Vec<usize> = chunks.iter().map(Vec::capacity).collect();
    let before = pager.stats();
    let handle = pager.pageout_with(backend, &mut chunks).expect("a pageout");
    assert!(chunks.iter().all(Vec::is_empty));
    let kept: Vec<usize> = chunks.iter().map(Vec::capacity).collect();
    match backend {
        Backend::File => assert_eq!(kept, capacities, "the capacity of each chunk is kept"),
        Backend::Swap if !whole.is_empty() => assert!(kept.iter().all(|&capacity| capacity == 0)),
        Backend::Swap => {}
    }
    let facts = (handle.len(), handle.len_bytes(), handle.is_empty(), handle.backend());
    assert_eq!(facts, (whole.len(), size_of_val(whole), whole.is_empty(), backend));
    check_reads(pager, &handle, whole);

    let mut all = elements::<T>(3, 99);
    pager.take(handle, &mut all).expect("a take");
    assert_same(&all, whole);
    assert_eq!((pager.stats().handles, pager.stats().used_bytes), (before.handles, before.used_bytes));
}

fn check_reads<T: Pod>(pager: &Pager, handle: &Handle<T>, whole: &[T]) {
    let len = whole.len();
    let (third, half) = (len / 3, len / 2);
    let singles = [(0, len), (0, len.min(1)), (len, 0), (len.saturating_sub(1), len.min(1)), (third, half - third)];
    for (offset, count) in singles {
        let mut dst = elements::<T>(2, 98);
        pager.read_at(handle, offset, count, &mut dst).expect("a read");
        assert_same(&dst, &[elements::<T>(2, 98), whole[offset..offset + count].to_vec()].concat());
    }
    let ranges = [(half, len - half), (third, half - third), (half, 0), (0, third)];
    let mut dst = Vec::new();
    pager.read_at_many(handle, &ranges, &mut dst).expect("a read of several ranges");
    assert_same(&dst, &gather(whole, &ranges));
}

#[test]
fn payloads_of_any_number_of_chunks_come_back() {
    on_every_pager(|pager, backend| {
        for count in [0, 1, 2, 15, 16, 17, 1023, 1024, 1025, 3000] {
            // Every third chunk is empty.
            let lens: Vec<usize> = (0..count).map(|position| position % 3 * 17 + position % 7 * (position % 3)).collect();
            let whole = elements::<u32>(lens.iter().sum(), u64_of(count));
            round_trip(pager, backend, &whole, &lens);
        }
    });
}

#[test]
fn chunks_that_are_empty_may_stand_anywhere() {
    on_every_pager(|pager, backend| {
        for empty_count in [1, 15, 16, 1023, 3000] {
            let lens = [&[300][..], &vec![0; empty_count], &[400], &vec![0; empty_count]].concat();
            round_trip(pager, backend, &elements::<u64>(700, 5), &lens);
        }
    });
}

#[test]
fn more_empty_chunks_than_one_call_takes_may_come_first() {
    on_every_pager(|pager, backend| {
        for empty_count in [1023, 1024, 1025, 3000] {
            let mut lens = vec![0; empty_count];
            lens.push(700);
            round_trip(pager, backend, &elements::<u64>(700, 5), &lens);
        }
    });
}

#[test]
fn lengths_around_page_and_slot_borders_come_back() {
    fn check<T: Pod>(pager: &Pager, backend: Backend) {
        let borders = [PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 6 * PAGE, 8 * PAGE, 12 * PAGE, 16 * PAGE, 24 * PAGE];
        let around = borders.iter().map(|border| border.div_ceil(size_of::<T>())).flat_map(|len| [len - 1, len, len + 1]);
        for len in [0, 1, 2].into_iter().chain(around) {
            round_trip(pager, backend, &elements::<T>(len, u64_of(len)), &[len / 3, 0, len / 2]);
        }
    }
    on_every_pager(|pager, backend| {
        check::<u8>(pager, backend);
        check::<u16>(pager, backend);
        check::<u32>(pager, backend);
        check::<f64>(pager, backend);
        check::<u64>(pager, backend);
        check::<u128>(pager, backend);
        check::<[u8; 3]>(pager, backend);
        check::<Fix>(pager, backend);
    });
}

#[test]
fn every_bit_pattern_of_a_float_comes_back() {
    let patterns = [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), -0.0, f64::MIN_POSITIVE / 2.0];
    on_every_pager(|pager, backend| round_trip(pager, backend, &patterns.repeat(1000), &[1234]));
}

#[test]
fn payloads_around_the_largest_slot_come_back() {
    let whole = elements::<u8>(LARGEST_SLOT + 1, 7);
    let pager = Setup::Native.pager();
    for len in [LARGEST_SLOT - 1, LARGEST_SLOT, LARGEST_SLOT + 1] {
        let handle = pager.pageout(&mut cut(&whole[..len], &[len / 2])).expect("a pageout");
        assert_eq!(pager.stats().used_bytes, slot_bytes(len));
        let mut end = Vec::new();
        pager.read_at(&handle, LARGEST_SLOT - 5000, len - (LARGEST_SLOT - 5000), &mut end).expect("a read");
        assert_same(&end, &whole[LARGEST_SLOT - 5000..len]);
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole[..len]);
    }
}

#[test]
fn a_payload_of_several_of_the_largest_slots_comes_back() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u8>(LARGEST_SLOT, 1);
    let handle = pager.pageout_copy(&[&whole, &whole[..PAGE], &whole, &whole[7..107]]).expect("a pageout");
    assert_eq!(pager.stats().used_bytes, 2 * u64_of(LARGEST_SLOT) + slot_bytes(PAGE + 100));
    let mut some = Vec::new();
    pager.read_at_many(&handle, &[(2 * LARGEST_SLOT + PAGE, 100), (LARGEST_SLOT - 9, 20)], &mut some).expect("a read");
    assert_same(&some[..100], &whole[7..107]);
    assert_same(&some[100..], &[&whole[LARGEST_SLOT - 9..], &whole[..11]].concat());
}

#[test]
fn a_payload_without_elements_needs_no_directory_and_no_call() {
    let disk = Disk::new();
    disk.arm(Fault { call: Call::Open, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
    let pager = Pager::builder().device(disk.clone()).build().expect("nothing is opened");
    for backend in BACKENDS {
        for chunk_count in [0, 1, 40, 3000] {
            let mut chunks: Vec<Vec<u16>> = vec![Vec::new(); chunk_count];
            let handle = pager.pageout_with(backend, &mut chunks).expect("a pageout");
            assert_eq!((handle.len(), handle.is_empty(), handle.backend()), (0, true, backend));
            let mut dst = vec![7];
            pager.read_at(&handle, 0, 0, &mut dst).expect("a read");
            pager.read_at_many(&handle, &[], &mut dst).expect("a read of no range");
            pager.read_at_many(&handle, &[(0, 0), (0, 0)], &mut dst).expect("a read of nothing");
            assert_eq!(dst, [7]);
            pager.read_at(&handle, 0, 1, &mut dst).expect_err("nothing to read");
            pager.prefetch(&handle, &[(0, 0)]).expect("a hint");
            pager.take(handle, &mut dst).expect("a take");
            assert!(dst.is_empty());
        }
    }
    drop(pager.pageout_copy::<u16>(&[&[], &[]]).expect("a pageout"));
    pager.trim().expect("a trim");
    assert_eq!(disk.log(), []);
    assert_eq!((pager.stats().scratch_dir, pager.stats().file_system), (None, None));
}

#[test]
fn the_swap_backend_makes_no_device_call() {
    let disk = Disk::new();
    let pager = Pager::builder().device(disk.clone()).backend(Backend::Swap).build().expect("nothing is opened");
    let whole = elements::<u64>(5000, 1);
    let handle = pager.pageout(&mut cut(&whole, &[1000, 0, 2500])).expect("a pageout");
    let mut dst = Vec::new();
    pager.read_at_many(&handle, &[(4000, 1000), (900, 200)], &mut dst).expect("a read");
    assert_same(&dst, &gather(&whole, &[(4000, 1000), (900, 200)]));
    pager.prefetch(&handle, &[(0, 5000)]).expect("a hint");
    pager.take(handle, &mut dst).expect("a take");
    assert_same(&dst, &whole);
    assert_eq!(disk.log(), []);
}

#[test]
fn set_backend_only_changes_later_calls() {
    let pager = Setup::Native.pager();
    assert_eq!(pager.backend(), Backend::File, "the default");
    let clone = pager.pager.clone();
    let whole = elements::<u64>(3000, 2);
    let mut handles = Vec::new();
    for backend in [Backend::File, Backend::Swap, Backend::File] {
        clone.set_backend(backend);
        assert_eq!(pager.backend(), backend, "clones share it");
        handles.push((backend, pager.pageout(&mut cut(&whole, &[100])).expect("a pageout")));
        let other = if backend == Backend::File { Backend::Swap } else { Backend::File };
        handles.push((other, pager.pageout_with(other, &mut cut(&whole, &[100])).expect("a pageout")));
        assert_eq!(pager.backend(), backend, "a named backend is for that call");
    }
    for (backend, handle) in handles {
        assert_eq!(handle.backend(), backend);
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole);
    }
}

#[test]
fn a_take_keeps_a_destination_that_is_large_enough() {
    on_every_pager(|pager, backend| {
        for (capacity, lens) in [(3000, vec![1000, 2000]), (3000, vec![3000]), (9000, vec![3000]), (3001, vec![0, 3000, 0])] {
            let whole = elements::<u64>(3000, 2);
            let handle = pager.pageout_with(backend, &mut cut(&whole, &lens)).expect("a pageout");
            let mut dst: Vec<u64> = Vec::with_capacity(capacity);
            dst.extend([1, 2, 3]);
            let (address, capacity) = (dst.as_ptr(), dst.capacity());
            pager.take(handle, &mut dst).expect("a take");
            assert_same(&dst, &whole);
            assert_eq!((dst.as_ptr(), dst.capacity()), (address, capacity));
        }
    });
}

#[test]
fn a_take_lengthens_a_destination_that_is_too_small() {
    on_every_pager(|pager, backend| {
        for capacity in [0, 1, 2999] {
            let whole = elements::<u64>(3000, 2);
            let handle = pager.pageout_with(backend, &mut cut(&whole, &[10])).expect("a pageout");
            let mut dst = Vec::with_capacity(capacity);
            pager.take(handle, &mut dst).expect("a take");
            assert_same(&dst, &whole);
        }
    });
}

#[test]
fn a_chunk_in_the_swap_backend_comes_back_as_the_same_allocation() {
    let pager = Setup::Native.pager();
    for (len, capacity) in [(1, 1), (700, 700), (700, 1000), (MIB, MIB)] {
        let mut chunk = Vec::with_capacity(capacity);
        chunk.extend(elements::<u64>(len, 1));
        let kept = memory(&chunk);
        let mut chunks = [chunk];
        let handle = pager.pageout_with(Backend::Swap, &mut chunks).expect("a pageout");
        assert_eq!(chunks[0].capacity(), 0);
        let mut dst = Vec::new();
        pager.take(handle, &mut dst).expect("a take");
        assert_eq!(memory(&dst), kept);
    }
}

#[test]
fn a_read_appends_and_keeps_a_destination_that_is_large_enough() {
    on_every_pager(|pager, backend| {
        let whole = elements::<u64>(3000, 2);
        let handle = pager.pageout_with(backend, &mut cut(&whole, &[10])).expect("a pageout");
        let mut dst = Vec::with_capacity(6002);
        dst.extend([1, 2]);
        let address = dst.as_ptr();
        pager.read_at(&handle, 0, 3000, &mut dst).expect("a read");
        pager.read_at_many(&handle, &[(1000, 2000), (0, 1000)], &mut dst).expect("a read");
        assert_same(&dst, &[&[1, 2], &whole[..], &whole[1000..], &whole[..1000]].concat());
        assert_eq!(dst.as_ptr(), address);
    });
}

#[test]
fn a_failed_pageout_leaves_every_chunk_exactly_as_it_was() {
    let disk = Disk::new();
    for builder in [disk.builder().capacity_bytes(4 * u64_of(PAGE)), disk.builder()] {
        let pager = builder.build().expect("a pager in memory");
        disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
        for lens in [vec![10_000], vec![0, 1, 9_000, 0, 999], vec![3; 4000]] {
            let mut chunks = cut(&elements::<u64>(lens.iter().sum(), 1), &lens);
            chunks[0].reserve(77);
            let kept = memories(&chunks);
            pager.pageout(&mut chunks).expect_err("no room, or no device");
            assert_eq!(memories(&chunks), kept);
        }
        disk.disarm();
        assert_eq!((pager.stats().used_bytes, pager.stats().handles, pager.stats().pageouts), (0, 0, 0));
    }
}

#[test]
fn a_failed_take_can_be_repeated() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u64>(3000, 2);
    let mut handle = pager.pageout(&mut cut(&whole, &[10])).expect("a pageout");
    for _ in 0..3 {
        disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
        let mut dst = vec![1, 2, 3];
        let failed = pager.take(handle, &mut dst).expect_err("the device fails");
        assert_eq!(failed.error().code(), "EIO");
        assert!(dst.is_empty() || dst == [1, 2, 3]);
        handle = failed.into_handle();
        assert_eq!((handle.len(), pager.stats().takes, pager.stats().handles), (3000, 0, 1));
    }
    let mut dst = Vec::new();
    pager.take(handle, &mut dst).expect("the device works");
    assert_same(&dst, &whole);
    assert_eq!((pager.stats().takes, pager.stats().handles, pager.stats().used_bytes), (1, 0, 0));
}

#[test]
fn the_error_of_a_failed_take_can_be_kept_without_the_handle() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handle = pager.pageout(&mut [vec![1u64]]).expect("a pageout");
    disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
    let failed = pager.take(handle, &mut Vec::new()).expect_err("the device fails");
    assert_eq!(failed.into_error().raw_os_error(), Some(libc::EIO));
    assert_eq!((pager.stats().handles, pager.stats().used_bytes), (0, 0), "its place is free");
}

#[test]
fn a_handle_of_another_pager_is_refused_and_stays_usable() {
    let (own, other) = (Setup::Native.pager(), Setup::Native.pager());
    let whole = elements::<u64>(1000, 1);
    for backend in BACKENDS {
        let handle = own.pageout_with(backend, &mut cut(&whole, &[300])).expect("a pageout");
        let mut dst = vec![5];
        let mut target = [5];
        let foreign = [
            other.read_at(&handle, 0, 1, &mut dst),
            other.read_at_many(&handle, &[(0, 1), (5, 1)], &mut dst),
            other.read_at_many(&handle, &[], &mut dst),
            other.read_into(&handle, &[(0, 1)], &mut target),
            other.prefetch(&handle, &[(0, 1)]),
        ];
        for outcome in foreign {
            let error = outcome.expect_err("a handle of another pager");
            assert!(matches!(error, Error::ForeignHandle), "{error:?}");
            assert_eq!((error.code(), error.is_usage_error()), ("ERR_INVALID_ARG_VALUE", true));
        }
        let refused = other.take(handle, &mut dst).expect_err("a handle of another pager");
        assert!(matches!(refused.error(), Error::ForeignHandle));
        assert_eq!((&dst[..], target), (&[5][..], [5]));
        own.pager.clone().take(refused.into_handle(), &mut dst).expect("a clone is the same pager");
        assert_same(&dst, &whole);
    }
}

#[test]
fn debug_output_shows_no_payload() {
    const SECRET: u64 = 7_310_595_035_407_021_427;
    let disk = Disk::new();
    let pager = disk.pager();
    let mut shown = Vec::new();
    for backend in BACKENDS {
        for lens in [vec![600], vec![300, 300]] {
            let handle = pager.pageout_with(backend, &mut cut(&[SECRET; 600], &lens)).expect("a pageout");
            shown.extend([format!("{handle:?}"), format!("{handle:#?}")]);
            assert!(shown.last().is_some_and(|text| text.contains("600")), "the length is shown");
            disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::FlipRead(9), lasts: Lasts::Once });
            if let Err(failed) = pager.take(handle, &mut Vec::new()) {
                shown.extend([format!("{failed:?}"), failed.to_string(), format!("{:?}", failed.error())]);
            }
            disk.disarm();
        }
        let held = pager.pageout_with(backend, &mut [vec![SECRET; 3]]).expect("a pageout");
        shown.extend([format!("{:?}", pager.stats()), format!("{held:?}")]);
        let error = pager.read_at(&held, 2, 2, &mut Vec::new()).expect_err("past the end");
        shown.extend([format!("{error:?}"), error.to_string()]);
    }
    assert!(shown.iter().any(|text| text.contains("Corrupt")), "a take failed");
    // The number, its bytes as text, its bytes as a list, its hexadecimal form.
    for needle in [&SECRET.to_string()[..], "secret", "115, 101", "6574"] {
        assert!(shown.iter().all(|text| !text.contains(needle)), "{needle}: {shown:?}");
    }
}

#[test]
fn any_number_of_threads_may_read_one_handle() {
    on_every_pager(|pager, backend| {
        let whole = elements::<u32>(100_000, 4);
        let handle = pager.pageout_with(backend, &mut cut(&whole, &[33_333, 1])).expect("a pageout");
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (handle, whole) = (&handle, &whole);
                scope.spawn(move || {
                    for round in 0..40 {
                        let offset = (thread * 7919 + round * 104_729) % 90_000;
                        let ranges = [(offset + 5000, 3000), (offset, 1000), (offset + 1500, round * 50)];
                        let mut dst = Vec::new();
                        pager.read_at_many(handle, &ranges, &mut dst).expect("a read");
                        assert_same(&dst, &gather(whole, &ranges));
                        let neighbour = pager.pageout_with(backend, &mut [elements::<u32>(round + 1, 9)]).expect("a pageout");
                        let mut all = Vec::new();
                        pager.take(neighbour, &mut all).expect("a take");
                        assert_same(&all, &elements::<u32>(round + 1, 9));
                    }
                });
            }
        });
    });
}

#[test]
fn handles_may_be_dropped_and_taken_on_other_threads() {
    let pager = Setup::Native.pager();
    for backend in BACKENDS {
        let whole = elements::<u64>(2000, 1);
        let mut handles: Vec<_> =
            (0..20).map(|_| pager.pageout_with(backend, &mut cut(&whole, &[7])).expect("a pageout")).collect();
        let (clone, kept) = (pager.pager.clone(), handles.split_off(10));
        let taking = std::thread::spawn(move || {
            kept.into_iter()
                .map(|handle| {
                    let mut all = Vec::new();
                    clone.take(handle, &mut all).map(|()| all)
                })
                .collect::<Vec<_>>()
        });
        std::thread::spawn(move || drop(handles)).join().expect("a thread that drops");
        for taken in taking.join().expect("a thread that takes") {
            assert_same(&taken.expect("a take"), &whole);
        }
        assert_eq!((pager.stats().handles, pager.stats().used_bytes), (0, 0));
    }
}

#[test]
fn a_handle_outlives_every_clone_of_its_pager() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handle = pager.pageout(&mut [vec![1u64; 5000]]).expect("a pageout");
    let idle = pager.pageout(&mut [vec![1u8]]).expect("a pageout");
    drop((pager, idle));
    assert_eq!(handle.len(), 5000);
    assert_ne!(disk.open_files(), 0);
    drop(handle);
    assert_eq!(disk.open_files(), 0, "the last handle closes the pager");
}

#[test]
fn borrowed_chunks_are_copied_out_and_stay() {
    on_every_pager(|pager, _| {
        let whole = elements::<u32>(9000, 1);
        let chunks = cut(&whole, &[100, 0, 5000]);
        let slices: Vec<&[u32]> = chunks.iter().map(Vec::as_slice).collect();
        let handle = pager.pageout_copy(&slices).expect("a pageout");
        assert_eq!((handle.len(), handle.backend()), (9000, Backend::File));
        assert_same(&chunks.concat(), &whole);
        check_reads(pager, &handle, &whole);
    });
}

#[test]
fn public_types_may_cross_threads_and_errors_are_errors() {
    const fn shared<T: Send + Sync + 'static>() {}
    const fn plain<T: Copy + Eq + std::fmt::Debug>() {}
    const fn error<T: std::error::Error + Send + Sync + 'static>() {}
    const {
        shared::<Pager>();
        shared::<PagerBuilder>();
        shared::<PagerStats>();
        shared::<Handle>();
        shared::<Handle<Fix>>();
        shared::<Backend>();
        plain::<Backend>();
        error::<Error>();
        error::<TakeError<u64>>();
    }
}

#[test]
fn errors_become_io_errors_of_the_same_kind_with_the_number_of_the_system() {
    let disk = Disk::new();
    let pager = disk.builder().capacity_bytes(1 << 20).build().expect("a pager in memory");
    let handle = pager.pageout(&mut [vec![1u8; 100]]).expect("a pageout");
    let failing = |effect| {
        disk.arm(Fault { call: Call::Read, index: 0, effect, lasts: Lasts::Once });
        let error = pager.read_at(&handle, 0, 1, &mut Vec::new()).expect_err("the device fails");
        disk.disarm();
        error
    };
    let errors = [
        (failing(Effect::FlipRead(0)), ErrorKind::InvalidData),
        (failing(Effect::Fail(libc::EACCES)), ErrorKind::PermissionDenied),
        (failing(Effect::Fail(libc::ENOSPC)), ErrorKind::StorageFull),
        (failing(Effect::Fail(libc::ENOMEM)), ErrorKind::OutOfMemory),
        (pager.pageout(&mut [vec![1u8; 2 << 20]]).expect_err("too much"), ErrorKind::QuotaExceeded),
        (pager.read_at(&handle, 101, 0, &mut Vec::new()).expect_err("past the end"), ErrorKind::InvalidInput),
    ];
    for (error, kind) in errors {
        assert_eq!(error.kind(), kind, "{error:?}");
        let (number, text) = (error.raw_os_error(), error.to_string());
        let converted = std::io::Error::from(error);
        assert_eq!((converted.kind(), converted.raw_os_error()), (kind, number));
        assert!(number.is_some() || converted.to_string() == text, "{converted}");
    }
}

#[test]
fn a_pageout_that_is_stopped_between_two_slots_leaves_nothing() {
    let disk = Disk::new();
    let pager = disk.pager();
    let (stop, chunk) = (AtomicBool::new(true), elements::<u64>(LARGEST_SLOT / 8 + 1, 3));
    disk.forget();
    let error = pager.pageout_copy_unless(&[&chunk], 8, &stop).expect_err("it is stopped");
    assert_eq!((error.raw_os_error(), disk.count(Call::Write)), (Some(libc::ECANCELED), 0));
    assert_eq!((pager.stats().used_bytes, pager.stats().handles), (0, 0));
    let handle = pager.pageout_copy_unless(&[&chunk], 8, &AtomicBool::new(false)).expect("nobody stops it");
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("a take without a fault");
    assert_same(&all, &chunk);
}
