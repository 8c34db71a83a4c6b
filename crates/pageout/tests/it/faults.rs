//! What happens when the device fails: every call of every operation fails in every way, and the promises still hold.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pageout::{Backend, Compression, Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Entry, Fault, Feature, Lasts, Short};
use pageout_testing::ledger::{Ledger, Point, Total};
use pageout_testing::sweep::{
    COLLECTING_PIECES, Ground, Named, ON_A_FULL_DISK, OPERATIONS, Operation, ROOM, Trouble, WITHOUT_ITS_DIRECTORY, World,
    try_trouble, without_trouble,
};
use pageout_testing::{KIB, LARGEST_SLOT, assert_same, check_works, cut, elements, gather, panic_text, slot_bytes};

/// Error numbers that a kind of call may plausibly give. EINTR is one of reservations alone: the device itself repeats other
/// calls, as it passes over what a file system only cannot do.
fn errnos(call: Call) -> &'static [i32] {
    use libc::{
        EACCES, EAGAIN, EBADF, EBUSY, EDQUOT, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EIO, EISDIR, ELOOP, EMFILE, EMLINK,
        ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS,
        ESTALE,
    };
    match call {
        Call::Open => &[
            EACCES,
            EDQUOT,
            EEXIST,
            EINVAL,
            EIO,
            EISDIR,
            ELOOP,
            EMFILE,
            EMLINK,
            ENAMETOOLONG,
            ENFILE,
            ENOENT,
            ENOMEM,
            ENOSPC,
            ENOSYS,
            ENOTDIR,
            EOVERFLOW,
            EPERM,
            EROFS,
            ESTALE,
        ],
        Call::Facts | Call::Room => &[EIO, ENOMEM, ENOSYS, EOVERFLOW, ESTALE],
        Call::Create => &[
            EACCES,
            EBUSY,
            EDQUOT,
            EEXIST,
            EINVAL,
            EIO,
            EISDIR,
            ELOOP,
            EMFILE,
            ENAMETOOLONG,
            ENFILE,
            ENOENT,
            ENOMEM,
            ENOSPC,
            ENOSYS,
            ENOTDIR,
            EOPNOTSUPP,
            EOVERFLOW,
            EPERM,
            EROFS,
            ESTALE,
        ],
        Call::Write => &[EAGAIN, EDQUOT, EFAULT, EFBIG, EINVAL, EIO, ENOMEM, ENOSPC, ENOSYS, ENXIO, EPERM, EROFS, ESTALE],
        Call::Read | Call::ReadCached => &[EAGAIN, EBADF, EFAULT, EINVAL, EIO, ENODEV, ENOMEM, ENOSYS, ESTALE],
        Call::Reserve => &[EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENODEV, ENOMEM, ENOSPC, EROFS],
        Call::Punch => &[EDQUOT, EINVAL, EIO, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM],
        Call::Truncate => &[EIO, ENOMEM, EROFS],
        Call::Current => &[EIO],
        Call::WriteBack | Call::CheckWriteBack => &[EDQUOT, EINVAL, EIO, ENOMEM, ENOSPC],
        // Hints: whatever is said, nobody hears it.
        Call::Announce | Call::Evict => &[EINVAL, ENOSYS],
    }
}

/// What may go wrong with a call of so many bytes.
fn effects(call: Call, len_bytes: u64, lasts: Lasts) -> Vec<Effect> {
    let mut effects: Vec<Effect> = errnos(call).iter().map(|&errno| Effect::Fail(errno)).collect();
    if matches!(call, Call::Write | Call::Read | Call::ReadCached) {
        effects.extend(Short::all_of(len_bytes, lasts).map(Effect::Short));
    }
    if matches!(call, Call::Facts | Call::Room | Call::Create | Call::Reserve | Call::Write) {
        effects.extend([Effect::TakeRoom(0), Effect::TakeRoom(3)]);
    }
    if call == Call::WriteBack {
        effects.push(Effect::LateError(libc::EIO));
    }
    effects
}

