//! What happens when the device fails: every call of every operation fails in every way, and the promises still hold.

mod common;

use common::faulty::{Call, Disk, Effect, Fault, Lasts, Short};
use common::{KIB, LARGEST_SLOT, MIB, assert_same, check_works, cut, elements, gather, memories, slot_bytes, u64_of};
use pageout::{Backend, Error, Handle, Pager};

/// Error numbers that a kind of call may plausibly give. EINTR is none of them: the device itself repeats such calls.
fn errnos(call: Call) -> &'static [i32] {
    use libc::{
        EACCES, EBADF, EDQUOT, EFAULT, EFBIG, EINVAL, EIO, ELOOP, EMFILE, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTDIR, ENXIO,
        EOPNOTSUPP, EPERM, EROFS, ESTALE,
    };
    match call {
        Call::Open => &[EACCES, ENOENT, ENOTDIR, EROFS, EMFILE, ENFILE, ENOMEM, EIO, ELOOP, ENOSPC],
        Call::Facts => &[EIO, ENOMEM, ESTALE],
        Call::Create => &[EMFILE, ENFILE, ENOSPC, EDQUOT, EIO, EACCES, EROFS, ENOMEM, ENOENT, EOPNOTSUPP],
        Call::Write => &[ENOSPC, EDQUOT, EIO, EFBIG, EROFS, ENOMEM, EINVAL, EPERM, ENXIO, ESTALE],
        Call::Read | Call::ReadCached => &[EIO, EINVAL, ENOMEM, EBADF, ESTALE, EFAULT, ENODEV],
        Call::Reserve => &[ENOSPC, EDQUOT, EIO, EFBIG, ENOMEM, EROFS, EINVAL, ENODEV],
        Call::Punch => &[EOPNOTSUPP, ENOSPC, EDQUOT, EIO, EPERM],
        // The first has no answer; the second is made only when memory is short, which write_behind.rs is about.
        Call::Announce | Call::Evict | Call::WriteBack | Call::CheckWriteBack => &[],
    }
}

fn effects(call: Call, lasts: Lasts) -> Vec<Effect> {
    let mut effects: Vec<Effect> = errnos(call).iter().map(|&errno| Effect::Fail(errno)).collect();
    if matches!(call, Call::Write | Call::Read | Call::ReadCached) {
        effects.extend(Short::ALL.map(Effect::Short));
        // One byte at a time for long payloads would take very long; short ones have a test of their own.
        effects.retain(|&effect| lasts == Lasts::Once || effect != Effect::Short(Short::Bytes(1)));
    }
    effects
}

/// What an operation works on.
#[derive(Debug, Default)]
struct Subject {
    whole: Vec<u64>,
    chunks: Vec<Vec<u64>>,
    handle: Option<Handle>,
}

impl Subject {
    fn to_put_out(len: usize, lens: &[usize]) -> Self {
        let whole = elements(len, 77);
        Self { chunks: cut(&whole, lens), whole, handle: None }
    }

    fn is_out(pager: &Pager, len: usize) -> Self {
        let mut subject = Self::to_put_out(len, &[len / 3]);
        subject.handle = Some(pager.pageout(&mut subject.chunks).expect("a pageout without a fault"));
        subject
    }

    fn used_bytes(&self) -> u64 {
        self.handle.as_ref().map_or(0, |handle| slot_bytes(handle.len_bytes()))
    }
}

/// An operation under test: brings a fresh world into position, then does it and checks what it left behind.
struct Operation {
    name: &'static str,
    prepare: fn(&mut World) -> Subject,
    run: fn(&World, &mut Subject) -> Result<(), Error>,
}

/// A pager with payloads that are not the operation's business.
struct World {
    disk: Disk,
    pager: Pager,
    bystanders: Vec<(Handle, Vec<u64>)>,
}

impl World {
    fn new(variant: Variant) -> Self {
        let disk = variant.disk();
        let pager = disk.builder().integrity(variant != Variant::Unchecked).build().expect("a pager in memory");
        let mut world = Self { disk, pager, bystanders: Vec::new() };
        world.add_bystander(Backend::File, 600);
        world.add_bystander(Backend::File, 12_000);
        world.add_bystander(Backend::Swap, 600);
        world
    }

