//! The exports that take a pager.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, External, Result};
use napi_derive::napi;
use pageout::{Backend, Compression, Environment, MemoryBudget, Pager};

use crate::error::{internal, throw};
use crate::numbers::{double, index, pairs, whole};
use crate::resident::BudgetRef;
use crate::table::{Kept, Payload, Shared, Table};
use crate::task::{Job, spawn};
use crate::view::{ArrayBufferView, Float64Array};

/// Stops nothing.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// A pager as one environment sees it. The alias is the name that index.d.ts prints.
pub type PagerRef = External<Arc<Table>>;

/// The process-wide pager, with a table of payloads for this environment.
#[napi(catch_unwind, ts_return_type = "PagerRef")]
pub fn open_default() -> PagerRef {
    static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Arc::new(Shared { pager: pageout::pager().clone(), kept: Kept::default() }));
    External::new(Arc::new(Table::new(Arc::clone(shared))))
}

/// A pager of its own. A scratch directory that is given is opened now. `environment` is as for `useEnvironment`.
#[allow(clippy::fn_params_excessive_bools, clippy::too_many_arguments, reason = "options, named where JavaScript passes them")]
#[napi(catch_unwind, ts_return_type = "PagerRef")]
pub fn open(
    env: Env,
    scratch_dir: Option<String>,
    capacity_bytes: Option<f64>,
    swap: bool,
    allow_ram_backed: bool,
    integrity: bool,
    encryption: bool,
    lz4: bool,
    exclude_from_core_dumps: bool,
    environment: Option<Vec<String>>,
    budget: Option<&BudgetRef>,
) -> Result<PagerRef> {
    let mut builder = Pager::builder()
        .backend(backend_of(swap))
        .allow_ram_backed(allow_ram_backed)
        .integrity(integrity)
        .encryption(encryption)
        .compression(if lz4 { Compression::Lz4 } else { Compression::None })
        .exclude_from_core_dumps(exclude_from_core_dumps);
    if let Some(scratch_dir) = scratch_dir {
        builder = builder.scratch_dir(scratch_dir);
    }
    if let Some(capacity_bytes) = capacity_bytes {
        builder = builder.capacity_bytes(whole(capacity_bytes)?);
    }
    if let Some(budget) = budget {
        let budget: &MemoryBudget = budget;
        builder = builder.resident_bytes(budget);
    }
    if let Some(environment) = environment {
        builder = builder.environment(environment_of(environment)?);
    }
    let pager = builder.build().map_err(|error| throw(&env, &error))?;
    Ok(External::new(Arc::new(Table::opened(pager))))
}

/// What a pager looks at instead of the environment of the process where no scratch directory is open yet: the values of
/// `PAGEOUT_SCRATCH_DIR` (or an empty string), the temporary directory, and `PAGEOUT_CAPACITY_BYTES` (or an empty string).
#[napi(catch_unwind)]
pub fn use_environment(pager: &PagerRef, environment: Vec<String>) -> Result<()> {
    pager.shared().pager.use_environment(environment_of(environment)?);
    Ok(())
}

/// Makes `directory` the scratch directory of the process-wide pager.
#[napi(catch_unwind)]
pub fn set_scratch_dir(env: Env, directory: String) -> Result<()> {
    pageout::try_set_scratch_dir(PathBuf::from(directory)).map_err(|error| throw(&env, &error))
}

/// Whether later pageouts use the swap backend.
#[napi(catch_unwind)]
pub fn uses_swap(pager: &PagerRef) -> bool {
    pager.shared().pager.backend() == Backend::Swap
}

/// Chooses the backend of later pageouts.
#[napi(catch_unwind)]
pub fn use_swap(pager: &PagerRef, swap: bool) {
    pager.shared().pager.set_backend(backend_of(swap));
}

/// Copies the bytes of all views, in order, to the file backend, and gives their ticket. They are elements of `elementBytes` each.
#[napi(catch_unwind)]
pub fn pageout(env: Env, pager: &PagerRef, views: Vec<ArrayBufferView>, element_bytes: u32) -> Result<f64> {
    let chunks: Vec<&[u8]> = views.iter().map(ArrayBufferView::bytes).collect();
    store(&env, pager, &chunks, element_bytes)
}

