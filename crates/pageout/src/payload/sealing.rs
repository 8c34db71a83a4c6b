//! Writing a payload sealed: by way of a staging buffer, since the caller's memory is never encrypted.
//!
//! A buffer holds sealed bytes alone when nobody works in it. A pager keeps a few of them, and each write needs one: never more
//! memory than the payload has, and never more than [`STAGE_BYTES`].

use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::block::{PAGE_BYTES, Sealed, Sealer, Unread};
use crate::error::Error;
use crate::store::{Place, Store};
use crate::sync::{Mutex, OnceLock, UnsizedArc, lock};
use crate::sys::secret::Secret;
use crate::sys::{Failure, fork};
use crate::units::{self, KIB};

/// Bytes that are sealed before they are written: short enough to stay in a processor's own cache on the way, long enough that
/// calls cost little.
const STAGE_BYTES: u64 = 256 * KIB;
const STAGE: usize = units::to_usize(STAGE_BYTES);
/// Buffers that are kept for the next write.
const STAGES_MAX: usize = 2;

/// The keys of one pager.
#[derive(Debug)]
pub(crate) struct Seals {
    /// What this process seals with. Payloads know by whose key they were sealed.
    own: fork::PerProcess<Own>,
}

/// What one process seals with.
#[derive(Debug)]
struct Own {
    /// Drawn when it is first needed, in a child.
    sealer: OnceLock<UnsizedArc<Sealer>>,
    stages: Mutex<Vec<Vec<u8>>>,
}

impl Seals {
    /// A key of this process.
    ///
    /// # Errors
    /// What the system said where it has no memory or no random bits, or does not tell of forks.
    pub(super) fn draw() -> Result<Self, Error> {
        // A child that took itself for its parent would use each of its numbers once more with the same key.
        fork::see()?;
        let own = Own::new();
        own.sealer()?;
        Ok(Self { own: fork::PerProcess::here(own) })
    }

    /// Overwrites the keys, those that this process inherited too. For a pager that is closed: what is sealed from here on goes
    /// nowhere.
    pub(super) fn forget(&self) {
        self.own.all().filter_map(|own| own.sealer.get()).for_each(|sealer| sealer.forget());
    }

    /// Writes a payload of `len_bytes`, not zero, the first bytes of `slices`, to its place, in pieces between which `stop` is
    /// looked at. The last page is filled up with zeros.
    ///
    /// # Errors
    /// What the operating system said; ECANCELED. The content of the place is unspecified then.
    pub(super) fn write(
        &self,
        store: &Store,
        place: &Place,
        slices: &[IoSlice<'_>],
        len_bytes: u64,
        stop: &AtomicBool,
    ) -> Result<Sealed, Error> {
        let own = self.own.get(Own::new);
        let mut sealed = Sealed::begin(own.sealer()?, len_bytes)?;
        let mut source = Unread::new(slices, len_bytes);
        let mut stage = Stage::begin(&own.stages, len_bytes)?;
        for segment in place.segments(0..len_bytes) {
            let Range { start, end } = segment.payload;
            for piece_start in (start..end).step_by(STAGE) {
                if stop.load(Relaxed) {
                    return Err(Failure::new("pwritev", libc::ECANCELED).into());
                }
                let piece_bytes = STAGE_BYTES.min(end - piece_start);
                let bytes = stage.seal(&mut sealed, piece_start, units::to_usize(piece_bytes), &mut source);
                segment.slot.write_part(&[IoSlice::new(bytes)], segment.slot_start + piece_start - start)?;
            }
            segment.slot.set_dirty();
            store.push_what_is_due();
        }
        Ok(sealed)
    }
}

impl Own {
    fn new() -> Self {
        Self { sealer: OnceLock::new(), stages: Mutex::new(Vec::new()) }
    }

    fn sealer(&self) -> Result<&UnsizedArc<Sealer>, Error> {
        if let Some(sealer) = self.sealer.get() {
            return Ok(sealer);
        }
        let secret = Secret::draw()?;
        Ok(self.sealer.get_or_init(|| UnsizedArc::new(Sealer::new(secret))))
    }
}

/// A staging buffer, which goes back to the others when it is dropped.
struct Stage<'a> {
    buffer: Vec<u8>,
    others: &'a Mutex<Vec<Vec<u8>>>,
}

impl<'a> Stage<'a> {
    /// A buffer for the pieces of a payload of `len_bytes`.
    fn begin(others: &'a Mutex<Vec<Vec<u8>>>, len_bytes: u64) -> Result<Self, Error> {
        let buffer = lock(others).pop().unwrap_or_default();
        let mut this = Self { buffer, others };
        let needed_bytes = STAGE_BYTES.min(len_bytes.next_multiple_of(PAGE_BYTES));
        this.buffer.clear();
        this.buffer.try_reserve_exact(units::to_usize(needed_bytes))?;
        Ok(this)
    }

    /// The next bytes of `source` sealed, filled up to whole pages.
    fn seal(&mut self, sealed: &mut Sealed, start: u64, len_bytes: usize, source: &mut Unread<'_>) -> &[u8] {
        self.buffer.clear();
        sealed.seal(start, len_bytes, source, &mut self.buffer);
        self.buffer.resize(len_bytes.next_multiple_of(units::to_usize(PAGE_BYTES)), 0);
        &self.buffer
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let mut others = lock(self.others);
        if others.len() < STAGES_MAX && others.try_reserve(1).is_ok() {
            others.push(std::mem::take(&mut self.buffer));
        }
    }
}
