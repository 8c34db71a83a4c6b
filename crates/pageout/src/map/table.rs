//! What a map has under its keys: values, the order of use, bytes, and which keys are being changed. No I/O, and nothing is freed here:
//! what leaves is handed to the caller, who drops it without the lock.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::atomic::Ordering::Relaxed;

use bytemuck::Pod;

use crate::error::{BudgetFacts, Error};
use crate::pager::Handle;
use crate::sync::{AtomicU32, UnsizedArc};
use crate::units;

/// A value that is paged out.
pub(super) struct Value<T> {
    pub(super) handle: Handle<T>,
    /// Calls that are about to borrow it.
    pub(super) borrowers: AtomicU32,
}

impl<T: Pod> Value<T> {
    pub(super) fn new(handle: Handle<T>) -> UnsizedArc<Self> {
        UnsizedArc::new(Self { handle, borrowers: AtomicU32::new(0) })
    }

    pub(super) fn is_borrowed(&self) -> bool {
        self.borrowers.load(Relaxed) > 0 || self.handle.is_borrowed()
    }

    /// The whole value: its memory, where nobody else reads it at this moment.
    pub(super) fn take(this: UnsizedArc<Self>) -> Result<Vec<T>, (Error, UnsizedArc<Self>)> {
        match UnsizedArc::try_unwrap(this) {
            Ok(value) => value.handle.take().map_err(|failed| {
                let error = failed.error().clone();
                (error, Self::new(failed.into_handle()))
            }),
            Err(shared) => shared.handle.read(..).map_err(|error| (error, shared)),
        }
    }
}

/// What a key has.
pub(super) struct Slot<T> {
    /// Nothing while it is being taken or updated.
    value: Option<UnsizedArc<Value<T>>>,
    len_bytes: u64,
    /// When it was used last.
    used: u64,
}

/// What has left the map.
pub(super) type Left<K, T> = (K, UnsizedArc<Value<T>>);

pub(super) struct Table<K, T> {
    slots: HashMap<K, Slot<T>>,
    /// Keys by when they were used last; only where there is a limit.
    by_use: BTreeMap<u64, K>,
    clock: u64,
    len_bytes: u64,
    max_bytes: Option<u64>,
    /// Keys that are being changed, and the threads that do it.
    changing: HashMap<K, usize>,
    pub(super) is_closed: bool,
}

impl<K: Eq + Hash + Clone, T: Pod> Table<K, T> {
    pub(super) fn new(max_bytes: Option<u64>) -> Self {
        Self {
            slots: HashMap::new(),
            by_use: BTreeMap::new(),
            clock: 0,
            len_bytes: 0,
            max_bytes,
            changing: HashMap::new(),
            is_closed: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    pub(super) fn has<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.slots.contains_key(key)
    }

    pub(super) fn keys(&self) -> Vec<K> {
        self.slots.keys().cloned().collect()
    }

    /// The thread that is changing a key.
    pub(super) fn changer<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        self.changing.get(key).copied()
    }

    /// The keys that other threads are changing.
    ///
    /// # Errors
    /// [`Error::InUpdate`] where this one is changing a key.
    pub(super) fn changed_by_others(&self, thread: usize) -> Result<Vec<K>, Error> {
        if self.changing.values().any(|changer| *changer == thread) {
            return Err(Error::InUpdate);
        }
        Ok(self.changing.keys().cloned().collect())
    }

    pub(super) fn begin_change(&mut self, key: K, thread: usize) {
        self.changing.insert(key, thread);
    }

    pub(super) fn end_change(&mut self, key: &K) {
        self.changing.remove(key);
    }

    /// The value of a key, which is used now.
    pub(super) fn use_value<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<UnsizedArc<Value<T>>>
    where
        K: Borrow<Q>,
    {
        let slot = self.slots.get_mut(key)?;
        if self.max_bytes.is_some() {
            self.clock += 1;
            let used = std::mem::replace(&mut slot.used, self.clock);
            if let Some(key) = self.by_use.remove(&used) {
                self.by_use.insert(self.clock, key);
            }
        }
        slot.value.clone()
    }

    /// The value of a key, which this is no use of.
    pub(super) fn peek<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<UnsizedArc<Value<T>>>
    where
        K: Borrow<Q>,
    {
        self.slots.get(key)?.value.clone()
    }

