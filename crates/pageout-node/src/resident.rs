//! The exports about payloads of a memory budget, whose memory JavaScript keeps: under a key of its own, in buffers that only the
//! package can reach. A payload is exposed while a caller may look at its memory: the pager does not read it then, and reads of it fail
//! as borrowed. It is held while a borrow is about to come.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use napi::bindgen_prelude::{AsyncTask, External, Function, Int32Array, Object, Result, Uint8Array};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, Status};
use napi_derive::napi;
use pageout::{Brought, Chunk, Claiming, Handle, Hold, LentGathered, LentRoom, MemoryBudget, Purpose, Resident, WeakBudget};

use crate::departures::{Departed, Departures, Flag, Lease, LentChunk};
use crate::error::{describe, internal, throw};
use crate::exports::PagerRef;
use crate::numbers::{double, whole};
use crate::table::{Payload, Table};
use crate::task::{Job, spawn};
use crate::view::ArrayBufferView;

/// What has left the memory budgets of this thread. The alias is the name that index.d.ts prints.
pub type DeparturesRef = External<Arc<Departures>>;

/// A memory budget. The alias is the name that index.d.ts prints.
pub type BudgetRef = External<MemoryBudget>;

/// Budgets that other threads may join, by token.
static BUDGETS: LazyLock<Mutex<HashMap<String, WeakBudget>>> = LazyLock::new(Mutex::default);

/// The departures of this thread. The first of `flag` is 1 when something waits to be drained; `wake` is called in the event loop
/// when that is much.
#[napi(catch_unwind, ts_return_type = "DeparturesRef")]
pub fn open_departures(env: Env, flag: Int32Array, wake: Function<(), ()>) -> Result<DeparturesRef> {
    let flag = Flag::new(&flag).ok_or_else(|| internal("the flag is empty"))?;
    let wake = wake.build_threadsafe_function().weak::<true>().build()?;
    let wake = move || {
        let _: Status = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    };
    let departures = Departures::new(flag, Box::new(wake));
    // Behind the function: hooks run in reverse order, and this one comes first.
    env.add_env_cleanup_hook(Arc::clone(&departures), |departures| departures.close())?;
    Ok(External::new(departures))
}

/// Has the memory of payloads that are paged out through this pager freed by this thread, in any case before it ends.
#[napi(catch_unwind)]
pub fn use_departures(pager: &PagerRef, departures: &DeparturesRef) {
    departures.add_table(pager);
}

/// The key of memory that is to be freed now, negative where it did not leave to make room for others; 0 where there is none. Says
/// that the memory of the key before is freed.
#[napi(catch_unwind)]
pub fn next_departed(departures: &DeparturesRef) -> f64 {
    let signed = |Departed { key, is_evicted, .. }: Departed| if is_evicted { double(key) } else { -double(key) };
    departures.next().map_or(0.0, signed)
}

/// Claims disk space for a payload, and room in the memory budget for buffers of `heldBytes`: 0. 1 where there will be room once what
/// left is drained; 2 where there is none, and the payload is to be written.
#[napi(catch_unwind)]
pub fn claim(env: Env, pager: &PagerRef, len_bytes: f64, held_bytes: f64) -> Result<u32> {
    let claiming = pager.shared().pager.claim(whole(len_bytes)?, whole(held_bytes)?);
    match claiming.map_err(|error| throw(&env, &error))? {
        Claiming::Claimed(claimed) => {
            pager.set_claimed(Some(claimed));
            Ok(0)
        }
        Claiming::NotYet => {
            Departures::wake_all();
            Ok(1)
        }
        Claiming::NoRoom => Ok(2),
    }
}

/// Gives up what was claimed last.
#[napi(catch_unwind)]
pub fn unclaim(pager: &PagerRef) {
    pager.set_claimed(None);
}

/// Takes a payload in for which was claimed, and gives its ticket. The views are of whole private buffers, which are kept under `key`
/// until that has departed or is given back. Their elements have `elementBytes` each.
#[napi(catch_unwind)]
pub fn admit(
    env: Env,
    pager: &PagerRef,
    departures: &DeparturesRef,
    key: f64,
    views: Vec<ArrayBufferView>,
    element_bytes: u32,
) -> Result<f64> {
    let bytes: Vec<&[u8]> = views.iter().map(ArrayBufferView::bytes).collect();
    admit_all(&env, pager, departures, key, &bytes, element_bytes)
}

