//! Which calls reach the device: one for each verb after warm-up, and for scattered reads all hints before any waiting.

use pageout::Handle;
use pageout_testing::faulty::{Call, Disk, Entry};
use pageout_testing::{KIB, LARGEST_SLOT, MIB, PAGE, assert_same, cut, elements, gather, u64_of};

#[test]
fn after_warm_up_every_verb_makes_one_call() {
    let disk = Disk::new();
    let pager = disk.pager();
    for len in [1, 100, PAGE - 1, PAGE, PAGE + 1, 20_000, 64 * KIB, 300_000, 2 * MIB] {
        for chunk_len in [len, len.div_ceil(2), len.div_ceil(15), len.div_ceil(1000)] {
            let whole = elements::<u8>(len, 1);
            let lens = vec![chunk_len; len / chunk_len];
            drop(pager.pageout(&mut cut(&whole, &lens)).expect("a pageout that warms up"));
            disk.forget();
            let handle = pager.pageout(&mut cut(&whole, &lens)).expect("a pageout");
            assert_eq!(disk.calls(), [Call::Write], "a pageout of {len} bytes");
            for (offset, count) in [(0, len), (0, 1), (len / 3, len / 3), (len - 1, 1), (len / 2, len - len / 2)] {
                disk.forget();
                pager.read_at(&handle, offset, count, &mut Vec::new()).expect("a read");
                let expected = if count == 0 { &[][..] } else { &[Call::Read] };
                assert_eq!(disk.calls(), expected, "a read of ({offset}, {count}) of {len} bytes");
            }
            disk.forget();
            pager.take(handle, &mut Vec::new()).expect("a take");
            assert_eq!(disk.calls(), [Call::Read], "a take of {len} bytes");
        }
    }
}

#[test]
fn a_pageout_writes_whole_pages_and_a_read_no_more_pages_than_it_needs() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handle = pager.pageout(&mut [elements::<u8>(50_001, 1)]).expect("a pageout");
    let start = disk.log().last().expect("a write").offset;
    assert_eq!(disk.log().last().map(|entry| entry.len_bytes), Some(13 * 4096), "the last page is filled up");
    let cases = [((0, 1), (0, 1)), ((4095, 2), (0, 2)), ((8192, 4096), (2, 3)), ((5000, 20_000), (1, 7))];
    for ((offset, len), (first, end)) in cases {
        disk.forget();
        pager.read_at(&handle, offset, len, &mut Vec::new()).expect("a read");
        let read = disk.log()[0];
        assert_eq!((read.offset - start, read.len_bytes), (first * 4096, (end - first) * 4096));
    }
    disk.forget();
    pager.read_at(&handle, 50_000, 1, &mut Vec::new()).expect("a read");
    assert_eq!(disk.log()[0].len_bytes, 50_001 - 12 * 4096, "the last page up to its end");
}

#[test]
fn without_checksums_a_read_is_of_just_its_bytes() {
    let disk = Disk::new();
    let pager = disk.builder().integrity(false).build().expect("a pager in memory");
    let handle = pager.pageout(&mut [elements::<u8>(50_001, 1)]).expect("a pageout");
    let start = disk.log().last().expect("a write").offset;
    for (offset, len) in [(0, 1), (4095, 2), (5000, 20_000), (50_000, 1)] {
        disk.forget();
        pager.read_at(&handle, offset, len, &mut Vec::new()).expect("a read");
        let entry = Entry { call: Call::Read, file: disk.log()[0].file, offset: start + u64_of(offset), len_bytes: u64_of(len) };
        assert_eq!(disk.log(), [entry]);
    }
}

#[test]
fn more_chunks_than_one_call_takes_need_as_many_calls_as_that_and_no_other() {
    let disk = Disk::new();
    let pager = disk.pager();
    // 1,024 slices a call, and one more slice where the last page is filled up.
    for (chunk_count, calls) in [(1023, 1), (1024, 2), (1025, 2), (3000, 3)] {
        let whole = elements::<u8>(chunk_count * 3, 1);
        drop(pager.pageout(&mut cut(&whole, &vec![3; chunk_count])).expect("a pageout that warms up"));
        disk.forget();
        drop(pager.pageout(&mut cut(&whole, &vec![3; chunk_count])).expect("a pageout"));
        assert_eq!(disk.calls(), vec![Call::Write; calls], "{chunk_count} chunks");
    }
}

