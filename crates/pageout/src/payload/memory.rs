//! A payload in the memory of this process: the chunks' own memory, hinted cold.
//!
//! Nothing is copied on the way out, and a payload of one chunk comes back as the very same allocation. The kernel writes
//! such pages to swap space first when memory is short; without swap space they simply stay. The hint says success even
//! when nothing moves, so nothing here depends on it.
//!
//! A payload does not know the type of its elements, so that all payloads of a process have one type.

use std::any::Any;

use bytemuck::Pod;

use super::extents::{Extent, Extents};
use super::reading::Payload;
use crate::error::Error;
use crate::sys::{Destination, PlainVec, memory};
use crate::units;

/// Memory of one piece of a payload, whatever its elements are.
pub trait Chunk: Any + Send + Sync {
    /// The piece.
    fn bytes(&self) -> &[u8];

    /// Bytes of one of its elements.
    fn element_bytes(&self) -> usize {
        1
    }

    /// What stands for the memory with its owner, where somebody lends it.
    fn key(&self) -> Option<u64> {
        None
    }

    /// It leaves to make room for others, as somebody may want to know.
    fn set_evicted(&self) {}

    /// The owner takes the memory back: it is not to be freed when this is dropped.
    fn give_back(&mut self) {}
}

impl<T: Pod> Chunk for PlainVec<T> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    fn element_bytes(&self) -> usize {
        size_of::<T>()
    }
}

/// A vector whose pages are kept out of core dumps, and go back to the system when it is dropped.
struct ExcludedVec<T: Pod>(PlainVec<T>);

impl<T: Pod> Chunk for ExcludedVec<T> {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn element_bytes(&self) -> usize {
        size_of::<T>()
    }
}

impl<T: Pod> Drop for ExcludedVec<T> {
    fn drop(&mut self) {
        let PlainVec(elements) = &mut self.0;
        elements.clear();
        memory::discard_excluded(elements.spare_capacity_mut());
    }
}

/// A payload in the memory of this process.
pub(crate) struct Memory {
    chunks: Chunks,
}

const _: () = assert!(size_of::<Memory>() <= 16, "each payload of a memory budget has one");

enum Chunks {
    /// A payload of one chunk: no list.
    One(Box<dyn Chunk>),
    /// A payload of several, or of none.
    Many(Box<Pieces>),
}

struct Pieces {
    chunks: Box<[Box<dyn Chunk>]>,
    /// Where each chunk ends in the payload, in bytes.
    ends: Box<[u64]>,
}

impl Memory {
    /// Moves the memory of all chunks in, which leaves them without capacity, and where `exclude` is true keeps it out of
    /// core dumps.
    ///
    /// # Errors
    /// When the memory for the list cannot be allocated, or the chunks cannot be excluded; they are as before.
    pub(crate) fn pageout<T: Pod>(chunks: &mut [Vec<T>], exclude: bool) -> Result<Self, Error> {
        let this = Self::moved_in(chunks, exclude)?;
        this.chunks().for_each(memory::hint_cold);
        Ok(this)
    }

    /// The same without the hint, for memory that may be used soon.
    ///
    /// # Errors
    /// As [`Self::pageout`].
    pub(crate) fn moved_in<T: Pod>(chunks: &mut [Vec<T>], exclude: bool) -> Result<Self, Error> {
        let mut moved = Vec::new();
        let mut ends = Vec::new();
        if chunks.len() != 1 {
            moved.try_reserve_exact(chunks.len())?;
            ends.try_reserve_exact(chunks.len())?;
        }
        if exclude {
            exclude_all(chunks)?;
        }
        if let [only] = chunks {
            return Ok(Self { chunks: Chunks::One(moved_in(only, exclude)) });
        }
        let mut end = 0;
        for chunk in chunks {
            end += units::to_u64(size_of_val(&chunk[..]));
            ends.push(end);
            moved.push(moved_in(chunk, exclude));
        }
        let pieces = Pieces { chunks: moved.into_boxed_slice(), ends: ends.into_boxed_slice() };
        Ok(Self { chunks: Chunks::Many(Box::new(pieces)) })
    }

