//! A keyed hash of each 4 KiB page of a payload, kept in memory with the handle.
//!
//! Computed from the caller's memory before the write, so a bit that flips anywhere later is detected. Kept in memory and not
//! with the data, so a misplaced, lost or stale write is detected too, and the data stays aligned. A page is the unit because
//! range reads are verified as well, and read at most two pages more than they need. Four bytes a page are 0.1 % of
//! the payload.
//!
//! The hash is [`nh`](crate::sys::nh) with a key that each process draws for itself. A page that changed, whatever the change,
//! passes with a probability of at most 3 in 2^32, one for each of the hash's steps. A CRC of 32 bits promises the same for
//! random damage and more for short bursts, at half the speed. No checksum leaves the process, so nobody else needs the key.

use std::collections::TryReserveError;
use std::hash::{BuildHasher, RandomState};
use std::io::IoSlice;
use std::sync::LazyLock;

use super::PAGE_BYTES;
use super::unread::Unread;
use crate::sys::nh::{Key, PAGE};
use crate::units;

const _: () = assert!(PAGE == units::to_usize(PAGE_BYTES));

/// The key of this process.
static KEY: LazyLock<Key> = LazyLock::new(random_key);

/// Pages that are hashed before they are compared.
const BATCH_PAGES: usize = 64;

/// The checksums of one payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// The pager was built without integrity checks.
    Off,
    /// Of a payload that fits one page: no allocation.
    One(u32),
    /// Of a longer payload, one each page.
    Many(Box<[u32]>),
}

/// The page that holds a payload's byte `offset`.
fn page_of(offset: u64) -> usize {
    units::to_usize(offset / PAGE_BYTES)
}

impl Checksums {
    /// The checksums of the first `len_bytes` bytes in `slices`; `len_bytes` is not zero.
    ///
    /// # Errors
    /// When the memory for them cannot be allocated.
    pub(crate) fn of(slices: &[IoSlice<'_>], len_bytes: u64) -> Result<Self, TryReserveError> {
        let payload = Unread::new(slices, len_bytes);
        if len_bytes <= PAGE_BYTES {
            let mut only = [0];
            payload.hash(&mut only);
            return Ok(Self::One(only[0]));
        }
        let page_count = units::to_usize(len_bytes.div_ceil(PAGE_BYTES));
        let mut checksums = Vec::new();
        checksums.try_reserve_exact(page_count)?;
        checksums.resize(page_count, 0);
        payload.hash(&mut checksums);
        Ok(Self::Many(checksums.into_boxed_slice()))
    }

    /// The checksums of a payload made of pieces, of which each but the last has whole pages.
    ///
    /// # Errors
    /// When the memory for them cannot be allocated.
    pub(crate) fn join<'a>(pieces: impl Iterator<Item = &'a Self> + Clone) -> Result<Self, TryReserveError> {
        if !pieces.clone().all(Self::are_kept) {
            return Ok(Self::Off);
        }
        let mut checksums = Vec::new();
        checksums.try_reserve_exact(pieces.clone().filter_map(Self::all).map(<[u32]>::len).sum())?;
        pieces.filter_map(Self::all).for_each(|all| checksums.extend_from_slice(all));
        Ok(Self::Many(checksums.into_boxed_slice()))
    }

    /// Whether pages are verified at all.
    pub(crate) fn are_kept(&self) -> bool {
        self.all().is_some()
    }

    /// Verifies whole pages that begin at the payload's byte `start`, a multiple of a page; the last one may be the short
    /// end of the payload.
    ///
    /// # Errors
    /// The payload's byte at which the first wrong page begins.
    pub(crate) fn verify(&self, start: u64, bytes: &[u8]) -> Result<(), u64> {
        let Some(all) = self.all() else { return Ok(()) };
        let kept = &all[page_of(start)..][..bytes.len().div_ceil(PAGE)];
        match first_wrong(bytes, kept) {
            None => Ok(()),
            Some(position) => Err(start + units::to_u64(position) * PAGE_BYTES),
        }
    }

    /// The checksum of each page, where they are kept.
    fn all(&self) -> Option<&[u32]> {
        match self {
            Self::Off => None,
            Self::One(only) => Some(std::slice::from_ref(only)),
            Self::Many(all) => Some(all),
        }
    }
}

/// The first page that has another checksum than the one that was `kept`.
fn first_wrong(bytes: &[u8], kept: &[u32]) -> Option<usize> {
    let (pages, last) = bytes.as_chunks::<PAGE>();
    let (kept, kept_last) = kept.split_at(pages.len());
    let mut hashes = [0; BATCH_PAGES];
    for (batch, (pages, kept)) in pages.chunks(BATCH_PAGES).zip(kept.chunks(BATCH_PAGES)).enumerate() {
        let hashes = &mut hashes[..pages.len()];
        KEY.hash_pages(pages, hashes);
        if hashes != kept {
            let position = hashes.iter().zip(kept).position(|(hash, kept)| hash != kept);
            return position.map(|position| batch * BATCH_PAGES + position);
        }
    }
    (!last.is_empty() && [KEY.hash_page(last)] != kept_last).then_some(pages.len())
}

/// A random key.
fn random_key() -> Key {
    // The standard library's SipHash is keyed at random; over distinct numbers it is a generator of random ones.
    let random = RandomState::new();
    let mut position = 0;
    Key::new(|| {
        position += 1;
        random.hash_one(position)
    })
}

