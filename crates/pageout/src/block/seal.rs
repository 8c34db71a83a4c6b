//! Sealed pages: each is encrypted by itself, and its tag is kept in memory with the handle.
//!
//! **Numbers.** A [`Sealer`] has a key and a counter. Each write of a payload takes as many numbers from the counter as it has pages,
//! and the number of a page is its nonce, so that none is ever used twice with one key: a write that is done once more, elsewhere
//! or because it was stopped, takes new ones. The counter has 64 bits and does not begin anew; a write past its end is refused.
//! A process that was forked draws a key of its own for what it writes, and keeps those that it inherited to read.
//!
//! **What a tag holds for**: the bytes of the page and how many they are, its number, where its payload's numbers begin, and its
//! position behind that. So a page that was changed or cut short, another one of the same or of another payload, and one that was
//! there before are all refused.
//!
//! Pages are opened in place. One that is refused is zeros then. What was opened before it is left to the caller, who hands nothing
//! on.

use std::collections::TryReserveError;
use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::PAGE_BYTES;
use super::cipher::{self, Nonce, Tag, wiping_stack};
use super::unread::Unread;
use crate::error::Error;
use crate::sync::{AtomicBool, AtomicU64, UnsizedArc};
use crate::sys::Failure;
use crate::sys::secret::Secret;
use crate::units;

const PAGE: usize = units::to_usize(PAGE_BYTES);

/// A key, and the numbers of pages that were not sealed with it yet.
pub(crate) struct Sealer {
    secret: Secret,
    next: AtomicU64,
    is_forgotten: AtomicBool,
}

impl Sealer {
    pub(crate) fn new(secret: Secret) -> Self {
        Self::from(secret, 0)
    }

    fn from(secret: Secret, next: u64) -> Self {
        Self { secret, next: AtomicU64::new(next), is_forgotten: AtomicBool::new(false) }
    }

    /// Takes the numbers of so many pages: the first of them.
    fn take(&self, pages: u64) -> Result<u64, Error> {
        let taken = self.next.fetch_update(Relaxed, Relaxed, |next| next.checked_add(pages));
        taken.map_err(|_| Failure::new("seal", libc::EOVERFLOW).into())
    }

    /// Overwrites the key. Nothing is sealed with it any more that anybody can write, and what is opened is refused.
    pub(crate) fn forget(&self) {
        self.is_forgotten.store(true, Release);
        self.secret.overwrite();
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sealer").finish_non_exhaustive()
    }
}

/// What is known of the pages of one payload.
#[derive(Debug)]
pub(crate) struct Sealed {
    writes: Writes,
    /// One each page.
    tags: Box<[Tag]>,
}

/// How the pages of a payload came to be sealed.
#[derive(Debug)]
enum Writes {
    One(Write),
    /// Piece by piece.
    Many {
        all: Box<[Write]>,
        /// Pages of each but the last.
        pages: usize,
    },
}

/// Pages that were sealed together.
#[derive(Clone, Debug)]
struct Write {
    sealer: UnsizedArc<Sealer>,
    /// The number of the first page.
    first: u64,
}

impl Sealed {
    /// A payload of `len_bytes`, not zero, of which no page is sealed yet.
    ///
    /// # Errors
    /// When the memory for tags cannot be allocated, or the key has no numbers left.
    pub(crate) fn begin(sealer: &UnsizedArc<Sealer>, len_bytes: u64) -> Result<Self, Error> {
        let pages = len_bytes.div_ceil(PAGE_BYTES);
        let mut tags = Vec::new();
        tags.try_reserve_exact(units::to_usize(pages))?;
        tags.resize(units::to_usize(pages), Tag::default());
        let write = Write { sealer: UnsizedArc::clone(sealer), first: sealer.take(pages)? };
        Ok(Self { writes: Writes::One(write), tags: tags.into_boxed_slice() })
    }

    /// Appends the next `len_bytes` bytes of `source` to `stage`, sealed. They begin at the payload's byte `start`, a multiple of a
    /// page, and are whole pages or reach its end. Each page of a payload is sealed once.
    pub(crate) fn seal(&mut self, start: u64, len_bytes: usize, source: &mut Unread<'_>, stage: &mut Vec<u8>) {
        wiping_stack(|| {
            let (mut page, end) = (page_of(start), stage.len() + len_bytes);
            while stage.len() < end {
                let page_start = stage.len();
                let page_end = end.min(page_start + PAGE);
                while stage.len() < page_end {
                    stage.extend_from_slice(source.piece(page_end - stage.len()));
                }
                self.tags[page] = self.writes.seal(page, &mut stage[page_start..]);
                page += 1;
            }
        });
    }

