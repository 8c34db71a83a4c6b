//! A payload that is borrowed: in memory, to look at.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use bytemuck::Pod;

use super::Shared;
use crate::budget::{Loan, ResidentMemory};
use crate::sync::{Arc, UnsizedArc};

/// A whole payload in memory, from [`Handle::borrow`](crate::Handle::borrow): a slice of its elements, as long as this exists. It keeps the
/// payload and its pager alive, also when the handle is dropped meanwhile. What is borrowed stays in memory and counts in the
/// memory budget, so drop it soon.
#[must_use = "a payload is borrowed as long as this exists"]
pub struct Borrowed<T> {
    /// Before the loan: when that ends, nobody else may have a share of the memory.
    memory: UnsizedArc<ResidentMemory>,
    _loan: Option<Loan>,
    _pager: Arc<Shared>,
    elements: PhantomData<fn() -> T>,
}

impl<T> Borrowed<T> {
    /// Memory that lies in one piece.
    pub(super) fn new(memory: UnsizedArc<ResidentMemory>, loan: Option<Loan>, pager: Arc<Shared>) -> Self {
        Self { memory, _loan: loan, _pager: pager, elements: PhantomData }
    }
}

impl<T: Pod> Deref for Borrowed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self.memory.memory.as_one() {
            // Without elements there is no memory that could be aligned for them.
            None | Some([]) => &[],
            Some(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T> fmt::Debug for Borrowed<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Borrowed").finish_non_exhaustive()
    }
}
