//! One pager and what should be true of it.

use bytemuck::Pod;
use pageout::{Backend, Handle, Pager};

use super::world::Counts;
use crate::faulty::Disk;
use crate::weather::{self, Seen};
use crate::{MIB, eventually, u64_of};

/// What the steps of a run share, whichever pager they work on.
pub(super) struct Context {
    pub(super) disk: Option<Disk>,
    /// What goes wrong in the step that is done now.
    pub(super) weather: Option<u64>,
    /// Whether what comes back may be other bytes without the device saying so.
    pub(super) may_corrupt: bool,
    /// Whether write-back of something failed behind the calls.
    pub(super) has_losses: bool,
    pub(super) counts: Counts,
}

impl Context {
    pub(super) fn new(disk: Option<Disk>, may_corrupt: bool) -> Self {
        Self { disk, weather: None, may_corrupt, has_losses: false, counts: Counts::default() }
    }

    /// Whether a call went wrong: files may have been set aside, and free space need not be where it usually is.
    pub(super) fn had_trouble(&self) -> bool {
        self.counts.faults > 0
    }

    /// Calls the pager, while calls of the device may go wrong; says how many did.
    pub(super) fn attempt<R>(&mut self, call: impl FnOnce() -> R) -> (R, Seen) {
        weather::begin(self.weather);
        let outcome = call();
        let seen = weather::end();
        self.counts.operations += 1;
        self.counts.faults += seen.hits;
        (outcome, seen)
    }
}

/// A payload that is out, and what is in it.
pub(super) struct Payload<T> {
    pub(super) handle: Handle<T>,
    pub(super) whole: Vec<T>,
    /// Bytes of its slots.
    pub(super) used_bytes: u64,
    /// What it takes in them.
    pub(super) stored_bytes: u64,
    /// File and offset where it begins, where that is known.
    pub(super) place: Option<(u64, u64)>,
    /// The memory of the only chunk, where the backend keeps it.
    pub(super) only_chunk: Option<usize>,
}

/// What should be true of a pager.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) used_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) payload_bytes: u64,
    pub(super) pageouts: [u64; 2],
    pub(super) reads: [u64; 2],
    pub(super) takes: [u64; 2],
}

/// Counts an operation and its bytes.
pub(super) fn count(counters: &mut [u64; 2], bytes: usize) {
    counters[0] += 1;
    counters[1] += u64_of(bytes);
}

/// A pager with its payloads.
pub(super) struct Side<T> {
    /// None once it is closed: its payloads keep it alive.
    pub(super) pager: Option<Pager>,
    pub(super) account: Account,
    pub(super) payloads: Vec<Payload<T>>,
    /// What the pager said at the last check.
    pub(super) scratch_bytes: u64,
    pub(super) capacity_bytes: u64,
}

impl<T: Pod> Side<T> {
    pub(super) fn new(pager: Pager) -> Self {
        let capacity_bytes = pager.stats().capacity_bytes;
        let (account, payloads) = (Account::default(), Vec::new());
        Self { pager: Some(pager), account, payloads, scratch_bytes: 0, capacity_bytes }
    }

    /// The pager, by way of a payload once it is closed.
    pub(super) fn pager(&self) -> Pager {
        self.pager.clone().unwrap_or_else(|| self.payloads[0].handle.pager())
    }

    /// Bytes that the pager says its files hold, as long as somebody can ask it.
    pub(super) fn current_scratch_bytes(&self) -> u64 {
        if self.pager.is_none() && self.payloads.is_empty() { 0 } else { self.pager().stats().scratch_bytes }
    }

    /// Adds a payload that went out.
    pub(super) fn publish(&mut self, payload: Payload<T>) {
        count(&mut self.account.pageouts, payload.handle.len_bytes());
        self.account.payload_bytes += u64_of(payload.handle.len_bytes());
        self.account.used_bytes += payload.used_bytes;
        self.account.stored_bytes += payload.stored_bytes;
        self.payloads.push(payload);
    }

    /// Takes a payload off the list, which is about to come back or to be dropped.
    pub(super) fn remove(&mut self, pick: usize) -> Payload<T> {
        let payload = self.payloads.swap_remove(pick % self.payloads.len());
        self.account.payload_bytes -= u64_of(payload.handle.len_bytes());
        self.account.used_bytes -= payload.used_bytes;
        self.account.stored_bytes -= payload.stored_bytes;
        payload
    }

    /// Puts a payload on the list again that did not come back.
    pub(super) fn restore(&mut self, payload: Payload<T>) {
        self.account.payload_bytes += u64_of(payload.handle.len_bytes());
        self.account.used_bytes += payload.used_bytes;
        self.account.stored_bytes += payload.stored_bytes;
        self.payloads.push(payload);
    }

    /// Compares what the pager says of itself with the model; `staged_bytes` are slots of payloads that are not finished.
    pub(super) fn check(&mut self, staged_bytes: u64) {
        if self.pager.is_none() && self.payloads.is_empty() {
            return;
        }
        let stats = self.pager().stats();
        let Account { used_bytes, stored_bytes, payload_bytes, pageouts, reads, takes } = self.account;
        assert_eq!((stats.handles, stats.payload_bytes), (u64_of(self.payloads.len()), payload_bytes));
        assert_eq!(stats.used_bytes, used_bytes + staged_bytes, "bytes in use");
        assert_eq!(stats.stored_bytes, stored_bytes, "bytes that are stored");
        assert_eq!([stats.pageouts, stats.pageout_bytes], pageouts);
        assert_eq!([stats.reads, stats.read_bytes], reads);
        assert_eq!([stats.takes, stats.take_bytes], takes);
        assert!(stats.used_bytes <= stats.capacity_bytes, "past the capacity");
        assert!(stats.used_bytes <= stats.scratch_bytes, "a slot in use has space");
        assert!(stats.dirty_bytes <= stats.used_bytes, "only slots in use are dirty");
        let at_risk = self.payloads.iter().filter(|payload| payload.handle.is_at_risk());
        let at_risk_bytes: u64 = at_risk.map(|payload| payload.used_bytes).sum();
        // Of a payload that is not finished nobody can tell from outside.
        if staged_bytes == 0 && self.payloads.iter().all(|payload| payload.used_bytes < u64_of(4 * MIB)) {
            let what = || format!("{at_risk_bytes} bytes at risk: {:?}", self.pager().stats());
            eventually(what, || self.pager().stats().at_risk_bytes == at_risk_bytes);
        }
        assert!(stats.write_back_failures > 0 || stats.at_risk_bytes == 0);
        (self.scratch_bytes, self.capacity_bytes) = (stats.scratch_bytes, stats.capacity_bytes);
    }
}

/// Where the slot begins into which the last write went.
pub(super) fn place_of(seen: Seen, backend: Backend, slot_bytes: u64) -> Option<(u64, u64)> {
    let (file, offset) = seen.write.filter(|_| backend == Backend::File && slot_bytes > 0)?;
    Some((file, offset - offset % slot_bytes))
}