    /// Copies all chunks into one that is kept out of core dumps. They stay as they are; together they have `len_bytes`.
    ///
    /// # Errors
    /// When the memory cannot be allocated, or excluded.
    pub(crate) fn excluded_copy<T: Pod>(chunks: &[Vec<T>], len_bytes: u64) -> Result<Self, Error> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(units::to_usize(len_bytes) / size_of::<T>())?;
        for chunk in chunks {
            copy.extend_from_slice(chunk);
        }
        Self::moved_in(&mut [copy], true)
    }

    /// Takes out the chunk with all the elements, which are of type `T`, if there is one. The payload has no bytes then.
    pub(crate) fn take_only_chunk<T: Pod>(&mut self) -> Option<Vec<T>> {
        let only = match &mut self.chunks {
            Chunks::One(only) => only,
            Chunks::Many(pieces) => {
                let mut filled = pieces.chunks.iter_mut().filter(|chunk| !chunk.bytes().is_empty());
                filled.next().filter(|_| filled.next().is_none())?
            }
        };
        let only: &mut dyn Any = &mut **only;
        if let Some(ExcludedVec(PlainVec(elements))) = only.downcast_mut::<ExcludedVec<T>>() {
            memory::include_in_core_dumps(bytemuck::cast_slice(elements));
            return Some(std::mem::take(elements));
        }
        only.downcast_mut::<PlainVec<T>>().map(|PlainVec(elements)| std::mem::take(elements))
    }

    /// Memory that somebody else lends, until it is dropped; at least one chunk.
    ///
    /// # Errors
    /// When the memory for the list cannot be allocated.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn lent(mut chunks: Vec<Box<dyn Chunk>>) -> Result<Self, Error> {
        if chunks.len() == 1
            && let Some(only) = chunks.pop()
        {
            return Ok(Self { chunks: Chunks::One(only) });
        }
        let mut ends = Vec::new();
        ends.try_reserve_exact(chunks.len())?;
        let mut end = 0;
        for chunk in &chunks {
            end += units::to_u64(chunk.bytes().len());
            ends.push(end);
        }
        let pieces = Pieces { chunks: chunks.into_boxed_slice(), ends: ends.into_boxed_slice() };
        Ok(Self { chunks: Chunks::Many(Box::new(pieces)) })
    }

    /// Tells lent memory that it leaves to make room.
    pub(crate) fn set_evicted(&self) {
        for chunk in self.list() {
            chunk.set_evicted();
        }
    }

    /// The only chunk with bytes, where there is one.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn only_chunk(&mut self) -> Option<&mut dyn Chunk> {
        let pieces = match &mut self.chunks {
            Chunks::One(only) => return Some(&mut **only),
            Chunks::Many(pieces) => pieces,
        };
        let mut filled = pieces.chunks.iter_mut().filter(|chunk| !chunk.bytes().is_empty());
        let only = filled.next()?;
        filled.next().is_none().then_some(&mut **only)
    }

    /// Gives lent memory back to its owner.
    #[cfg(feature = "addon-internals")]
    pub(crate) fn give_back(&mut self) {
        let list = match &mut self.chunks {
            Chunks::One(only) => std::slice::from_mut(only),
            Chunks::Many(pieces) => &mut pieces.chunks,
        };
        for chunk in list {
            chunk.give_back();
        }
    }

    /// What stands for lent memory with its owner.
    pub(crate) fn key(&self) -> Option<u64> {
        self.list().first().and_then(|chunk| chunk.key())
    }

    /// Bytes of all chunks together.
    pub(crate) fn len_bytes(&self) -> u64 {
        match &self.chunks {
            Chunks::One(only) => units::to_u64(only.bytes().len()),
            Chunks::Many(pieces) => pieces.ends.last().copied().unwrap_or(0),
        }
    }

    /// Bytes of one of its elements.
    pub(crate) fn element_bytes(&self) -> usize {
        self.list().first().map_or(1, |chunk| chunk.element_bytes())
    }

    /// All chunks, in order.
    pub(crate) fn chunks(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.list().iter().map(|chunk| chunk.bytes())
    }

    /// The payload as one piece of memory, where it lies in one.
    pub(crate) fn as_one(&self) -> Option<&[u8]> {
        let mut filled = self.chunks().filter(|bytes| !bytes.is_empty());
        match (filled.next(), filled.next()) {
            (None, _) => Some(&[]),
            (only, None) => only,
            _ => None,
        }
    }

    fn list(&self) -> &[Box<dyn Chunk>] {
        match &self.chunks {
            Chunks::One(only) => std::slice::from_ref(only),
            Chunks::Many(pieces) => &pieces.chunks,
        }
    }

    /// Calls `visit` with the memory of an extent, piece by piece.
    fn pieces(&self, extent: Extent, mut visit: impl FnMut(&[u8])) {
        let mut start = extent.start;
        let (chunks, ends) = match &self.chunks {
            Chunks::One(only) => return visit(&only.bytes()[units::to_usize(start)..units::to_usize(extent.end())]),
            Chunks::Many(pieces) => (&pieces.chunks, &pieces.ends),
        };
        let mut position = ends.partition_point(|&end| end <= start);
        while start < extent.end() {
            let bytes = chunks[position].bytes();
            let chunk_end = ends[position];
            let chunk_start = chunk_end - units::to_u64(bytes.len());
            let end = extent.end().min(chunk_end);
            visit(&bytes[units::to_usize(start - chunk_start)..units::to_usize(end - chunk_start)]);
            (start, position) = (end, position + 1);
        }
    }
}

