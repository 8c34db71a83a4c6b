//! The contract in one place: [`Pager`], its [`Handle`]s, the checks of ranges, options and statistics.
//!
//! Order within every verb: the caller's arguments are checked, then room is reserved, then bytes move, then the result
//! is published. What fails on the way leaves chunks, handle, destination and accounting as they were.

#[cfg(feature = "addon-internals")]
mod batch;
mod borrowed;
mod builder;
mod collector;
mod environment;
mod examined;
mod handle;
#[cfg(feature = "addon-internals")]
mod lent;
#[cfg(all(test, pageout_loom))]
mod models;
mod open;
mod pageout_error;
mod ranges;
mod reader;
mod stats;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use bytemuck::Pod;

#[cfg(feature = "addon-internals")]
#[doc(hidden)]
pub use batch::{BatchRead, read_batch};
pub use borrowed::Borrowed;
#[cfg(feature = "compression")]
pub use builder::Compression;
pub use builder::PagerBuilder;
pub use collector::Collector;
pub use environment::Environment;
pub(crate) use examined::Examined;
pub use examined::{ScratchDir, ScratchFacts};
pub use handle::{Handle, TakeError};
#[cfg(feature = "addon-internals")]
#[doc(hidden)]
pub use lent::{Claimed, Claiming, Hold, LentGathered, LentRoom};
pub use pageout_error::PageoutError;
pub use reader::Reader;
pub use stats::PagerStats;

use crate::budget::{Account, ResidentMemory};
use crate::error::Error;
use crate::payload::{Memory, Packing, Stored};
use crate::store::{Store, StoreOptions};
use crate::sync::{Arc, Mutex, OnceLock, UnsizedArc, lock};
use crate::sys::{Device, memory};
use crate::units;
use handle::{Body, Membership, Swapped};
use stats::Counters;

/// For calls that nobody stops.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// Where a payload lives while it is paged out.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{Backend, Pager};
///
/// let pager = Pager::builder().backend(Backend::Swap).build()?;
/// let swapped = pager.pageout(&mut [vec![1u64, 2]])?;
/// let stored = pager.pageout_with(Backend::File, &mut [vec![3u64, 4]])?;
/// assert_eq!((swapped.backend(), stored.backend()), (Backend::Swap, Backend::File));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In this process, hinted cold (`MADV_COLD`, Linux only): the kernel moves it to swap space when memory is short. Without
    /// swap space it stays in memory. Its bytes are not verified, since they never leave the process.
    Swap,
    /// In unnamed files of the scratch directory. The default.
    File,
}

/// Pages vectors out and reads them back. Clones share one pager; it is closed with its last clone and handle.
///
/// Every method returns a [`Result`] and none panics, whatever the arguments. Any number of threads may use one pager. All of its
/// methods may wait for the device, but [`prefetch`](Self::prefetch), [`stats`](Self::stats) and what has nothing to do.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::Pager;
///
/// let pager = Pager::builder().capacity_bytes(1 << 30).build()?;
/// let handle = pager.pageout_vec(vec![1.0f64, 2.0, 3.0])?;
/// assert_eq!(handle.read(1..)?, [2.0, 3.0]);
///
/// let mut all = Vec::new();
/// pager.take(handle, &mut all)?;
/// assert_eq!(all, [1.0, 2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Which way out?
/// - [`pageout_vec`](Self::pageout_vec) and [`pageout_vecs`](Self::pageout_vecs) take the vectors and free their memory.
/// - [`pageout`](Self::pageout) empties the vectors, which keep their capacity for what comes next: for a loop that fills the same
///   vectors again and again.
/// - [`pageout_copy`](Self::pageout_copy) copies what somebody else owns.
/// - [`collector`](Self::collector) takes a payload piece by piece while it is made.
#[must_use = "a pager that nobody keeps is closed at once"]
#[derive(Clone)]
pub struct Pager {
    shared: Arc<Shared>,
}

