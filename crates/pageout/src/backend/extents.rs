//! Checked byte ranges of one payload, in the order they were asked for and in the order they lie.

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
}

/// Extents of one request: within the payload, none empty, none overlapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extents {
    /// At most one extent (an empty one where nothing was asked for): no allocation.
    One(Extent),
    /// Several.
    Many {
        /// In request order.
        requested: Vec<Extent>,
        /// Positions in `requested`, by ascending start.
        ascending: Vec<u32>,
    },
}

impl Extents {
    /// The extents in request order.
    pub(crate) fn requested(&self) -> &[Extent] {
        match self {
            Self::One(extent) => std::slice::from_ref(extent),
            Self::Many { requested, .. } => requested,
        }
    }

    /// Positions in [`Self::requested`], by ascending start.
    pub(crate) fn ascending(&self) -> &[u32] {
        match self {
            Self::One(_) => &[0],
            Self::Many { ascending, .. } => ascending,
        }
    }
}