    /// Takes the value out of a key, which stays: it is being changed.
    pub(super) fn take_value<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Result<Option<Left<K, T>>, Error>
    where
        K: Borrow<Q>,
    {
        if self.use_value(key).is_some_and(|value| value.is_borrowed()) {
            return Err(Error::Borrowed);
        }
        let Some((key, _)) = self.slots.get_key_value(key) else { return Ok(None) };
        let key = key.clone();
        let value = self.slots.get_mut::<K>(&key).and_then(|slot| slot.value.take());
        Ok(value.map(|value| (key, value)))
    }

    /// Undoes that.
    pub(super) fn give_back(&mut self, key: &K, value: UnsizedArc<Value<T>>) {
        if let Some(slot) = self.slots.get_mut::<K>(key) {
            slot.value = Some(value);
        }
    }

    /// Removes a key, and gives the value that it has.
    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<Slot<T>>
    where
        K: Borrow<Q>,
    {
        let slot = self.slots.remove(key)?;
        self.by_use.remove(&slot.used);
        self.len_bytes -= slot.len_bytes;
        Some(slot)
    }

    /// Removes all keys that nobody is changing.
    pub(super) fn clear(&mut self) -> Vec<Slot<T>> {
        let keys: Vec<K> = self.slots.keys().filter(|key| !self.changing.contains_key(*key)).cloned().collect();
        keys.iter().filter_map(|key| self.remove::<K>(key)).collect()
    }

    /// Removes all keys, for good.
    pub(super) fn close(&mut self) -> HashMap<K, Slot<T>> {
        self.is_closed = true;
        self.by_use.clear();
        self.len_bytes = 0;
        std::mem::take(&mut self.slots)
    }

    /// The keys that have to go, coldest first, where a key gets a value of `len_bytes`.
    ///
    /// # Errors
    /// [`Error::OverLimit`]; [`Error::Budget`] where the rest is borrowed.
    pub(super) fn victims(&self, key: &K, len_bytes: u64) -> Result<Vec<K>, Error> {
        let Some(max_bytes) = self.max_bytes else { return Ok(Vec::new()) };
        if len_bytes > max_bytes {
            return Err(Error::OverLimit { len_bytes, max_bytes });
        }
        let own_bytes = self.slots.get::<K>(key).map_or(0, |slot| slot.len_bytes);
        let mut kept_bytes = self.len_bytes - own_bytes;
        let mut victims = Vec::new();
        for other in self.by_use.values() {
            if kept_bytes + len_bytes <= max_bytes {
                return Ok(victims);
            }
            if other != key && self.may_go(other) {
                kept_bytes -= self.slots.get::<K>(other).map_or(0, |slot| slot.len_bytes);
                victims.push(other.clone());
            }
        }
        if kept_bytes + len_bytes <= max_bytes { Ok(victims) } else { Err(self.full(len_bytes, max_bytes)) }
    }

    /// Whether the value of a key may go: what is being taken or updated has none.
    fn may_go(&self, key: &K) -> bool {
        let value = self.slots.get::<K>(key).and_then(|slot| slot.value.as_ref());
        value.is_some_and(|value| !value.is_borrowed())
    }

    fn full(&self, requested_bytes: u64, limit_bytes: u64) -> Error {
        let borrowed = self.slots.iter().filter(|(key, _)| !self.may_go(key));
        let borrowed_bytes = borrowed.map(|(_, slot)| slot.len_bytes).sum();
        Error::Budget(Box::new(BudgetFacts { requested_bytes, borrowed_bytes, resident_bytes: self.len_bytes, limit_bytes }))
    }

    /// Makes a value that of a key, for which `victims` go. Gives the value that it had, and theirs.
    pub(super) fn put(&mut self, key: K, value: UnsizedArc<Value<T>>, victims: Vec<K>) -> (Option<Slot<T>>, Vec<Left<K, T>>) {
        let len_bytes = units::to_u64(value.handle.len_bytes());
        let old = self.remove::<K>(&key);
        self.clock += 1;
        if self.max_bytes.is_some() {
            self.by_use.insert(self.clock, key.clone());
        }
        self.slots.insert(key, Slot { value: Some(value), len_bytes, used: self.clock });
        self.len_bytes += len_bytes;
        let left = |key: K| self.remove::<K>(&key).and_then(|slot| slot.value).map(|value| (key, value));
        let gone = victims.into_iter().filter_map(left).collect();
        (old, gone)
    }
}
