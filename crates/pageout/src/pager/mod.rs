//! The contract in one place: [`Pager`], its [`Handle`]s, the checks of ranges, options and statistics.
//!
//! Order within every verb: the caller's arguments are checked, then room is reserved, then bytes move, then the result
//! is published. What fails on the way leaves chunks, handle, destination and accounting as they were.

mod batch;
mod builder;
mod collector;
mod handle;
#[cfg(all(test, pageout_loom))]
mod models;
mod open;
mod ranges;
mod stats;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use bytemuck::Pod;

#[doc(hidden)]
pub use batch::{BatchRead, read_batch};
pub use builder::PagerBuilder;
pub use collector::Collector;
pub use handle::{Handle, TakeError};
pub use stats::PagerStats;

use crate::backend::Extents;
use crate::backend::file::Stored;
use crate::backend::swap::Moved;
use crate::error::Error;
use crate::store::{Store, StoreOptions};
use crate::sync::{Arc, Mutex, OnceLock, UnsizedArc, lock};
use crate::sys::{Device, destination, memory};
use crate::units;
use handle::{Body, Membership};
use stats::Counters;

/// For calls that nobody stops.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// Where a payload lives while it is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In this process, hinted cold: the kernel moves it to swap space when memory is short.
    Swap,
    /// In unnamed files of the scratch directory.
    File,
}

/// Puts vectors out of memory and brings them back. Clones share one pager; it is closed with its last clone and handle.
///
/// Every method returns a [`Result`] and none panics, whatever the arguments.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::Pager;
///
/// let pager = Pager::builder().capacity_bytes(1 << 30).build()?;
/// let handle = pager.pageout(&mut [vec![1.0f64, 2.0], vec![3.0]])?;
///
/// let mut some = Vec::new();
/// pager.read_at(&handle, 1, 2, &mut some)?;
/// assert_eq!(some, [2.0, 3.0]);
///
/// let mut all = Vec::new();
/// pager.take(handle, &mut all)?;
/// assert_eq!(all, [1.0, 2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pager {
    shared: Arc<Shared>,
}

/// What the clones and handles of one pager share.
#[derive(Debug)]
pub(crate) struct Shared {
    device: UnsizedArc<dyn Device>,
    store_options: StoreOptions,
    integrity: bool,
    exclude_from_core_dumps: bool,
    backend: AtomicBackend,
    /// The scratch directory, opened by the first call that needs it.
    store: OnceLock<UnsizedArc<Store>>,
    /// Held while the scratch directory is chosen.
    opening: Mutex<()>,
    /// Set for good by [`Pager::close`].
    closed: AtomicBool,
    counters: Counters,
}

impl Drop for Shared {
    /// The keeper may be about to look after the store: descriptors do not wait for that.
    fn drop(&mut self) {
        if let Some(store) = self.store.get() {
            store.close();
        }
    }
}

impl Pager {
    /// Starts with the default options.
    pub fn builder() -> PagerBuilder {
        PagerBuilder::default()
    }

