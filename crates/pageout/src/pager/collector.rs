//! A payload whose length nobody knows yet: it goes out piece by piece while it is made.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use bytemuck::Pod;

use super::handle::Body;
use super::{Handle, NEVER, Pager};
use crate::error::Error;
use crate::payload::{PIECE_BYTES, Stored};
use crate::units;

/// Bytes of one piece: what a collector holds in memory at most.
const PIECE: usize = units::index(PIECE_BYTES);
/// Bytes that [`Collector::extend`] gathers before it appends them.
const BLOCK: usize = units::to_usize(16 * units::KIB);

/// Collects a payload of the file backend from chunks that come one after the other, and holds at most 4 MiB of it in
/// memory. Made by [`Pager::collector`]. Dropping it frees what it holds.
///
/// A collector of bytes is an [`io::Write`], and each collector an [`Extend`]. Each full 4 MiB are written with one `pwritev`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pager = pageout::Pager::builder().build()?;
/// let mut collector = pager.collector();
/// for start in [0u32, 10, 20] {
///     collector.append(&[start, start + 1])?;
/// }
/// let handle = collector.finish()?;
///
/// let mut all = Vec::new();
/// pager.take(handle, &mut all)?;
/// assert_eq!(all, [0, 1, 10, 11, 20, 21]);
/// # Ok(())
/// # }
/// ```
///
/// A writer that makes bytes:
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Write;
///
/// let pager = pageout::Pager::builder().build()?;
/// let mut collector = pager.collector::<u8>();
/// for line in 0..1_000 {
///     writeln!(collector, "line {line}")?;
/// }
/// let handle = collector.finish()?;
/// assert_eq!(handle.read(..7)?, b"line 0\n");
/// # Ok(())
/// # }
/// ```
///
/// # Extend
/// [`Extend::extend`] cannot return an error. Where a write fails in it, it stops to take elements from the iterator, and the
/// collector keeps the error: from then on [`append`](Self::append) and [`finish`](Self::finish) return it, and `extend` does
/// nothing, so that no payload comes of it that lacks elements. Use `append` where a failed write is to be tried again.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pager = pageout::Pager::builder().build()?;
/// let mut squares = pager.collector();
/// squares.extend((0..10_000u64).map(|n| n * n));
/// let handle = squares.finish()?; // here a full disk would be reported
/// assert_eq!(handle.read(9_999..)?, [9_999 * 9_999]);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a collector frees what was appended"]
pub struct Collector<T = u64> {
    pager: Pager,
    /// What is out, [`PIECE_BYTES`] each.
    pieces: Vec<Stored>,
    /// The beginning of the next piece.
    staged: Vec<u8>,
    /// Why elements of an iterator are missing.
    failed: Option<Error>,
    element_bytes: usize,
    elements: PhantomData<fn(T)>,
}

impl<T: Pod> Collector<T> {
    pub(super) fn new(pager: Pager, element_bytes: usize) -> Self {
        Self { pager, pieces: Vec::new(), staged: Vec::new(), failed: None, element_bytes, elements: PhantomData }
    }

