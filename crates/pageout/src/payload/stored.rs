//! A payload in slots of the scratch files, its checksums or tags in memory.

use std::io::IoSlice;
use std::sync::atomic::AtomicBool;

use super::extents::Extents;
use super::pages::{Pages, Source};
use super::reading::Payload;
use super::{Protection, gather, range};
#[cfg(feature = "encryption")]
use crate::block::Unread;
use crate::block::{Checksums, PAGE_BYTES, Proof};
use crate::error::Error;
use crate::store::{Place, Store};
use crate::sys::Destination;
use crate::units;

const PAGE: usize = units::to_usize(PAGE_BYTES);
/// What fills a payload's last page in its slot, so that the slot never holds stale memory and the kernel never has to
/// read a page before writing it.
const PADDING: [u8; PAGE] = [0; PAGE];
/// Chunks and padding up to this many are listed on the stack.
const FEW_SLICES: usize = 16;

/// A payload in scratch.
#[derive(Debug)]
pub(crate) struct Stored {
    place: Place,
    proof: Proof,
    len_bytes: u64,
}

impl Stored {
    /// A payload without bytes. It needs no slots, and so no store.
    pub(crate) fn empty() -> Self {
        Self { place: Place::nowhere(), proof: Proof::NONE, len_bytes: 0 }
    }

    /// Writes `chunks` out, unless `stop` becomes true first; together they have `len_bytes` bytes, which is not zero.
    ///
    /// # Errors
    /// [`Error::Capacity`], ECANCELED, or what the operating system said. Nothing is kept then.
    pub(crate) fn pageout<'a, C>(
        store: &Store,
        chunks: C,
        len_bytes: u64,
        protection: &Protection,
        stop: &AtomicBool,
    ) -> Result<Self, Error>
    where
        C: ExactSizeIterator<Item = &'a [u8]>,
    {
        with_slices(chunks, &PADDING[..padding_bytes(len_bytes)], |slices| {
            let claim = store.claim(len_bytes)?;
            let checksums = match protection {
                Protection::Nothing => Checksums::Off,
                Protection::Checksums => Checksums::of(slices, len_bytes)?,
                #[cfg(feature = "encryption")]
                Protection::Sealed(seals) => {
                    let mut sealed = None;
                    let place = store.write_by(claim, |place| {
                        sealed = Some(seals.write(store, place, slices, len_bytes, stop)?);
                        Ok(())
                    })?;
                    let sealed = sealed.expect("what was written is sealed");
                    return Ok(Self { place, proof: Proof::Sealed(Box::new(sealed)), len_bytes });
                }
            };
            let place = store.write(claim, slices, stop)?;
            Ok(Self { place, proof: Proof::Plain(checksums), len_bytes })
        })
    }

    /// A payload of `chunks` in a place that was claimed before, written in steps between which `stop` is looked at.
    ///
    /// # Errors
    /// What the operating system said, ECANCELED, and the place.
    pub(crate) fn write<'a, C>(
        store: &Store,
        place: Place,
        chunks: C,
        len_bytes: u64,
        protection: &Protection,
        stop: &AtomicBool,
    ) -> Result<Self, (Error, Place)>
    where
        C: ExactSizeIterator<Item = &'a [u8]>,
    {
        let written = with_slices(chunks, &PADDING[..padding_bytes(len_bytes)], |slices| {
            let checksums = match protection {
                Protection::Nothing => Checksums::Off,
                Protection::Checksums => Checksums::of(slices, len_bytes)?,
                #[cfg(feature = "encryption")]
                Protection::Sealed(seals) => {
                    let sealed = seals.write(store, &place, slices, len_bytes, stop)?;
                    return Ok(Proof::Sealed(Box::new(sealed)));
                }
            };
            store.write_kept(&place, slices, stop)?;
            Ok(Proof::Plain(checksums))
        });
        match written {
            Ok(proof) => Ok(Self { place, proof, len_bytes }),
            Err(error) => Err((error, place)),
        }
    }

    /// Whether `chunks` still are what was written, as far as checksums or tags tell.
    ///
    /// # Errors
    /// When the memory for checksums cannot be allocated.
    pub(crate) fn has_content<'a>(&self, chunks: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<bool, Error> {
        match &self.proof {
            Proof::Plain(Checksums::Off) => Ok(true),
            Proof::Plain(before) => Ok(checksums(chunks, self.len_bytes)? == *before),
            #[cfg(feature = "encryption")]
            Proof::Sealed(sealed) => with_slices(chunks, &[], |slices| Ok(sealed.is_of(Unread::new(slices, self.len_bytes)))),
        }
    }

    /// Its checksums, where it has some.
    pub(crate) fn checksums(&self) -> Option<&Checksums> {
        self.proof.checksums()
    }

    pub(crate) const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// One payload of `pieces`, of which each but the last has `piece_bytes` bytes, whole pages. Leaves none in the list.
    ///
    /// # Errors
    /// When the memory for its lists cannot be allocated; `pieces` are as before.
    pub(crate) fn join(pieces: &mut Vec<Self>, piece_bytes: u32) -> Result<Self, Error> {
        if let [_] = pieces[..] {
            return Ok(pieces.remove(0));
        }
        let proof = Proof::join(pieces.iter().map(|piece| &piece.proof), piece_bytes)?;
        let len_bytes = pieces.iter().map(|piece| piece.len_bytes).sum();
        let mut slots = Place::list_for(pieces.len())?;
        pieces.drain(..).for_each(|piece| piece.place.append_to(&mut slots));
        Ok(Self { place: Place::of_pieces(slots, piece_bytes), proof, len_bytes })
    }

    /// Frees the payload's slots and gives their disk space back: of a call that is refused nothing stays.
    pub(crate) fn discard(self, store: &Store) {
        store.discard(self.place);
    }

    /// Whether the device has lost something of a file that the payload lies in, as far as the system has said so.
    pub(crate) fn is_at_risk(&self) -> bool {
        self.place.is_at_risk()
    }

    fn pages(&self) -> Pages<'_> {
        Pages::new(&self.place, &self.proof, self.len_bytes)
    }
}