/// The memory of a vector, which is left without capacity. Where `is_excluded`, it is kept out of core dumps.
fn moved_in<T: Pod>(vec: &mut Vec<T>, is_excluded: bool) -> Box<dyn Chunk> {
    let vec = PlainVec(std::mem::take(vec));
    if is_excluded { Box::new(ExcludedVec(vec)) } else { Box::new(vec) }
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

impl Payload for Memory {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::destination;

    fn read(payload: &Memory, start: u64, len_bytes: u64) -> Vec<u8> {
        let mut back = Vec::with_capacity(units::to_usize(len_bytes));
        let extents = Extents::One(Extent { start, len_bytes });
        destination::append_to(&mut back, units::to_usize(len_bytes), |whole| payload.read(&extents, whole)).expect("memory");
        back
    }

    #[test]
    fn payloads_of_all_element_types_are_one_list_of_bytes() {
        let payloads = [
            Memory::pageout(&mut [vec![1u8, 2], vec![], vec![3]], false).expect("memory"),
            Memory::pageout(&mut [vec![0x0605_0403u32]], false).expect("memory"),
            Memory::pageout::<f64>(&mut [], false).expect("memory"),
        ];
        assert_eq!(read(&payloads[0], 1, 2), [2, 3]);
        assert_eq!(read(&payloads[1], 0, 3), [3, 4, 5]);
        assert!(read(&payloads[2], 0, 0).is_empty());
    }

    #[test]
    fn the_only_chunk_comes_back_as_the_same_allocation() {
        for mut chunks in [vec![vec![1u16, 2, 3]], vec![Vec::new(), vec![1u16, 2, 3]]] {
            for chunk in &mut chunks {
                chunk.reserve_exact(7);
            }
            let last = chunks.last().expect("a chunk");
            let (start, capacity) = (last.as_ptr(), last.capacity());
            let mut payload = Memory::pageout(&mut chunks, false).expect("memory");
            assert!(chunks.iter().all(|chunk| chunk.capacity() == 0));
            let only = payload.take_only_chunk::<u16>().expect("one chunk with elements");
            assert_eq!((only.as_ptr(), only.capacity(), &only[..]), (start, capacity, &[1, 2, 3][..]));
        }
    }

    #[test]
    fn several_chunks_are_none_that_can_be_taken() {
        let mut payload = Memory::pageout(&mut [vec![1u16], vec![2]], false).expect("memory");
        assert!(payload.take_only_chunk::<u16>().is_none());
        assert_eq!(read(&payload, 0, 4), [1, 0, 2, 0]);
    }
}
