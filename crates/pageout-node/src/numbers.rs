//! Conversions between JavaScript's numbers, which are doubles, and numbers of bytes.

use napi::{Error, Result, Status};

/// Alternating offsets and lengths as pairs.
pub fn pairs(ranges: &[f64]) -> Result<Vec<(usize, usize)>> {
    ranges.chunks_exact(2).map(|pair| Ok((index(pair[0])?, index(pair[1])?))).collect()
}

/// A whole number as a length of memory.
pub fn index(number: f64) -> Result<usize> {
    usize::try_from(whole(number)?).map_err(|_| not_whole(number))
}

/// A whole number from 0 to 2^53 - 1.
pub fn whole(number: f64) -> Result<u64> {
    to_u64(number).ok_or_else(|| not_whole(number))
}

fn not_whole(number: f64) -> Error {
    Error::new(Status::InvalidArg, format!("a whole number from 0 to 2^53 - 1 is needed, not {number}"))
}

/// A whole number below 2^53; `None` for any other.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range by the check")]
pub fn to_u64(number: f64) -> Option<u64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    ((0.0..LIMIT).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// A number of bytes as a JavaScript number.
#[allow(clippy::cast_precision_loss, reason = "exact up to 8 PiB, and a rounded count above")]
pub fn double(bytes: u64) -> f64 {
    bytes as f64
}
