//! A payload in scratch: as it is in slots, or compressed in frames.

use std::io::IoSlice;
use std::sync::atomic::AtomicBool;

#[cfg(feature = "compression")]
use super::framed::Framed;
use super::packing::Packing;
use super::reading::Payload;
use super::slotted::Slotted;
use crate::block::{Checksums, PAGE_BYTES};
use crate::error::Error;
use crate::store::{Place, Store};
use crate::units;

const PAGE: usize = units::to_usize(PAGE_BYTES);
/// What fills a payload's last page in its slot, so that the slot never holds stale memory and the kernel never has to
/// read a page before writing it.
const PADDING: [u8; PAGE] = [0; PAGE];
/// Chunks and padding up to this many are listed on the stack.
const FEW_SLICES: usize = 16;

/// A payload in scratch.
#[derive(Debug)]
pub(crate) enum Stored {
    Slotted(Slotted),
    #[cfg(feature = "compression")]
    Framed(Box<Framed>),
}

const _: () = assert!(size_of::<Stored>() == size_of::<Slotted>(), "each payload has one");

impl Stored {
    /// A payload without bytes. It needs no slots, and so no store.
    pub(crate) const fn empty() -> Self {
        Self::Slotted(Slotted::empty())
    }

    /// Writes `chunks` out, unless `stop` becomes true first; together they have `len_bytes` bytes, which is not zero, in elements
    /// of `element_bytes`.
    ///
    /// # Errors
    /// [`Error::Capacity`], ECANCELED, or what the operating system said. Nothing is kept then.
    #[cfg_attr(not(feature = "compression"), allow(unused_variables, reason = "who compresses looks at elements"))]
    pub(crate) fn pageout<'a, C>(
        store: &Store,
        chunks: C,
        len_bytes: u64,
        element_bytes: usize,
        packing: &Packing,
        stop: &AtomicBool,
    ) -> Result<Self, Error>
    where
        C: ExactSizeIterator<Item = &'a [u8]>,
    {
        let protection = &packing.protection;
        with_pages(chunks, len_bytes, |slices| {
            #[cfg(feature = "compression")]
            if let Some(compressor) = packing.compressor(len_bytes)
                && let Some(framed) = Framed::pageout(compressor, store, slices, len_bytes, element_bytes, protection, stop)?
            {
                return Ok(Self::Framed(framed));
            }
            Slotted::pageout(store, slices, len_bytes, protection, stop).map(Self::Slotted)
        })
    }

    /// A payload of `chunks` in a place that was claimed before, written in steps between which `stop` is looked at. One that is
    /// compressed is put where it needs less room, and the place is given up; where it finds none, it goes there as it is.
    ///
    /// # Errors
    /// What the operating system said, ECANCELED, and the place.
    #[cfg_attr(not(feature = "compression"), allow(unused_variables, reason = "who compresses looks at elements"))]
    pub(crate) fn write<'a, C>(
        store: &Store,
        place: Place,
        chunks: C,
        len_bytes: u64,
        element_bytes: usize,
        packing: &Packing,
        stop: &AtomicBool,
    ) -> Result<Self, (Error, Place)>
    where
        C: ExactSizeIterator<Item = &'a [u8]>,
    {
        let protection = &packing.protection;
        let mut unused = Some(place);
        let written = with_pages(chunks, len_bytes, |slices| {
            #[cfg(feature = "compression")]
            if let Some(compressor) = packing.compressor(len_bytes) {
                match Framed::pageout(compressor, store, slices, len_bytes, element_bytes, protection, stop) {
                    Ok(Some(framed)) => return Ok(Self::Framed(framed)),
                    Err(error) if error.is_cancelled() => return Err(error),
                    Ok(None) | Err(_) => {}
                }
            }
            let written = Slotted::write(store, &mut unused, slices, len_bytes, protection, stop);
            written.map(Self::Slotted)
        });
        written.map_err(|error| (error, unused.expect("a place that nothing was written to")))
    }

    /// For reads of it.
    pub(crate) fn payload(&self) -> &dyn Payload {
        match self {
            Self::Slotted(slotted) => slotted,
            #[cfg(feature = "compression")]
            Self::Framed(framed) => &**framed,
        }
    }

    /// Whether `chunks` still are what was written, as far as checksums or tags tell.
    ///
    /// # Errors
    /// When the memory to find out cannot be allocated; ECANCELED.
    #[cfg_attr(not(feature = "compression"), allow(unused_variables, reason = "it takes no time then"))]
    pub(crate) fn has_content<'a>(
        &self,
        chunks: impl ExactSizeIterator<Item = &'a [u8]>,
        stop: &AtomicBool,
    ) -> Result<bool, Error> {
        with_slices(chunks, &[], |slices| match self {
            Self::Slotted(slotted) => slotted.has_content(slices),
            #[cfg(feature = "compression")]
            Self::Framed(framed) => framed.has_content(slices, stop),
        })
    }

    /// The checksums of its bytes, where it has some.
    pub(crate) fn checksums(&self) -> Option<&Checksums> {
        match self {
            Self::Slotted(slotted) => slotted.checksums(),
            #[cfg(feature = "compression")]
            Self::Framed(_) => None,
        }
    }

    pub(crate) const fn len_bytes(&self) -> u64 {
        match self {
            Self::Slotted(slotted) => slotted.len_bytes(),
            #[cfg(feature = "compression")]
            Self::Framed(framed) => framed.len_bytes(),
        }
    }

    /// Counts what compression saves of it, or does not any more: it is the copy of a payload that has a handle.
    #[cfg_attr(not(feature = "compression"), allow(unused_variables, clippy::unused_self, reason = "nothing is saved"))]
    pub(crate) fn count_saved(&self, is_counted: bool) {
        #[cfg(feature = "compression")]
        if let Self::Framed(framed) = self {
            framed.count_saved(is_counted);
        }
    }

    /// One payload of `pieces`, of which each but the last has [`PIECE_BYTES`](super::PIECE_BYTES). Leaves none in the list.
    ///
    /// # Errors
    /// When the memory for its lists cannot be allocated; `pieces` are as before.
    pub(crate) fn join(pieces: &mut Vec<Self>) -> Result<Self, Error> {
        if let [_] = pieces[..] {
            return Ok(pieces.remove(0));
        }
        #[cfg(feature = "compression")]
        if let Some(framed) = pieces.iter().find_map(|piece| if let Self::Framed(framed) = piece { Some(framed) } else { None }) {
            let compressor = framed.compressor();
            return Framed::join(compressor, pieces).map(Self::Framed);
        }
        let mut list = Vec::new();
        list.try_reserve_exact(pieces.len())?;
        list.extend(pieces.drain(..).filter_map(Self::into_slotted));
        let joined = Slotted::join(&mut list, super::PIECE_BYTES).map(Self::Slotted);
        joined.inspect_err(|_| pieces.extend(list.drain(..).map(Self::Slotted)))
    }

    /// The bytes as they lie in slots, unless they are compressed.
    #[cfg_attr(not(feature = "compression"), allow(clippy::unnecessary_wraps, reason = "all are then"))]
    fn into_slotted(self) -> Option<Slotted> {
        match self {
            Self::Slotted(slotted) => Some(slotted),
            #[cfg(feature = "compression")]
            Self::Framed(_) => None,
        }
    }

    /// Frees the payload's slots and gives their disk space back: of a call that is refused nothing stays.
    pub(crate) fn discard(self, store: &Store) {
        match self {
            Self::Slotted(slotted) => slotted.discard(store),
            #[cfg(feature = "compression")]
            Self::Framed(framed) => framed.discard(store),
        }
    }

    /// Whether the device has lost something of a file that the payload lies in, as far as the system has said so.
    pub(crate) fn is_at_risk(&self) -> bool {
        match self {
            Self::Slotted(slotted) => slotted.is_at_risk(),
            #[cfg(feature = "compression")]
            Self::Framed(framed) => framed.is_at_risk(),
        }
    }
}

