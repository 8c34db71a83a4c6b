//! What only moves within memory.

use std::cell::RefCell;
use std::io;
use std::mem;

use super::{Store, clear};
use crate::system;

/// Two copies between warm vectors: no store that copies can cost less.
pub(crate) struct Copies(RefCell<Vec<u8>>);

impl Copies {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }
}

impl Store for Copies {
    type Ticket = ();

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        let mut copy = self.0.borrow_mut();
        copy.clear();
        for chunk in &*chunks {
            copy.extend_from_slice(chunk);
        }
        clear(chunks);
        Ok(())
    }

    fn back(&self, (): Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        destination.extend_from_slice(&self.0.borrow());
        Ok(())
    }
}

/// Keeps the only chunk where it is and tells the kernel that it is cold.
pub(crate) struct ColdByHand;

impl Store for ColdByHand {
    type Ticket = Vec<u8>;

    fn out(&self, chunks: &mut [Vec<u8>]) -> io::Result<Self::Ticket> {
        let chunk = mem::take(&mut chunks[0]);
        system::hint_cold(&chunk)?;
        Ok(chunk)
    }

    fn back(&self, chunk: Self::Ticket, destination: &mut Vec<u8>) -> io::Result<()> {
        *destination = chunk;
        Ok(())
    }
}
