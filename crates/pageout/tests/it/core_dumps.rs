//! Payloads that are kept out of core dumps.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use pageout::{Backend, Pager};
use pageout_testing::{
    KIB, MIB, PAGE, assert_same, cut, elements, in_own_process, is_own_process, own_process, scratch, skip, succeeds,
};

/// Whether the page at an address is kept out of core dumps, as proc(5) says under smaps.
fn is_excluded(address: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("this process's mappings");
    let mut is_here = false;
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((start, end)) = range.and_then(|(start, end)| number(start).zip(number(end))) {
            is_here = (start..end).contains(&address);
        } else if is_here && let Some(flags) = line.strip_prefix("VmFlags:") {
            return flags.split(' ').any(|flag| flag == "dd");
        }
    }
    panic!("no mapping has the address")
}

fn excluding() -> Pager {
    Pager::builder().backend(Backend::Swap).exclude_from_core_dumps(true).build().expect("a pager")
}

#[test]
fn pages_of_payloads_are_excluded_until_they_are_taken() {
    let test = "pages_of_payloads_are_excluded_until_they_are_taken";
    in_own_process(
        test,
        |_| {},
        || {
            let pager = excluding();
            for len in [1, 100, PAGE, 3 * PAGE + 1, MIB] {
                let chunk = elements::<u8>(len, 1);
                let (first, last) = (chunk.as_ptr().addr(), chunk.as_ptr().addr() + len - 1);
                let handle = pager.pageout(&mut [chunk]).expect("a pageout");
                assert!(is_excluded(first) && is_excluded(last), "{len} bytes");
                let mut back = Vec::new();
                pager.take(handle, &mut back).expect("a take");
                assert_same(&back, &elements::<u8>(len, 1));
                if len > 2 * PAGE {
                    assert!(!is_excluded(back.as_ptr().addr() + PAGE), "the caller's own memory is dumped");
                }
            }
        },
    );
}

#[test]
fn every_chunk_is_excluded_and_comes_back_right() {
    let pager = excluding();
    let whole = elements::<u32>(50_000, 1);
    let mut chunks = cut(&whole, &[7, 20_000, 0, 1]);
    let addresses: Vec<usize> = chunks.iter().filter(|chunk| !chunk.is_empty()).map(|chunk| chunk.as_ptr().addr()).collect();
    let handle = pager.pageout(&mut chunks).expect("a pageout");
    assert!(addresses.into_iter().all(is_excluded));
    let mut back = Vec::new();
    pager.take(handle, &mut back).expect("a take");
    assert_same(&back, &whole);
}

#[test]
fn chunks_that_move_into_a_budget_are_copied_to_excluded_memory() {
    let builder = Pager::builder().exclude_from_core_dumps(true).allow_ram_backed(true);
    let pager = builder.resident_bytes(2 * MIB as u64).build().expect("a pager");
    for lens in [&[][..], &[1], &[100, 5 * PAGE]] {
        let whole = elements::<u32>(20_000, 1);
        let mut chunks = cut(&whole, lens);
        // Longer than what is in it, which does not count: it is left.
        chunks[0].reserve_exact(100_000);
        let starts: Vec<_> = chunks.iter().map(Vec::as_ptr).collect();
        let handle = pager.pageout(&mut chunks).expect("a pageout");
        assert!(chunks.iter().all(|chunk| chunk.capacity() == 0), "no memory is left to the caller");
        assert_eq!(pager.stats().resident_bytes, 80_000);
        let borrowed = handle.borrow().expect("a borrow");
        assert_same(&borrowed, &whole);
        assert!(!starts.contains(&borrowed.as_ptr()), "what others may have pages of is not excluded");
        assert!(is_excluded(borrowed.as_ptr().addr()) && is_excluded(borrowed[19_999..].as_ptr().addr()));
        let address = borrowed.as_ptr();
        drop(borrowed);
        let back = handle.take().expect("a take");
        assert_same(&back, &whole);
        assert_eq!(back.as_ptr(), address, "what is taken is the memory of the pager itself");
        assert!(!is_excluded(back.as_ptr().addr() + PAGE), "what is the caller's is dumped");
    }
}

#[test]
fn memory_of_a_dropped_payload_is_the_allocators_again() {
    let pager = excluding();
    for round in 0..200 {
        let len = 100 * KIB + round;
        let handle = pager.pageout(&mut [elements::<u8>(len, 1)]).expect("a pageout");
        drop(handle);
        let fresh = elements::<u8>(len, 2);
        assert_same(&fresh, &elements::<u8>(len, 2));
    }
    let (stats, swap) = (pager.stats(), pager.pageout(&mut [vec![1u8; 10]]).expect("a pageout"));
    assert_eq!((stats.handles, swap.len()), (0, 10));
}

/// What no other memory of the process holds.
const MARKER: &[u8; 16] = b"\x93p4y-l0ad-m4rk\x05\xf1";

#[test]
#[ignore = "is started by another test"]
fn holds_a_marked_payload() {
    if !is_own_process("holds_a_marked_payload") {
        return;
    }
    let exclude = std::env::var_os("EXCLUDE").is_some();
    let pager = Pager::builder().backend(Backend::Swap).exclude_from_core_dumps(exclude).build().expect("a pager");
    // Made in place, so that no copy lies anywhere else.
    let marked: Vec<u8> = (0..MIB).map(|position| MARKER[position % MARKER.len()]).collect();
    let _handle = pager.pageout(&mut [marked]).expect("a pageout");
    let mut output = std::io::stdout();
    writeln!(output, "\nready").and_then(|()| output.flush()).expect("somebody reads");
    std::io::stdin().read_line(&mut String::new()).expect("somebody writes");
}

/// How often the marker is in a core dump of a process that holds a payload full of it.
fn marks_in_core_dump(directory: &Path, exclude: bool) -> usize {
    let mut command = own_process("holds_a_marked_payload");
    if exclude {
        command.env("EXCLUDE", "1");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this executable runs again");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    lines.by_ref().map(|line| line.expect("text")).find(|line| line == "ready").expect("the payload is out");
    let core = directory.join(format!("core-{exclude}"));
    let dumped = succeeds("gcore", &["-o", core.to_str().expect("a name in UTF-8"), &child.id().to_string()]);
    drop(child.stdin.take());
    lines.for_each(drop);
    child.wait().expect("the child ends");
    assert!(dumped, "gcore made a core dump before");
    let core = std::fs::read(format!("{}.{}", core.display(), child.id())).expect("a core dump");
    core.windows(MARKER.len()).filter(|window| window == MARKER).count()
}

#[test]
fn a_core_dump_holds_no_excluded_payload() {
    let test = "a_core_dump_holds_no_excluded_payload";
    let directory = scratch();
    if !succeeds("sh", &["-c", "command -v gcore"]) {
        return skip(test, "gcore (gdb) is not there");
    }
    let marks = marks_in_core_dump(directory.path(), false);
    assert!(marks >= MIB / MARKER.len(), "without the option the payload is there: {marks}");
    // The marker itself, a constant of this executable, may be dumped.
    let marks = marks_in_core_dump(directory.path(), true);
    assert!(marks <= 2, "{marks} marks");
}