/// As `admit`, for one view.
#[napi(catch_unwind)]
pub fn admit_one(
    env: Env,
    pager: &PagerRef,
    departures: &DeparturesRef,
    key: f64,
    view: ArrayBufferView,
    element_bytes: u32,
) -> Result<f64> {
    admit_all(&env, pager, departures, key, &[view.bytes()], element_bytes)
}

/// Takes the payload of a ticket where its memory is: gives the key, and the ticket is free. -1 where it is not in memory, or a job
/// reads it at this moment, or it is held.
#[napi(catch_unwind)]
pub fn take_resident(env: Env, pager: &PagerRef, ticket: f64) -> Result<f64> {
    let key = pager.take_lent(ticket)?.map_err(|error| throw(&env, &error))?;
    Ok(key.map_or(-1.0, double))
}

/// Exposes a payload, and gives the key of its memory; -1 where it is not in memory. Counted where `isCounted`, unless it is in
/// several buffers.
#[napi(catch_unwind)]
pub fn expose(env: Env, pager: &PagerRef, ticket: f64, is_counted: bool) -> Result<f64> {
    let key = pager.stored(ticket)?.expose(is_counted).map_err(|error| throw(&env, &error))?;
    Ok(key.map_or(-1.0, double))
}

/// Counts one more use of a payload that is exposed: a read of so many bytes, or a borrow, which has none.
#[napi(catch_unwind)]
pub fn count_use(pager: &PagerRef, ticket: f64, read_bytes: Option<f64>) -> Result<()> {
    pager.stored(ticket)?.count_use();
    read_bytes.map_or(Ok(()), |bytes| {
        pager.shared().kept.read(whole(bytes)?);
        Ok(())
    })
}

/// Ends an exposure: nobody but the package can reach the memory any more, which is where it was or where `relocate` said.
#[napi(catch_unwind)]
pub fn end_exposure(pager: &PagerRef, ticket: f64) {
    if let Ok(handle) = pager.stored(ticket) {
        handle.end_exposure();
    }
}

/// Makes another whole private buffer, under the same key and in the same room, that of an exposed payload in one buffer: callers keep
/// what it had. Both are equally long.
#[napi(catch_unwind)]
pub fn relocate(pager: &PagerRef, ticket: f64, view: ArrayBufferView) -> Result<()> {
    let mut is_done = false;
    pager.stored(ticket)?.change_exposed(|chunk| {
        let chunk: &mut dyn Any = chunk;
        is_done = chunk.downcast_mut::<LentChunk>().is_some_and(|chunk| chunk.relocate(view.bytes()));
    });
    if is_done { Ok(()) } else { Err(internal("there is no exposed buffer of this length")) }
}

/// Keeps a payload in memory, where it is there, until the ticket that this gives is freed; else -1.
#[napi(catch_unwind)]
pub fn hold(pager: &PagerRef, ticket: f64) -> Result<f64> {
    let hold = pager.stored(ticket)?.hold();
    hold.map_or(Ok(-1.0), |hold| pager.insert(Payload::Held(Arc::new(hold))))
}

/// Finds room for several payloads in one step, and keeps those that are in memory, until the ticket that this gives is freed. -1 where
/// there will be room once what left is drained.
#[napi(catch_unwind)]
pub fn gather(env: Env, pager: &PagerRef, tickets: Vec<f64>) -> Result<f64> {
    let handles = stored_all(pager, &tickets)?;
    let gathered = Handle::gather(handles.iter().map(Arc::as_ref)).map_err(|error| throw(&env, &error))?;
    insert_gathered(pager, gathered)
}

/// As `gather`, off the JavaScript thread.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn gather_async(pager: &PagerRef, tickets: Vec<f64>) -> Result<AsyncTask<Job<Option<LentGathered>, f64>>> {
    let (handles, table) = (stored_all(pager, &tickets)?, Arc::clone(pager));
    let work = move || Handle::gather(handles.iter().map(Arc::as_ref));
    Ok(spawn(work, move |gathered| insert_gathered(&table, gathered)))
}

fn stored_all(table: &Table, tickets: &[f64]) -> Result<Vec<Arc<Handle<u8>>>> {
    tickets.iter().map(|ticket| table.stored(*ticket)).collect()
}