/// What the clones and handles of one pager share.
pub(crate) struct Shared {
    device: UnsizedArc<dyn Device>,
    store_options: StoreOptions,
    packing: Packing,
    exclude_from_core_dumps: bool,
    backend: AtomicBackend,
    /// The scratch directory, opened by the first call that needs it.
    store: OnceLock<UnsizedArc<Store>>,
    /// Held while the scratch directory is chosen. The environment that is looked at, if not the process's own.
    opening: Mutex<Option<Environment>>,
    /// Set for good by [`Pager::close`].
    closed: AtomicBool,
    /// Its part of a memory budget, where it has one.
    account: Option<UnsizedArc<Account>>,
    counters: Counters,
}

impl Shared {
    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Relaxed) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Keeps the store that was opened, unless another thread was faster.
    fn keep_store(&self, store: UnsizedArc<Store>) -> &Store {
        self.store.get_or_init(|| {
            // Before others find it: what they admit may be written at once.
            if let Some(account) = &self.account {
                account.use_store(&store);
            }
            store
        })
    }
}

impl Drop for Shared {
    /// The keeper may be about to look after the store: descriptors do not wait for that.
    fn drop(&mut self) {
        if let Some(store) = self.store.get() {
            store.close();
        }
        self.packing.protection.forget();
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

    /// Pages a vector out and frees its memory.
    ///
    /// File backend: the bytes are written with one `pwritev` for each slot, and the memory goes back to the allocator, which gives
    /// it to the system or keeps it for what is allocated next. Swap backend: the vector moves into the handle, without a copy.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let handle = pager.pageout_vec(vec![1u64; 1 << 20])?;
    /// assert_eq!(handle.read(7..9)?, [1, 1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::pageout`]. The error holds the vector, which is as it was; `?` drops it.
    pub fn pageout_vec<T: Pod>(&self, mut vec: Vec<T>) -> Result<Handle<T>, PageoutError<Vec<T>>> {
        match self.pageout(std::slice::from_mut(&mut vec)) {
            Ok(handle) => Ok(handle),
            Err(error) => Err(PageoutError::new(error, vec)),
        }
    }

    /// Pages vectors out, concatenated in order, and frees their memory. Else as [`Self::pageout_vec`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let columns: Vec<Vec<f32>> = (0..8).map(|column| vec![column as f32; 1_000]).collect();
    /// let handle = pager.pageout_vecs(columns)?;
    /// assert_eq!(handle.read(2_999..3_001)?, [2.0, 3.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::pageout`]. The error holds the vectors, which are as they were; `?` drops them.
    pub fn pageout_vecs<T: Pod>(&self, mut vecs: Vec<Vec<T>>) -> Result<Handle<T>, PageoutError<Vec<Vec<T>>>> {
        match self.pageout(&mut vecs) {
            Ok(handle) => Ok(handle),
            Err(error) => Err(PageoutError::new(error, vecs)),
        }
    }

    /// Pages the chunks out, concatenated in order, and leaves them empty.
    ///
    /// The file backend clears each chunk, **which keeps its capacity, so that its memory is not free**: fill it again, drop it,
    /// or use [`Self::pageout_vec`]. The swap backend moves each chunk into the handle, which leaves no capacity. On an error every
    /// chunk is as it was. Chunks without elements give a handle of length 0 without any I/O.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let mut rows = Vec::with_capacity(1_000);
    /// let mut blocks = Vec::new();
    /// for block in 0..10u64 {
    ///     rows.extend((0..1_000).map(|row| block * 1_000 + row));
    ///     blocks.push(pager.pageout(std::slice::from_mut(&mut rows))?); // the same memory serves every block
    /// }
    /// assert_eq!(blocks[9].read(999..)?, [9_999]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A full disk or another failure of the scratch files ([`Error::System`]), a reached capacity ([`Error::Capacity`]), no usable
    /// scratch directory ([`Error::ScratchDir`]).
    pub fn pageout<T: Pod>(&self, chunks: &mut [Vec<T>]) -> Result<Handle<T>, Error> {
        self.pageout_with(self.backend(), chunks)
    }

    /// As [`Self::pageout`], with the backend named.
    ///
    /// # Errors
    /// As [`Self::pageout`].
    pub fn pageout_with<T: Pod>(&self, backend: Backend, chunks: &mut [Vec<T>]) -> Result<Handle<T>, Error> {
        self.shared.check_open()?;
        let len_bytes = total_bytes(chunks)?;
        match backend {
            Backend::Swap => {
                let memory = Memory::pageout(chunks, self.shared.exclude_from_core_dumps)?;
                let swapped = Swapped::new(memory, Arc::clone(&self.shared), len_bytes);
                Ok(self.handle(Body::Swap(swapped), len_bytes))
            }
            Backend::File if len_bytes == 0 => Ok(self.handle(Body::File(Stored::empty()), 0)),
            Backend::File => {
                if let Some(account) = &self.shared.account {
                    return self.admit(account, chunks, len_bytes);
                }
                let handle = self.store_chunks(chunks, len_bytes, size_of::<T>(), &NEVER)?;
                chunks.iter_mut().for_each(Vec::clear);
                Ok(handle)
            }
        }
    }

    /// Moves the chunks into the budget where there is room for them, else writes them. They have no capacity then.
    fn admit<T: Pod>(&self, account: &UnsizedArc<Account>, chunks: &mut [Vec<T>], len_bytes: u64) -> Result<Handle<T>, Error> {
        // Pages of the chunks may be others' too, so they are not excluded where they are.
        let is_copied = self.shared.exclude_from_core_dumps;
        let capacity_bytes = || chunks.iter().map(|chunk| units::to_u64(chunk.capacity() * size_of::<T>())).sum();
        let held_bytes = if is_copied { len_bytes } else { capacity_bytes() };
        let Ok(room) = account.room(held_bytes) else {
            let handle = self.store_chunks(chunks, len_bytes, size_of::<T>(), &NEVER)?;
            chunks.fill_with(Vec::new);
            return Ok(handle);
        };
        let claim = self.store()?.claim(len_bytes).map_err(|error| self.with_payloads(error))?;
        let copy = if is_copied { Some(Memory::excluded_copy(chunks, len_bytes)?) } else { None };
        let ticket = account.admit(|| {
            let memory = copy.map_or_else(|| Memory::moved_in(chunks, false), Ok)?;
            Ok((claim.keep(), ResidentMemory::new(memory, room)))
        })?;
        if is_copied {
            chunks.iter_mut().for_each(discard);
        }
        Ok(self.handle(Body::Kept(ticket), len_bytes))
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
        self.copy_unless(chunks, size_of::<T>(), &NEVER)
    }

    /// As [`Self::pageout_copy`] of bytes that are elements of `element_bytes` each, ending soon with ECANCELED after `stop` became
    /// true.
    ///
    /// # Errors
    /// As [`Self::pageout`], and ECANCELED.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn pageout_copy_unless<T: Pod>(
        &self,
        chunks: &[&[T]],
        element_bytes: usize,
        stop: &AtomicBool,
    ) -> Result<Handle<T>, Error> {
        self.copy_unless(chunks, element_bytes, stop)
    }