/// What the device is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All that Linux has.
    File,
    /// Only what every platform has: no reserved space, no holes, no reads from memory alone, no write-back.
    Portable,
    /// A file system that can neither reserve space nor give it back.
    Simple,
    /// A file system that cannot reserve space.
    NoReserve,
    /// A file system that cannot make holes.
    NoPunch,
    /// Signals interrupt every reservation of more than a few pages.
    Interrupted,
    /// Nothing is in memory.
    Cold,
    /// Memory is short, so that what is written is pushed to the device and what is freed leaves memory.
    MemoryShort,
    /// The same, and write-back cannot be started.
    NoWriteBack,
    /// All that Linux has, and payloads are encrypted.
    Sealed,
    /// And compressed.
    Compressed,
    /// And both.
    Both,
    /// Payloads stay in memory unless the file backend is asked for.
    Swap,
}

impl Mode {
    fn disk(self) -> Disk {
        let disk = Disk::new();
        match self {
            Self::Interrupted => disk.interrupt_reserves_above(16 << 10),
            Self::Cold => disk.set_cold_from(0),
            Self::MemoryShort | Self::NoWriteBack => disk.set_memory(8 << 10),
            _ => {}
        }
        let denied: &[Feature] = match self {
            Self::Portable => &[Feature::Reserve, Feature::Punch, Feature::CachedReads, Feature::WriteBack],
            Self::Simple => &[Feature::Reserve, Feature::Punch],
            Self::NoReserve => &[Feature::Reserve],
            Self::NoPunch => &[Feature::Punch],
            Self::NoWriteBack => &[Feature::WriteBack],
            _ => &[],
        };
        denied.iter().fold(disk, |disk, &feature| disk.without(feature))
    }

    fn world(self, integrity: bool) -> World {
        let disk = self.disk();
        let backend = if self == Self::Swap { Backend::Swap } else { Backend::File };
        let ground = Ground::Simulated(disk.clone());
        let build = move |named| {
            let builder = Pager::builder().device(disk.clone()).integrity(integrity).backend(backend);
            let builder = builder.encryption(matches!(self, Self::Sealed | Self::Both)).compression(self.compression());
            let builder = if named == Named::Directory { builder.scratch_dir("/scratch") } else { builder };
            builder.build()
        };
        World::new(ground, Box::new(build), self.compression())
    }

    fn compression(self) -> Compression {
        if matches!(self, Self::Compressed | Self::Both) { Compression::Lz4 } else { Compression::None }
    }

    fn operations(self) -> Vec<&'static Operation> {
        // The codec is slow in the debug build: its pieces have a test of their own.
        let pieces = matches!(self, Self::File | Self::Sealed).then_some(&COLLECTING_PIECES);
        OPERATIONS.iter().chain(ON_A_FULL_DISK).chain(WITHOUT_ITS_DIRECTORY).chain(pieces).collect()
    }
}

/// A fault of the simulated device.
#[derive(Debug)]
struct DeviceTrouble {
    disk: Disk,
    fault: Fault,
}

impl Trouble for DeviceTrouble {
    fn begin(&self) {
        self.disk.arm(self.fault);
    }

    fn hits(&self) -> u64 {
        self.disk.hits()
    }

    fn end(&self) {
        self.disk.disarm();
    }

    fn spares_reads(&self) -> bool {
        !matches!(self.fault.call, Call::Read | Call::ReadCached)
    }

    fn check(&self, error: &Error) {
        check_error(error, self.fault);
    }
}

