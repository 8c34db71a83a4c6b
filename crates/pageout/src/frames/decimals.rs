//! Floating-point numbers that are decimals of a few places, as whole numbers of the last place.
//!
//! Each is the one number that is nearest to a decimal, so a division gives it back, bit by bit; that it does is tried on each.
//! Never for NaN, of which a processor keeps what it likes, and not for the zero below zero. As everywhere in Rust, nobody may
//! have changed how the processor rounds.

/// Half of all numbers of 53 bits: what is added to it is rounded to a whole number, which its lowest bits are.
const MIDDLE: f64 = 6_755_399_441_055_744.0;
const POWERS: [f64; 5] = [1.0, 10.0, 100.0, 1000.0, 10_000.0];
/// So many numbers are tried at once, by vector instructions.
const ROW: usize = 32;

/// The decimals `numbers` of 2^`width_log` bytes, 4 or 8, in `integers`, which has their length. The places that they have, if
/// all have no more than four.
pub(super) fn to_integers(numbers: &[u8], width_log: u8, integers: &mut [u8]) -> Option<u8> {
    let places = POWERS.iter().position(|&power| match width_log {
        2 => fill(numbers, integers, |number| {
            let number = f32::from_le_bytes(number);
            let [integer @ .., _, _, _, _] = to_integer(number.into(), power).to_le_bytes();
            (integer, is_same(number.into(), single(integer, power).into()))
        }),
        _ => fill(numbers, integers, |number| {
            let number = f64::from_le_bytes(number);
            let integer = to_integer(number, power);
            (integer.to_le_bytes(), is_same(number, to_number(integer, power)))
        }),
    })?;
    Some(u8::try_from(places).expect("few"))
}

/// Whether decimals may have so many places.
pub(super) fn are_places(places: u8) -> bool {
    usize::from(places) < POWERS.len()
}

/// The inverse, in place.
///
/// # Panics
/// When decimals have not [so many places](are_places).
pub(super) fn to_numbers(integers: &mut [u8], width_log: u8, places: u8) {
    let power = POWERS[usize::from(places)];
    match width_log {
        2 => integers.as_chunks_mut().0.iter_mut().for_each(|integer| *integer = single(*integer, power).to_le_bytes()),
        _ => {
            for integer in integers.as_chunks_mut().0 {
                *integer = to_number(u64::from_le_bytes(*integer), power).to_le_bytes();
            }
        }
    }
}

/// Fills `integers` with what `integer` makes of each number, as long as it says that they are right.
fn fill<const WIDTH: usize>(numbers: &[u8], integers: &mut [u8], integer: impl Fn([u8; WIDTH]) -> ([u8; WIDTH], bool)) -> bool {
    let mut rows = numbers.as_chunks().0.chunks(ROW).zip(integers.as_chunks_mut().0.chunks_mut(ROW));
    rows.all(|(numbers, integers)| {
        let mut are_right = true;
        for (number, into) in numbers.iter().zip(integers) {
            let is_right;
            (*into, is_right) = integer(*number);
            are_right &= is_right;
        }
        are_right
    })
}

fn to_integer(number: f64, power: f64) -> u64 {
    (number * power + MIDDLE).to_bits().wrapping_sub(MIDDLE.to_bits())
}

fn to_number(integer: u64, power: f64) -> f64 {
    (f64::from_bits(integer.wrapping_add(MIDDLE.to_bits())) - MIDDLE) / power
}

#[expect(clippy::cast_possible_truncation, reason = "rounded, and tried")]
fn single(integer: [u8; 4], power: f64) -> f32 {
    to_number(i64::from(i32::from_le_bytes(integer)).cast_unsigned(), power) as f32
}

/// The same bits, and a number.
fn is_same(number: f64, other: f64) -> bool {
    (number.to_bits() == other.to_bits()) & !number.is_nan()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The places and the whole numbers; and that they are the numbers again.
    fn integers(numbers: &[f64]) -> Option<(u8, Vec<i64>)> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut back = vec![0; bytes.len()];
        let places = to_integers(&bytes, 3, &mut back)?;
        let integers = back.as_chunks().0.iter().map(|integer| i64::from_le_bytes(*integer)).collect();
        to_numbers(&mut back, 3, places);
        assert_eq!(back, bytes);
        Some((places, integers))
    }

    #[test]
    fn decimals_are_whole_numbers_of_the_last_place() {
        assert_eq!(integers(&[3.0, -7.0, 0.0]), Some((0, vec![3, -7, 0])));
        assert_eq!(integers(&[0.1 + 0.2, 1.0]), None, "0.30000000000000004");
        assert_eq!(integers(&[0.3, -1.25, 1e6]), Some((2, vec![30, -125, 100_000_000])));
        assert_eq!(integers(&[0.0001]), Some((4, vec![1])));
        assert_eq!(integers(&[0.00001]), None);
    }

    #[test]
    fn numbers_that_are_none_are_refused_wherever_they_are() {
        for odd in
            [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), -0.0, std::f64::consts::PI, f64::MIN_POSITIVE, 5e-324]
        {
            for place in [0, 1, ROW - 1, ROW, 2 * ROW] {
                let mut numbers = vec![1.5; 2 * ROW + 1];
                numbers[place] = odd;
                assert_eq!(integers(&numbers), None, "{odd} at {place}");
            }
        }
    }

    proptest! {
        /// Whatever is taken for decimals is the same again, bit by bit.
        #[test]
        fn all_patterns_come_back(
            patterns in proptest::collection::vec(any::<u64>(), 1..4),
            integers in proptest::collection::vec(any::<i32>(), 1..80),
            power in 0..POWERS.len(),
            width_log in 2..=3u8,
        ) {
            let decimals = integers.iter().map(|&integer| f64::from(integer) / POWERS[power]);
            #[expect(clippy::cast_possible_truncation, reason = "a float of less precision")]
            let decimals: Vec<u8> = match width_log {
                2 => decimals.flat_map(|decimal| (decimal as f32).to_le_bytes()).collect(),
                _ => decimals.flat_map(f64::to_le_bytes).collect(),
            };
            let patterns: Vec<u8> = patterns.iter().flat_map(|pattern| pattern.to_le_bytes()).collect();
            for (numbers, are_decimals) in [(decimals, width_log == 3), (patterns, false)] {
                let mut back = vec![0; numbers.len()];
                let places = to_integers(&numbers, width_log, &mut back);
                prop_assert!(places.is_some() || !are_decimals);
                if let Some(places) = places {
                    to_numbers(&mut back, width_log, places);
                    prop_assert_eq!(back, numbers);
                }
            }
        }
    }
}