    fn add_bystander(&mut self, backend: Backend, len: usize) {
        let whole = elements(len, u64_of(self.bystanders.len()));
        let handle = self.pager.pageout_with(backend, &mut cut(&whole, &[len / 2])).expect("a pageout without a fault");
        self.bystanders.push((handle, whole));
    }

    fn check_numbers(&self, subject: &Subject) {
        let stats = self.pager.stats();
        let stored = self.bystanders.iter().filter(|(handle, _)| handle.backend() == Backend::File);
        let used_bytes: u64 = stored.map(|(handle, _)| slot_bytes(handle.len_bytes())).sum();
        assert_eq!(stats.used_bytes, used_bytes + subject.used_bytes(), "used bytes");
        let handles = self.bystanders.len() + usize::from(subject.handle.is_some());
        assert_eq!(stats.handles, u64_of(handles), "handles");
        assert!(stats.scratch_bytes >= stats.used_bytes);
    }

    fn check_bystanders(&self) {
        for (handle, whole) in &self.bystanders {
            let mut all = Vec::new();
            self.pager.read_at(handle, 0, whole.len(), &mut all).expect("a payload that has nothing to do with the fault");
            assert_same(&all, whole);
        }
    }

    /// Drops everything and checks that nothing is left.
    fn end(self, subject: Subject) {
        let Self { disk, pager, bystanders } = self;
        drop((subject, bystanders));
        let stats = pager.stats();
        assert_eq!((stats.used_bytes, stats.handles, stats.payload_bytes), (0, 0, 0));
        let files_before_trim = disk.open_files();
        pager.trim().expect("a trim");
        assert_eq!((disk.open_files(), pager.stats().scratch_bytes), (0, 0), "{files_before_trim} files before the trim");
        drop(pager);
        assert_eq!(disk.room(), ROOM);
    }
}

/// What the simulated devices have room for.
const ROOM: u64 = 1 << 40;

/// What the device and the pager are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Plain,
    Unchecked,
    /// A file system that can neither reserve space nor give it back.
    Simple,
    /// Nothing is in memory.
    Cold,
}

impl Variant {
    fn disk(self) -> Disk {
        let disk = Disk::new();
        match self {
            Self::Plain | Self::Unchecked => disk,
            Self::Simple => disk.without_reserve().without_punch(),
            Self::Cold => {
                disk.set_cold_from(0);
                disk
            }
        }
    }
}

fn page_out(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let before = memories(&subject.chunks);
    match world.pager.pageout(&mut subject.chunks) {
        Ok(handle) => {
            assert!(subject.chunks.iter().all(Vec::is_empty));
            subject.handle = Some(handle);
            Ok(())
        }
        Err(error) => {
            assert_eq!(memories(&subject.chunks), before, "the caller's chunks");
            Err(error)
        }
    }
}

fn copy_out(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let slices: Vec<&[u64]> = subject.chunks.iter().map(Vec::as_slice).collect();
    subject.handle = Some(world.pager.pageout_copy(&slices)?);
    Ok(())
}

fn collect(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let mut collector = world.pager.collector();
    subject.chunks.iter().try_for_each(|chunk| collector.append(chunk))?;
    subject.handle = Some(collector.finish()?);
    Ok(())
}

fn read_ranges(world: &World, subject: &Subject, ranges: &[(usize, usize)]) -> Result<(), Error> {
    let mut dst = elements::<u64>(5, 1);
    let handle = subject.handle.as_ref().expect("a payload that is out");
    match world.pager.read_at_many(handle, ranges, &mut dst) {
        Ok(()) => {
            assert_same(&dst, &[elements::<u64>(5, 1), gather(&subject.whole, ranges)].concat());
            Ok(())
        }
        Err(error) => {
            assert_same(&dst, &elements::<u64>(5, 1));
            Err(error)
        }
    }
}

fn take(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let mut dst = vec![1, 2, 3];
    let handle = subject.handle.take().expect("a payload that is out");
    match world.pager.take(handle, &mut dst) {
        Ok(()) => {
            assert_same(&dst, &subject.whole);
            Ok(())
        }
        Err(failed) => {
            assert!(dst.is_empty() || dst == [1, 2, 3], "the destination is empty or as before");
            let error = failed.error().clone();
            subject.handle = Some(failed.into_handle());
            Err(error)
        }
    }
}