/// An error says what went wrong, in the form that its kind has.
fn check_error(error: &Error, fault: Fault) {
    if let Error::ScratchDir { tried } = error {
        return tried.iter().for_each(|refused| check_error(&refused.reason, fault));
    }
    if matches!(fault.effect, Effect::TakeRoom(_)) {
        let is_refusal = matches!(error, Error::Capacity(_) | Error::System { errno: libc::ENOSPC, space: Some(_), .. });
        assert!(is_refusal, "{error:?}");
        return;
    }
    let Effect::Fail(injected) = fault.effect else {
        let ended_early = matches!(error, Error::Corrupt { .. }) || error.raw_os_error() == Some(libc::EIO);
        assert!(fault.effect == Effect::Short(Short::Bytes(0)) && ended_early, "{error:?}");
        return;
    };
    if let (Error::Capacity(_), Call::Facts | Call::Room | Call::Punch | Call::Truncate) = (error, fault.call) {
        // Where nobody says how much room there is, the capacity stays as it was; where none can be made, too.
        return;
    }
    let Error::System { syscall, errno, path, space, .. } = error else { panic!("{error:?}") };
    assert_ne!(*errno, libc::EINTR, "signals are no reason to fail: smaller steps, or none at all");
    // Where space is short already, a failure to make some is not worth telling.
    let is_shortage = matches!(*errno, libc::ENOSPC | libc::EDQUOT);
    assert!(*errno == injected || (fault.call == Call::Punch && is_shortage), "{error:?}");
    assert!(*syscall == fault.call.syscall() || fault.call == Call::Punch, "{error:?}");
    assert!(path.is_some(), "{error:?}");
    if matches!(fault.call, Call::Write | Call::Reserve) {
        assert_eq!(space.is_some(), is_shortage, "{error:?}");
    }
}

/// The calls that an operation makes without a fault, each with its number among those of its kind.
fn calls_of(operation: &Operation, world: World) -> Vec<(Entry, u64)> {
    let mut log = Vec::new();
    without_trouble(world, operation, |world| world.disk().forget(), |world| log = world.disk().log());
    let mut seen = BTreeMap::new();
    let numbered = |entry: Entry| {
        let count: &mut u64 = seen.entry(entry.call).or_default();
        *count += 1;
        (entry, *count - 1)
    };
    log.into_iter().map(numbered).collect()
}

/// Failures of one sweep that are listed; then it ends.
const FAILURES_MAX: usize = 10;

/// Puts an operation through every fault of every call that it makes; says where a promise was broken.
fn sweep_operation(mode: Mode, integrity: bool, operation: &Operation, ledger: &mut Ledger) -> Vec<String> {
    let mut failures = Vec::new();
    let calls = catch_unwind(AssertUnwindSafe(|| calls_of(operation, mode.world(integrity))));
    let calls = calls.unwrap_or_else(|cause| {
        failures.push(format!("{}, without a fault: {}", operation.name, panic_text(&*cause)));
        Vec::new()
    });
    for (fault, entry) in calls.iter().flat_map(|(entry, index)| faults_of(*entry, *index)) {
        let trial = || {
            let world = mode.world(integrity);
            let trouble = DeviceTrouble { disk: world.disk().clone(), fault };
            try_trouble(world, operation, &trouble)
        };
        match catch_unwind(trial) {
            Ok(hit) => ledger.enter(point(operation, entry, fault), hit),
            Err(cause) => failures.push(format!("{}, {fault:?}: {}", operation.name, panic_text(&*cause))),
        }
        if failures.len() == FAILURES_MAX {
            break;
        }
    }
    failures
}

/// The faults of a call that is number `index` of its kind.
fn faults_of(entry: Entry, index: u64) -> impl Iterator<Item = (Fault, Entry)> {
    [Lasts::Once, Lasts::ForGood].into_iter().flat_map(move |lasts| {
        let effects = effects(entry.call, entry.len_bytes, lasts).into_iter();
        effects.map(move |effect| (Fault { call: entry.call, index, effect, lasts }, entry))
    })
}

fn point(operation: &Operation, entry: Entry, fault: Fault) -> Point {
    let outcome = match fault.effect {
        Effect::Short(short) => format!("{} bytes", short.of(entry.len_bytes)),
        effect => format!("{effect:?}"),
    };
    let (call, lasts) = (entry.call.name(), format!("{:?}", fault.lasts));
    Point { operation: operation.name, call, index: fault.index, outcome, lasts }
}

/// Points of all modes together.
static TOTAL: Total = Total::new("simulated device", 20, 25_000);

