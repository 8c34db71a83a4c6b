//! Checked byte ranges of one payload, in request order and in ascending order.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::units;

/// Bytes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) len_bytes: u64,
}

impl Extent {
    pub(crate) fn end(self) -> u64 {
        self.start + self.len_bytes
    }

    pub(super) fn range(self) -> Range<u64> {
        self.start..self.end()
    }
}

/// Extents of one request: within the payload, none overlapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extents {
    /// At most one extent (an empty one where nothing was asked for): no allocation.
    One(Extent),
    /// Several, none empty.
    Many {
        /// In request order.
        requested: Vec<Extent>,
        /// Positions in `requested`, by ascending start.
        ascending: Vec<u32>,
    },
}

impl Extents {
    /// All bytes of a payload.
    pub(crate) fn whole(len_bytes: u64) -> Self {
        Self::One(Extent { start: 0, len_bytes })
    }

    /// Disjoint extents, none empty, of which `ascending` has the positions by ascending start. Those that follow each other
    /// in request order and in the payload become one.
    ///
    /// # Errors
    /// When the memory for a list cannot be allocated.
    pub(crate) fn joined(mut requested: Vec<Extent>, mut ascending: Vec<u32>) -> Result<Self, TryReserveError> {
        if requested.len() > 1 && requested.windows(2).all(|pair| pair[0].end() != pair[1].start) {
            return Ok(Self::Many { requested, ascending });
        }
        // Of each extent, the position of the one that it becomes a part of.
        let mut positions: Vec<u32> = Vec::new();
        positions.try_reserve_exact(requested.len())?;
        let mut position = 0;
        positions.push(position);
        requested.dedup_by(|next, last| {
            let is_joined = last.end() == next.start;
            last.len_bytes += if is_joined { next.len_bytes } else { 0 };
            position += u32::from(!is_joined);
            positions.push(position);
            is_joined
        });
        if let [] | [_] = requested[..] {
            return Ok(requested.first().map_or(Self::whole(0), |only| Self::One(*only)));
        }
        // Nothing lies between the parts of one extent, so they follow each other here, too.
        for position in &mut ascending {
            *position = positions[units::index(*position)];
        }
        ascending.dedup();
        Ok(Self::Many { requested, ascending })
    }

    /// The extents with bytes, in request order.
    pub(crate) fn requested(&self) -> &[Extent] {
        match self {
            Self::One(extent) if extent.len_bytes == 0 => &[],
            Self::One(extent) => std::slice::from_ref(extent),
            Self::Many { requested, .. } => requested,
        }
    }

    /// Positions in [`Self::requested`], by ascending start.
    pub(crate) fn ascending(&self) -> &[u32] {
        match self {
            Self::One(extent) if extent.len_bytes == 0 => &[],
            Self::One(_) => &[0],
            Self::Many { ascending, .. } => ascending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_request_has_no_extents() {
        let nothing = Extents::One(Extent { start: 8, len_bytes: 0 });
        assert_eq!((nothing.requested(), nothing.ascending()), (&[][..], &[][..]));
        assert_eq!(Extents::joined(Vec::new(), Vec::new()).expect("memory"), Extents::whole(0));
    }

    #[test]
    fn neighbours_that_touch_become_one_and_keep_their_places() {
        let all = [(40, 8), (48, 8), (0, 8), (8, 8), (16, 4), (30, 2)];
        let all = all.map(|(start, len_bytes)| Extent { start, len_bytes }).to_vec();
        let joined = Extents::joined(all, vec![2, 3, 4, 5, 0, 1]).expect("memory");
        let requested = [(40, 16), (0, 20), (30, 2)].map(|(start, len_bytes)| Extent { start, len_bytes }).to_vec();
        assert_eq!(joined, Extents::Many { requested, ascending: vec![1, 2, 0] });
    }
}
