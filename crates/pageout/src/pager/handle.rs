//! What the caller holds for a payload that is paged out, and its verbs.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};
use std::sync::Weak;

use bytemuck::Pod;

#[cfg(feature = "addon-internals")]
use super::Pager;
use super::ranges::{self, Request};
use super::reader::{Reader, Source};
use super::{Backend, Borrowed, Shared};
use crate::budget::{ResidentMemory, Ticket};
use crate::error::Error;
use crate::payload::{Extent, Extents, Memory, Payload, Stored};
use crate::sync::{Arc, Mutex, UnsizedArc, lock, unlocked};
use crate::sys::{Destination, destination};
use crate::units;

/// A payload that is paged out. Dropping it frees the payload's space, without any I/O.
///
/// The elements are of type `T`, any plain-old-data type ([`bytemuck::Pod`]). The backend is fixed when the handle is made. A
/// handle keeps its pager open, unless that is [closed](crate::Pager::close): each verb gives [`Error::Closed`] then. Any number of threads may read through one handle at the same time, and their reads run side by
/// side. Ranges are in elements, and whatever range is asked for, nothing panics.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{Handle, Pager};
///
/// let pager = Pager::builder().build()?;
/// let handle: Handle<f32> = pager.pageout_vec(vec![0.5; 100_000])?;
/// assert_eq!((handle.len(), handle.len_bytes()), (100_000, 400_000));
///
/// // Several threads read parts of it.
/// std::thread::scope(|scope| {
///     let sums = [0..50_000, 50_000..100_000].map(|half| scope.spawn(|| handle.read(half).map(|part| part.iter().sum::<f32>())));
///     for sum in sums {
///         assert_eq!(sum.join().expect("no panic")?, 25_000.0);
///     }
///     Ok::<(), pageout::Error>(())
/// })?;
///
/// // The whole comes back, and the space is free for the next payload.
/// assert_eq!(handle.take()?.len(), 100_000);
/// assert_eq!(pager.stats().used_bytes, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a handle frees its payload: where it is ignored, the data is gone"]
pub struct Handle<T = u64> {
    body: Body,
    /// Memory with the whole payload that somebody borrows, where it has to be copied for that.
    lent: Mutex<Weak<ResidentMemory>>,
    membership: Membership,
    elements: PhantomData<T>,
}

/// Where the payload is.
pub(super) enum Body {
    File(Stored),
    Swap(Swapped),
    /// In memory or in scratch, as a memory budget decides.
    Kept(Ticket),
}

impl<T> Handle<T> {
    pub(super) fn new(body: Body, membership: Membership) -> Self {
        const { assert!(size_of::<T>() > 0, "elements without bytes cannot be paged out") };
        Self { body, lent: Mutex::default(), membership, elements: PhantomData }
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
            Body::File(_) | Body::Kept(_) => Backend::File,
            Body::Swap(_) => Backend::Swap,
        }
    }

    /// Whether the system has reported that the device could not write all of a file that the payload lies in. Its bytes may be
    /// lost, or the system may still have them in memory: to take such a payload back soon is the best chance. Always false for
    /// the swap backend. What is lost is noticed in any case, by its checksum, when it is read.
    #[must_use]
    pub fn is_at_risk(&self) -> bool {
        match &self.body {
            Body::File(stored) => stored.is_at_risk(),
            Body::Swap(_) => false,
            Body::Kept(ticket) => ticket.is_at_risk(),
        }
    }

    /// The pager that the payload belongs to.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn pager(&self) -> Pager {
        Pager { shared: Arc::clone(&self.membership.pager) }
    }

    #[cfg(feature = "addon-internals")]
    pub(super) fn pager_shared(&self) -> &Arc<Shared> {
        &self.membership.pager
    }

    #[cfg(feature = "addon-internals")]
    pub(super) fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    pub(super) fn ticket(&self) -> Option<&Ticket> {
        match &self.body {
            Body::Kept(ticket) => Some(ticket),
            Body::File(_) | Body::Swap(_) => None,
        }
    }

    pub(super) fn belongs_to(&self, pager: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.membership.pager, pager)
    }
}