/// As `pageout`, for one view.
#[napi(catch_unwind)]
pub fn pageout_one(env: Env, pager: &PagerRef, view: ArrayBufferView, element_bytes: u32) -> Result<f64> {
    store(&env, pager, &[view.bytes()], element_bytes)
}

/// Counts a payload of `lenBytes` that JavaScript keeps in memory, and gives its ticket.
#[napi(catch_unwind)]
pub fn keep(pager: &PagerRef, len_bytes: f64) -> Result<f64> {
    let len_bytes = whole(len_bytes)?;
    let ticket = pager.insert(Payload::Kept(len_bytes))?;
    pager.shared().kept.pageout(len_bytes);
    Ok(ticket)
}

/// Counts a read of a payload that JavaScript keeps in memory.
#[napi(catch_unwind)]
pub fn count_read(pager: &PagerRef, len_bytes: f64) -> Result<()> {
    pager.shared().kept.read(whole(len_bytes)?);
    Ok(())
}

/// Reads bytes of a payload over `target`, which has exactly that length.
#[napi(catch_unwind)]
pub fn read(env: Env, pager: &PagerRef, ticket: f64, offset: f64, mut target: ArrayBufferView) -> Result<()> {
    let len_bytes = target.bytes().len();
    read_ranges(&env, pager, ticket, &[(index(offset)?, len_bytes)], &mut target)
}

/// Reads ranges, given as offset and length one after the other, over `target`, which has exactly their length.
#[napi(catch_unwind)]
pub fn read_many(env: Env, pager: &PagerRef, ticket: f64, ranges: Float64Array, mut target: ArrayBufferView) -> Result<()> {
    let ranges = pairs(&ranges)?;
    read_ranges(&env, pager, ticket, &ranges, &mut target)
}

/// Starts bringing ranges, given as offset and length one after the other, into memory.
#[napi(catch_unwind)]
pub fn prefetch(env: Env, pager: &PagerRef, ticket: f64, ranges: Float64Array) -> Result<()> {
    let handle = pager.stored(ticket)?;
    let ranges = pairs(&ranges)?;
    handle.pager().prefetch(&handle, &ranges).map_err(|error| throw(&env, &error))
}

/// Reads a whole payload over `target`, which has exactly its length, and frees it. On an error it stays.
#[napi(catch_unwind)]
pub fn take(env: Env, pager: &PagerRef, ticket: f64, mut target: ArrayBufferView) -> Result<()> {
    let handle = pager.stored(ticket)?;
    handle.pager().peek(&handle, target.bytes_mut()).map_err(|error| throw(&env, &error))?;
    pager.finish_take(ticket);
    Ok(())
}

/// Another ticket for a stored payload, whose place stays taken until both tickets are freed.
#[napi(catch_unwind)]
pub fn share(pager: &PagerRef, ticket: f64) -> Result<f64> {
    pager.share(ticket)
}

/// Whether the device has lost something of a file that a payload lies in, as far as the system has said so.
#[napi(catch_unwind)]
pub fn is_at_risk(pager: &PagerRef, ticket: f64) -> bool {
    pager.stored(ticket).is_ok_and(|handle| handle.is_at_risk())
}

/// Counts a take whose bytes JavaScript has, and frees the payload.
#[napi(catch_unwind)]
pub fn finish_take(pager: &PagerRef, ticket: f64) {
    pager.finish_take(ticket);
}

/// Frees a payload; false when it was freed before.
#[napi(catch_unwind)]
pub fn free(pager: &PagerRef, ticket: f64) -> bool {
    pager.free(ticket)
}

/// Frees all payloads of this environment. A pager of its own is closed, with all descriptors, once no payload is left that was
/// moved from it; what uses it later fails.
#[napi(catch_unwind)]
pub fn close(pager: &PagerRef) {
    pager.close();
    pageout::memory::give_heap_back();
}

/// As `close`, off the JavaScript thread. It does not fail.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn close_async(pager: &PagerRef) -> AsyncTask<Job<(), ()>> {
    let table = Arc::clone(pager);
    let work = move || {
        table.close();
        pageout::memory::give_heap_back();
        Ok(())
    };
    spawn(work, Ok)
}

/// Gives all disk space back that no payload uses, and the memory of handles that are gone.
#[napi(catch_unwind)]
pub fn trim(env: Env, pager: &PagerRef) -> Result<()> {
    pager.shrink();
    pageout::memory::give_heap_back();
    pager.shared().pager.trim().map_err(|error| throw(&env, &error))
}