/// Puts every operation through every fault of a mode.
fn sweep(mode: Mode, integrity: bool, floor: usize) {
    let name = format!("simulated device, {mode:?}, integrity {}", if integrity { "on" } else { "off" });
    let mut ledger = Ledger::new(name.clone());
    let mut failures = Vec::new();
    for operation in mode.operations() {
        failures.extend(sweep_operation(mode, integrity, operation, &mut ledger));
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    assert!(failures.is_empty(), "{name}: {} faults broke a promise:\n{}", failures.len(), failures.join("\n"));
    TOTAL.add(ledger.close(floor));
}

#[test]
fn every_operation_survives_every_fault() {
    sweep(Mode::File, true, 2_300);
}

#[test]
fn every_operation_survives_every_fault_without_checksums() {
    sweep(Mode::File, false, 2_300);
}

#[test]
fn every_operation_survives_every_fault_of_a_portable_device() {
    sweep(Mode::Portable, true, 2_570);
}

#[test]
fn every_operation_survives_every_fault_of_a_portable_device_without_checksums() {
    sweep(Mode::Portable, false, 2_530);
}

#[test]
fn every_operation_survives_every_fault_of_a_simple_file_system() {
    sweep(Mode::Simple, true, 2_060);
}

#[test]
fn every_operation_survives_every_fault_of_a_simple_file_system_without_checksums() {
    sweep(Mode::Simple, false, 2_040);
}

#[test]
fn every_operation_survives_every_fault_when_nothing_is_in_memory() {
    sweep(Mode::Cold, true, 2_620);
}

#[test]
fn every_operation_survives_every_fault_when_nothing_is_in_memory_without_checksums() {
    sweep(Mode::Cold, false, 2_570);
}

#[test]
fn every_operation_survives_every_fault_when_memory_is_short() {
    sweep(Mode::MemoryShort, true, 2_220);
}

#[test]
fn every_operation_survives_every_fault_when_memory_is_short_without_checksums() {
    sweep(Mode::MemoryShort, false, 2_190);
}

#[test]
fn every_operation_survives_every_fault_where_space_cannot_be_reserved() {
    sweep(Mode::NoReserve, true, 2_000);
}

#[test]
fn every_operation_survives_every_fault_where_holes_cannot_be_made() {
    sweep(Mode::NoPunch, true, 2_000);
}

#[test]
fn every_operation_survives_every_fault_where_signals_interrupt_reservations_for_good() {
    sweep(Mode::Interrupted, true, 2_000);
}

#[test]
fn every_operation_survives_every_fault_where_memory_is_short_and_write_back_cannot_be_started() {
    sweep(Mode::NoWriteBack, true, 2_000);
}

#[test]
fn every_operation_survives_every_fault_with_encryption() {
    sweep(Mode::Sealed, true, 2_300);
}

#[test]
fn every_operation_survives_every_fault_with_compression() {
    sweep(Mode::Compressed, true, 2_300);
}

#[test]
fn every_operation_survives_every_fault_with_compression_without_checksums() {
    sweep(Mode::Compressed, false, 2_300);
}

#[test]
fn every_operation_survives_every_fault_with_compression_and_encryption() {
    sweep(Mode::Both, true, 2_300);
}

#[test]
fn every_operation_survives_every_fault_with_the_swap_backend() {
    sweep(Mode::Swap, true, 750);
}

#[test]
fn every_operation_survives_every_fault_with_the_swap_backend_without_checksums() {
    sweep(Mode::Swap, false, 750);
}

/// Faults of the calls that opening a scratch directory makes.
fn opening_faults() -> impl Iterator<Item = Fault> {
    let calls = [Call::Open, Call::Facts, Call::Create, Call::Write, Call::Read];
    calls.into_iter().flat_map(|call| {
        let lasts = [Lasts::Once, Lasts::ForGood];
        lasts.into_iter().flat_map(move |lasts| {
            errnos(call).iter().map(move |&errno| Fault { call, index: 0, effect: Effect::Fail(errno), lasts })
        })
    })
}

#[test]
fn a_named_directory_that_fails_is_refused_by_name_and_may_be_tried_again() {
    for fault in opening_faults() {
        let disk = Disk::new();
        disk.arm(fault);
        match disk.builder().build() {
            Ok(pager) => {
                let is_full = matches!(fault.effect, Effect::Fail(libc::ENOSPC | libc::EDQUOT)) && fault.call != Call::Open;
                assert!(is_full, "only a full disk is no reason to refuse a directory: {fault:?}");
                disk.disarm();
                check_works(&pager);
            }
            Err(error) => {
                let Error::ScratchDir { tried } = &error else { panic!("{fault:?}: {error:?}") };
                assert_eq!((tried.len(), tried[0].path.as_path()), (1, std::path::Path::new("/scratch")));
                assert_eq!(Effect::Fail(tried[0].reason.raw_os_error().expect("a number")), fault.effect);
                assert!(error.to_string().contains("/scratch"), "{error}");
                assert_eq!((disk.open_files(), disk.room()), (0, ROOM), "nothing stays open");
                disk.disarm();
                check_works(&disk.pager());
            }
        }
    }
}

#[test]
fn the_default_search_passes_over_directories_that_fail() {
    for fault in opening_faults() {
        let disk = Disk::new();
        let pager = Pager::builder().device(disk.clone()).build().expect("nothing is opened");
        disk.arm(fault);
        let mut chunks = [elements::<u64>(100, 1)];
        match pager.pageout(&mut chunks) {
            Ok(handle) => drop(handle),
            Err(error @ Error::ScratchDir { .. }) => {
                assert_eq!(fault.lasts, Lasts::ForGood, "a second directory was there: {error:?}");
                let Error::ScratchDir { tried } = error else { unreachable!() };
                let last = tried.last().expect("a directory was tried");
                assert_eq!(last.path, std::path::Path::new("/var/tmp"));
                assert!(tried.iter().all(|refused| refused.reason.raw_os_error().map(Effect::Fail) == Some(fault.effect)));
                assert_same(&chunks[0], &elements::<u64>(100, 1));
                assert_eq!(pager.stats().scratch_dir, None, "nothing is decided");
            }
            // The directory was good, and the call failed again behind the opening.
            Err(error) => assert_eq!((error.raw_os_error().map(Effect::Fail), fault.lasts), (Some(fault.effect), Lasts::ForGood)),
        }
        disk.disarm();
        check_works(&pager);
    }
}

#[test]
fn transfers_of_one_byte_at_a_time_are_finished() {
    let disk = Disk::new();
    let pager = disk.pager();
    let slow = |call| disk.arm(Fault { call, index: 0, effect: Effect::Short(Short::Bytes(1)), lasts: Lasts::ForGood });
    for lens in [vec![700], vec![1; 1_500], vec![0, 5, 0, 0, 600, 0]] {
        let whole = elements::<u64>(lens.iter().sum(), 3);
        slow(Call::Write);
        let handle = pager.pageout(&mut cut(&whole, &lens)).expect("a pageout");
        slow(Call::Read);
        let mut some = Vec::new();
        pager.read_at_many(&handle, &[(500, 90), (3, 4), (100, 100)], &mut some).expect("a read");
        assert_same(&some, &gather(&whole, &[(500, 90), (3, 4), (100, 100)]));
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole);
    }
}