impl<T: Pod> Handle<T> {
    /// A range of the payload, which stays paged out. `..` reads all of it.
    ///
    /// It is one positioned read (`preadv`) for each slot that the range touches, into memory that is allocated for it and not
    /// zeroed first. What lies in the page cache comes without the device.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec(vec![1u16, 2, 3, 4])?;
    /// assert_eq!(handle.read(1..3)?, [2, 3]);
    /// assert_eq!(handle.read(2..)?, [3, 4]);
    /// assert_eq!(handle.read(3..5).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where the range does not lie within the payload; [`Error::Corrupt`] and [`Error::System`] where the
    /// bytes cannot be read back.
    pub fn read(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>, Error> {
        let mut dst = Vec::new();
        self.append(&[self.offset_and_len(&range)?], &mut dst)?;
        Ok(dst)
    }

    /// As [`Self::read`], but over `target`, which is exactly as long as the range. Allocates nothing.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec((0..10_000u64).collect())?;
    /// let mut window = [0; 100];
    /// for start in (0..10_000).step_by(window.len()) {
    ///     handle.read_into(start..start + window.len(), &mut window)?;
    ///     assert_eq!(window[0], start as u64);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::read`], and [`Error::TargetLength`]. Where reading itself fails, `target` is filled with zeros; where an argument
    /// is wrong, it is as before.
    pub fn read_into(&self, range: impl RangeBounds<usize>, target: &mut [T]) -> Result<(), Error> {
        self.overwrite(&[self.offset_and_len(&range)?], target)
    }

    /// Several ranges one after the other, in the order of `ranges`. They may lie in any order and may touch, but not overlap.
    ///
    /// What is in the page cache is read first; the rest is asked of the device all at once, so that it works on all of it
    /// while the first is waited for.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec((0..1_000u32).collect())?;
    /// assert_eq!(handle.read_many(&[998..1_000, 0..3])?, [998, 999, 0, 1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::read`], and [`Error::Overlap`].
    pub fn read_many(&self, ranges: &[Range<usize>]) -> Result<Vec<T>, Error> {
        let mut dst = Vec::new();
        self.append(&ranges::offsets_and_lens(ranges, self.len())?, &mut dst)?;
        Ok(dst)
    }

    /// The whole payload, whose space is free afterwards.
    ///
    /// A payload of one chunk in the swap backend comes back as the same allocation, without a copy. See
    /// [`Pager::take`](crate::Pager::take) for a take into memory that exists already.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec(vec![1u8, 2, 3])?;
    /// assert_eq!(handle.take()?, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::read`]. The error holds the handle, which is as good as before.
    pub fn take(self) -> Result<Vec<T>, TakeError<T>> {
        let mut dst = Vec::new();
        self.take_into(&mut dst)?;
        Ok(dst)
    }

    /// Starts to bring a range into memory, for a read that comes soon. A hint: it does not wait, and nothing depends on it.
    ///
    /// File backend: `posix_fadvise` on each slot on Linux, elsewhere what the system has for that. Swap backend: `madvise`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec(vec![7u64; 1 << 16])?;
    /// handle.prefetch(..4_096)?;
    /// // ... other work, while the device reads ...
    /// assert_eq!(handle.read(..4_096)?, [7; 4_096]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] only.
    pub fn prefetch(&self, range: impl RangeBounds<usize>) -> Result<(), Error> {
        self.prefetch_ranges(&[self.offset_and_len(&range)?])
    }

    /// Reads the payload's bytes as a stream that can be sought in: [`io::Read`], [`io::BufRead`] and [`io::Seek`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = pageout::Pager::builder().build()?.pageout_vec(b"to be sent".to_vec())?;
    /// let mut socket = Vec::new();
    /// std::io::copy(&mut handle.reader(), &mut socket)?;
    /// assert_eq!(socket, b"to be sent");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reader(&self) -> Reader<'_>
    where
        T: Send + Sync,
    {
        Reader::new(self)
    }

    fn offset_and_len(&self, range: &impl RangeBounds<usize>) -> Result<(usize, usize), Error> {
        ranges::offset_and_len(range, self.len())
    }
}

/// What the verbs of the handle, of the pager and of a batch do: ranges are (offset, length), and nobody has checked them yet.
impl<T: Pod> Handle<T> {
    /// Appends ranges to `dst`, which is as before on an error.
    pub(super) fn append(&self, ranges: &[(usize, usize)], dst: &mut Vec<T>) -> Result<(), Error> {
        let request = self.request(ranges)?;
        if request.elements > 0 {
            dst.try_reserve(request.elements)?;
            self.with_payload(true, |payload| {
                destination::append_to(dst, request.elements, |whole| payload.read(&request.extents, whole))
            })?;
        }
        self.membership.pager.counters.read(request.len_bytes());
        Ok(())
    }

