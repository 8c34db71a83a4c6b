//! The swap backend: the chunk's own memory moves into the handle and is hinted cold.
//!
//! Nothing is copied on the way out, and a payload of one chunk comes back as the very same allocation. The kernel writes
//! such pages to swap space first when memory is short; without swap space they simply stay. The hint says success even
//! when nothing moves, so nothing here depends on it.

use bytemuck::Pod;

use super::{Extent, Extents, Payload};
use crate::error::Error;
use crate::sys::{Destination, memory};
use crate::units;

/// A payload in the memory of this process.
#[derive(Debug)]
pub(crate) struct Moved<T> {
    chunks: Chunks<T>,
    /// Whether its pages are kept out of core dumps.
    is_excluded: bool,
}

#[derive(Debug)]
enum Chunks<T> {
    /// A payload of one chunk: no allocation.
    One(Vec<T>),
    /// A payload of several, or of none.
    Many {
        chunks: Box<[Vec<T>]>,
        /// Where each chunk ends in the payload, in bytes.
        ends: Box<[u64]>,
    },
}

impl<T: Pod> Moved<T> {
    /// Moves the memory of all chunks in, which leaves them without capacity, and where `exclude` is true keeps it out of
    /// core dumps.
    ///
    /// # Errors
    /// When the memory for the list cannot be had, or the chunks cannot be excluded; they are as before.
    pub(crate) fn pageout(chunks: &mut [Vec<T>], exclude: bool) -> Result<Self, Error> {
        let mut moved = Vec::new();
        let mut ends = Vec::new();
        if chunks.len() != 1 {
            moved.try_reserve_exact(chunks.len())?;
            ends.try_reserve_exact(chunks.len())?;
        }
        if exclude {
            exclude_all(chunks)?;
        }
        for chunk in &*chunks {
            memory::hint_cold(bytemuck::cast_slice(chunk));
        }
        if let [only] = chunks {
            return Ok(Self { chunks: Chunks::One(std::mem::take(only)), is_excluded: exclude });
        }
        let mut end = 0;
        for chunk in chunks {
            end += units::to_u64(size_of_val(&chunk[..]));
            ends.push(end);
            moved.push(std::mem::take(chunk));
        }
        let chunks = Chunks::Many { chunks: moved.into_boxed_slice(), ends: ends.into_boxed_slice() };
        Ok(Self { chunks, is_excluded: exclude })
    }

    /// The chunk with all the elements, when there is one.
    pub(crate) fn into_only_chunk(mut self) -> Result<Vec<T>, Self> {
        let only = match &mut self.chunks {
            Chunks::One(only) => Some(only),
            Chunks::Many { chunks, .. } => {
                let mut filled = chunks.iter_mut().filter(|chunk| !chunk.is_empty());
                filled.next().filter(|_| filled.next().is_none())
            }
        };
        let Some(only) = only.map(std::mem::take) else { return Err(self) };
        if self.is_excluded {
            memory::include_in_core_dumps(bytemuck::cast_slice(&only));
        }
        Ok(only)
    }

    /// Calls `visit` with the memory of an extent, piece by piece.
    fn pieces(&self, extent: Extent, mut visit: impl FnMut(&[u8])) {
        let mut start = extent.start;
        let (chunks, ends) = match &self.chunks {
            Chunks::One(only) => {
                let bytes: &[u8] = bytemuck::cast_slice(only);
                return visit(&bytes[units::to_usize(start)..units::to_usize(extent.end())]);
            }
            Chunks::Many { chunks, ends } => (chunks, ends),
        };
        let mut position = ends.partition_point(|&end| end <= start);
        while start < extent.end() {
            let bytes: &[u8] = bytemuck::cast_slice(&chunks[position]);
            let chunk_end = ends[position];
            let chunk_start = chunk_end - units::to_u64(bytes.len());
            let end = extent.end().min(chunk_end);
            visit(&bytes[units::to_usize(start - chunk_start)..units::to_usize(end - chunk_start)]);
            (start, position) = (end, position + 1);
        }
    }
}

/// Keeps all chunks out of core dumps, or none.
fn exclude_all<T: Pod>(chunks: &[Vec<T>]) -> Result<(), Error> {
    for (position, chunk) in chunks.iter().enumerate() {
        if let Err(failure) = memory::exclude_from_core_dumps(bytemuck::cast_slice(chunk)) {
            chunks[..=position].iter().for_each(|chunk| memory::include_in_core_dumps(bytemuck::cast_slice(chunk)));
            return Err(failure.into());
        }
    }
    Ok(())
}

impl<T> Drop for Moved<T> {
    fn drop(&mut self) {
        if self.is_excluded {
            let chunks = match &mut self.chunks {
                Chunks::One(only) => std::slice::from_mut(only),
                Chunks::Many { chunks, .. } => &mut chunks[..],
            };
            for chunk in chunks {
                chunk.clear();
                memory::discard_excluded(chunk.spare_capacity_mut());
            }
        }
    }
}

impl<T: Pod> Payload for Moved<T> {
    fn read(&self, extents: &Extents, mut whole: Destination<'_>) -> Result<(), Error> {
        for &extent in extents.requested() {
            self.pieces(extent, |bytes| whole.append(bytes));
        }
        Ok(())
    }

    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error> {
        self.read(extents, whole).map(|()| true)
    }

    fn prefetch(&self, extents: &Extents) {
        for &extent in extents.requested() {
            self.pieces(extent, memory::hint_soon);
        }
    }
}
