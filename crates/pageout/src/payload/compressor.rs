//! Memory to compress payloads in, and what that saves.

use std::io::IoSlice;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::Relaxed;

use super::extents::Extent;
use super::pages::{Pages, Source};
use super::range;
use crate::block::PAGE_BYTES;
use crate::error::Error;
use crate::frames::{Form, Layout, Workspace};
use crate::sync::{AtomicU64, Mutex, lock};
use crate::sys::{destination, fork};
use crate::units::{self, KIB};

const PAGE: usize = units::to_usize(PAGE_BYTES);
/// Desks that are kept for the next call.
const DESKS_MAX: usize = 4;
/// Bytes of the longest stage that is kept. What is longer costs more to work on than to allocate.
pub(super) const STAGE_BYTES: usize = units::to_usize(256 * KIB);

/// What a pager compresses and decompresses with.
#[derive(Debug)]
pub(crate) struct Compressor {
    /// Desks that nobody works at. A forked child begins without: its parent's may be locked for ever.
    idle: fork::PerProcess<Mutex<Vec<Desk>>>,
    /// Whether payloads are encrypted, so that nothing of them may stay here.
    is_wiped: bool,
    saved_bytes: AtomicU64,
}

/// Memory of who compresses or decompresses something.
pub(super) struct Desk {
    pub(super) workspace: Workspace,
    /// Stored bytes: of a piece that is compressed, or of frames that are read.
    pub(super) stage: Vec<u8>,
    /// Bytes at the front of the stage that may hold something.
    used_bytes: usize,
}

/// A desk, which goes back when this is dropped.
pub(super) struct Taken<'a> {
    compressor: &'a Compressor,
    desk: Option<Desk>,
}

impl Compressor {
    /// For payloads that are encrypted, or not.
    pub(super) fn new(is_sealed: bool) -> Self {
        Self { idle: fork::PerProcess::here(Mutex::default()), is_wiped: is_sealed, saved_bytes: AtomicU64::new(0) }
    }

    /// A desk to work at.
    ///
    /// # Errors
    /// When its memory cannot be allocated.
    pub(super) fn desk(&self) -> Result<Taken<'_>, Error> {
        let idle = lock(self.idle()).pop();
        let desk = match idle {
            Some(desk) => desk,
            None => Desk { workspace: Workspace::new()?, stage: Vec::new(), used_bytes: 0 },
        };
        Ok(Taken { compressor: self, desk: Some(desk) })
    }

    fn idle(&self) -> &Mutex<Vec<Desk>> {
        self.idle.get(Mutex::default)
    }

    fn put_back(&self, mut desk: Desk) {
        if self.is_wiped {
            desk.wipe();
        }
        if desk.stage.capacity() > STAGE_BYTES {
            desk.stage = Vec::new();
        }
        desk.used_bytes = 0;
        let mut idle = lock(self.idle());
        if idle.len() < DESKS_MAX && idle.try_reserve(1).is_ok() {
            idle.push(desk);
        }
    }

    /// Frees desks that nobody works at.
    pub(super) fn trim(&self) {
        let idle = std::mem::take(&mut *lock(self.idle()));
        drop(idle);
    }

    pub(super) fn saved_bytes(&self) -> u64 {
        self.saved_bytes.load(Relaxed)
    }

    pub(super) fn add_saved(&self, bytes: u64) {
        self.saved_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn remove_saved(&self, bytes: u64) {
        self.saved_bytes.fetch_sub(bytes, Relaxed);
    }
}