    fn copy_unless<T: Pod>(&self, chunks: &[&[T]], element_bytes: usize, stop: &AtomicBool) -> Result<Handle<T>, Error> {
        self.shared.check_open()?;
        match total_bytes(chunks)? {
            0 => Ok(self.handle(Body::File(Stored::empty()), 0)),
            len_bytes => self.store_chunks(chunks, len_bytes, element_bytes, stop),
        }
    }

    /// Begins a payload of the file backend whose chunks come one after the other.
    pub fn collector<T: Pod>(&self) -> Collector<T> {
        Collector::new(self.clone(), size_of::<T>())
    }

    /// The same of bytes that are elements of `element_bytes` each.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn collector_of(&self, element_bytes: usize) -> Collector<u8> {
        Collector::new(self.clone(), element_bytes)
    }

    /// Appends `len` elements from element `offset` on to `dst`, which keeps what it has. [`Handle::read`] makes a vector.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::ForeignHandle`]; [`Error::Corrupt`] and [`Error::System`] where the bytes cannot be read
    /// back. `dst` is as before then.
    pub fn read_at<T: Pod>(&self, handle: &Handle<T>, offset: usize, len: usize, dst: &mut Vec<T>) -> Result<(), Error> {
        self.read_at_many(handle, &[(offset, len)], dst)
    }

    /// Appends several ranges, each (offset, length) in elements, to `dst` in the order of `ranges`. Else as
    /// [`Handle::read_many`].
    ///
    /// # Errors
    /// As [`Self::read_at`], and [`Error::Overlap`].
    pub fn read_at_many<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)], dst: &mut Vec<T>) -> Result<(), Error> {
        self.own(handle)?.append(ranges, dst)
    }

    /// As [`Self::read_at_many`], but over `target`, which is exactly as long as the ranges together.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let handle = pager.pageout_vec((0..1_000u32).collect())?;
    /// let mut ends = [0; 4];
    /// pager.read_into(&handle, &[(0, 2), (998, 2)], &mut ends)?;
    /// assert_eq!(ends, [0, 1, 998, 999]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::read_at_many`], and [`Error::TargetLength`]. Where reading itself fails, `target` is filled with zeros; where
    /// an argument is wrong, it is as before.
    pub fn read_into<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)], target: &mut [T]) -> Result<(), Error> {
        self.own(handle)?.overwrite(ranges, target)
    }

    /// Brings the whole payload back into `dst`, which is cleared first, and frees its space.
    ///
    /// The memory of `dst` is used where it suffices. Where it does not, a payload of one chunk in the swap backend comes back as
    /// the same allocation, without a copy.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let handles = [pager.pageout_vec(vec![1u8; 100])?, pager.pageout_vec(vec![2u8; 50])?];
    /// let mut dst = Vec::with_capacity(100);
    /// for handle in handles {
    ///     pager.take(handle, &mut dst)?; // one allocation for all
    /// }
    /// assert_eq!(dst, [2; 50]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::read_at`]. The error holds the handle, which is as good as before; `dst` is empty or as before.
    pub fn take<T: Pod>(&self, handle: Handle<T>, dst: &mut Vec<T>) -> Result<(), TakeError<T>> {
        match self.own(&handle) {
            Ok(_) => handle.take_into(dst),
            Err(error) => Err(TakeError::new(error, handle)),
        }
    }

    /// The reading half of a take, for callers that keep the handle in a place of their own: brings the whole payload back
    /// over `target` without counting it as a read.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn peek<T: Pod>(&self, handle: &Handle<T>, target: &mut [T]) -> Result<(), Error> {
        self.own(handle)?.copy_ranges(&[(0, handle.len())], target)
    }

    /// Counts a take of which [`Self::peek`] was the reading half.
    #[cfg(feature = "addon-internals")]
    #[doc(hidden)]
    pub fn count_take<T: Pod>(&self, handle: &Handle<T>) {
        self.shared.counters.take(units::to_u64(handle.len_bytes()));
    }

    /// Starts to bring ranges, each (offset, length) in elements, into memory. A hint, as [`Handle::prefetch`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let handle = pager.pageout_vec(vec![3u64; 1 << 16])?;
    /// pager.prefetch(&handle, &[(0, 512), (32_768, 512)])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The caller's only: [`Error::OutOfRange`], [`Error::Overlap`], [`Error::ForeignHandle`].
    pub fn prefetch<T: Pod>(&self, handle: &Handle<T>, ranges: &[(usize, usize)]) -> Result<(), Error> {
        self.own(handle)?.prefetch_ranges(ranges)
    }

    /// Lends the whole payload, in memory. As [`Handle::borrow`].
    ///
    /// # Errors
    /// As [`Handle::borrow`], and [`Error::ForeignHandle`].
    pub fn borrow<T: Pod>(&self, handle: &Handle<T>) -> Result<Borrowed<T>, Error> {
        self.own(handle)?.borrow()
    }

    /// Gives all disk space back that no payload uses, which happens in the background for most of it. Space that the file system cannot take back stays ready for use.
    ///
    /// # Errors
    /// [`Error::System`] when the device failed; a file system that only cannot take space back is no error.
    pub fn trim(&self) -> Result<(), Error> {
        self.shared.packing.trim();
        self.shared.store.get().map_or(Ok(()), |store| store.trim())
    }

    /// Ends the pager, all its clones included: every descriptor is closed when this returns, and handles that are still there
    /// give [`Error::Closed`]. The disk space goes back in the background. Waits for reads and writes that are under way, no
    /// longer. A pager is closed by itself with its last clone and handle.
    ///
    /// ```
    /// # fn main() -> Result<(), pageout::Error> {
    /// let pager = pageout::Pager::builder().build()?;
    /// let handle = pager.pageout_vec(vec![1u8, 2, 3])?;
    /// pager.close();
    /// assert!(matches!(handle.read(..), Err(pageout::Error::Closed)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        let _turn = lock(&self.shared.opening);
        self.shared.closed.store(true, Relaxed);
        if let Some(account) = &self.shared.account {
            account.close();
        }
        if let Some(store) = self.shared.store.get() {
            store.close();
        }
        // Behind that: nothing that is sealed from here on is written.
        self.shared.packing.protection.forget();
    }

    /// What the pager holds and has done, at this moment.
    #[must_use]
    pub fn stats(&self) -> PagerStats {
        let (swap_bytes, swap_free_bytes) = memory::swap_space();
        let capacity_bytes = self.shared.store_options.capacity_bytes.unwrap_or(0);
        let mut stats = PagerStats { capacity_bytes, swap_bytes, swap_free_bytes, ..PagerStats::default() };
        self.shared.counters.fill(&mut stats);
        stats.stored_bytes = stats.stored_bytes.saturating_sub(self.shared.packing.saved_bytes());
        if let Some(account) = &self.shared.account {
            stats.fill_residents(account);
        }
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

    fn store_chunks<T: Pod, C: AsRef<[T]>>(
        &self,
        chunks: &[C],
        len_bytes: u64,
        element_bytes: usize,
        stop: &AtomicBool,
    ) -> Result<Handle<T>, Error> {
        let store = self.store()?;
        let bytes = chunks.iter().map(|chunk| bytemuck::cast_slice(chunk.as_ref()));
        let stored = Stored::pageout(store, bytes, len_bytes, element_bytes, &self.shared.packing, stop);
        let stored = stored.map_err(|error| self.with_payloads(error))?;
        self.stored(stored, len_bytes)
    }

    /// The handle of a payload that is written.
    fn stored<T>(&self, stored: Stored, len_bytes: u64) -> Result<Handle<T>, Error> {
        stored.count_saved(true);
        let body = match &self.shared.account {
            Some(account) => Body::Kept(account.admit_stored(stored)?),
            None => Body::File(stored),
        };
        Ok(self.handle(body, len_bytes))
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

    fn handle<T>(&self, body: Body, len_bytes: u64) -> Handle<T> {
        Handle::new(body, Membership::new(Arc::clone(&self.shared), len_bytes))
    }

    /// The handle, if it is of this pager.
    fn own<'a, T>(&self, handle: &'a Handle<T>) -> Result<&'a Handle<T>, Error> {
        if handle.belongs_to(&self.shared) { Ok(handle) } else { Err(Error::ForeignHandle) }
    }
}

impl fmt::Debug for Pager {
    /// Where it is and how full: `stats` has the rest.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.shared.store.get();
        let capacity_bytes = store.map(|store| store.space().capacity_bytes()).or(self.shared.store_options.capacity_bytes);
        out.debug_struct("Pager")
            .field("scratch_dir", &store.map(|store| store.path()))
            .field("capacity_bytes", &capacity_bytes)
            .field("used_bytes", &store.map_or(0, |store| store.used_bytes()))
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}

/// Bytes of all chunks together.
fn total_bytes<T: Pod, C: AsRef<[T]>>(chunks: &[C]) -> Result<u64, Error> {
    let lens = chunks.iter().map(|chunk| units::to_u64(size_of_val(chunk.as_ref())));
    lens.into_iter().try_fold(0u64, u64::checked_add).ok_or_else(Error::out_of_memory)
}

/// Frees a vector, and leaves as little as possible of what it held in memory that is free.
fn discard<T: Pod>(vec: &mut Vec<T>) {
    vec.clear();
    memory::discard_pages(vec.spare_capacity_mut());
    *vec = Vec::new();
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
