//! What happens when memory is short: every allocation of a page and more that an operation makes fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use pageout::{Backend, Compression, Error, Pager};
use pageout_testing::ledger::{Ledger, Point, Total};
use pageout_testing::sweep::{
    COLLECTING_PIECES, Ground, Named, OF_MANY, OPERATIONS, Operation, PAGEOUT_OF_PIECES, Trouble, World, is_under_fault,
    try_trouble, without_trouble,
};
use pageout_testing::{PAGE, builder, check_works, in_own_process, scratch};

/// The system's allocator, which fails allocations of [`PAGE`] bytes and more while a fault is armed.
struct Short;

#[global_allocator]
static ALLOCATOR: Short = Short;

/// Which allocation fails, counted from when it was armed, and those behind it where it fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    index: u64,
    for_good: bool,
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    static SEEN: Cell<u64> = const { Cell::new(0) };
    static HITS: Cell<u64> = const { Cell::new(0) };
}

/// Counts an allocation of the crate under test, and says whether it is to fail.
fn is_refused(bytes: usize) -> bool {
    if bytes < PAGE || !is_under_fault() {
        return false;
    }
    let index = SEEN.replace(SEEN.get() + 1);
    let is_hit = FAULT.get().is_some_and(|fault| index == fault.index || (fault.for_good && index > fault.index));
    HITS.set(HITS.get() + u64::from(is_hit));
    is_hit
}

// SAFETY: all memory is the system allocator's, which keeps the promises; a null pointer says that there is none.
unsafe impl GlobalAlloc for Short {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the same promises to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if is_refused(bytes) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(start, layout, bytes) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) }
    }
}

fn arm(fault: Option<Fault>) {
    FAULT.set(fault);
    SEEN.set(0);
    HITS.set(0);
}

/// An allocation that fails.
#[derive(Debug)]
struct NoMemory(Fault);

impl Trouble for NoMemory {
    fn begin(&self) {
        arm(Some(self.0));
    }

    fn hits(&self) -> u64 {
        HITS.get()
    }

    fn end(&self) {
        FAULT.set(None);
    }

    fn spares_reads(&self) -> bool {
        // Those that are made to check are not calls under test.
        true
    }

    fn check(&self, error: &Error) {
        assert!(matches!(error, Error::System { syscall: "malloc", errno: libc::ENOMEM, .. }), "{error:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    File,
    Portable,
    Sealed,
    Compressed,
    Both,
    Swap,
}

/// Each with checksums or without.
const MODES: [(Mode, bool); 10] = [
    (Mode::File, true),
    (Mode::File, false),
    (Mode::Portable, true),
    (Mode::Portable, false),
    (Mode::Sealed, true),
    (Mode::Sealed, false),
    (Mode::Compressed, true),
    (Mode::Both, true),
    (Mode::Swap, true),
    (Mode::Swap, false),
];

impl Mode {
    fn operations(self) -> Vec<&'static Operation> {
        let long = OF_MANY.iter().chain([&COLLECTING_PIECES]);
        // The codec is slow in the debug build.
        let long = long.filter(|_| self != Self::Both);
        OPERATIONS.iter().chain(long).chain((self == Self::Compressed).then_some(&PAGEOUT_OF_PIECES)).collect()
    }

    fn world(self, integrity: bool, scratch: &Path) -> World {
        let backend = if self == Self::Swap { Backend::Swap } else { Backend::File };
        let directory = scratch.to_owned();
        let build = move |named| {
            let builder = Pager::builder().integrity(integrity).backend(backend).allow_ram_backed(true);
            let builder = builder.encryption(matches!(self, Self::Sealed | Self::Both)).compression(self.compression());
            let builder = if self == Self::Portable { builder.portable() } else { builder };
            if named == Named::Directory { builder.scratch_dir(&directory).build() } else { builder.build() }
        };
        let ground = Ground::Real(scratch.to_owned());
        World::new(ground, Box::new(build), self.compression())
    }

    fn compression(self) -> Compression {
        if matches!(self, Self::Compressed | Self::Both) { Compression::Lz4 } else { Compression::None }
    }
}

/// How many allocations of [`PAGE`] bytes and more an operation makes.
fn allocations_of(operation: &Operation, world: World) -> u64 {
    let mut count = 0;
    without_trouble(world, operation, |_| arm(None), |_| count = SEEN.get());
    count
}

fn sweep_operation(operation: &Operation, world: &dyn Fn() -> World, ledger: &mut Ledger) {
    for index in 0..allocations_of(operation, world()) {
        for for_good in [false, true] {
            let trouble = NoMemory(Fault { index, for_good });
            let hit = try_trouble(world(), operation, &trouble);
            let lasts = if for_good { "for good" } else { "once" }.to_owned();
            ledger.enter(Point { operation: operation.name, call: "malloc", index, outcome: "ENOMEM".to_owned(), lasts }, hit);
        }
    }
}

/// Points of all modes together.
static TOTAL: Total = Total::new("allocations", MODES.len(), 590);

/// In a process of its own, whose descriptors are those of the sweep alone.
fn sweep(test: &str, floors: [usize; MODES.len()]) {
    in_own_process(
        test,
        |_| {},
        || {
            // What says how much memory there is stays open from the first pager on, for as long as the process lives.
            check_works(&builder(scratch().path()).build().expect("a pager"));
            for ((mode, integrity), floor) in MODES.into_iter().zip(floors) {
                let scratch = scratch();
                let mut ledger =
                    Ledger::new(format!("allocations, {mode:?}, integrity {}", if integrity { "on" } else { "off" }));
                for operation in mode.operations() {
                    sweep_operation(operation, &|| mode.world(integrity, scratch.path()), &mut ledger);
                }
                TOTAL.add(ledger.close(floor));
            }
        },
    );
}

#[test]
fn every_operation_survives_that_memory_is_short() {
    sweep("every_operation_survives_that_memory_is_short", [54, 50, 70, 66, 54, 54, 96, 68, 46, 42]);
}