impl Desk {
    /// Compresses the first `len_bytes` of `slices` to the stage, and fills that up to whole pages. Says where the frames are; nothing
    /// where none became shorter.
    ///
    /// # Errors
    /// When the memory for it cannot be allocated.
    pub(super) fn encode(&mut self, slices: &[IoSlice<'_>], len_bytes: u64, form: Form) -> Result<Option<Layout>, Error> {
        // Frames are not longer than what they are made of.
        self.clear_stage(units::to_usize(len_bytes.next_multiple_of(PAGE_BYTES)))?;
        let Self { workspace, stage, .. } = self;
        let layout = workspace.encode_all(slices, len_bytes, form, |frame| {
            stage.extend_from_slice(frame);
            Ok::<(), Error>(())
        })?;
        stage.resize(stage.len().next_multiple_of(PAGE), 0);
        Ok((layout.stored_bytes() < len_bytes).then_some(layout))
    }

    /// Reads an extent of `pages` to the stage. Says whether it came; from the device it always does.
    ///
    /// # Errors
    /// What kept the bytes from being read whole and verified.
    pub(super) fn fetch(&mut self, pages: Pages<'_>, extent: Extent, source: Source) -> Result<bool, Error> {
        let len = units::to_usize(extent.len_bytes);
        self.clear_stage(len)?;
        let fetched = destination::append_to(&mut self.stage, len, |whole| match range::read(pages, extent, whole, source) {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        });
        match fetched {
            Ok(()) => Ok(true),
            Err(None) => Ok(false),
            Err(Some(error)) => Err(error),
        }
    }

    /// Makes room for `len` bytes.
    fn clear_stage(&mut self, len: usize) -> Result<(), Error> {
        if len > self.stage.capacity() {
            // What is too short is freed.
            self.wipe_stage();
        }
        self.stage.clear();
        self.stage.try_reserve_exact(len)?;
        self.used_bytes = self.used_bytes.max(len);
        Ok(())
    }

    /// Overwrites all that payloads left.
    fn wipe(&mut self) {
        self.workspace.wipe();
        self.wipe_stage();
    }

    fn wipe_stage(&mut self) {
        self.stage.clear();
        self.stage.resize(self.used_bytes, 0);
        // It may be freed next.
        std::hint::black_box(&mut self.stage);
        self.used_bytes = 0;
    }
}

impl std::fmt::Debug for Desk {
    /// Without what lies there.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Deref for Taken<'_> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        self.desk.as_ref().expect("a desk until this is dropped")
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        self.desk.as_mut().expect("a desk until this is dropped")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(desk) = self.desk.take() {
            self.compressor.put_back(desk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a desk has on its stage when somebody has worked at it.
    fn left_behind(is_sealed: bool) -> Vec<u8> {
        let compressor = Compressor::new(is_sealed);
        let bytes: Vec<u8> = (0..30_000u32).flat_map(u32::to_le_bytes).collect();
        let (slices, len_bytes) = ([IoSlice::new(&bytes)], units::to_u64(bytes.len()));
        let mut desk = compressor.desk().expect("memory");
        let form = desk.workspace.choose(&slices, len_bytes, 4).expect("it shrinks");
        desk.encode(&slices, len_bytes, form).expect("memory").expect("it shrinks");
        drop(desk);
        let desk = lock(compressor.idle()).pop().expect("it is kept");
        desk.stage
    }

    #[test]
    fn nothing_is_left_of_payloads_that_are_encrypted() {
        assert!(left_behind(false).iter().any(|&byte| byte != 0));
        let left = left_behind(true);
        assert!(left.len() >= 120_000 && left.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn few_desks_are_kept_and_none_behind_a_trim() {
        let compressor = Compressor::new(false);
        let taken: Vec<_> = (0..DESKS_MAX + 2).map(|_| compressor.desk().expect("memory")).collect();
        drop(taken);
        assert_eq!(lock(compressor.idle()).len(), DESKS_MAX);
        let mut desk = compressor.desk().expect("memory");
        desk.stage.reserve(STAGE_BYTES + 1);
        drop(desk);
        assert_eq!(lock(compressor.idle()).iter().filter(|desk| desk.stage.capacity() > STAGE_BYTES).count(), 0);
        compressor.trim();
        assert_eq!(lock(compressor.idle()).len(), 0);
    }
}
