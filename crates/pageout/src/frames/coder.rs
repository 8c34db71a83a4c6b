//! One frame: from its bytes to what is stored of it, and back.

use std::collections::TryReserveError;
use std::hint::black_box;

use lz4_flex::block::{CompressTable, compress_into_with_table};

use super::form::Form;
use super::head::Head;
use super::{Corrupt, FRAME_BYTES, pays, plane, zeros};

/// What LZ4 asks for while it works on the last plane: a tenth more than the plane has, behind all others.
const ENCODED_BYTES_MAX: usize = FRAME_BYTES + FRAME_BYTES / 10 + 128;

/// Memory for the steps between.
pub(super) struct Coder {
    /// The planes of a frame.
    planes: Box<[u8]>,
    /// What is between two steps of a form.
    between: Box<[u8]>,
    /// The whole numbers that the decimals of a frame are.
    integers: Box<[u8]>,
    encoded: Box<[u8]>,
    /// One for planes of an element's bytes; and one for frames in one plane: it finds matches of five bytes and no shorter ones, which
    /// is faster there, and as small.
    tables: Box<[CompressTable]>,
    /// Whether something may be left in what decoding does not use.
    has_encoded: bool,
}

impl Coder {
    pub(super) fn new() -> Result<Self, TryReserveError> {
        Ok(Self {
            planes: zeros(FRAME_BYTES)?,
            between: zeros(FRAME_BYTES)?,
            integers: zeros(FRAME_BYTES)?,
            encoded: zeros(ENCODED_BYTES_MAX)?,
            tables: tables()?,
            has_encoded: false,
        })
    }

    /// Encodes a frame in this form, or in what that is without decimals; nothing where it does not pay.
    pub(super) fn encode(&mut self, frame: &[u8], form: Form) -> Option<&[u8]> {
        let len = match self.encoded_len(frame, form) {
            None if form.is_of_decimals() => self.encoded_len(frame, form.of_bits()),
            len => len,
        };
        Some(&self.encoded[..len?])
    }

    /// Encodes a frame in this form; the length, where that pays.
    pub(super) fn encoded_len(&mut self, frame: &[u8], form: Form) -> Option<usize> {
        self.has_encoded = true;
        let Self { planes, between, integers, encoded, tables, .. } = self;
        let (elements, tail) = frame.split_at(form.whole_elements(frame.len()));
        if elements.is_empty() {
            return None;
        }
        let (head, numbers) = Head::of(form, elements, &mut integers[..elements.len()])?;
        let planes = head.apply(numbers, between, planes);
        let table = &mut tables[usize::from(!form.is_shuffled())];
        let mut end = head.write(encoded);
        for plane in planes.chunks_exact(form.plane_bytes(elements.len())) {
            end += plane::encode(plane, &mut encoded[end..], table);
        }
        encoded[end..][..tail.len()].copy_from_slice(tail);
        let len = end + tail.len();
        pays(len, frame.len()).then_some(len)
    }

    /// Decodes what [`Self::encode`] has made of a frame of this length.
    pub(super) fn decode(&mut self, encoded: &[u8], frame: &mut [u8]) -> Result<(), Corrupt> {
        let (head, mut rest) = Head::read(encoded).ok_or(Corrupt)?;
        let form = head.form();
        let (elements, tail) = frame.split_at_mut(form.whole_elements(frame.len()));
        if elements.is_empty() {
            return Err(Corrupt);
        }
        if form.is_shuffled() {
            for plane in self.planes[..elements.len()].chunks_exact_mut(form.plane_bytes(elements.len())) {
                rest = plane::decode(rest, plane)?;
            }
            form.join(&mut self.planes, &mut self.between, elements);
        } else {
            rest = plane::decode(rest, elements)?;
        }
        if rest.len() != tail.len() {
            return Err(Corrupt);
        }
        head.undo(elements);
        tail.copy_from_slice(rest);
        Ok(())
    }

    pub(super) fn wipe(&mut self) {
        overwrite(&mut self.planes);
        overwrite(&mut self.between);
        if std::mem::take(&mut self.has_encoded) {
            for table in &mut self.tables {
                // LZ4 clears its table before it begins.
                compress_into_with_table(&[], &mut self.encoded, table).expect("room for nothing");
                black_box(table);
            }
            overwrite(&mut self.integers);
            overwrite(&mut self.encoded);
        }
    }

    /// Whether nothing is left of any frame.
    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        let Self { planes, between, integers, encoded, tables, has_encoded: _ } = self;
        let mut tables = tables.iter().map(|table| match table {
            CompressTable::Small(table) => format!("{table:?}").replace("HashTable4KU16", ""),
            CompressTable::Large(table) => format!("{table:?}").replace("HashTable4K", ""),
        });
        [planes, between, integers, encoded].into_iter().all(|bytes| bytes.iter().all(|&byte| byte == 0))
            && tables.all(|table| !table.contains(|digit| ('1'..='9').contains(&digit)))
    }
}

/// Without the feature `alloc` of LZ4 its tables lie where they are put, in memory that may be refused.
fn tables() -> Result<Box<[CompressTable]>, TryReserveError> {
    let mut tables = Vec::new();
    tables.try_reserve_exact(2)?;
    tables.push(CompressTable::small());
    tables.push(CompressTable::large());
    Ok(tables.into_boxed_slice())
}

/// Zeros in all of `bytes`, which the compiler has to believe are read.
pub(super) fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}