impl Payload for Stored {
    fn read(&self, extents: &Extents, whole: Destination<'_>) -> Result<(), Error> {
        match extents {
            Extents::One(extent) => range::read(self.pages(), *extent, whole, Source::Device).map(|_| ()),
            Extents::Many { .. } => gather::read(self.pages(), extents, whole),
        }
    }

    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error> {
        gather::read_cached(self.pages(), extents, whole)
    }

    fn prefetch(&self, extents: &Extents) {
        // More than memory holds would push out what was just brought in.
        let mut left_bytes = self.place.prefetch_bytes_max();
        let ranges = extents.requested().iter().map(|extent| extent.range()).map_while(|range| {
            let len_bytes = (range.end - range.start).min(left_bytes);
            left_bytes -= len_bytes;
            (len_bytes > 0).then_some(range.start..range.start + len_bytes)
        });
        self.pages().prefetch(ranges);
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
    use crate::sys::destination;

    #[test]
    fn padding_completes_the_last_page() {
        assert_eq!([1, 4095, 4096, 4097].map(padding_bytes), [4095, 1, 0, 4095]);
    }

    #[test]
    fn a_payload_without_bytes_is_read_and_prefetched_without_a_slot() {
        let (empty, nothing) = (Stored::empty(), Extents::whole(0));
        let fill = |whole: Destination<'_>| empty.read(&nothing, whole);
        assert!(destination::overwrite::<u8, _>(&mut [], fill).is_ok());
        let is_cached = destination::with_buffer(&mut [], |whole| empty.read_cached(&nothing, whole));
        assert!(is_cached.expect("nothing to read"));
        empty.prefetch(&nothing);
        assert!(!empty.is_at_risk());
    }
}