#[test]
fn a_payload_of_several_slots_needs_one_call_each() {
    let disk = Disk::new();
    let pager = disk.builder().integrity(false).build().expect("a pager in memory");
    let whole = elements::<u8>(LARGEST_SLOT + 5000, 1);
    drop(pager.pageout(&mut cut(&whole, &[])).expect("a pageout that warms up"));
    disk.forget();
    let handle = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
    // So much may have been idle for long enough to be given back in between.
    assert_eq!(disk.count(Call::Write), 2);
    disk.forget();
    pager.read_at(&handle, LARGEST_SLOT - 5, 10, &mut Vec::new()).expect("a read");
    pager.take(handle, &mut Vec::new()).expect("a take");
    assert_eq!(disk.calls(), [Call::Read; 4]);
}

#[test]
fn a_class_warms_up_with_one_file_and_room_that_doubles() {
    let disk = Disk::new();
    let pager = disk.pager();
    disk.forget();
    let first = pager.pageout(&mut [vec![1u8]]).expect("a pageout");
    assert_eq!(disk.calls(), [Call::Current, Call::Create, Call::Room, Call::Reserve, Call::Room, Call::Write]);
    let more: Vec<Handle<u8>> = (0..10_000).map(|_| pager.pageout(&mut [vec![1u8]]).expect("a pageout")).collect();
    let reserves: Vec<u64> =
        disk.log().iter().filter(|entry| entry.call == Call::Reserve).map(|entry| entry.len_bytes / u64_of(MIB)).collect();
    assert_eq!(reserves, [1, 1, 2, 4, 8, 16, 32], "MiB asked for, step by step, for 40 MiB");
    assert_eq!((disk.count(Call::Create), disk.count(Call::Write)), (1, 10_001));
    disk.forget();
    drop((first, more));
    assert_eq!(disk.log(), [], "10,001 handles are dropped without a call");
}

#[test]
fn payloads_that_go_out_one_after_the_other_lie_one_after_the_other() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handles: Vec<_> = (0..500).map(|_| pager.pageout(&mut [vec![1u8; 9_000]]).expect("a pageout")).collect();
    let writes: Vec<u64> = disk.log().iter().filter(|entry| entry.call == Call::Write).map(|entry| entry.offset).collect();
    assert!(writes[1..].windows(2).all(|pair| pair[1] == pair[0] + 12_288), "behind the probe of the directory");
    drop(handles);
}

/// Reads ranges of a payload of 1 MiB and gives the calls, offsets counted from the payload's start.
fn scattered(cold_from: u64, ranges: &[(usize, usize)]) -> Vec<Entry> {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u8>(MIB, 1);
    let handle = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
    let start = disk.log().last().expect("a write").offset;
    disk.set_cold_from(cold_from.saturating_add(start));
    disk.forget();
    let mut dst = Vec::new();
    pager.read_at_many(&handle, ranges, &mut dst).expect("a read");
    assert_same(&dst, &gather(&whole, ranges));
    disk.log().into_iter().map(|entry| Entry { offset: entry.offset - start, ..entry }).collect()
}

fn kinds(log: &[Entry]) -> Vec<Call> {
    log.iter().map(|entry| entry.call).collect()
}

const WARM: u64 = u64::MAX;
const COLD: u64 = 0;

#[test]
fn ranges_that_follow_each_other_are_one_read() {
    let log = scattered(COLD, &[(10, 20), (30, 0), (30, 5_000), (5_030, 100_000)]);
    assert_eq!(kinds(&log), [Call::Read]);
}

#[test]
fn ranges_that_touch_or_nearly_touch_are_one_read() {
    let lists: [&[(usize, usize)]; 4] = [
        &[(5_030, 10), (30, 5_000)],
        &[(8_000, 100), (100, 100), (4_200, 100)],
        &[(0, 1), (4_097, 1), (8_194, 1)],
        &[(60_000, 1), (56_000, 1), (59_999, 1), (58_000, 1)],
    ];
    for ranges in lists {
        assert_eq!(kinds(&scattered(WARM, ranges)), [Call::ReadCached], "{ranges:?}");
        assert_eq!(kinds(&scattered(COLD, ranges)), [Call::ReadCached, Call::Read], "{ranges:?}");
    }
}