    /// The backend that [`Self::pageout`] uses.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.shared.backend.get()
    }

    /// Sets the backend that later calls of [`Self::pageout`] use, in all clones.
    pub fn set_backend(&self, backend: Backend) {
        self.shared.backend.set(backend);
    }

    /// Puts the chunks, concatenated in order, out of memory.
    ///
    /// Afterwards every chunk is empty: cleared with its capacity kept (file backend), or moved into the handle (swap
    /// backend). On an error every chunk is as it was. Chunks without elements give a handle of length 0 without any I/O.
    ///
    /// # Errors
    /// A full disk or another failure of the scratch files ([`Error::System`]), a reached capacity ([`Error::Capacity`]),
    /// no usable scratch directory ([`Error::ScratchDir`]).
    pub fn pageout<T: Pod>(&self, chunks: &mut [Vec<T>]) -> Result<Handle<T>, Error> {
        self.pageout_with(self.backend(), chunks)
    }

    /// As [`Self::pageout`], with the backend named.
    ///
    /// # Errors
    /// As [`Self::pageout`].
    pub fn pageout_with<T: Pod>(&self, backend: Backend, chunks: &mut [Vec<T>]) -> Result<Handle<T>, Error> {
        self.check_open()?;
        let len_bytes = total_bytes(chunks)?;
        match backend {
            Backend::Swap => Ok(self.handle(Body::Swap(Moved::pageout(chunks, self.shared.exclude_from_core_dumps)?), len_bytes)),
            Backend::File if len_bytes == 0 => Ok(self.handle(Body::Empty, 0)),
            Backend::File => {
                let handle = self.store_chunks(chunks, len_bytes, &NEVER)?;
                chunks.iter_mut().for_each(Vec::clear);
                Ok(handle)
            }
        }
    }

    /// Copies borrowed chunks, concatenated in order, to the file backend. The chunks stay as they are.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let columns = [[1u32, 2], [3, 4]];
    /// let handle = pager.pageout_copy(&[&columns[0], &columns[1]])?;
    /// assert_eq!(handle.len(), 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::pageout`].
    pub fn pageout_copy<T: Pod>(&self, chunks: &[&[T]]) -> Result<Handle<T>, Error> {
        self.pageout_copy_unless(chunks, &NEVER)
    }

    /// As [`Self::pageout_copy`], ending soon with ECANCELED after `stop` became true. Not covered by semantic versioning.
    ///
    /// # Errors
    /// As [`Self::pageout`], and ECANCELED.
    #[doc(hidden)]
    pub fn pageout_copy_unless<T: Pod>(&self, chunks: &[&[T]], stop: &AtomicBool) -> Result<Handle<T>, Error> {
        self.check_open()?;
        match total_bytes(chunks)? {
            0 => Ok(self.handle(Body::Empty, 0)),
            len_bytes => self.store_chunks(chunks, len_bytes, stop),
        }
    }

    /// Begins a payload of the file backend whose chunks come one after the other.
    #[must_use]
    pub fn collector<T: Pod>(&self) -> Collector<T> {
        Collector::new(self.clone())
    }

    /// Appends `len` elements from element `offset` on to `dst`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::ForeignHandle`]; [`Error::Corrupt`] and [`Error::System`] where the bytes do not come
    /// back. `dst` is as before then.
    pub fn read_at<T: Pod>(&self, handle: &Handle<T>, offset: usize, len: usize, dst: &mut Vec<T>) -> Result<(), Error> {
        self.read_at_many(handle, &[(offset, len)], dst)
    }

    /// Appends several ranges, each (offset, length) in elements, to `dst` in the order of `ranges`.
    ///
    /// The ranges may come in any order and may touch. What is not in memory is asked of the device all at once.
    ///
    /// # Errors
    /// As [`Self::read_at`], and [`Error::Overlap`].
    pub fn read_at_many<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)], dst: &mut Vec<T>) -> Result<(), Error> {
        let request = self.request(handle, ranges)?;
        if request.elements > 0 {
            dst.try_reserve(request.elements)?;
            let payload = handle.payload();
            destination::append_to(dst, request.elements, |whole| payload.read(&request.extents, whole))?;
        }
        self.shared.counters.read(request.len_bytes());
        Ok(())
    }

    /// As [`Self::read_at_many`], but over `target`, which is exactly as long as the ranges together.
    ///
    /// # Errors
    /// As [`Self::read_at_many`], and [`Error::TargetLength`]. Once bytes have moved, the content of `target` is
    /// unspecified after an error.
    pub fn read_into<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)], target: &mut [T]) -> Result<(), Error> {
        self.copy_ranges(handle, ranges, target)?;
        self.shared.counters.read(units::to_u64(size_of_val(target)));
        Ok(())
    }

    /// Brings the whole payload back into `dst`, which is cleared first, and frees its place.
    ///
    /// The capacity of `dst` is kept where it suffices. A payload of one chunk in the swap backend comes back as the same
    /// allocation when `dst` has no capacity.
    ///
    /// # Errors
    /// As [`Self::read_at`]. The error holds the handle, which is as good as before; `dst` is empty or as before.
    pub fn take<T: Pod>(&self, handle: Handle<T>, dst: &mut Vec<T>) -> Result<(), TakeError<T>> {
        if let Err(error) = self.check(&handle) {
            return Err(TakeError::new(error, handle));
        }
        let len_bytes = units::to_u64(handle.len_bytes());
        match handle.into_only_chunk(dst.capacity() == 0) {
            Ok(only) => *dst = only,
            Err(handle) => {
                dst.clear();
                if let Err(error) = Self::read_whole(&handle, dst) {
                    return Err(TakeError::new(error, handle));
                }
            }
        }
        self.shared.counters.take(len_bytes);
        Ok(())
    }

    /// The reading half of a take, for callers that keep the handle in a place of their own: brings the whole payload back
    /// over `target` without counting it as a read. Not covered by semantic versioning.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    #[doc(hidden)]
    pub fn peek<T: Pod>(&self, handle: &Handle<T>, target: &mut [T]) -> Result<(), Error> {
        self.copy_ranges(handle, &[(0, handle.len())], target)
    }

    /// Counts a take of which [`Self::peek`] was the reading half. Not covered by semantic versioning.
    #[doc(hidden)]
    pub fn count_take<T: Pod>(&self, handle: &Handle<T>) {
        self.shared.counters.take(units::to_u64(handle.len_bytes()));
    }

    /// Starts bringing ranges into memory, for a read that comes soon. A hint: it does no I/O itself and nothing depends
    /// on it.
    ///
    /// # Errors
    /// Only the caller's: [`Error::OutOfRange`], [`Error::Overlap`], [`Error::ForeignHandle`].
    pub fn prefetch<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)]) -> Result<(), Error> {
        let request = self.request(handle, ranges)?;
        handle.payload().prefetch(&request.extents);
        Ok(())
    }

    /// Gives all disk space back that no payload uses. Space that the file system cannot take back stays ready for use.
    ///
    /// # Errors
    /// [`Error::System`] when the device failed; a file system that only cannot take space back is no error.
    pub fn trim(&self) -> Result<(), Error> {
        self.shared.store.get().map_or(Ok(()), |store| store.trim())
    }

    /// Ends the pager, all its clones included: every descriptor is closed when this returns, and handles that are still there
    /// give [`Error::Closed`]. The disk space goes back in the background. Waits for reads and writes that are under way, no
    /// longer. A pager is closed by itself with its last clone and handle.
    ///
    /// ```
    /// # fn main() -> Result<(), pageout::Error> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let handle = pager.pageout(&mut [vec![1u8, 2, 3]])?;
    /// pager.close();
    /// let error = pager.read_at(&handle, 0, 1, &mut Vec::new()).unwrap_err();
    /// assert_eq!(error.code(), "ERR_PAGEOUT_CLOSED");
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        let _turn = lock(&self.shared.opening);
        self.shared.closed.store(true, Relaxed);
        if let Some(store) = self.shared.store.get() {
            store.close();
        }
    }

    /// What the pager holds and has done, at this moment.
    #[must_use]
    pub fn stats(&self) -> PagerStats {
        let (swap_bytes, swap_free_bytes) = memory::swap_space();
        let capacity_bytes = self.shared.store_options.capacity_bytes.unwrap_or(0);
        let mut stats = PagerStats { capacity_bytes, swap_bytes, swap_free_bytes, ..PagerStats::default() };
        self.shared.counters.fill(&mut stats);
        if let Some(store) = self.shared.store.get() {
            let (space, write_behind) = (store.space(), store.write_behind());
            stats.used_bytes = store.used_bytes();
            stats.capacity_bytes = space.capacity_bytes();
            stats.scratch_bytes = space.scratch_bytes();
            stats.dirty_bytes = write_behind.dirty_bytes();
            stats.dirty_budget_bytes = write_behind.budget_bytes();
            stats.pushed_bytes = write_behind.pushed_bytes();
            stats.write_back_failures = write_behind.failed_files();
            stats.at_risk_bytes = store.at_risk_bytes();
            stats.scratch_dir = Some(store.path().to_owned());
            stats.file_system = Some(store.file_system());
        }
        stats
    }

    fn store_chunks<T: Pod, C: AsRef<[T]>>(&self, chunks: &[C], len_bytes: u64, stop: &AtomicBool) -> Result<Handle<T>, Error> {
        let store = self.store()?;
        let bytes = chunks.iter().map(|chunk| bytemuck::cast_slice(chunk.as_ref()));
        let stored = Stored::pageout(store, bytes, len_bytes, self.shared.integrity, stop);
        let stored = stored.map_err(|error| self.with_payloads(error))?;
        Ok(self.handle(Body::File(stored), len_bytes))
    }

    /// An error of the capacity also says how many payloads hold what is in use.
    fn with_payloads(&self, error: Error) -> Error {
        match error {
            Error::Capacity(mut facts) => {
                facts.payloads = self.stats().handles;
                Error::Capacity(facts)
            }
            error => error,
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.shared.closed.load(Relaxed) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Whether a handle can be used with this pager.
    fn check<T>(&self, handle: &Handle<T>) -> Result<(), Error> {
        if handle.belongs_to(&self.shared) { self.check_open() } else { Err(Error::ForeignHandle) }
    }

    fn handle<T>(&self, body: Body<T>, len_bytes: u64) -> Handle<T> {
        Handle::new(body, Membership::new(Arc::clone(&self.shared), len_bytes))
    }

    fn request<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)]) -> Result<ranges::Request, Error> {
        self.check(handle)?;
        ranges::check(ranges, handle.len(), size_of::<T>())
    }

    fn copy_ranges<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)], target: &mut [T]) -> Result<(), Error> {
        self.check(handle)?;
        let request = target_request(handle, ranges, target.len())?;
        if request.elements > 0 {
            let payload = handle.payload();
            destination::overwrite(target, |whole| payload.read(&request.extents, whole))?;
        }
        Ok(())
    }

    fn read_whole<T: Pod>(handle: &Handle<T>, dst: &mut Vec<T>) -> Result<(), Error> {
        let whole = Extents::whole(units::to_u64(handle.len_bytes()));
        dst.try_reserve_exact(handle.len())?;
        let payload = handle.payload();
        destination::append_to(dst, handle.len(), |into| payload.read(&whole, into))
    }
}

