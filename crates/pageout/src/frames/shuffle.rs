//! Bytes of elements, sorted by their place in the element: a plane for each place.
//!
//! In steps, each of which halves or doubles the elements: two streams of bytes become one, by turns, or one becomes two. A
//! step is a loop that compilers turn into vector instructions of any processor; a step for all places at once is none, and
//! three times as slow.

/// Takes whole `elements` of 2^`width_log` bytes apart; not for 0. `between` and `planes` have their length.
pub(super) fn split(elements: &[u8], width_log: u8, between: &mut [u8], planes: &mut [u8]) {
    let (from, into) = stations(width_log, between, planes);
    halve(elements, into);
    split_moved(width_log - 1, into, from);
}

/// Where elements have to be so that [`split_moved`] leaves planes in `planes`, and what else it uses.
pub(super) fn stations<'a>(width_log: u8, between: &'a mut [u8], planes: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8]) {
    if width_log.is_multiple_of(2) { (planes, between) } else { (between, planes) }
}

/// As [`split`], of elements that are where [`stations`] says.
pub(super) fn split_moved(width_log: u8, from: &mut [u8], into: &mut [u8]) {
    let (mut from, mut into) = (from, into);
    for _ in 0..width_log {
        halve(from, into);
        (from, into) = (into, from);
    }
}

/// Puts `elements` together; the content of `planes` is lost.
pub(super) fn join(planes: &mut [u8], width_log: u8, between: &mut [u8], elements: &mut [u8]) {
    let (mut from, mut into) = (planes, between);
    for _ in 1..width_log {
        double(from, into);
        (from, into) = (into, from);
    }
    double(from, elements);
}

/// Bytes in even places to the first half, those in odd places to the second.
fn halve(pairs: &[u8], halves: &mut [u8]) {
    let (even, odd) = halves.split_at_mut(pairs.len() / 2);
    split_pairs(pairs.as_chunks().0, even, odd);
}

/// The inverse of [`halve`].
fn double(halves: &[u8], pairs: &mut [u8]) {
    let (even, odd) = halves.split_at(halves.len() / 2);
    join_pairs(even, odd, pairs.as_chunks_mut().0);
}

/// Not inlined, since the compiler knows of arguments that they do not overlap, and of 16 bits at a time, that it may use vectors.
#[inline(never)]
fn split_pairs(pairs: &[[u8; 2]], even: &mut [u8], odd: &mut [u8]) {
    for ((pair, even), odd) in pairs.iter().zip(even).zip(odd) {
        let pair = u16::from_le_bytes(*pair);
        (*even, *odd) = ((pair & 0xff) as u8, (pair >> 8) as u8);
    }
}

/// Not inlined, as [`split_pairs`].
#[inline(never)]
fn join_pairs(even: &[u8], odd: &[u8], pairs: &mut [[u8; 2]]) {
    for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
        *pair = [*even, *odd];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each byte by its place.
    fn naive(elements: &[u8], width: usize) -> Vec<u8> {
        (0..width).flat_map(|place| elements.iter().copied().skip(place).step_by(width)).collect()
    }

    proptest! {
        #[test]
        fn planes_have_the_bytes_of_one_place(width_log in 1..=4u8, bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let width = 1 << width_log;
            let elements = &bytes[..bytes.len() / width * width];
            let [mut between, mut planes, mut back] = [const { Vec::new() }; 3].map(|_: Vec<u8>| vec![0; elements.len()]);
            split(elements, width_log, &mut between, &mut planes);
            prop_assert_eq!(&planes, &naive(elements, width));
            planes.fill(0);
            let (from, into) = stations(width_log, &mut between, &mut planes);
            from.copy_from_slice(elements);
            split_moved(width_log, from, into);
            prop_assert_eq!(&planes, &naive(elements, width));
            join(&mut planes, width_log, &mut between, &mut back);
            prop_assert_eq!(&back, elements);
        }
    }
}