fn insert_gathered(table: &Table, gathered: Option<LentGathered>) -> Result<f64> {
    let Some(gathered) = gathered else {
        Departures::wake_all();
        return Ok(-1.0);
    };
    table.insert(Payload::Gathered(Arc::new(gathered)))
}

/// The memory of an exposed payload is gone, and its exposure with it. True where the payload is on disk, false where it is lost.
#[napi(catch_unwind)]
pub fn lose(pager: &PagerRef, ticket: f64) -> Result<bool> {
    Ok(pager.stored(ticket)?.lose())
}

/// Reads a payload that is on disk into a whole private buffer, which is its memory from then on, under `key`, and exposed: 0. 1 where
/// there will be room once what left is drained; 2 where somebody else was reading it, who has counted for both; 3 where it is in
/// memory already. In room that was gathered for it, where `gathered` is the ticket of that.
#[napi(catch_unwind)]
#[allow(clippy::too_many_arguments, reason = "what JavaScript passes, which makes no objects for it")]
pub fn bring(
    env: Env,
    pager: &PagerRef,
    departures: &DeparturesRef,
    ticket: f64,
    key: f64,
    mut view: ArrayBufferView,
    element_bytes: u32,
    gathered: Option<f64>,
) -> Result<u32> {
    let (handle, key) = (pager.stored(ticket)?, whole(key)?);
    let gathered = gathered.map(|ticket| pager.gathered(ticket)).transpose()?;
    let bytes = view.bytes_mut();
    let (start, len_bytes) = (bytes.as_ptr(), bytes.len());
    let lend = |room| lent_at(departures, key, room, (start, len_bytes), element_bytes);
    let brought = handle.bring_lent(bytes, Purpose::Exposed, gathered.as_deref(), lend);
    let (brought, _) = brought.map_err(|error| throw(&env, &error))?;
    Ok(number_of(brought))
}

/// What was brought off the JavaScript thread, and what holds it.
type BroughtLater = (Brought, Option<Hold>);

/// As `bring`, off the JavaScript thread. Nothing is exposed: where `isHeld` the ticket stands from then on for the payload staying in
/// memory, unless the result is 1, and is to be freed.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
#[allow(clippy::too_many_arguments, reason = "what JavaScript passes, which makes no objects for it")]
pub fn bring_async(
    pager: &PagerRef,
    departures: &DeparturesRef,
    ticket: f64,
    key: f64,
    view: Uint8Array,
    element_bytes: u32,
    is_held: bool,
    gathered: Option<f64>,
) -> Result<AsyncTask<Job<BroughtLater, u32>>> {
    let (handle, departures, key) = (pager.stored(ticket)?, Arc::clone(departures), whole(key)?);
    let table = Arc::clone(pager);
    let purpose = if is_held { Purpose::Held } else { Purpose::Ahead };
    let gathered = gathered.map(|ticket| pager.gathered(ticket)).transpose()?;
    // Both halves of the job hold it, because a JavaScript reference must be dropped on its own thread.
    let view = Arc::new(Mutex::new(view));
    let held = Arc::clone(&view);
    let work = move || {
        let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffer is private to this job until its promise is settled, and the array keeps it alive.
        let bytes = unsafe { view.as_mut() };
        let (start, len_bytes) = (bytes.as_ptr(), bytes.len());
        let lend = |room| lent_at(&departures, key, room, (start, len_bytes), element_bytes);
        handle.bring_lent(bytes, purpose, gathered.as_deref(), lend)
    };
    let finish = move |(brought, hold): BroughtLater| {
        drop(held);
        if let Some(hold) = hold {
            table.hold(ticket, hold);
        }
        Ok(number_of(brought))
    };
    Ok(spawn(work, finish))
}

/// Exchanges the several buffers of an exposed payload for a whole private one that has all their bytes, under `key`. False where
/// there will be room only once what left is drained.
#[napi(catch_unwind)]
pub fn replace(
    env: Env,
    pager: &PagerRef,
    departures: &DeparturesRef,
    ticket: f64,
    key: f64,
    view: ArrayBufferView,
    element_bytes: u32,
) -> Result<bool> {
    let (handle, key) = (pager.stored(ticket)?, whole(key)?);
    let held_bytes = u64::try_from(view.bytes().len()).map_err(|_| internal("a length that does not fit"))?;
    let replaced = handle.replace_lent(held_bytes, |room| lent(departures, key, room, view.bytes(), element_bytes));
    let is_replaced = replaced.map_err(|error| throw(&env, &error))?;
    if !is_replaced {
        Departures::wake_all();
    }
    Ok(is_replaced)
}

