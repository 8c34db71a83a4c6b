//! Values in transit between threads, by token: sent once, received at most once.

use std::collections::HashMap;
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Values in transit, which have no owner meanwhile.
pub struct InTransit<M>(Mutex<HashMap<String, M>>);

impl<M> InTransit<M> {
    /// Sends a value under a token that was never used.
    pub fn send(&self, token: String, moving: M) {
        self.lock().insert(token, moving);
    }

    /// Calls `look` with the value of a token.
    pub fn look_up<R>(&self, token: &str, look: impl FnOnce(&M) -> R) -> Option<R> {
        self.lock().get(token).map(look)
    }

    /// Removes and returns the value of a token.
    pub fn receive(&self, token: &str) -> Option<M> {
        self.lock().remove(token)
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Default for InTransit<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