#[test]
fn a_payload_of_several_slots_survives_faults_of_any_of_them() {
    let disk = Disk::new();
    let pager = disk.builder().integrity(false).build().expect("a pager in memory");
    let whole = elements::<u8>(LARGEST_SLOT + 100 * KIB, 1);
    let bystander = pager.pageout(&mut [elements::<u64>(600, 1)]).expect("a pageout");
    let mut chunks = cut(&whole, &[10, LARGEST_SLOT - 20]);
    let addresses: Vec<_> = chunks.iter().map(|chunk| (chunk.as_ptr(), chunk.len(), chunk.capacity())).collect();
    let mut hits = 0;
    for (call, index) in [(Call::Create, 0), (Call::Create, 1), (Call::Reserve, 0), (Call::Write, 0), (Call::Write, 1)] {
        for errno in [libc::EIO, libc::ENOSPC] {
            disk.arm(Fault { call, index, effect: Effect::Fail(errno), lasts: Lasts::ForGood });
            let error = pager.pageout(&mut chunks).expect_err("the device fails");
            hits += u32::from(disk.disarm() > 0);
            assert_eq!(error.raw_os_error(), Some(errno));
            let kept: Vec<_> = chunks.iter().map(|chunk| (chunk.as_ptr(), chunk.len(), chunk.capacity())).collect();
            assert_eq!((kept, pager.stats().used_bytes, pager.stats().handles), (addresses.clone(), 8192, 1));
            pager.trim().expect("a trim");
        }
    }
    assert_eq!(hits, 10);
    assert_same(&chunks.concat(), &whole);
    disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Short(Short::Half), lasts: Lasts::OneOf(2) });
    let mut handle = pager.pageout(&mut chunks).expect("a pageout");
    assert_eq!(pager.stats().used_bytes, 8192 + slot_bytes(whole.len()));
    let mut all = Vec::new();
    for index in [0, 1] {
        disk.arm(Fault { call: Call::Read, index, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
        let failed = pager.take(handle, &mut all).expect_err("the device fails");
        assert!(all.is_empty());
        handle = failed.into_handle();
    }
    disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::Short(Short::Half), lasts: Lasts::OneOf(2) });
    pager.take(handle, &mut all).expect("a take");
    assert_same(&all, &whole);
    drop(bystander);
    assert_eq!(pager.stats().used_bytes, 0);
}

