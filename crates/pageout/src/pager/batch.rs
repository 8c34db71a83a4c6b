//! Reads of several payloads at once, as one read of several ranges does it for one: what is in memory is read first, the rest
//! is prefetched all together.

use std::fmt;

use bytemuck::Pod;

use super::ranges::Request;
use super::{Error, Handle};
use crate::sys::destination;
use crate::units;

/// One read of a batch: what [`super::Pager::read_into`] takes.
#[doc(hidden)]
pub struct BatchRead<'a, T> {
    pub handle: &'a Handle<T>,
    pub ranges: &'a [(usize, usize)],
    pub target: &'a mut [T],
    /// Whether it counts as a read; else it is the first half of a take.
    pub is_counted: bool,
}

/// Does all reads of a batch, each of which succeeds or fails by itself as [`super::Pager::read_into`] does. Gives the
/// positions of those that failed.
///
/// # Errors
/// Out of memory for the lists; nothing is known about the targets then.
#[doc(hidden)]
pub fn read_batch<T: Pod>(reads: &mut [BatchRead<'_, T>]) -> Result<Vec<u32>, Error> {
    let mut failed = Vec::new();
    let mut missed: Vec<(u32, Request)> = Vec::new();
    failed.try_reserve_exact(reads.len())?;
    missed.try_reserve_exact(reads.len())?;
    for (position, read) in (0u32..).zip(reads.iter_mut()) {
        match read.try_cached() {
            Ok(None) => {}
            Ok(Some(request)) => missed.push((position, request)),
            Err(_) => failed.push(position),
        }
    }
    // What is read next is not prefetched: the read itself brings it.
    for (position, request) in missed.iter().skip(1) {
        let handle = reads[units::index(*position)].handle;
        // A hint: whether the payload is still there shows itself below.
        let _ = handle.with_payload(false, |payload| {
            payload.prefetch(&request.extents);
            Ok(())
        });
    }
    for (position, request) in missed {
        if reads[units::index(position)].wait(&request).is_err() {
            failed.push(position);
        }
    }
    Ok(failed)
}

impl<T> fmt::Debug for BatchRead<'_, T> {
    /// Without the target, which holds bytes of the payload.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BatchRead").field("handle", self.handle).field("ranges", &self.ranges).finish_non_exhaustive()
    }
}

impl<T: Pod> BatchRead<'_, T> {
    /// Reads if that needs no waiting for the device; else gives the checked request.
    fn try_cached(&mut self) -> Result<Option<Request>, Error> {
        let request = self.handle.target_request(self.ranges, self.target.len())?;
        if request.elements == 0 {
            self.count(&request);
            return Ok(None);
        }
        let target = &mut *self.target;
        let is_read = self.handle.with_payload(true, |payload| {
            let outcome = destination::overwrite(target, |whole| match payload.read_cached(&request.extents, whole) {
                Ok(true) => Ok(()),
                Ok(false) => Err(None),
                Err(error) => Err(Some(error)),
            });
            match outcome {
                Ok(()) => Ok(true),
                Err(None) => Ok(false),
                Err(Some(error)) => Err(error),
            }
        })?;
        if !is_read {
            return Ok(Some(request));
        }
        self.count(&request);
        Ok(None)
    }

    fn wait(&mut self, request: &Request) -> Result<(), Error> {
        let target = &mut *self.target;
        // It was counted when it was not in the cache.
        self.handle
            .with_payload(false, |payload| destination::overwrite(target, |whole| payload.read(&request.extents, whole)))?;
        self.count(request);
        Ok(())
    }

    fn count(&self, request: &Request) {
        if !self.is_counted {
            return;
        }
        self.handle.pager().shared.counters.read(request.len_bytes());
    }
}