    /// Verifies whole pages that begin at the payload's byte `start`, a multiple of a page, and decrypts them in place.
    ///
    /// # Errors
    /// The payload's byte at which the first wrong page begins.
    pub(crate) fn open(&self, start: u64, pages: &mut [u8]) -> Result<(), u64> {
        wiping_stack(|| {
            for (page, bytes) in (page_of(start)..).zip(pages.chunks_mut(PAGE)) {
                let opened = self.writes.open(page, bytes, &self.tags[page]);
                opened.map_err(|cipher::Wrong| units::to_u64(page) * PAGE_BYTES)?;
            }
            Ok(())
        })
    }

    /// Whether `source` is the payload. It is sealed once more to find out, with the same numbers; nobody else sees that.
    pub(crate) fn is_of(&self, mut source: Unread<'_>) -> bool {
        // Beyond the stack that is overwritten, which is not as long as a page.
        let mut bytes = [0; PAGE];
        wiping_stack(|| {
            self.tags.iter().enumerate().all(|(page, tag)| {
                let page_bytes = PAGE.min(source.remaining_bytes());
                let mut filled_bytes = 0;
                while filled_bytes < page_bytes {
                    let piece = source.piece(page_bytes - filled_bytes);
                    bytes[filled_bytes..][..piece.len()].copy_from_slice(piece);
                    filled_bytes += piece.len();
                }
                self.writes.seal(page, &mut bytes[..page_bytes]) == *tag
            })
        })
    }

    /// A payload made of pieces, of which each but the last has `piece_bytes` bytes, whole pages, and was written by itself.
    ///
    /// # Errors
    /// When the memory for its lists cannot be allocated.
    pub(super) fn join<'a>(pieces: impl Iterator<Item = &'a Self> + Clone, piece_bytes: u32) -> Result<Self, TryReserveError> {
        let (mut all, mut tags) = (Vec::new(), Vec::new());
        all.try_reserve_exact(pieces.clone().count())?;
        tags.try_reserve_exact(pieces.clone().map(|piece| piece.tags.len()).sum())?;
        for piece in pieces {
            let Writes::One(write) = &piece.writes else { unreachable!("a piece was written at once") };
            all.push(write.clone());
            tags.extend_from_slice(&piece.tags);
        }
        let writes = Writes::Many { all: all.into_boxed_slice(), pages: units::index(piece_bytes) / PAGE };
        Ok(Self { writes, tags: tags.into_boxed_slice() })
    }

    /// Whether its key was forgotten.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.writes.of(0).0.sealer.is_forgotten.load(Acquire)
    }
}

impl Writes {
    /// The write that a page was part of, and its position there.
    fn of(&self, page: usize) -> (&Write, u64) {
        match self {
            Self::One(write) => (write, units::to_u64(page)),
            Self::Many { all, pages } => (&all[page / pages], units::to_u64(page % pages)),
        }
    }

    fn seal(&self, page: usize, bytes: &mut [u8]) -> Tag {
        let (write, position) = self.of(page);
        cipher::seal(&write.sealer.secret.load(), &write.nonce(position), &write.about(position), bytes)
    }

    fn open(&self, page: usize, bytes: &mut [u8], tag: &Tag) -> Result<(), cipher::Wrong> {
        let (write, position) = self.of(page);
        cipher::open(&write.sealer.secret.load(), &write.nonce(position), &write.about(position), bytes, tag)
    }
}

impl Write {
    /// The number of the page at a position.
    fn nonce(&self, position: u64) -> Nonce {
        // Its numbers were taken, so they do not overflow.
        numbers(self.first + position, 0)
    }

    /// What the tag of the page at a position holds for beside its bytes.
    fn about(&self, position: u64) -> [u8; 16] {
        numbers(self.first, position)
    }
}

/// Two numbers as bytes.
fn numbers(first: u64, second: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}

/// The page that holds a payload's byte `offset`.
fn page_of(offset: u64) -> usize {
    units::to_usize(offset / PAGE_BYTES)
}