    /// Reads ranges over `target`, which is as long as they are together.
    pub(super) fn overwrite(&self, ranges: &[(usize, usize)], target: &mut [T]) -> Result<(), Error> {
        self.copy_ranges(ranges, target)?;
        self.membership.pager.counters.read(units::to_u64(size_of_val(target)));
        Ok(())
    }

    /// The same without counting it.
    pub(super) fn copy_ranges(&self, ranges: &[(usize, usize)], target: &mut [T]) -> Result<(), Error> {
        let request = self.target_request(ranges, target.len())?;
        if request.elements > 0 {
            self.with_payload(true, |payload| destination::overwrite(target, |whole| payload.read(&request.extents, whole)))?;
        }
        Ok(())
    }

    pub(super) fn prefetch_ranges(&self, ranges: &[(usize, usize)]) -> Result<(), Error> {
        let request = self.request(ranges)?;
        match &self.body {
            Body::Kept(ticket) if request.elements == self.len() => ticket.want::<T>(),
            _ => self.with_payload(false, |payload| {
                payload.prefetch(&request.extents);
                Ok(())
            })?,
        }
        Ok(())
    }

    /// Brings the whole payload back into `dst`: its only chunk as it is, where it lives in memory and `dst` would have to grow;
    /// else a copy behind the cleared content.
    pub(super) fn take_into(mut self, dst: &mut Vec<T>) -> Result<(), TakeError<T>> {
        if let Err(error) = self.membership.pager.check_open() {
            return Err(TakeError::new(error, self));
        }
        let must_grow = dst.capacity() < self.len().max(1);
        match self.take_only_chunk(must_grow) {
            Ok(Some(only)) => *dst = only,
            Ok(None) => {
                dst.clear();
                if let Err(error) = self.read_whole(dst) {
                    return Err(TakeError::new(error, self));
                }
            }
            Err(error) => return Err(TakeError::new(error, self)),
        }
        self.membership.pager.counters.take(self.membership.len_bytes);
        Ok(())
    }

    fn read_whole(&self, dst: &mut Vec<T>) -> Result<(), Error> {
        let whole = Extents::whole(self.membership.len_bytes);
        dst.try_reserve_exact(self.len())?;
        self.with_payload(true, |payload| destination::append_to(dst, self.len(), |into| payload.read(&whole, into)))
    }

    /// A checked request.
    fn request(&self, ranges: &[(usize, usize)]) -> Result<Request, Error> {
        self.membership.pager.check_open()?;
        ranges::check(ranges, self.len(), size_of::<T>())
    }

    /// A checked request for a target of `target_len` elements.
    pub(super) fn target_request(&self, ranges: &[(usize, usize)], target_len: usize) -> Result<Request, Error> {
        let request = self.request(ranges)?;
        if request.elements != target_len {
            return Err(Error::TargetLength { expected: request.elements, actual: target_len });
        }
        Ok(request)
    }