/// Writes the numbers of the statistics into `numbers`, in this order: handles, payloadBytes, usedBytes, storedBytes, capacityBytes,
/// scratchBytes, dirtyBytes, dirtyBudgetBytes, pushedBytes, writeBackFailures, atRiskBytes, pageouts, pageoutBytes, reads,
/// readBytes, takes, takeBytes, swapBytes, swapFreeBytes, residentBytes, borrowedBytes, residentLimitBytes, residentHits,
/// residentMisses, evictions, evictionsWithoutWrite, writesElided, backgroundWriteFailures, changedBorrows.
#[napi(catch_unwind)]
pub fn stats(pager: &PagerRef, mut numbers: Float64Array) -> Result<()> {
    let (stats, kept) = (pager.shared().pager.stats(), &pager.shared().kept);
    let plus = |count: u64, kept: &AtomicU64| double(count + kept.load(Relaxed));
    let values = [
        plus(stats.handles, &kept.handles),
        plus(stats.payload_bytes, &kept.payload_bytes),
        double(stats.used_bytes),
        double(stats.stored_bytes),
        double(stats.capacity_bytes),
        double(stats.scratch_bytes),
        double(stats.dirty_bytes),
        double(stats.dirty_budget_bytes),
        double(stats.pushed_bytes),
        double(stats.write_back_failures),
        double(stats.at_risk_bytes),
        plus(stats.pageouts, &kept.pageouts),
        plus(stats.pageout_bytes, &kept.pageout_bytes),
        plus(stats.reads, &kept.reads),
        plus(stats.read_bytes, &kept.read_bytes),
        plus(stats.takes, &kept.takes),
        plus(stats.take_bytes, &kept.take_bytes),
        double(stats.swap_bytes),
        double(stats.swap_free_bytes),
        double(stats.resident_bytes),
        double(stats.borrowed_bytes),
        double(stats.resident_limit_bytes),
        double(stats.resident_hits),
        double(stats.resident_misses),
        double(stats.evictions),
        double(stats.evictions_without_write),
        double(stats.writes_elided),
        double(stats.background_write_failures),
        double(stats.changed_borrows),
    ];
    let Some(front) = numbers.numbers_mut().get_mut(..values.len()) else {
        return Err(internal("the array of numbers is too short"));
    };
    front.copy_from_slice(&values);
    Ok(())
}

/// The scratch directory and the name of its file system, once one is open.
#[napi(catch_unwind, ts_return_type = "[scratchDir: string, fileSystem: string] | null")]
pub fn scratch_place(pager: &PagerRef) -> Option<Vec<String>> {
    let stats = pager.shared().pager.stats();
    let path = stats.scratch_dir.map(|path| path.to_string_lossy().into_owned());
    path.zip(stats.file_system).map(|(path, file_system)| vec![path, file_system])
}

fn store(env: &Env, pager: &PagerRef, chunks: &[&[u8]], element_bytes: u32) -> Result<f64> {
    let stored = pager.shared().pager.pageout_copy_unless(chunks, element_bytes as usize, &NEVER);
    let handle = stored.map_err(|error| throw(env, &error))?;
    pager.insert(Payload::Stored(Arc::new(handle), None))
}

fn read_ranges(
    env: &Env,
    pager: &PagerRef,
    ticket: f64,
    ranges: &[(usize, usize)],
    target: &mut ArrayBufferView<'_>,
) -> Result<()> {
    let handle = pager.stored(ticket)?;
    handle.pager().read_into(&handle, ranges, target.bytes_mut()).map_err(|error| throw(env, &error))
}

pub fn environment_of(values: Vec<String>) -> Result<Environment> {
    let [scratch_dir, temporary_dir, capacity_bytes] =
        <[String; 3]>::try_from(values).map_err(|_| internal("an environment has three values"))?;
    let filled = |value: String| Some(value).filter(|value| !value.is_empty());
    Ok(Environment {
        scratch_dir: filled(scratch_dir).map(PathBuf::from),
        temporary_dir: PathBuf::from(temporary_dir),
        capacity_bytes: filled(capacity_bytes).map(OsString::from),
    })
}

fn backend_of(swap: bool) -> Backend {
    if swap { Backend::Swap } else { Backend::File }
}