// Miri runs no C.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::collections::HashSet;
    use std::io::IoSlice;

    use proptest::prelude::*;

    use super::*;
    use crate::units::to_u64;

    fn sealer(next: u64) -> UnsizedArc<Sealer> {
        let key = std::array::from_fn(|position| position.to_le_bytes()[0]);
        UnsizedArc::new(Sealer::from(Secret::known(key), next))
    }

    fn payload(len: usize) -> Vec<u8> {
        (0..len).map(|position| (position * 7 + position / 251).to_le_bytes()[0]).collect()
    }

    /// A payload sealed at once.
    fn seal(keys: &UnsizedArc<Sealer>, bytes: &[u8]) -> (Sealed, Vec<u8>) {
        let mut sealed = Sealed::begin(keys, to_u64(bytes.len())).expect("memory");
        let (mut stage, slices) = (Vec::new(), [IoSlice::new(bytes)]);
        sealed.seal(0, bytes.len(), &mut Unread::new(&slices, to_u64(bytes.len())), &mut stage);
        (sealed, stage)
    }

    /// That pages from the payload's byte `start` on are opened as `plain`, and stay good.
    #[track_caller]
    fn assert_opens(sealed: &Sealed, start: u64, pages: &[u8], plain: &[u8]) {
        let mut pages = pages.to_vec();
        assert_eq!(sealed.open(start, &mut pages), Ok(()));
        assert!(pages == plain, "other bytes");
    }

    /// That the first page is refused and nothing of it is left.
    #[track_caller]
    fn assert_refuses(sealed: &Sealed, start: u64, pages: &[u8]) {
        let mut pages = pages.to_vec();
        assert_eq!(sealed.open(start, &mut pages), Err(start));
        let first = &pages[..PAGE.min(pages.len())];
        assert!(first.iter().all(|&byte| byte == 0), "bytes of a page that was refused");
    }

    /// What another implementation (the standard library of zig 0.15) makes of pages with these numbers.
    #[test]
    fn a_page_has_its_number_as_nonce_and_its_place_as_associated_data() {
        let bytes = payload(PAGE);
        let pages = [&bytes[..], &bytes, &bytes[..100]].concat();
        let (sealed, stage) = seal(&sealer(5), &pages);
        let seen = |page: usize| {
            let number = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().expect("16 bytes"));
            let bytes = stage.chunks(PAGE).nth(page).expect("a page");
            [number(&bytes[..16]), number(&bytes[bytes.len() - 16..]), number(&sealed.tags[page])]
        };
        let first = [0xbf2c_43f1_186d_80a3_d693_6851_34a6_b727, 0xc9d7_1b89_9b08_5dc3_32e0_9533_4b68_6fc2];
        assert_eq!(seen(0), [first[0], first[1], 0x68ba_0cb6_2bb5_d16a_2d38_8877_6a6d_6715]);
        let second = [0xfd1c_b167_7974_8457_bc25_4419_07c2_0a54, 0xd31a_c751_88b0_8313_7bad_7d65_5029_a530];
        assert_eq!(seen(1), [second[0], second[1], 0x48b7_2499_f610_ac52_d180_daec_1b23_f1c2]);
        let short = [0xa1bf_51fb_61ca_b470_2a5b_8491_6f7b_630f, 0xb44d_0ebc_4784_6424_b143_32a5_03ca_c9e4];
        assert_eq!(seen(2), [short[0], short[1], 0x4ab7_09eb_6a9f_8e82_c6b6_f4cb_af5a_b7af]);
    }

    #[test]
    fn any_whole_pages_are_opened_by_themselves() {
        let bytes = payload(3 * PAGE + 5);
        let (sealed, stage) = seal(&sealer(0), &bytes);
        assert_opens(&sealed, 0, &stage, &bytes);
        assert_opens(&sealed, PAGE_BYTES, &stage[PAGE..2 * PAGE], &bytes[PAGE..2 * PAGE]);
        assert_opens(&sealed, 3 * PAGE_BYTES, &stage[3 * PAGE..], &bytes[3 * PAGE..]);
        assert!(sealed.is_of(Unread::new(&[IoSlice::new(&bytes)], to_u64(bytes.len()))));
        let mut other = bytes;
        other[2 * PAGE] ^= 1;
        assert!(!sealed.is_of(Unread::new(&[IoSlice::new(&other)], to_u64(other.len()))));
    }

    #[test]
    fn the_first_wrong_page_is_named_and_what_lies_behind_it_stays_sealed() {
        let bytes = payload(4 * PAGE);
        let (sealed, stage) = seal(&sealer(0), &bytes);
        let mut pages = stage.clone();
        pages[PAGE + 9] ^= 1;
        assert_eq!(sealed.open(0, &mut pages), Err(PAGE_BYTES));
        assert!(pages[PAGE..2 * PAGE].iter().all(|&byte| byte == 0));
        assert!(pages[2 * PAGE..] == stage[2 * PAGE..]);
    }

    #[test]
    fn pages_of_other_places_payloads_times_and_keys_are_refused() {
        let (bytes, keys) = (payload(2 * PAGE), sealer(0));
        let (sealed, stage) = seal(&keys, &bytes);
        assert_refuses(&sealed, 0, &stage[PAGE..]);
        assert_refuses(&sealed, PAGE_BYTES, &stage[..PAGE]);
        let (again, other_stage) = seal(&keys, &bytes);
        assert_refuses(&sealed, 0, &other_stage);
        assert_refuses(&again, 0, &stage);
        let elsewhere = UnsizedArc::new(Sealer::new(Secret::draw().expect("a key")));
        let (foreign, foreign_stage) = seal(&elsewhere, &bytes);
        assert_refuses(&sealed, 0, &foreign_stage);
        assert_refuses(&foreign, 0, &stage);
    }

    #[test]
    fn a_page_that_is_cut_short_or_filled_up_is_refused() {
        let (sealed, stage) = seal(&sealer(0), &payload(100));
        assert_refuses(&sealed, 0, &stage[..99]);
        assert_refuses(&sealed, 0, &[&stage[..], &[0]].concat());
    }

    #[test]
    fn pieces_become_one_payload() {
        let (bytes, keys) = (payload(5 * PAGE + 3), [sealer(7), UnsizedArc::new(Sealer::new(Secret::draw().expect("a key")))]);
        let pieces: Vec<_> = bytes.chunks(2 * PAGE).zip(keys.iter().cycle()).map(|(piece, key)| seal(key, piece)).collect();
        let stage: Vec<u8> = pieces.iter().flat_map(|(_, stage)| stage.iter().copied()).collect();
        let joined = Sealed::join(pieces.iter().map(|(sealed, _)| sealed), 8192).expect("memory");
        assert_opens(&joined, 0, &stage, &bytes);
        assert_opens(&joined, 3 * PAGE_BYTES, &stage[3 * PAGE..], &bytes[3 * PAGE..]);
        assert_refuses(&joined, 0, &stage[2 * PAGE..]);
    }

    #[test]
    fn a_key_that_is_forgotten_opens_nothing() {
        let keys = sealer(0);
        let (sealed, stage) = seal(&keys, &payload(10));
        assert!(!sealed.is_forgotten());
        keys.forget();
        assert!(sealed.is_forgotten());
        assert_refuses(&sealed, 0, &stage);
    }

    #[test]
    fn numbers_do_not_begin_anew() {
        let keys = sealer(u64::MAX - 3);
        assert_eq!(Sealed::begin(&keys, 4 * PAGE_BYTES).map(|_| ()).expect_err("too many").raw_os_error(), Some(libc::EOVERFLOW));
        Sealed::begin(&keys, 3 * PAGE_BYTES).expect("the last numbers");
        assert_eq!(Sealed::begin(&keys, 1).map(|_| ()).expect_err("none is left").raw_os_error(), Some(libc::EOVERFLOW));
        assert_eq!(keys.next.load(Relaxed), u64::MAX, "a write that was refused takes none");
    }

    const THREADS: usize = 4;
    const PAGES_MAX: usize = 3;

    /// No nonce is used twice with one key, however many threads write payloads of random lengths, also where the numbers end
    /// meanwhile. `PAGEOUT_NONCES` chooses how many.
    #[test]
    fn no_nonce_is_used_twice() {
        let writes: usize = std::env::var("PAGEOUT_NONCES").map_or(200_000, |count| count.parse().expect("a number"));
        for begin in [0, u64::MAX - to_u64(writes)] {
            let keys = sealer(begin);
            let seen: Vec<AtomicU64> = (0..(writes * PAGES_MAX).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
            let seen = &seen[..];
            let taken: u64 = std::thread::scope(|scope| {
                let threads = [1u64, 2, 3, 4].map(|seed| {
                    let keys = &keys;
                    scope.spawn(move || take_and_mark(keys, begin, writes / THREADS, seed, seen))
                });
                threads.into_iter().map(|thread| thread.join().expect("no number twice")).sum()
            });
            let marked: u64 = seen.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum();
            assert_eq!(marked, taken);
            assert_eq!(keys.next.load(Relaxed), begin + taken);
        }
    }

    /// Begins writes, and marks the nonce of each page; says how many there were.
    fn take_and_mark(keys: &UnsizedArc<Sealer>, begin: u64, writes: usize, mut random: u64, seen: &[AtomicU64]) -> u64 {
        let mut taken = 0;
        for _ in 0..writes {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pages = 1 + (random >> 33) % 3;
            let Ok(first) = keys.take(pages) else { continue };
            let write = Write { sealer: UnsizedArc::clone(keys), first };
            for position in 0..pages {
                let nonce = u128::from_le_bytes(write.nonce(position));
                let bit = u64::try_from(nonce).expect("half of a nonce is zeros") - begin;
                let before = seen[units::to_usize(bit / 64)].fetch_or(1 << (bit % 64), Relaxed);
                assert_eq!(before & (1 << (bit % 64)), 0, "nonce {nonce} twice");
            }
            taken += pages;
        }
        taken
    }

    /// Whoever gets the stack in a core dump does not get the key with it.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_key_is_not_left_on_the_stack() {
        let keys = UnsizedArc::new(Sealer::new(Secret::draw().expect("a key")));
        let whole = || -> [IoSlice<'static>; 1] { [IoSlice::new(&[7; 100])] };
        let (mut sealed, mut stage) = (Sealed::begin(&keys, 100).expect("memory"), Vec::with_capacity(100));
        let mut seal = || sealed.seal(0, 100, &mut Unread::new(&whole(), 100), &mut stage);
        assert_leaves_no_key(&keys, "seal", &mut seal);
        assert_leaves_no_key(&keys, "compare", &mut || assert!(sealed.is_of(Unread::new(&whole(), 100))));
        assert_leaves_no_key(&keys, "open", &mut || assert_eq!(sealed.open(0, &mut stage), Ok(())));
    }

    /// That no part of the key is on the stack of a thread that did `work`.
    #[cfg(target_os = "linux")]
    #[track_caller]
    fn assert_leaves_no_key(keys: &Sealer, name: &str, work: &mut (dyn FnMut() + Send)) {
        use std::os::unix::fs::FileExt;

        let (here, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let place = 0;
                work();
                // Nothing else uses the stack from here on.
                here.store(to_u64(std::ptr::from_ref(&place).addr()), Release);
                while !is_over.load(Acquire) {
                    std::hint::spin_loop();
                }
            });
            while here.load(Acquire) == 0 {
                std::hint::spin_loop();
            }
            let mut stack = vec![0; 16 << 10];
            let start = here.load(Acquire) - to_u64(stack.len());
            let memory = std::fs::File::open("/proc/self/mem").expect("this process's memory");
            memory.read_exact_at(&mut stack, start).expect("the stack of the other thread");
            is_over.store(true, Release);
            let key = keys.secret.load();
            assert!(stack.iter().any(|&byte| byte != 0), "the stack was used");
            let place =
                |part: &[u8; 8]| stack.windows(8).rposition(|window| window == part).map(|position| stack.len() - position);
            assert_eq!(key.as_chunks().0.iter().find_map(place), None, "a part of the key is on the stack: {name}");
        });
    }

    #[test]
    fn what_is_said_about_pages_differs() {
        let write = |first| Write { sealer: sealer(0), first };
        let places = [(0, 0), (0, 1), (1, 0), (1, 1), (u64::MAX, 0)];
        let about: HashSet<_> = places.map(|(first, position)| write(first).about(position)).into();
        assert_eq!(about.len(), places.len());
    }

    proptest! {
        /// How a payload is cut into chunks and pieces does not matter; each flipped bit is found, in its page.
        #[test]
        fn cuts_do_not_matter_and_flipped_bits_do(
            len in 1..40_000usize,
            cuts in proptest::collection::vec(0..9000usize, 0..12),
            piece_pages in 1..4usize,
            pick in any::<usize>(),
            bit in 0..8u32,
        ) {
            let bytes = payload(len);
            let (mut slices, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts {
                let (front, back) = rest.split_at(cut.min(rest.len()));
                slices.push(IoSlice::new(front));
                rest = back;
            }
            slices.push(IoSlice::new(rest));
            slices.push(IoSlice::new(&[9; 17]));
            let mut sealed = Sealed::begin(&sealer(3), to_u64(len)).expect("memory");
            let (mut stage, mut source) = (Vec::new(), Unread::new(&slices, to_u64(len)));
            for start in (0..len).step_by(piece_pages * PAGE) {
                sealed.seal(to_u64(start), (len - start).min(piece_pages * PAGE), &mut source, &mut stage);
            }
            let (whole, whole_stage) = seal(&sealer(3), &bytes);
            prop_assert_eq!((&sealed.tags, &stage), (&whole.tags, &whole_stage));
            prop_assert!(sealed.is_of(Unread::new(&slices, to_u64(len))));
            let position = pick % len;
            stage[position] ^= 1 << bit;
            prop_assert_eq!(sealed.open(0, &mut stage), Err(to_u64(position / PAGE) * PAGE_BYTES));
        }
    }
}