/// The checksums of a payload of `len_bytes`, not zero.
///
/// # Errors
/// When the memory for them cannot be allocated.
pub(crate) fn checksums<'a>(chunks: impl ExactSizeIterator<Item = &'a [u8]>, len_bytes: u64) -> Result<Checksums, Error> {
    with_slices(chunks, &[], |slices| Ok(Checksums::of(slices, len_bytes)?))
}

/// Bytes between the end of a payload and the end of its last page.
fn padding_bytes(len_bytes: u64) -> usize {
    units::to_usize(len_bytes.next_multiple_of(PAGE_BYTES) - len_bytes)
}

/// Lists `chunks`, which have `len_bytes`, filled up to whole pages.
fn with_pages<'a, R>(
    chunks: impl ExactSizeIterator<Item = &'a [u8]>,
    len_bytes: u64,
    write: impl FnOnce(&[IoSlice<'a>]) -> Result<R, Error>,
) -> Result<R, Error> {
    with_slices(chunks, &PADDING[..padding_bytes(len_bytes)], write)
}

/// Lists `chunks` and the padding as the slices of a vectored write, without empty ones.
fn with_slices<'a, R>(
    chunks: impl ExactSizeIterator<Item = &'a [u8]>,
    padding: &'a [u8],
    write: impl FnOnce(&[IoSlice<'a>]) -> Result<R, Error>,
) -> Result<R, Error> {
    let count_max = chunks.len() + 1;
    let filled = chunks.chain([padding]).filter(|chunk| !chunk.is_empty()).map(IoSlice::new);
    if count_max <= FEW_SLICES {
        let mut slices = [IoSlice::new(&[]); FEW_SLICES];
        let mut count = 0;
        for slice in filled {
            slices[count] = slice;
            count += 1;
        }
        return write(&slices[..count]);
    }
    let mut slices = Vec::new();
    slices.try_reserve_exact(count_max)?;
    slices.extend(filled);
    write(&slices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Extents;
    use crate::sys::{Destination, destination};

    #[test]
    fn padding_completes_the_last_page() {
        assert_eq!([1, 4095, 4096, 4097].map(padding_bytes), [4095, 1, 0, 4095]);
    }

    #[test]
    fn a_payload_without_bytes_is_read_and_prefetched_without_a_slot() {
        let (stored, nothing) = (Stored::empty(), Extents::whole(0));
        let empty = stored.payload();
        let fill = |whole: Destination<'_>| empty.read(&nothing, whole);
        assert!(destination::overwrite::<u8, _>(&mut [], fill).is_ok());
        let is_cached = destination::with_buffer(&mut [], |whole| empty.read_cached(&nothing, whole));
        assert!(is_cached.expect("nothing to read"));
        empty.prefetch(&nothing);
        assert!(!stored.is_at_risk());
    }
}