    /// Gives `use_it` the payload where it is now. `is_counted` where that is a hit or a miss of the memory budget.
    pub(super) fn with_payload<R>(
        &self,
        is_counted: bool,
        use_it: impl FnOnce(&dyn Payload) -> Result<R, Error>,
    ) -> Result<R, Error> {
        match &self.body {
            Body::File(stored) => use_it(stored.payload()),
            Body::Swap(Swapped { resident, .. }) => use_it(&resident.memory),
            Body::Kept(ticket) => use_it(&ticket.look(is_counted)?),
        }
    }

    /// The payload's only chunk when it lives in memory as one and `is_wanted`: the handle has no payload then.
    fn take_only_chunk(&mut self, is_wanted: bool) -> Result<Option<Vec<T>>, Error> {
        if unlocked(&mut self.lent).strong_count() > 0 {
            return Err(Error::Borrowed);
        }
        match &mut self.body {
            Body::Swap(Swapped { resident, .. }) => {
                let resident = UnsizedArc::get_mut(resident).ok_or(Error::Borrowed)?;
                Ok(if is_wanted { resident.memory.take_only_chunk() } else { None })
            }
            Body::Kept(ticket) if is_wanted => ticket.take_only_chunk(),
            Body::Kept(ticket) => ticket.refuse_borrowed().map(|()| None),
            Body::File(_) => Ok(None),
        }
    }

    /// Lends the whole payload: to look at, in memory, without giving its place up.
    ///
    /// Within a memory budget ([`PagerBuilder::resident_bytes`](crate::PagerBuilder::resident_bytes)) the payload comes into memory
    /// where it is not, and stays there as long as it is borrowed. All who borrow it share one memory. Without a budget it is read
    /// whole, and its memory is freed with the last [`Borrowed`]; a payload of the swap backend is lent where it is.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().resident_bytes(1 << 20).build()?;
    /// let handle = pager.pageout_vec(vec![1u32, 2, 3])?;
    /// let borrowed = handle.borrow()?;
    /// assert_eq!(borrowed.iter().sum::<u32>(), 6);
    /// let failed = handle.take().unwrap_err();
    /// assert!(matches!(failed.error(), pageout::Error::Borrowed));
    /// drop(borrowed);
    /// assert_eq!(failed.into_handle().take()?, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Budget`] where all of the budget is borrowed, and as [`Self::read`].
    pub fn borrow(&self) -> Result<Borrowed<T>, Error> {
        self.membership.pager.check_open()?;
        let pager = Arc::clone(&self.membership.pager);
        match &self.body {
            Body::Kept(ticket) => ticket.lend::<T>().map(|(loan, memory)| Borrowed::new(memory, Some(loan), pager)),
            Body::Swap(Swapped { resident, .. }) if resident.memory.as_one().is_some() => {
                Ok(Borrowed::new(UnsizedArc::clone(resident), None, pager))
            }
            Body::Swap(_) | Body::File(_) => Ok(Borrowed::new(self.lend_copy()?, None, pager)),
        }
    }

    /// Lends payloads of one pager, all or none.
    pub(crate) fn borrow_all(handles: &[&Self]) -> Result<Vec<Borrowed<T>>, Error> {
        let tickets: Vec<&Ticket> = handles.iter().filter_map(|handle| handle.ticket()).collect();
        let mut loans = Ticket::lend_all::<T>(&tickets)?.into_iter();
        let lend = |handle: &&Self| {
            handle.membership.pager.check_open()?;
            // Payloads without elements are in no budget.
            let Some((loan, memory)) = handle.ticket().and_then(|_| loans.next()) else { return handle.borrow() };
            Ok(Borrowed::new(memory, Some(loan), Arc::clone(&handle.membership.pager)))
        };
        handles.iter().map(lend).collect()
    }

    /// Whether somebody borrows the payload.
    pub(crate) fn is_borrowed(&self) -> bool {
        match &self.body {
            Body::Kept(ticket) => ticket.refuse_borrowed().is_err(),
            Body::Swap(Swapped { resident, .. }) => UnsizedArc::strong_count(resident) > 1,
            Body::File(_) => lock(&self.lent).strong_count() > 0,
        }
    }