#[test]
fn ranges_that_lie_apart_are_not_read_as_one() {
    let log = scattered(WARM, &[(500_000, 10), (0, 10), (900_000, 10), (12_300, 10)]);
    assert_eq!(kinds(&log), [Call::ReadCached; 4]);
    let read_bytes: u64 = log.iter().map(|entry| entry.len_bytes).sum();
    assert_eq!(read_bytes, 4 * 4096, "not the gaps between them");
}

#[test]
fn what_is_in_memory_is_neither_announced_nor_waited_for() {
    let ranges: Vec<_> = (0..60).rev().map(|position| (position * 16_000, 100)).collect();
    let log = scattered(WARM, &ranges);
    assert_eq!(kinds(&log), [Call::ReadCached; 60]);
    assert!(log.windows(2).all(|pair| pair[0].offset < pair[1].offset), "in the order in which they lie");
}

#[test]
fn cold_ranges_are_all_announced_before_the_first_is_waited_for() {
    let ranges: Vec<_> = (0..60).rev().map(|position| (position * 16_000, 100)).collect();
    let log = scattered(COLD, &ranges);
    // The first is not announced: the read that follows at once brings it.
    let expected = [vec![Call::ReadCached; 60], vec![Call::Announce; 59], vec![Call::Read; 60]].concat();
    assert_eq!(kinds(&log), expected);
    let places = |call| log.iter().filter(|entry| entry.call == call).map(|entry| (entry.offset, entry.len_bytes)).collect();
    let (announced, read): (Vec<_>, Vec<_>) = (places(Call::Announce), places(Call::Read));
    assert_eq!(announced, read[1..], "just what is read is announced, in the order in which it is read");
}

#[test]
fn only_the_cold_ones_of_several_ranges_are_announced() {
    let ranges: Vec<_> = (0..60).map(|position| (position * 16_000, 100)).collect();
    let log = scattered(500_000, &ranges);
    let cold = ranges.iter().filter(|range| range.0 + range.1 > 500_000).count();
    assert!((20..40).contains(&cold));
    let expected = [vec![Call::ReadCached; 60], vec![Call::Announce; cold - 1], vec![Call::Read; cold]].concat();
    assert_eq!(kinds(&log), expected);
}

#[test]
fn long_ranges_are_announced_with_the_others() {
    let ranges = [(700_000, 200_000), (100, 50), (300_000, 150_000)];
    let log = scattered(COLD, &ranges);
    let first_read = log.iter().position(|entry| entry.call == Call::Read).expect("cold ranges are read");
    let announced: u64 = log[..first_read].iter().filter(|entry| entry.call == Call::Announce).map(|entry| entry.len_bytes).sum();
    assert!((350_000..350_000 + 4 * 4096).contains(&announced), "{log:?}");
    assert!(log[first_read..].iter().all(|entry| entry.call == Call::Read));
    assert_eq!(log.len() - first_read, 3);
}

#[test]
fn a_hint_announces_and_does_nothing_else() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handle = pager.pageout(&mut [elements::<u8>(MIB, 1)]).expect("a pageout");
    disk.forget();
    pager.prefetch(&handle, &[(900_000, 10), (5_000, 0), (0, 10), (300_000, 300_000)]).expect("a hint");
    assert_eq!(disk.calls(), [Call::Announce; 3]);
    pager.prefetch(&handle, &[]).expect("a hint");
    assert_eq!(disk.calls().len(), 3);
}

#[cfg(target_os = "linux")]
mod kernel {
    use pageout::Pager;

    use pageout_testing::{
        KIB, MIB, assert_same, builder, by_way_of, elements, is_own_process, own_process, scratch, skip, succeeds,
    };

