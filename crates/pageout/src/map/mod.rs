//! A map of vectors within a memory budget: [`PagedMap`], a client of [`Pager`] and of what a budget does.
//!
//! - **[`table`]**: keys, values, the order of use and the limit, behind one lock that is never held during a transfer, a call of the
//!   system, a free, or a function of the caller.
//! - **Changes of one key** come one after the other: who changes it marks it, and others wait until it is settled. The thread that does an
//!   update itself would wait for ever, and gets [`Error::InUpdate`].
//! - **A value** is a handle that several may share at a moment: readers keep it alive while they read, and what was replaced or removed is
//!   freed by the last of them. Borrowed memory is kept by its borrowers, as that of any handle.

mod table;

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::ops::{Range, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::Relaxed;

use bytemuck::Pod;

use crate::error::Error;
use crate::pager::{Backend, Borrowed, Handle, PageoutError, Pager, PagerBuilder, PagerStats};
use crate::sync::{Condvar, Mutex, MutexGuard, UnsizedArc, lock, thread_number, wait};
use crate::units;
use table::{Left, Table, Value};

/// What a function of the caller panicked with.
type Panic = Box<dyn Any + Send>;

/// What is called for a key that goes.
type OnEvict<K, T> = Box<dyn Fn(K, Evicted<T>) + Send + Sync>;

/// A map of vectors within a memory budget: what is used stays in memory as long as there is room, and the rest is in unnamed files.
///
/// Values are borrowed for a moment ([`Self::borrow`]), read in parts ([`Self::read`]), changed ([`Self::update`]) or taken out
/// ([`Self::take`]). Any number of threads may use one map. Calls of different keys never wait for each other; those of one key
/// wait for a [`set`](Self::set), [`take`](Self::take) or [`update`](Self::update) of it that is under way.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pageout::{PagedMap, Pager};
///
/// let map = PagedMap::new(Pager::builder().resident_bytes(1 << 20))?;
/// for day in 0..100u32 {
///     map.set(day, vec![f64::from(day); 8 << 10])?; // 64 KiB each: most of them leave memory
/// }
/// let first = map.borrow(&7)?.expect("it was set");
/// assert_eq!(first[0], 7.0);
/// assert_eq!(map.read(&99, 10..12)?, Some(vec![99.0, 99.0]));
/// map.update(7, |day| day.get_or_insert_default().push(0.5)).expect_err("it is borrowed");
/// drop(first);
/// map.update(7, |day| day.get_or_insert_default().push(0.5))?;
/// assert_eq!(map.take(&7)?.expect("it is there").len(), (8 << 10) + 1);
/// assert_eq!(map.borrow(&7)?.is_none(), true);
/// assert!(map.stats().resident_bytes <= 1 << 20);
/// # Ok(())
/// # }
/// ```
///
/// # A limit
/// [`Self::with_limit`] makes a cache: past the limit those keys go that were used longest ago.
pub struct PagedMap<K, T = u64> {
    pager: Pager,
    table: Mutex<Table<K, T>>,
    /// Told when a key is no longer being changed, or the map is closed.
    settled: Condvar,
    on_evict: Option<OnEvict<K, T>>,
}

impl<K: Eq + Hash + Clone, T: Pod> PagedMap<K, T> {
    /// A map with a pager of these options for itself, of which [`resident_bytes`](PagerBuilder::resident_bytes) is required.
    ///
    /// # Errors
    /// [`Error::Option`] without a memory budget, and for another backend than the file backend; those of
    /// [`PagerBuilder::build`].
    pub fn new(pager: PagerBuilder) -> Result<Self, Error> {
        Self::open(pager, None, None)
    }

    /// A map that has at most `max_bytes` of values, in memory or not. Past that the keys go that were used longest ago; what is
    /// borrowed stays. `on_evict` is called for each key that goes, by the thread whose [`set`](Self::set) or [`update`](Self::update)
    /// made it go, once that is done; it may call the map. Where it panics, that call does when all have been told, and what was set stands.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use pageout::{PagedMap, Pager};
    ///
    /// let (gone, log) = std::sync::mpsc::channel();
    /// let pager = Pager::builder().resident_bytes(1 << 20);
    /// let cache = PagedMap::with_limit(pager, 80, move |key: &str, value| {
    ///     gone.send((key, value.take())).expect("somebody listens");
    /// })?;
    /// cache.set("one", vec![1u64; 5])?;
    /// cache.set("two", vec![2u64; 5])?;
    /// cache.borrow("one")?; // used: now "two" is the coldest
    /// cache.set("three", vec![3u64; 5])?;
    /// let (key, value) = log.recv()?;
    /// assert_eq!((key, value?), ("two", vec![2; 5]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::new`], and [`Error::Option`] for a limit of 0.
    pub fn with_limit(
        pager: PagerBuilder,
        max_bytes: u64,
        on_evict: impl Fn(K, Evicted<T>) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        if max_bytes == 0 {
            return Err(Error::Option { name: "max_bytes", problem: "must be at least 1".to_owned() });
        }
        Self::open(pager, Some(max_bytes), Some(Box::new(on_evict)))
    }

    fn open(pager: PagerBuilder, max_bytes: Option<u64>, on_evict: Option<OnEvict<K, T>>) -> Result<Self, Error> {
        const { assert!(size_of::<T>() > 0, "elements without bytes cannot be paged out") };
        let pager = pager.build()?;
        if pager.stats().resident_limit_bytes == 0 {
            let problem = "is needed: the values of a map are within a memory budget".to_owned();
            return Err(Error::Option { name: "resident_bytes", problem });
        }
        if pager.backend() != Backend::File {
            return Err(Error::Option { name: "backend", problem: "must be the file backend".to_owned() });
        }
        Ok(Self { pager, table: Mutex::new(Table::new(max_bytes)), settled: Condvar::new(), on_evict })
    }

    /// Moves a vector into the map, as the value of a key. The value that the key had is freed; while that is borrowed, its borrowers
    /// keep it, and the last of them frees it.
    ///
    /// # Errors
    /// Those of [`Pager::pageout`]; [`Error::Budget`] where the limit is reached and all other values are borrowed, and
    /// [`Error::OverLimit`] for a vector that is longer than the limit. The error holds the vector, and the map is as it was.
    pub fn set(&self, key: K, vec: Vec<T>) -> Result<(), PageoutError<Vec<T>>> {
        let began = self.begin(&key).and_then(|table| table.victims(&key, bytes_of(&vec)).map(|_| table));
        let change = match began {
            Ok(table) => self.change(table, key),
            Err(error) => return Err(PageoutError::new(error, vec)),
        };
        let stored = self.store(&change.key, vec);
        drop(change);
        self.evict(stored?);
        Ok(())
    }

    /// Lends a value: to look at, in memory. `None` where the key is not there. See [`Handle::borrow`].
    ///
    /// # Errors
    /// [`Error::Budget`] where all of the memory budget is borrowed, those of a read, [`Error::InUpdate`].
    pub fn borrow<Q>(&self, key: &Q) -> Result<Option<Borrowed<T>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let value = self.begin(key)?.use_value(key).map(Borrowing::new);
        value.map(|value| value.0.handle.borrow()).transpose()
    }

    /// Lends several values, in the order of the keys: all or none, with room for all of them found in one step. `None` where one of
    /// the keys is not there. A key may be named twice.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let map = pageout::PagedMap::new(pageout::Pager::builder().resident_bytes(1 << 20))?;
    /// map.set("price", vec![1.5f64, 2.5])?;
    /// map.set("volume", vec![10.0, 20.0])?;
    /// let columns = map.borrow_all(["price", "volume"])?.expect("both are there");
    /// let turnover: f64 = columns[0].iter().zip(&*columns[1]).map(|(price, volume)| price * volume).sum();
    /// assert_eq!(turnover, 65.0);
    /// assert!(map.borrow_all(["price", "other"])?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::borrow`].
    pub fn borrow_all<'k, Q>(&self, keys: impl IntoIterator<Item = &'k Q>) -> Result<Option<Vec<Borrowed<T>>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized + 'k,
    {
        let keys: Vec<&Q> = keys.into_iter().collect();
        let mut table = self.begin_all(&keys)?;
        let values: Option<Vec<_>> = keys.iter().map(|key| table.use_value(*key).map(Borrowing::new)).collect();
        drop(table);
        let Some(values) = values else { return Ok(None) };
        let handles: Vec<&Handle<T>> = values.iter().map(|value| &value.0.handle).collect();
        Handle::borrow_all(&handles).map(Some)
    }

    /// A range of a value. What is not in memory does not come there. `None` where the key is not there.
    ///
    /// # Errors
    /// As [`Handle::read`], and [`Error::InUpdate`].
    pub fn read<Q>(&self, key: &Q, range: impl RangeBounds<usize>) -> Result<Option<Vec<T>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.value(key)?.map(|value| value.handle.read(range)).transpose()
    }

    /// As [`Self::read`], over `target`, which is exactly as long as the range. Says whether the key is there.
    ///
    /// # Errors
    /// As [`Handle::read_into`], and [`Error::InUpdate`].
    pub fn read_into<Q>(&self, key: &Q, range: impl RangeBounds<usize>, target: &mut [T]) -> Result<bool, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let read = self.value(key)?.map(|value| value.handle.read_into(range, target)).transpose()?;
        Ok(read.is_some())
    }

    /// Several ranges of a value, one behind the other in the order of `ranges`. `None` where the key is not there.
    ///
    /// # Errors
    /// As [`Handle::read_many`], and [`Error::InUpdate`].
    pub fn read_many<Q>(&self, key: &Q, ranges: &[Range<usize>]) -> Result<Option<Vec<T>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.value(key)?.map(|value| value.handle.read_many(ranges)).transpose()
    }

    /// Takes a value out of the map: of what is in memory, the very same allocation. `None` where the key is not there.
    ///
    /// # Errors
    /// [`Error::Borrowed`], those of a read, [`Error::InUpdate`]. The map is as it was then.
    pub fn take<Q>(&self, key: &Q) -> Result<Option<Vec<T>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut table = self.begin(key)?;
        let Some((key, value)) = table.take_value(key)? else { return Ok(None) };
        let change = self.change(table, key);
        let vec = self.take_out(&change.key, value)?;
        lock(&self.table).remove::<K>(&change.key);
        Ok(Some(vec))
    }

    /// Changes a value: takes it, calls `work` with it, and sets what `work` leaves. `None` begins as a key that is not there, and is
    /// left to delete the key. Meanwhile other threads wait with calls of this key.
    ///
    /// Where `work` panics, what it leaves is set as well, and the panic goes on. What cannot be set then is dropped, and the key is not
    /// there any more: a panic has no error to hold it.
    ///
    /// # Errors
    /// [`Error::Borrowed`], those of a read, [`Error::InUpdate`]: then the map is as it was, and the error holds nothing. As [`Self::set`]
    /// where what `work` left cannot be set: the error holds that, and the key is not there any more.
    pub fn update<R>(&self, key: K, work: impl FnOnce(&mut Option<Vec<T>>) -> R) -> Result<R, PageoutError<Option<Vec<T>>>> {
        let (mut vec, change) = self.begin_update(key).map_err(|error| PageoutError::new(error, None))?;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut vec)));
        let stored = match vec {
            Some(vec) => self.store(&change.key, vec),
            None => Ok(Vec::new()),
        };
        self.remove_without_value(&change.key);
        drop(change);
        match (outcome, stored) {
            (Ok(result), Ok(gone)) => {
                self.evict(gone);
                Ok(result)
            }
            (Ok(_), Err(failed)) => {
                let error = failed.error().clone();
                Err(PageoutError::new(error, Some(failed.into_inner())))
            }
            (Err(panic), stored) => {
                // Those that went are told; the panic that came first goes on.
                drop(self.tell(stored.unwrap_or_default()));
                resume_unwind(panic)
            }
        }
    }

    /// Whether a key is there.
    #[must_use]
    pub fn has<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        lock(&self.table).has(key)
    }

    /// Removes a key, and says whether it was there. Its value is freed; while it is borrowed, the last of its borrowers frees it.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::InUpdate`].
    pub fn delete<Q>(&self, key: &Q) -> Result<bool, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let removed = self.begin(key)?.remove(key);
        Ok(removed.is_some())
    }

    /// Removes all keys, as [`Self::delete`] does: those that another thread is changing at this moment when that is settled.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::InUpdate`] within an update of any key, and nothing is removed then.
    pub fn clear(&self) -> Result<(), Error> {
        let mut table = self.open_table()?;
        let changing = table.changed_by_others(thread_number())?;
        let removed = table.clear();
        drop(table);
        drop(removed);
        changing.iter().try_for_each(|key| self.delete::<K>(key).map(drop))
    }

    /// The keys, in no order.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        lock(&self.table).keys()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.table).len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all values, in memory or not.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        lock(&self.table).len_bytes()
    }

    /// Starts bringing a value into memory, in the background, where unborrowed room is or can be made. A hint: nothing depends on it,
    /// and a key that is not there is ignored.
    pub fn prefetch<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let value = lock(&self.table).peek(key);
        if let Some(value) = value {
            // A hint: it can fail only where the map was closed meanwhile.
            let _: Result<(), Error> = value.handle.prefetch(..);
        }
    }

    /// What the map's pager holds and has done. Values that were replaced or removed and are still borrowed count.
    #[must_use]
    pub fn stats(&self) -> PagerStats {
        self.pager.stats()
    }

    /// Frees all values and closes every descriptor. What is borrowed stays with its borrowers. Every other call gives
    /// [`Error::Closed`] then, also those that wait.
    pub fn close(&self) {
        let removed = lock(&self.table).close();
        self.settled.notify_all();
        drop(removed);
        self.pager.close();
    }

    fn open_table(&self) -> Result<MutexGuard<'_, Table<K, T>>, Error> {
        let table = lock(&self.table);
        if table.is_closed { Err(Error::Closed) } else { Ok(table) }
    }

    /// The table, with nobody changing a key.
    fn begin<Q>(&self, key: &Q) -> Result<MutexGuard<'_, Table<K, T>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.begin_all(&[key])
    }

    /// The table, with nobody changing one of several keys.
    fn begin_all<Q>(&self, keys: &[&Q]) -> Result<MutexGuard<'_, Table<K, T>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut table = self.open_table()?;
        while let Some(thread) = keys.iter().find_map(|key| table.changer(*key)) {
            if thread == thread_number() {
                return Err(Error::InUpdate);
            }
            table = wait(&self.settled, table);
            if table.is_closed {
                return Err(Error::Closed);
            }
        }
        Ok(table)
    }

    fn value<Q>(&self, key: &Q) -> Result<Option<UnsizedArc<Value<T>>>, Error>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        Ok(self.begin(key)?.use_value(key))
    }

    /// Takes a value whose key is being changed; where that fails it has it again.
    fn take_out(&self, key: &K, value: UnsizedArc<Value<T>>) -> Result<Vec<T>, Error> {
        Value::take(value).map_err(|(error, value)| {
            lock(&self.table).give_back(key, value);
            error
        })
    }

    /// Begins to change a key that nobody is changing.
    fn change(&self, mut table: MutexGuard<'_, Table<K, T>>, key: K) -> Change<'_, K, T> {
        table.begin_change(key.clone(), thread_number());
        drop(table);
        Change { map: self, key }
    }

    /// Takes the value of a key that is to be updated, if it is there.
    fn begin_update(&self, key: K) -> Result<Update<'_, K, T>, Error> {
        let mut table = self.begin(&key)?;
        let taken = table.take_value(&key)?;
        let change = self.change(table, key);
        let vec = taken.map(|(_, value)| self.take_out(&change.key, value)).transpose()?;
        Ok((vec, change))
    }

    /// Removes a key that was updated and got no value.
    fn remove_without_value(&self, key: &K) {
        let mut table = lock(&self.table);
        if table.peek::<K>(key).is_none() {
            table.remove::<K>(key);
        }
    }

    /// Makes a vector the value of a key that is being changed. Gives what has to go for it, and is in the map no more.
    fn store(&self, key: &K, vec: Vec<T>) -> Result<Vec<Left<K, T>>, PageoutError<Vec<T>>> {
        let value = Value::new(self.pager.pageout_vec(vec)?);
        let mut table = lock(&self.table);
        let victims = table.victims(key, units::to_u64(value.handle.len_bytes()));
        match victims {
            // What was paged out while the map was closed is gone with it.
            Ok(_) if table.is_closed => Ok(Vec::new()),
            Ok(victims) => {
                let (old, gone) = table.put(key.clone(), value, victims);
                drop(table);
                drop(old);
                Ok(gone)
            }
            Err(error) => {
                drop(table);
                Err(give_up(error, value))
            }
        }
    }

    fn evict(&self, gone: Vec<Left<K, T>>) {
        if let Some(panic) = self.tell(gone) {
            resume_unwind(panic);
        }
    }

    /// Calls `on_evict` for all that have gone. Gives the first of its panics.
    fn tell(&self, gone: Vec<Left<K, T>>) -> Option<Panic> {
        let on_evict = self.on_evict.as_ref()?;
        let tell = |(key, value)| catch_unwind(AssertUnwindSafe(|| on_evict(key, Evicted(value)))).err();
        gone.into_iter().map(tell).fold(None, Option::or)
    }
}

