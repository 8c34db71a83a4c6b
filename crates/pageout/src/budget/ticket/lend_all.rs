//! Lending several payloads, all or none.

use bytemuck::Pod;

use super::{Loan, Room, Ticket};
use crate::budget::{Budget, PAYLOAD_BYTES_MIN, ResidentMemory};
use crate::error::{BudgetFacts, Error};
use crate::sync::UnsizedArc;

/// What is there of several payloads that are about to be lent, until it is dropped.
pub(crate) struct Gathered {
    /// Keeps those in memory that are there.
    _present: Vec<Loan>,
    /// For the others.
    room: Option<Room>,
}

impl Gathered {
    /// Room for one of them.
    pub(super) fn part(&mut self, len_bytes: u64) -> Option<Room> {
        self.room.as_mut().and_then(|room| room.split(len_bytes.max(PAYLOAD_BYTES_MIN)))
    }
}

/// That this thread is gathering, until it is dropped. Two at a time could keep from each other what they need.
struct Gathering<'a>(&'a Budget);

impl<'a> Gathering<'a> {
    fn begin(budget: &'a Budget) -> Self {
        let mut ledger = budget.lock();
        while !ledger.begin_gathering() {
            ledger = budget.wait(ledger);
        }
        Self(budget)
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.0.lock().end_gathering();
        self.0.tell();
    }
}

impl Ticket {
    /// Lends payloads of one pager, in their order; one may be named more than once. Room for those that are not in memory is claimed in
    /// one step, before anything is read: so those who need several find room for all, or leave what there is to others.
    ///
    /// # Errors
    /// As [`Self::lend`]; nothing is lent then.
    pub(crate) fn lend_all<T: Pod>(tickets: &[&Self]) -> Result<Vec<(Loan, UnsizedArc<ResidentMemory>)>, Error> {
        let Some(first) = tickets.first() else { return Ok(Vec::new()) };
        let budget = first.budget();
        let mut gathered = first.gather(tickets, |bytes| budget.room_or_wait(&first.account, bytes).map(Some))?;
        let mut room = |len_bytes| {
            let part = gathered.as_mut().and_then(|gathered| gathered.part(len_bytes));
            // Another thread may have let one leave meanwhile that was in memory.
            part.map_or_else(|| budget.room_or_wait(&first.account, len_bytes), Ok)
        };
        tickets.iter().map(|ticket| ticket.lend_within::<T>(&mut room)).collect()
    }

    /// Finds room for several payloads, and keeps those that are in memory. Nothing where there will be room as soon as the owners of memory
    /// that has left have freed it.
    ///
    /// # Errors
    /// As [`Self::lend`].
    #[cfg(feature = "addon-internals")]
    pub(crate) fn gather_all(tickets: &[&Self]) -> Result<Option<Gathered>, Error> {
        let Some(first) = tickets.first() else { return Ok(Some(Gathered { _present: Vec::new(), room: None })) };
        first.gather(tickets, |bytes| first.budget().room_or_departing(&first.account, bytes))
    }

    fn gather(
        &self,
        tickets: &[&Self],
        claim: impl FnOnce(u64) -> Result<Option<Room>, Error>,
    ) -> Result<Option<Gathered>, Error> {
        let _gathering = Gathering::begin(self.budget());
        let mut ids: Vec<u32> = tickets.iter().map(|ticket| ticket.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let (present, present_bytes, missing_bytes) = self.keep_present(ids);
        if missing_bytes == 0 {
            return Ok(Some(Gathered { _present: present, room: None }));
        }
        let room = claim(missing_bytes).map_err(|error| of_all(error, present_bytes + missing_bytes))?;
        Ok(room.map(|room| Gathered { _present: present, room: Some(room) }))
    }

    /// Borrows those that are in memory; gives that, their bytes, and what the others need.
    fn keep_present(&self, ids: Vec<u32>) -> (Vec<Loan>, u64, u64) {
        let mut ledger = self.budget().lock();
        let (mut present, mut present_bytes, mut missing_bytes) = (Vec::new(), 0, 0);
        for id in ids {
            let entry = ledger.entry(id);
            if entry.memory.is_some() {
                present_bytes += entry.bytes();
                ledger.borrow(id);
                present.push(Loan { account: UnsizedArc::clone(&self.account), id });
            } else {
                missing_bytes += entry.copy.stored().map_or(0, |stored| stored.len_bytes().max(PAYLOAD_BYTES_MIN));
            }
        }
        (present, present_bytes, missing_bytes)
    }
}

/// The error of a claim for those that are missing: where all together never have room, it says what they need.
fn of_all(error: Error, requested_bytes: u64) -> Error {
    match error {
        Error::Budget(facts) if requested_bytes > facts.limit_bytes => {
            Error::Budget(Box::new(BudgetFacts { requested_bytes, ..*facts }))
        }
        other => other,
    }
}