const SEVERAL: &[(usize, usize)] = &[(9_000, 40), (0, 700), (3_000, 1_030), (20_000, 1), (20_100, 30), (12_000, 513)];

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "pageout into a free slot",
        prepare: |world| {
            drop(Subject::is_out(&world.pager, 3_000));
            Subject::to_put_out(3_000, &[100, 0, 1_000])
        },
        run: page_out,
    },
    Operation { name: "first pageout of a class", prepare: |_| Subject::to_put_out(3_000, &[100]), run: page_out },
    Operation {
        name: "pageout that lengthens a file",
        prepare: |world| {
            // The file of a class begins with room for 1 MiB, which is ten slots of this one.
            (0..9).for_each(|_| world.add_bystander(Backend::File, 12_000));
            Subject::to_put_out(12_000, &[100])
        },
        run: page_out,
    },
    Operation { name: "pageout of many chunks", prepare: |_| Subject::to_put_out(4_000, &[3; 1_100]), run: page_out },
    Operation {
        name: "pageout on a full disk",
        prepare: |world| {
            let held: Vec<_> = (0..20).map(|_| Subject::is_out(&world.pager, 3_000)).collect();
            drop(held);
            world.disk.set_room(0);
            Subject::to_put_out(10_000, &[])
        },
        run: page_out,
    },
    Operation { name: "pageout of borrowed chunks", prepare: |_| Subject::to_put_out(3_000, &[100]), run: copy_out },
    Operation { name: "collecting chunks", prepare: |_| Subject::to_put_out(3_000, &[100]), run: collect },
    Operation {
        name: "read of all",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(0, 3_000)]),
    },
    Operation {
        name: "read of part of a page",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(600, 3)]),
    },
    Operation {
        name: "read of parts of several pages",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(511, 1_100)]),
    },
    Operation {
        name: "read of the short last page",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(2_999, 1)]),
    },
    Operation {
        name: "read of several ranges",
        prepare: |world| Subject::is_out(&world.pager, 30_000),
        run: |world, subject| read_ranges(world, subject, SEVERAL),
    },
    Operation {
        name: "read of long and short ranges",
        prepare: |world| Subject::is_out(&world.pager, 25_000),
        run: |world, subject| read_ranges(world, subject, &[(14_001, 10_001), (7, 10), (14_000, 1), (1_000, 10_000)]),
    },
    Operation {
        name: "read into a slice",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| {
            let mut target = vec![0; 1_100];
            let handle = subject.handle.as_ref().expect("a payload that is out");
            world.pager.read_into(handle, &[(1_000, 1_000), (0, 100)], &mut target)?;
            assert_same(&target, &gather(&subject.whole, &[(1_000, 1_000), (0, 100)]));
            Ok(())
        },
    },
    Operation { name: "take", prepare: |world| Subject::is_out(&world.pager, 3_000), run: take },
    Operation { name: "take of a page", prepare: |world| Subject::is_out(&world.pager, 512), run: take },
    Operation {
        name: "trim",
        prepare: |world| {
            let mut held: Vec<_> = (0..20).map(|_| Subject::is_out(&world.pager, 3_000)).collect();
            let subject = held.swap_remove(7);
            drop(held);
            subject
        },
        run: |world, _| world.pager.trim(),
    },
    Operation {
        name: "prefetch",
        prepare: |world| Subject::is_out(&world.pager, 30_000),
        run: |world, subject| world.pager.prefetch(subject.handle.as_ref().expect("a payload that is out"), SEVERAL),
    },
];

