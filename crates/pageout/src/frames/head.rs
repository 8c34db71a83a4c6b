//! What an encoded frame begins with: its form, and the numbers that the form needs to be undone.

use super::form::Form;
use super::numbers::Base;
use super::{decimals, numbers};

/// One byte of [`Form`]; of decimals, one of their places; of differences, their base, in as many bytes as an element has.
pub(super) struct Head {
    form: Form,
    places: u8,
    base: Base,
}

impl Head {
    /// The head of a frame of `elements`, which are not empty, and the numbers to apply it to: the elements, or the whole numbers
    /// that they are as decimals, in `integers`. Nothing where they should be decimals and are not.
    pub(super) fn of<'a>(form: Form, elements: &'a [u8], integers: &'a mut [u8]) -> Option<(Self, &'a [u8])> {
        let (mut numbers, mut places) = (elements, 0);
        if form.is_of_decimals() {
            places = decimals::to_integers(elements, form.width_log(), integers)?;
            numbers = integers;
        }
        let base = if form.is_of_differences() { numbers::base(numbers, form.width_log()) } else { Base::default() };
        Some((Self { form, places, base }, numbers))
    }

    /// Writes it to the front of a frame; the bytes used.
    pub(super) fn write(&self, encoded: &mut [u8]) -> usize {
        encoded[0] = self.form.byte();
        let mut end = 1;
        if self.form.is_of_decimals() {
            encoded[end] = self.places;
            end += 1;
        }
        let base = &self.base[..self.form.base_bytes()];
        encoded[end..][..base.len()].copy_from_slice(base);
        end + base.len()
    }

    /// The head of a frame, and what is behind. Nothing where [`Self::write`] has not made it.
    pub(super) fn read(encoded: &[u8]) -> Option<(Self, &[u8])> {
        let (&byte, mut rest) = encoded.split_first()?;
        let (form, mut places, mut base) = (Form::of_byte(byte)?, 0, Base::default());
        if form.is_of_decimals() {
            (places, rest) = rest.split_first().map(|(&places, rest)| (places, rest))?;
        }
        let (front, rest) = rest.split_at_checked(form.base_bytes())?;
        base[..front.len()].copy_from_slice(front);
        decimals::are_places(places).then_some((Self { form, places, base }, rest))
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The planes of `numbers`.
    pub(super) fn apply<'a>(&self, numbers: &'a [u8], between: &mut [u8], planes: &'a mut [u8]) -> &'a [u8] {
        self.form.apply(numbers, self.base, between, planes)
    }

    /// Makes the elements of what the planes are put together to, in place.
    pub(super) fn undo(&self, elements: &mut [u8]) {
        self.form.unfold(elements, self.base);
        if self.form.is_of_decimals() {
            decimals::to_numbers(elements, self.form.width_log(), self.places);
        }
    }
}