#[test]
fn threads_on_a_flaky_device_get_right_bytes_or_typed_errors() {
    let effects = [
        (Call::Write, Effect::Fail(libc::EIO)),
        (Call::Write, Effect::Short(Short::Half)),
        (Call::Write, Effect::Fail(libc::ENOSPC)),
        (Call::Write, Effect::LoseWrite),
        (Call::Read, Effect::Fail(libc::EIO)),
        (Call::Read, Effect::FlipRead(3)),
        (Call::Read, Effect::MisplaceRead(4096)),
        (Call::Reserve, Effect::Fail(libc::ENOSPC)),
        (Call::Create, Effect::Fail(libc::EMFILE)),
    ];
    for (call, effect) in effects {
        let disk = Disk::new();
        let pager = disk.builder().capacity_bytes(1 << 22).build().expect("a pager in memory");
        disk.arm(Fault { call, index: 2, effect, lasts: Lasts::OneOf(7) });
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let pager = &pager;
                scope.spawn(move || churn(pager, thread));
            }
        });
        assert!(disk.disarm() > 0, "{call:?}");
        let stats = pager.stats();
        assert_eq!((stats.handles, stats.payload_bytes, stats.used_bytes), (0, 0, 0));
        check_works(&pager);
    }
}

/// Pages out, reads and takes payloads of many lengths; bytes that come back must be right.
fn churn(pager: &Pager, thread: u64) {
    let mut held: Vec<(Handle<u8>, u64)> = Vec::new();
    for round in 0..120 {
        let seed = thread * 1000 + round;
        let len = usize::try_from(seed * 7919 % 30_000 + 1).expect("a small number");
        let mut chunks = cut(&elements::<u8>(len, seed), &[len / 2]);
        match pager.pageout(&mut chunks) {
            Ok(handle) => held.push((handle, seed)),
            Err(_) => assert_same(&chunks.concat(), &elements::<u8>(len, seed)),
        }
        if let Some((handle, seed)) = held.first() {
            let (half, mut dst) = (handle.len() / 2, Vec::new());
            if pager.read_at(handle, half, handle.len() - half, &mut dst).is_ok() {
                assert_same(&dst, &elements::<u8>(handle.len(), *seed)[half..]);
            }
        }
        if held.len() > 9 {
            let (handle, seed) = held.swap_remove(usize::try_from(round % 7).expect("a small number"));
            let (len, mut all) = (handle.len(), Vec::new());
            match pager.take(handle, &mut all) {
                Ok(()) => assert_same(&all, &elements::<u8>(len, seed)),
                Err(failed) => drop(failed.into_handle()),
            }
        }
    }
}