    /// Bytes that were appended since the last [`Self::finish`].
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        units::to_u64(self.pieces.len()) * u64::from(PIECE_BYTES) + units::to_u64(self.staged.len())
    }

    /// Copies a chunk to the end.
    ///
    /// # Errors
    /// As [`Pager::pageout`]. Nothing of the chunk was appended then; it can be tried again. The error of an earlier
    /// [`extend`](Self#extend) is final.
    pub fn append(&mut self, chunk: &[T]) -> Result<(), Error> {
        self.check_usable()?;
        let pieces_before = self.pieces.len();
        self.append_bytes(bytemuck::cast_slice(chunk)).inspect_err(|_| self.take_back(pieces_before))
    }

    /// Makes the handle of all that was appended. The collector is as new afterwards.
    ///
    /// # Errors
    /// As [`Pager::pageout`]. Nothing is lost then; it can be tried again. The error of an earlier [`extend`](Self#extend) is
    /// final.
    pub fn finish(&mut self) -> Result<Handle<T>, Error> {
        self.check_usable()?;
        let len_bytes = self.len_bytes();
        if len_bytes == 0 {
            return Ok(self.pager.handle(Body::File(Stored::empty()), 0));
        }
        let pieces_before = self.pieces.len();
        let stored = self.join().inspect_err(|_| self.take_back(pieces_before))?;
        self.staged = Vec::new();
        self.pager.stored(stored, len_bytes)
    }

    /// Whether the pager is open and nothing that was given to `extend` is missing.
    fn check_usable(&self) -> Result<(), Error> {
        self.pager.shared.check_open()?;
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Puts out every piece that `bytes` complete, and stages the rest. The staged bytes change last.
    fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let missing = PIECE - self.staged.len();
        if bytes.len() < missing {
            self.make_room(self.staged.len() + bytes.len())?;
            self.staged.extend_from_slice(bytes);
            return Ok(());
        }
        let (head, rest) = bytes.split_at(missing);
        self.put(head)?;
        let pieces = rest.chunks_exact(PIECE);
        let tail = pieces.remainder();
        for piece in pieces {
            let stored = self.stored(&[piece])?;
            self.push(stored)?;
        }
        self.make_room(tail.len())?;
        self.staged.clear();
        self.staged.extend_from_slice(tail);
        Ok(())
    }

    /// Lets the staged bytes become `len`, which is less than a piece: twice as long at a time, and no longer than a piece.
    fn make_room(&mut self, len: usize) -> Result<(), Error> {
        if len > self.staged.capacity() {
            let capacity = len.next_power_of_two().min(PIECE);
            self.staged.try_reserve_exact(capacity - self.staged.len())?;
        }
        Ok(())
    }

    fn join(&mut self) -> Result<Stored, Error> {
        if !self.staged.is_empty() {
            self.put(&[])?;
        }
        Stored::join(&mut self.pieces)
    }

    /// Puts out a piece of the staged bytes and what follows them.
    fn put(&mut self, head: &[u8]) -> Result<(), Error> {
        let stored = self.stored(&[&self.staged, head])?;
        self.push(stored)
    }

    fn stored(&self, chunks: &[&[u8]]) -> Result<Stored, Error> {
        let len_bytes = chunks.iter().map(|chunk| units::to_u64(chunk.len())).sum();
        let bytes = chunks.iter().copied();
        let (store, packing) = (self.pager.store()?, &self.pager.shared.packing);
        let stored = Stored::pageout(store, bytes, len_bytes, self.element_bytes, packing, &NEVER);
        stored.map_err(|error| self.pager.with_payloads(error))
    }

    /// Lets go of all pieces but the first `count`: what a call that failed has put out.
    fn take_back(&mut self, count: usize) {
        for piece in self.pieces.drain(count.min(self.pieces.len())..) {
            match self.pager.shared.store.get() {
                Some(store) => piece.discard(store),
                None => drop(piece),
            }
        }
    }

    fn push(&mut self, piece: Stored) -> Result<(), Error> {
        self.pieces.try_reserve(1)?;
        self.pieces.push(piece);
        Ok(())
    }
}

impl<T: Pod> Extend<T> for Collector<T> {
    /// Appends each element. A write that fails is reported by the next [`Collector::append`] or [`Collector::finish`].
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        if self.failed.is_some() {
            return;
        }
        let block_len = (BLOCK / size_of::<T>().max(1)).max(1);
        let mut elements = elements.into_iter();
        let mut block = Block { collector: self, elements: Vec::with_capacity(block_len) };
        while block.collector.failed.is_none() {
            block.elements.extend(elements.by_ref().take(block_len));
            if block.elements.is_empty() {
                return;
            }
            block.append();
        }
    }
}

/// Elements that were taken from an iterator. Dropped, also because the iterator panics, they are appended.
struct Block<'a, T: Pod> {
    collector: &'a mut Collector<T>,
    elements: Vec<T>,
}

impl<T: Pod> Block<'_, T> {
    fn append(&mut self) {
        if let Err(error) = self.collector.append(&self.elements) {
            self.collector.failed = Some(error);
        }
        self.elements.clear();
    }
}

impl<T: Pod> Drop for Block<'_, T> {
    fn drop(&mut self) {
        if !self.elements.is_empty() {
            self.append();
        }
    }
}

impl io::Write for Collector<u8> {
    /// Appends all of `chunk`, or nothing and fails. The error is an [`Error`] as an [`io::Error`].
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        self.append(chunk)?;
        Ok(chunk.len())
    }

    /// Writes nothing: what is staged becomes part of the payload, which [`Collector::finish`] makes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(self.check_usable()?)
    }
}

impl<T> fmt::Debug for Collector<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Collector").field("pieces", &self.pieces.len()).finish_non_exhaustive()
    }
}