/// Does the operation under one fault and after it. Says whether the fault hit anything.
fn try_fault(operation: &Operation, variant: Variant, fault: Fault) -> bool {
    let mut world = World::new(variant);
    let mut subject = (operation.prepare)(&mut world);
    world.disk.arm(fault);
    let outcome = (operation.run)(&world, &mut subject);
    world.check_numbers(&subject);
    if !matches!(fault.call, Call::Read | Call::ReadCached) {
        world.check_bystanders();
    }
    let hits = world.disk.disarm();
    if let Err(error) = &outcome {
        check_error(error, fault);
    }
    world.disk.set_room(world.disk.room().max(64 * u64_of(MIB)));
    if outcome.is_err() {
        (operation.run)(&world, &mut subject).expect("the operation succeeds once the fault is gone");
        world.check_numbers(&subject);
    }
    if subject.handle.is_some() {
        take(&world, &mut subject).expect("a take without a fault");
    }
    world.check_bystanders();
    // Put the room right again, of which a full disk had none.
    let held_bytes = world.disk.held_bytes();
    world.disk.set_room(ROOM - held_bytes);
    world.end(subject);
    hits > 0
}

/// An error says what went wrong, in the form that its kind has.
fn check_error(error: &Error, fault: Fault) {
    let Effect::Fail(injected) = fault.effect else {
        let ended_early = matches!(error, Error::Corrupt { .. }) || error.raw_os_error() == Some(libc::EIO);
        assert!(fault.effect == Effect::Short(Short::Bytes(0)) && ended_early, "{error:?}");
        return;
    };
    let Error::System { syscall, errno, path, space, .. } = error else { panic!("{error:?}") };
    // Where space is short already, a failure to make some is not worth telling.
    let is_shortage = matches!(*errno, libc::ENOSPC | libc::EDQUOT);
    assert!(*errno == injected || (fault.call == Call::Punch && is_shortage), "{error:?}");
    assert!(*syscall == fault.call.syscall() || fault.call == Call::Punch, "{error:?}");
    assert_eq!(path.as_deref(), Some(std::path::Path::new("/scratch")));
    if matches!(fault.call, Call::Write | Call::Reserve | Call::Create) {
        assert_eq!(space.is_some(), is_shortage, "{error:?}");
    }
}

/// How often each kind of call is made by an operation without a fault.
fn calls_of(operation: &Operation, variant: Variant) -> Vec<(Call, u64)> {
    let mut world = World::new(variant);
    let mut subject = (operation.prepare)(&mut world);
    world.disk.forget();
    (operation.run)(&world, &mut subject).expect("nothing fails without a fault");
    Call::ALL.into_iter().map(|call| (call, world.disk.count(call))).filter(|(_, count)| *count > 0).collect()
}

/// Puts an operation through every fault of every call that it makes. Gives the faults that hit a call.
fn sweep(variant: Variant, operation: &Operation) -> u32 {
    let mut hits = 0;
    for (call, count) in calls_of(operation, variant) {
        // A call past the last one of the fault-free run may follow a fault, so one more is tried.
        for (index, lasts) in (0..=count).flat_map(|index| [(index, Lasts::Once), (index, Lasts::ForGood)]) {
            for effect in effects(call, lasts) {
                let fault = Fault { call, index, effect, lasts };
                let outcome = std::panic::catch_unwind(|| try_fault(operation, variant, fault));
                let hit = outcome.unwrap_or_else(|_| panic!("{}, {variant:?}, {fault:?}", operation.name));
                hits += u32::from(hit);
            }
        }
    }
    hits
}

#[test]
fn every_operation_survives_every_fault_of_every_call() {
    let hits: u32 = OPERATIONS.iter().map(|operation| sweep(Variant::Plain, operation)).sum();
    assert!(hits >= 700, "only {hits} faults hit a call");
}

#[test]
fn every_operation_survives_every_fault_without_checksums() {
    let hits: u32 = OPERATIONS.iter().map(|operation| sweep(Variant::Unchecked, operation)).sum();
    assert!(hits >= 700, "only {hits} faults hit a call");
}

#[test]
fn every_operation_survives_every_fault_of_a_simple_file_system() {
    let hits: u32 = OPERATIONS.iter().map(|operation| sweep(Variant::Simple, operation)).sum();
    assert!(hits >= 700, "only {hits} faults hit a call");
}

#[test]
fn every_operation_survives_every_fault_when_nothing_is_in_memory() {
    let hits: u32 = OPERATIONS.iter().map(|operation| sweep(Variant::Cold, operation)).sum();
    assert!(hits >= 700, "only {hits} faults hit a call");
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