    /// Few enough that all of them together write less than makes the pager look at memory again, which is 64 MiB.
    const ROUNDS: usize = 12;
    /// A call with such a name in its arguments marks a place in the trace.
    const MARKS: [&str; 2] = ["/no-such-file-begin", "/no-such-file-end"];
    /// Calls that the allocator makes as it likes.
    const MEMORY: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "mprotect", "madvise"];

    fn mark(place: usize) {
        std::fs::metadata(MARKS[place]).expect_err("the name is of no file");
    }

    /// A pageout, a read, a read of several ranges and a take, in memory that is there already.
    fn round(pager: &Pager, chunks: &mut [Vec<u64>], whole: &[u64], dst: &mut Vec<u64>) {
        let handle = pager.pageout(chunks).expect("a pageout");
        dst.clear();
        pager.read_at(&handle, whole.len() / 3, whole.len() / 2, dst).expect("a read");
        dst.clear();
        pager.read_at_many(&handle, &[(whole.len() - 5, 5), (0, 5)], dst).expect("a read");
        pager.take(handle, dst).expect("a take");
        assert_same(dst, whole);
        chunks[0].extend_from_slice(dst);
    }

    fn traced() {
        let scratch = scratch();
        for portable in [false, true] {
            let builder = builder(scratch.path());
            let pager = if portable { builder.portable() } else { builder }.build().expect("a pager");
            for len in [4 * KIB / 8, 100 * KIB / 8, MIB / 8] {
                let whole = elements::<u64>(len, 1);
                let (mut chunks, mut dst) = ([whole.clone()], Vec::with_capacity(len));
                round(&pager, &mut chunks, &whole, &mut dst);
                mark(0);
                (0..ROUNDS).for_each(|_| round(&pager, &mut chunks, &whole, &mut dst));
                mark(1);
            }
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Transfer {
        Write,
        Read,
        CachedRead,
        None,
    }

    fn transfer(name: &str) -> Transfer {
        match name {
            "pwrite64" | "pwritev" => Transfer::Write,
            "pread64" | "preadv" => Transfer::Read,
            "preadv2" => Transfer::CachedRead,
            _ => Transfer::None,
        }
    }

    /// The names of the calls between the marks, the allocator's left out, for each pair of marks.
    fn calls_between_marks(trace: &str) -> Vec<Vec<&str>> {
        let thread_of = |line: &str| line.split(' ').next().map(str::to_owned);
        let thread = trace.lines().find(|line| line.contains(MARKS[0])).and_then(thread_of);
        let (mut parts, mut is_between) = (Vec::new(), false);
        for line in trace.lines().filter(|line| thread_of(line) == thread) {
            let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
            let name = call.split('(').next().unwrap_or_default();
            if line.contains(MARKS[0]) {
                parts.push(Vec::new());
                is_between = true;
            } else if line.contains(MARKS[1]) {
                is_between = false;
            } else if let (true, Some(part)) = (is_between && !call.starts_with("<..."), parts.last_mut())
                && !MEMORY.contains(&name)
            {
                part.push(name);
            }
        }
        parts
    }

    #[test]
    fn the_kernel_sees_nothing_but_transfers_after_warm_up() {
        let test = "kernel::the_kernel_sees_nothing_but_transfers_after_warm_up";
        if is_own_process(test) {
            return traced();
        }
        let output_dir = scratch();
        let trace = output_dir.path().join("trace");
        let options = ["-f", "-o", trace.to_str().expect("a name in UTF-8")];
        if !succeeds("strace", &["-o", "/dev/null", "true"]) {
            return skip(test, "strace is not installed or may not trace");
        }
        let output = by_way_of("strace", &options, &own_process(test)).output().expect("strace ran before");
        pageout_testing::assert_passed(test, &output);
        let trace = std::fs::read_to_string(&trace).expect("a trace");
        let parts = calls_between_marks(&trace);
        assert_eq!(parts.len(), 6);
        // Three payloads on each of two devices. The two ranges of a payload of one page are one run, those of longer ones two.
        for (position, part) in parts.iter().enumerate() {
            // Not every file system can say what is in memory, then a hint goes before; the portable device does not ask.
            let asks = position < 3 && part.contains(&"preadv2");
            let several = if asks { Transfer::CachedRead } else { Transfer::Read };
            let runs = if position % 3 == 0 { 1 } else { 2 };
            let round = [vec![Transfer::Write, Transfer::Read], vec![several; runs], vec![Transfer::Read]].concat();
            let others = part.iter().filter(|&&name| asks || name != "fadvise64");
            let transfers: Vec<_> = others.map(|name| transfer(name)).collect();
            assert_eq!(transfers, round.repeat(ROUNDS), "{part:?}");
        }
    }
}