    /// A copy of the payload that all borrowers share.
    fn lend_copy(&self) -> Result<UnsizedArc<ResidentMemory>, Error> {
        let mut lent = lock(&self.lent);
        if let Some(resident) = lent.upgrade() {
            return Ok(resident);
        }
        let (len_bytes, exclude) = (self.membership.len_bytes, self.membership.pager.exclude_from_core_dumps);
        let memory = match &self.body {
            Body::File(stored) => ResidentMemory::read::<T>(stored, len_bytes, exclude)?,
            Body::Swap(Swapped { resident, .. }) => ResidentMemory::joined::<T>(&resident.memory, len_bytes, exclude)?,
            Body::Kept(_) => unreachable!("lent by its budget"),
        };
        let resident = UnsizedArc::new(ResidentMemory::roomless(memory));
        *lent = UnsizedArc::downgrade(&resident);
        Ok(resident)
    }
}

impl<T: Pod + Send + Sync> Source for Handle<T> {
    fn len_bytes(&self) -> u64 {
        self.membership.len_bytes
    }

    fn fill(&self, extent: Extent, whole: Destination<'_>) -> Result<(), Error> {
        self.membership.pager.check_open()?;
        self.with_payload(true, |payload| payload.read(&Extents::One(extent), whole))?;
        self.membership.pager.counters.read(extent.len_bytes);
        Ok(())
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Handle").field("len", &self.len()).field("backend", &self.backend()).finish_non_exhaustive()
    }
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

/// Memory of a payload of the swap backend, which counts as such until this is dropped.
pub(super) struct Swapped {
    resident: UnsizedArc<ResidentMemory>,
    pager: Arc<Shared>,
    len_bytes: u64,
}

impl Swapped {
    pub(super) fn new(memory: Memory, pager: Arc<Shared>, len_bytes: u64) -> Self {
        pager.counters.swap_in(len_bytes);
        Self { resident: UnsizedArc::new(ResidentMemory::roomless(memory)), pager, len_bytes }
    }
}

impl Drop for Swapped {
    fn drop(&mut self) {
        self.pager.counters.swap_out(self.len_bytes);
    }
}

/// A take that failed, with the handle: it is as good as before, and the take can be tried again.
///
/// `?` makes an [`Error`] or an [`io::Error`] of it, which drops the handle and so frees the payload.
///
/// ```
/// use pageout::{Error, Handle};
///
/// /// Takes a payload back, or leaves it in `kept` for a later try.
/// fn take_or_keep(handle: Handle<f64>, kept: &mut Vec<Handle<f64>>) -> Result<Vec<f64>, Error> {
///     match handle.take() {
///         Ok(all) => Ok(all),
///         Err(failed) => {
///             let reason = failed.error().clone();
///             kept.push(failed.into_handle());
///             Err(reason)
///         }
///     }
/// }
/// # let mut kept = Vec::new();
/// # let handle = pageout::pager().pageout_vec(vec![1.5]).unwrap();
/// # assert_eq!(take_or_keep(handle, &mut kept).unwrap(), [1.5]);
/// ```
#[must_use = "dropping this error drops the handle, which frees its payload"]
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
    pub fn into_handle(self) -> Handle<T> {
        self.0.1
    }

    /// Why the take failed; the handle is dropped, which frees the payload's space.
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

impl<T> From<TakeError<T>> for Error {
    /// Why the take failed; the handle is dropped, which frees the payload's space.
    fn from(failed: TakeError<T>) -> Self {
        failed.into_error()
    }
}

impl<T> From<TakeError<T>> for io::Error {
    /// Why the take failed; the handle is dropped, which frees the payload's space.
    fn from(failed: TakeError<T>) -> Self {
        failed.into_error().into()
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
        assert!(size_of::<Handle>() <= 88, "{} bytes", size_of::<Handle>());
    }
}
