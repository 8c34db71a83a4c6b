//! What the caller holds for a payload that is out.

use std::fmt;
use std::marker::PhantomData;

use bytemuck::Pod;

use super::{Backend, Pager, Shared};
use crate::backend::file::Stored;
use crate::backend::swap::Moved;
use crate::backend::{Extents, Payload};
use crate::error::Error;
use crate::sync::Arc;
use crate::sys::Destination;
use crate::units;

/// A payload that is out of memory. Dropping it frees the payload's place, without any I/O.
///
/// The elements are of type `T`, any plain-old-data type ([`bytemuck::Pod`]). The backend is fixed when the handle is
/// made. Any number of threads may read through one handle at the same time.
pub struct Handle<T = u64> {
    body: Body<T>,
    membership: Membership,
    elements: PhantomData<T>,
}

/// Where the payload is.
pub(super) enum Body<T> {
    /// Nowhere: it has no bytes, and went to the file backend.
    Empty,
    File(Stored),
    Swap(Moved<T>),
}

impl<T> Handle<T> {
    pub(super) fn new(body: Body<T>, membership: Membership) -> Self {
        const { assert!(size_of::<T>() > 0, "elements without bytes cannot be paged out") };
        Self { body, membership, elements: PhantomData }
    }

    /// Elements of the payload.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len_bytes() / size_of::<T>()
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        units::to_usize(self.membership.len_bytes)
    }

    /// Whether the payload has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.membership.len_bytes == 0
    }

    /// Where the payload lives.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self.body {
            Body::Empty | Body::File(_) => Backend::File,
            Body::Swap(_) => Backend::Swap,
        }
    }

    /// Whether the system has said that the device could not write all of a file that the payload lies in. Its bytes may be
    /// lost, or the system may still have them in memory: to take such a payload back soon is the best chance. Always false
    /// for the swap backend. What is lost is found in any case, by its checksum, when it is read.
    #[must_use]
    pub fn is_at_risk(&self) -> bool {
        matches!(&self.body, Body::File(stored) if stored.is_at_risk())
    }

    /// The pager that the payload belongs to. Not covered by semantic versioning.
    #[doc(hidden)]
    #[must_use]
    pub fn pager(&self) -> Pager {
        Pager { shared: Arc::clone(&self.membership.pager) }
    }

    pub(super) fn belongs_to(&self, pager: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.membership.pager, pager)
    }
}

impl<T: Pod> Handle<T> {
    pub(super) fn payload(&self) -> &dyn Payload {
        match &self.body {
            Body::Empty => &Nothing,
            Body::File(stored) => stored,
            Body::Swap(moved) => moved,
        }
    }

    /// The payload's only chunk when it lives in memory as one and `wanted`; else the handle as it was.
    pub(super) fn into_only_chunk(self, wanted: bool) -> Result<Vec<T>, Self> {
        let Self { body, membership, elements } = self;
        let body = match body {
            Body::Swap(moved) if wanted => match moved.into_only_chunk() {
                Ok(only) => return Ok(only),
                Err(moved) => Body::Swap(moved),
            },
            body => body,
        };
        Err(Self { body, membership, elements })
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Handle").field("len", &self.len()).field("backend", &self.backend()).finish_non_exhaustive()
    }
}

/// A payload without bytes.
struct Nothing;

impl Payload for Nothing {
    fn read(&self, _extents: &Extents, _whole: Destination<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn read_cached(&self, _extents: &Extents, _whole: Destination<'_>) -> Result<bool, Error> {
        Ok(true)
    }

    fn prefetch(&self, _extents: &Extents) {}
}

/// That a payload belongs to a pager and is counted there, until it is dropped.
pub(super) struct Membership {
    pager: Arc<Shared>,
    len_bytes: u64,
}

impl Membership {
    pub(super) fn new(pager: Arc<Shared>, len_bytes: u64) -> Self {
        pager.counters.pageout(len_bytes);
        Self { pager, len_bytes }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.pager.counters.end(self.len_bytes);
    }
}

/// A take that failed, with the handle: it is as good as before, and the take can be tried again.
pub struct TakeError<T>(Box<(Error, Handle<T>)>);

impl<T> TakeError<T> {
    pub(super) fn new(error: Error, handle: Handle<T>) -> Self {
        Self(Box::new((error, handle)))
    }

    /// Why the take failed.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0.0
    }

    /// The handle.
    #[must_use]
    pub fn into_handle(self) -> Handle<T> {
        self.0.1
    }

    /// Why the take failed; the handle is dropped, which frees its place.
    #[must_use]
    pub fn into_error(self) -> Error {
        self.0.0
    }
}

impl<T> fmt::Debug for TakeError<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("TakeError").field(self.error()).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for TakeError<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the payload could not be taken back")
    }
}

impl<T> std::error::Error for TakeError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_small_and_can_move_between_threads() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Handle<f32>>();
        assert_send_sync::<TakeError<u64>>();
        assert!(size_of::<Handle>() <= 72, "{} bytes", size_of::<Handle>());
    }
}
