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
pub(crate) enum Moved<T> {
    /// A payload of one chunk: no allocation.
    One(Vec<T>),
    /// A payload of several, or of none.
    Many {
        chunks: Vec<Vec<T>>,
        /// Where each chunk ends in the payload, in bytes.
        ends: Vec<u64>,
    },
}

impl<T: Pod> Moved<T> {
    /// Moves the memory of all chunks in, which leaves them without capacity.
    ///
    /// # Errors
    /// When the memory for the list cannot be had; the chunks are as before.
    pub(crate) fn pageout(chunks: &mut [Vec<T>]) -> Result<Self, Error> {
        if let [only] = chunks {
            memory::hint_cold(bytemuck::cast_slice(only));
            return Ok(Self::One(std::mem::take(only)));
        }
        let mut moved = Vec::new();
        let mut ends = Vec::new();
        moved.try_reserve_exact(chunks.len())?;
        ends.try_reserve_exact(chunks.len())?;
        let mut end = 0;
        for chunk in chunks {
            memory::hint_cold(bytemuck::cast_slice(chunk));
            end += units::to_u64(size_of_val(&chunk[..]));
            ends.push(end);
            moved.push(std::mem::take(chunk));
        }
        Ok(Self::Many { chunks: moved, ends })
    }

    /// The chunk with all the elements, when there is one.
    pub(crate) fn into_only_chunk(self) -> Result<Vec<T>, Self> {
        let (mut chunks, ends) = match self {
            Self::One(only) => return Ok(only),
            Self::Many { chunks, ends } => (chunks, ends),
        };
        let mut filled = (0..chunks.len()).filter(|&position| !chunks[position].is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => Ok(chunks.swap_remove(only)),
            _ => Err(Self::Many { chunks, ends }),
        }
    }

    /// Calls `visit` with the memory of an extent, piece by piece.
    fn pieces(&self, extent: Extent, mut visit: impl FnMut(&[u8])) {
        let mut start = extent.start;
        let (chunks, ends) = match self {
            Self::One(only) => {
                let bytes: &[u8] = bytemuck::cast_slice(only);
                return visit(&bytes[units::to_usize(start)..units::to_usize(extent.end())]);
            }
            Self::Many { chunks, ends } => (chunks, ends),
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

    fn announce(&self, extents: &Extents) {
        for &extent in extents.requested() {
            self.pieces(extent, memory::hint_soon);
        }
    }
}