/// Takes a value back that cannot be set. Where that fails too, that is the error, and there is nothing to hold.
fn give_up<T: Pod>(error: Error, value: UnsizedArc<Value<T>>) -> PageoutError<Vec<T>> {
    match Value::take(value) {
        Ok(vec) => PageoutError::new(error, vec),
        Err((error, _)) => PageoutError::new(error, Vec::new()),
    }
}

fn bytes_of<T>(vec: &[T]) -> u64 {
    units::to_u64(size_of_val(vec))
}

impl<K, T> fmt::Debug for PagedMap<K, T> {
    /// Without keys and values.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PagedMap").field("pager", &self.pager).finish_non_exhaustive()
    }
}

/// A value that has left a [`PagedMap`] with a [limit](PagedMap::with_limit). Dropping it frees it.
#[must_use = "a value that is not taken is freed"]
pub struct Evicted<T>(UnsizedArc<Value<T>>);

impl<T: Pod> Evicted<T> {
    /// Elements of the value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.handle.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.handle.is_empty()
    }

    /// The value: of what is in memory, the very same allocation.
    ///
    /// # Errors
    /// As [`Handle::read`]. The value is freed then.
    pub fn take(self) -> Result<Vec<T>, Error> {
        Value::take(self.0).map_err(|(error, _)| error)
    }
}

impl<T> fmt::Debug for Evicted<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Evicted").finish_non_exhaustive()
    }
}

/// That a key is being changed, until it is dropped.
struct Change<'a, K: Eq + Hash + Clone, T: Pod> {
    map: &'a PagedMap<K, T>,
    key: K,
}

/// What an update begins with.
type Update<'a, K, T> = (Option<Vec<T>>, Change<'a, K, T>);

impl<K: Eq + Hash + Clone, T: Pod> Drop for Change<'_, K, T> {
    fn drop(&mut self) {
        lock(&self.map.table).end_change(&self.key);
        self.map.settled.notify_all();
    }
}

/// That a value is about to be borrowed, until it is dropped.
struct Borrowing<T>(UnsizedArc<Value<T>>);

impl<T> Borrowing<T> {
    fn new(value: UnsizedArc<Value<T>>) -> Self {
        value.borrowers.fetch_add(1, Relaxed);
        Self(value)
    }
}

impl<T> Drop for Borrowing<T> {
    fn drop(&mut self) {
        self.0.borrowers.fetch_sub(1, Relaxed);
    }
}
