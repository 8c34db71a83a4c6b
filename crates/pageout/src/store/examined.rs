//! What is asked of a store in order to tell it to people.

use std::os::fd::OwnedFd;

use super::Store;
use crate::error::Error;
use crate::sys::device::{Abilities, DirectoryFacts};

impl Store {
    /// What the scratch directory is like now.
    ///
    /// # Errors
    /// The call that failed.
    pub(crate) fn facts(&self) -> Result<DirectoryFacts, Error> {
        self.root.facts()
    }

    /// What can be done in it.
    ///
    /// # Errors
    /// The call that failed.
    pub(crate) fn abilities(&self) -> Result<Abilities, Error> {
        self.root.abilities()
    }

    /// A file in it that shows how fast the device is, if there is one.
    pub(crate) fn measured_file(&self) -> Option<OwnedFd> {
        self.root.measured_file()
    }
}
