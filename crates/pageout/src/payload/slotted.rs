//! A payload in slots of the scratch files, its checksums or tags in memory.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::extents::Extents;
use super::pages::{Pages, Source};
use super::reading::Payload;
use super::{Protection, gather, range};
#[cfg(feature = "encryption")]
use crate::block::Unread;
use crate::block::{Checksums, Proof};
use crate::error::Error;
#[cfg(feature = "compression")]
use crate::store::Slot;
use crate::store::{Place, Store};
use crate::sys::Destination;

/// Bytes in slots, as they lie there.
#[derive(Debug)]
pub(crate) struct Slotted {
    place: Place,
    proof: Proof,
    len_bytes: u64,
}

impl Slotted {
    /// Nothing. It needs no slots, and so no store.
    pub(super) const fn empty() -> Self {
        Self { place: Place::nowhere(), proof: Proof::NONE, len_bytes: 0 }
    }

    /// Writes the first `len_bytes` of `slices`, not zero, which are filled up to whole pages, unless `stop` becomes true first.
    ///
    /// # Errors
    /// [`Error::Capacity`], ECANCELED, or what the operating system said. Nothing is kept then.
    #[inline]
    pub(super) fn pageout(
        store: &Store,
        slices: &[IoSlice<'_>],
        len_bytes: u64,
        protection: &Protection,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
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
    }

    /// The same in a place that was claimed before, which is taken where that succeeds; written in steps between which `stop` is
    /// looked at.
    ///
    /// # Errors
    /// What the operating system said, ECANCELED.
    pub(super) fn write(
        store: &Store,
        place: &mut Option<Place>,
        slices: &[IoSlice<'_>],
        len_bytes: u64,
        protection: &Protection,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        let proof = Self::write_to(store, place.as_ref().expect("a place"), slices, len_bytes, protection, stop)?;
        Ok(Self { place: place.take().expect("the same"), proof, len_bytes })
    }

    fn write_to(
        store: &Store,
        place: &Place,
        slices: &[IoSlice<'_>],
        len_bytes: u64,
        protection: &Protection,
        stop: &AtomicBool,
    ) -> Result<Proof, Error> {
        let checksums = match protection {
            Protection::Nothing => Checksums::Off,
            Protection::Checksums => Checksums::of(slices, len_bytes)?,
            #[cfg(feature = "encryption")]
            Protection::Sealed(seals) => {
                let sealed = seals.write(store, place, slices, len_bytes, stop)?;
                return Ok(Proof::Sealed(Box::new(sealed)));
            }
        };
        store.write_kept(place, slices, stop)?;
        Ok(Proof::Plain(checksums))
    }

    /// Whether the first bytes of `slices` still are what was written, as far as checksums or tags tell.
    ///
    /// # Errors
    /// When the memory for checksums cannot be allocated.
    pub(super) fn has_content(&self, slices: &[IoSlice<'_>]) -> Result<bool, Error> {
        match &self.proof {
            Proof::Plain(Checksums::Off) => Ok(true),
            Proof::Plain(before) => Ok(Checksums::of(slices, self.len_bytes)? == *before),
            #[cfg(feature = "encryption")]
            Proof::Sealed(sealed) => Ok(sealed.is_of(Unread::new(slices, self.len_bytes))),
        }
    }

    /// Its checksums, where it has some.
    pub(super) fn checksums(&self) -> Option<&Checksums> {
        self.proof.checksums()
    }

    pub(super) const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// One of `pieces`, at least two, of which each but the last has `piece_bytes` bytes, whole pages. Leaves none in the list.
    ///
    /// # Errors
    /// When the memory for its lists cannot be allocated; `pieces` are as before.
    pub(super) fn join(pieces: &mut Vec<Self>, piece_bytes: u32) -> Result<Self, Error> {
        let proof = Proof::join(pieces.iter().map(|piece| &piece.proof), piece_bytes)?;
        let len_bytes = pieces.iter().map(|piece| piece.len_bytes).sum();
        let mut slots = Place::list_for(pieces.len())?;
        pieces.drain(..).for_each(|piece| piece.place.append_to(&mut slots));
        Ok(Self { place: Place::of_pieces(slots, piece_bytes), proof, len_bytes })
    }

    /// Frees the slots and gives their disk space back: of a call that is refused nothing stays.
    pub(super) fn discard(self, store: &Store) {
        store.discard(self.place);
    }

    /// Whether the device has lost something of a file that it lies in, as far as the system has said so.
    pub(super) fn is_at_risk(&self) -> bool {
        self.place.is_at_risk()
    }

    /// That bytes which came back are not what was written, from the byte `byte_offset` on.
    #[cfg(feature = "compression")]
    #[cold]
    pub(super) fn corrupt(&self, byte_offset: u64) -> Error {
        let slot = self.place.segments(0..1).next().map(|segment| segment.slot);
        Error::Corrupt { byte_offset, write_back_errno: slot.and_then(Slot::write_back_errno) }
    }

    pub(super) fn pages(&self) -> Pages<'_> {
        Pages::new(&self.place, &self.proof, self.len_bytes)
    }

    /// Bytes that a prefetch may bring in: more than memory holds would push out what was just brought in.
    pub(super) fn prefetch_bytes_max(&self) -> u64 {
        self.place.prefetch_bytes_max()
    }
}

impl Payload for Slotted {
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
        let ranges = extents.requested().iter().map(|extent| extent.range());
        self.pages().prefetch(first_bytes(ranges, self.prefetch_bytes_max()));
    }
}

/// Of `ranges`, one after the other, no more than `bytes`.
pub(super) fn first_bytes(ranges: impl Iterator<Item = Range<u64>>, mut bytes: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.map_while(move |range| {
        let len_bytes = (range.end - range.start).min(bytes);
        bytes -= len_bytes;
        (len_bytes > 0).then_some(range.start..range.start + len_bytes)
    })
}
