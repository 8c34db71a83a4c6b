//! What is done to the elements of a frame, so that LZ4 finds what repeats.

use super::numbers::Base;
use super::{numbers, shuffle};

/// Bytes of the longest element that is taken apart.
const WIDTH_MAX: usize = 16;

/// A reversible change of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    change: Change,
    /// Binary logarithm of the bytes of an element.
    width_log: u8,
    /// Whether elements are decimals, which become whole numbers first.
    is_of_decimals: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The bytes of elements by their places.
    Shuffled = 0,
    /// The same of numbers whose sign is their lowest bit: small ones have high bytes of zero, also below zero.
    SignsShuffled = 1,
    /// The same of the differences between neighbours.
    DifferencesShuffled = 2,
    /// The bytes as they are.
    Plain = 3,
    /// The differences between neighbours, as they are: few of them differ from each other.
    Differences = 4,
}

/// The one that is decoded fastest first.
const CHANGES: [Change; 5] =
    [Change::Shuffled, Change::SignsShuffled, Change::DifferencesShuffled, Change::Plain, Change::Differences];

/// Bits of the head that have the change, and behind them the width. The next one is set for decimals.
const CHANGE_BITS: u32 = 3;
const WIDTH_BITS: u32 = 3;

impl Form {
    /// The forms for elements of so many bytes, the one that is decoded fastest first. Longer elements, and those whose length is
    /// no power of two, are seen as rows of the longest that their length is a multiple of.
    pub(super) fn all_for(element_bytes: usize) -> impl Iterator<Item = Self> {
        let width_log = (element_bytes | WIDTH_MAX).trailing_zeros();
        let width_log = u8::try_from(width_log).expect("at most 4");
        let forms = |is_of_decimals| {
            CHANGES.into_iter().filter_map(move |change| match change {
                Change::Plain => Self::checked(change, 0, is_of_decimals),
                _ => Self::checked(change, width_log, is_of_decimals),
            })
        };
        forms(false).chain(forms(true))
    }

    /// The byte at the head of a frame.
    pub(super) fn byte(self) -> u8 {
        self.change as u8 | self.width_log << CHANGE_BITS | u8::from(self.is_of_decimals) << (CHANGE_BITS + WIDTH_BITS)
    }

    /// The form of a frame with this byte at its head.
    pub(super) fn of_byte(byte: u8) -> Option<Self> {
        let change = CHANGES.get(usize::from(byte % (1 << CHANGE_BITS)))?;
        let (width_log, decimals) = (byte >> CHANGE_BITS & ((1 << WIDTH_BITS) - 1), byte >> (CHANGE_BITS + WIDTH_BITS));
        Self::checked(*change, width_log, decimals == 1).filter(|_| decimals < 2)
    }

    fn checked(change: Change, width_log: u8, is_of_decimals: bool) -> Option<Self> {
        let is_valid = match (change, is_of_decimals) {
            (Change::Plain, false) => width_log == 0,
            (Change::Shuffled, false) => matches!(width_log, 1..=4),
            (_, false) => matches!(width_log, 1..=3),
            (Change::SignsShuffled | Change::DifferencesShuffled, true) => matches!(width_log, 2..=3),
            (_, true) => false,
        };
        is_valid.then_some(Self { change, width_log, is_of_decimals })
    }

    /// Whether elements are decimals: then [`Self::of_bits`] is the form for those that are none.
    pub(super) fn is_of_decimals(self) -> bool {
        self.is_of_decimals
    }

    /// The form without decimals.
    pub(super) fn of_bits(self) -> Self {
        Self { is_of_decimals: false, ..self }
    }

    /// Binary logarithm of the bytes of an element.
    pub(super) fn width_log(self) -> u8 {
        self.width_log
    }

    /// Whether a frame has a plane for each byte of an element, not one for all.
    pub(super) fn is_shuffled(self) -> bool {
        !matches!(self.change, Change::Plain | Change::Differences)
    }

    /// Of `len_bytes`, those in whole elements.
    pub(super) const fn whole_elements(self, len_bytes: usize) -> usize {
        len_bytes >> self.width_log << self.width_log
    }

    pub(super) fn is_of_differences(self) -> bool {
        matches!(self.change, Change::DifferencesShuffled | Change::Differences)
    }

    /// Bytes of the [`Base`] at the head of a frame.
    pub(super) fn base_bytes(self) -> usize {
        if self.is_of_differences() { 1 << self.width_log } else { 0 }
    }

    /// Bytes of each plane of whole elements of `len_bytes` together.
    pub(super) fn plane_bytes(self, len_bytes: usize) -> usize {
        if self.is_shuffled() { len_bytes >> self.width_log } else { len_bytes }
    }

    /// The planes of `elements`, which are whole; `between` and `planes` are at least as long.
    pub(super) fn apply<'a>(self, elements: &'a [u8], base: Base, between: &mut [u8], planes: &'a mut [u8]) -> &'a [u8] {
        let (between, planes) = (&mut between[..elements.len()], &mut planes[..elements.len()]);
        let width_log = self.width_log;
        match self.change {
            Change::Plain => return elements,
            Change::Shuffled => shuffle::split(elements, width_log, between, planes),
            Change::SignsShuffled => {
                let (folded, other) = shuffle::stations(width_log, between, planes);
                numbers::fold_signs(elements, width_log, folded);
                shuffle::split_moved(width_log, folded, other);
            }
            Change::DifferencesShuffled => {
                let (folded, other) = shuffle::stations(width_log, between, planes);
                numbers::fold_differences(elements, width_log, base, folded);
                shuffle::split_moved(width_log, folded, other);
            }
            Change::Differences => numbers::fold_differences(elements, width_log, base, planes),
        }
        planes
    }

    /// Puts the shuffled planes at the front of `planes` together again; the content of it and of `between` is lost.
    pub(super) fn join(self, planes: &mut [u8], between: &mut [u8], elements: &mut [u8]) {
        let (planes, between) = (&mut planes[..elements.len()], &mut between[..elements.len()]);
        shuffle::join(planes, self.width_log, between, elements);
    }

    /// What `elements` were before they were folded.
    pub(super) fn unfold(self, elements: &mut [u8], base: Base) {
        match self.change {
            Change::Plain | Change::Shuffled => (),
            Change::SignsShuffled => numbers::unfold_signs(elements, self.width_log),
            Change::DifferencesShuffled | Change::Differences => numbers::unfold_differences(elements, self.width_log, base),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_name_the_forms_and_others_none() {
        let valid: Vec<u8> = (0..=255).filter(|&byte| Form::of_byte(byte).is_some()).collect();
        assert_eq!(valid, [3, 8, 9, 10, 12, 16, 17, 18, 20, 24, 25, 26, 28, 32, 81, 82, 89, 90]);
        for byte in valid {
            assert_eq!(Form::of_byte(byte).map(Form::byte), Some(byte));
        }
    }

    #[test]
    fn elements_of_any_length_have_forms() {
        let widths = |element_bytes| Form::all_for(element_bytes).map(|form| form.width_log).collect::<Vec<_>>();
        assert_eq!(widths(1), [0]);
        assert_eq!(widths(2), [1, 1, 1, 0, 1]);
        assert_eq!(widths(8), [3, 3, 3, 0, 3, 3, 3]);
        assert_eq!((widths(16), widths(32)), (vec![4, 0], vec![4, 0]));
        assert_eq!((widths(3), widths(12), widths(24)), (vec![0], vec![2, 2, 2, 0, 2, 2, 2], vec![3, 3, 3, 0, 3, 3, 3]));
    }
}