/// A checked request for a target of `target_len` elements.
fn target_request<T: Pod>(handle: &Handle<T>, ranges: &[(usize, usize)], target_len: usize) -> Result<ranges::Request, Error> {
    let request = ranges::check(ranges, handle.len(), size_of::<T>())?;
    if request.elements != target_len {
        return Err(Error::TargetLength { expected: request.elements, actual: target_len });
    }
    Ok(request)
}

/// Bytes of all chunks together.
fn total_bytes<T: Pod, C: AsRef<[T]>>(chunks: &[C]) -> Result<u64, Error> {
    let lens = chunks.iter().map(|chunk| units::to_u64(size_of_val(chunk.as_ref())));
    lens.into_iter().try_fold(0u64, u64::checked_add).ok_or_else(Error::out_of_memory)
}

/// A [`Backend`] that threads may change.
#[derive(Debug)]
struct AtomicBackend(AtomicU8);

impl AtomicBackend {
    fn new(backend: Backend) -> Self {
        let this = Self(AtomicU8::new(0));
        this.set(backend);
        this
    }

    fn get(&self) -> Backend {
        if self.0.load(Relaxed) == 0 { Backend::File } else { Backend::Swap }
    }

    fn set(&self, backend: Backend) {
        self.0.store(u8::from(backend == Backend::Swap), Relaxed);
    }
}