impl Unread<'_> {
    /// The checksum of each page into `sums`, of which there are as many.
    fn hash(mut self, sums: &mut [u32]) {
        let mut done = 0;
        while self.remaining_bytes() > 0 {
            let (pages, rest) = self.piece(self.remaining_bytes()).as_chunks::<PAGE>();
            KEY.hash_pages(pages, &mut sums[done..][..pages.len()]);
            done += pages.len();
            if !rest.is_empty() {
                sums[done] = self.hash_begun(rest);
                done += 1;
            }
        }
    }

    /// The checksum of a page that begins with `piece`, and may go on in other slices: it is assembled on the stack then.
    fn hash_begun(&mut self, piece: &[u8]) -> u32 {
        let page_bytes = PAGE.min(piece.len() + self.remaining_bytes());
        if piece.len() == page_bytes {
            return KEY.hash_page(piece);
        }
        let mut page = [0; PAGE];
        let mut filled_bytes = piece.len();
        page[..filled_bytes].copy_from_slice(piece);
        while filled_bytes < page_bytes {
            let piece = self.piece(page_bytes - filled_bytes);
            page[filled_bytes..][..piece.len()].copy_from_slice(piece);
            filled_bytes += piece.len();
        }
        KEY.hash_page(&page[..page_bytes])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> Checksums {
        Checksums::of(&[IoSlice::new(bytes)], units::to_u64(bytes.len())).expect("memory")
    }

    #[test]
    fn every_process_draws_a_key_of_its_own() {
        let [one, same, other] = [&*KEY, &KEY, &random_key()].map(|key| key.hash_page(&[1]));
        assert_eq!(one, same);
        assert_ne!(one, other, "once in 2^32");
    }

    #[test]
    fn the_first_wrong_page_is_named() {
        let mut bytes = vec![1u8; 3 * PAGE + 5];
        let sums = of(&bytes);
        assert_eq!(sums.verify(0, &bytes), Ok(()));
        bytes[2 * PAGE + 1] ^= 4;
        assert_eq!(sums.verify(0, &bytes), Err(2 * PAGE_BYTES));
        assert_eq!(sums.verify(PAGE_BYTES, &bytes[PAGE..2 * PAGE]), Ok(()));
        assert_eq!(sums.verify(3 * PAGE_BYTES, &bytes[3 * PAGE..]), Ok(()));
        bytes[3 * PAGE + 1] ^= 4;
        assert_eq!(sums.verify(3 * PAGE_BYTES, &bytes[3 * PAGE..]), Err(3 * PAGE_BYTES));
    }

    #[test]
    fn a_wrong_page_behind_many_is_named() {
        let bytes = vec![1u8; (2 * BATCH_PAGES + 3) * PAGE];
        let sums = of(&bytes);
        for page in [0, BATCH_PAGES - 1, BATCH_PAGES, 2 * BATCH_PAGES + 2] {
            let mut wrong = bytes.clone();
            wrong[page * PAGE + 9] ^= 1;
            assert_eq!(sums.verify(0, &wrong), Err(units::to_u64(page * PAGE)));
        }
        assert_eq!(sums.verify(0, &bytes), Ok(()));
    }

    #[test]
    fn pieces_of_whole_pages_join_where_all_have_checksums() {
        let bytes: Vec<u8> = (0..3 * PAGE + 5).map(|position| position.to_le_bytes()[1]).collect();
        let pieces = [of(&bytes[..2 * PAGE]), of(&bytes[2 * PAGE..3 * PAGE]), of(&bytes[3 * PAGE..])];
        let joined = Checksums::join(pieces.iter()).expect("memory");
        assert!(joined.are_kept());
        assert_eq!(joined, of(&bytes));
        let joined = Checksums::join([&pieces[0], &Checksums::Off].into_iter()).expect("memory");
        assert!(!joined.are_kept(), "{joined:?}");
    }

    #[test]
    fn a_page_of_two_slices_ends_where_it_would_in_one() {
        let bytes = vec![7u8; 2 * PAGE];
        let (front, back) = bytes.split_at(1);
        let sums = Checksums::of(&[IoSlice::new(front), IoSlice::new(back)], units::to_u64(bytes.len())).expect("memory");
        assert_eq!(sums, of(&bytes));
    }

    #[test]
    fn without_integrity_everything_passes() {
        assert_eq!(Checksums::Off.verify(0, b"anything"), Ok(()));
    }

    proptest! {
        /// How a payload is cut into chunks does not change its checksums; padding behind it does not count.
        #[test]
        fn cuts_do_not_matter(len in 1..40_000usize, cuts in proptest::collection::vec(0..9000usize, 0..12)) {
            let bytes: Vec<u8> = (0..len).map(|position| (position * 7 + position / 251).to_le_bytes()[0]).collect();
            let (mut slices, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts {
                let (front, back) = rest.split_at(cut.min(rest.len()));
                slices.push(IoSlice::new(front));
                rest = back;
            }
            slices.push(IoSlice::new(rest));
            slices.push(IoSlice::new(&[9; 17]));
            prop_assert_eq!(Checksums::of(&slices, units::to_u64(len)).expect("memory"), of(&bytes));
        }

        /// Any single flipped bit is found.
        #[test]
        fn a_flipped_bit_is_found(len in 1..20_000usize, pick in any::<usize>(), bit in 0..8u32) {
            let mut bytes = vec![0xa5u8; len];
            let sums = of(&bytes);
            let position = pick % len;
            bytes[position] ^= 1 << bit;
            prop_assert_eq!(sums.verify(0, &bytes), Err(units::to_u64(position / PAGE) * PAGE_BYTES));
        }
    }
}