/// Writes a payload where that is to be done, and lets it leave memory; where `isMoved` it is about to be sent to another thread, and
/// does not come into memory of this one again.
#[napi(catch_unwind)]
pub fn write_out(env: Env, pager: &PagerRef, ticket: f64, is_moved: bool) -> Result<()> {
    pager.stored(ticket)?.write_out(is_moved).map_err(|error| throw(&env, &error))
}

/// A memory budget of so many bytes; without, one that follows the memory that is free.
#[napi(catch_unwind, ts_return_type = "BudgetRef")]
pub fn make_budget(limit_bytes: Option<f64>) -> Result<BudgetRef> {
    let limit = limit_bytes.map_or(Ok(Resident::Auto), |bytes| whole(bytes).map(Resident::Bytes))?;
    Ok(External::new(MemoryBudget::new(limit)))
}

/// The limit of a budget, and the bytes in memory, borrowed ones included.
#[napi(catch_unwind, ts_return_type = "[limitBytes: number, residentBytes: number]")]
pub fn budget_bytes(budget: &BudgetRef) -> Vec<f64> {
    vec![double(budget.limit_bytes()), double(budget.resident_bytes())]
}

/// The failure of a borrow for which no thread freed what had left.
#[napi(catch_unwind, ts_return_type = "object")]
pub fn no_room_yet<'env>(env: &'env Env, pager: &PagerRef, ticket: f64) -> Result<Object<'env>> {
    describe(env, &pager.stored(ticket)?.no_room_yet())
}

/// Sets the limit of a budget.
#[napi(catch_unwind)]
pub fn set_budget_limit(budget: &BudgetRef, limit_bytes: f64) -> Result<()> {
    budget.set_limit_bytes(whole(limit_bytes)?);
    Ok(())
}

/// Lets other threads join a budget by a token that nobody can guess.
#[napi(catch_unwind)]
pub fn publish_budget(budget: &BudgetRef, token: String) {
    let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
    budgets.retain(|_, budget| budget.upgrade().is_some());
    budgets.insert(token, budget.downgrade());
}

/// The budget of a token; `null` when it is gone.
#[napi(catch_unwind, ts_return_type = "BudgetRef | null")]
pub fn join_budget(token: String) -> Option<BudgetRef> {
    let budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
    budgets.get(&token).and_then(WeakBudget::upgrade).map(External::new)
}

fn admit_all(
    env: &Env,
    pager: &PagerRef,
    departures: &DeparturesRef,
    key: f64,
    chunks: &[&[u8]],
    element_bytes: u32,
) -> Result<f64> {
    let key = whole(key)?;
    let claimed = pager.take_claimed().ok_or_else(|| internal("nothing was claimed"))?;
    let len_bytes = chunks.iter().map(|bytes| bytes.len() as u64).sum();
    let lend = |room: LentRoom| {
        let lease = Lease::new(departures, key, room);
        let chunk = |bytes: &&[u8]| Box::new(LentChunk::new(&lease, bytes, element_bytes as usize)) as Box<dyn Chunk>;
        chunks.iter().map(chunk).collect()
    };
    let handle = pager.shared().pager.admit_lent::<u8>(claimed, len_bytes, lend).map_err(|error| throw(env, &error))?;
    pager.insert(Payload::Stored(Arc::new(handle), None))
}

fn lent(departures: &Arc<Departures>, key: u64, room: LentRoom, bytes: &[u8], element_bytes: u32) -> Box<dyn Chunk> {
    Box::new(LentChunk::new(&Lease::new(departures, key, room), bytes, element_bytes as usize))
}

fn lent_at(
    departures: &Arc<Departures>,
    key: u64,
    room: LentRoom,
    (start, len_bytes): (*const u8, usize),
    element_bytes: u32,
) -> Box<dyn Chunk> {
    // SAFETY: memory of the private buffer that was just filled; it is looked at through the chunk alone from now on.
    let bytes = unsafe { std::slice::from_raw_parts(start, len_bytes) };
    lent(departures, key, room, bytes, element_bytes)
}

fn number_of(brought: Brought) -> u32 {
    match brought {
        Brought::Here => 0,
        Brought::NotYet => {
            Departures::wake_all();
            1
        }
        Brought::Shared => 2,
        Brought::ByOther => 3,
    }
}
