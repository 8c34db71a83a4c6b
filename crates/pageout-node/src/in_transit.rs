//! What is on its way between threads, by token: sent once, received at most once.

use std::collections::HashMap;
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Things on their way. Nobody owns them meanwhile.
pub struct InTransit<M>(Mutex<HashMap<String, M>>);

impl<M> InTransit<M> {
    /// Sends a thing away under a token that nobody has used.
    pub fn send(&self, token: String, moving: M) {
        self.lock().insert(token, moving);
    }

    /// Lets `look` see what a token stands for.
    pub fn look_up<R>(&self, token: &str, look: impl FnOnce(&M) -> R) -> Option<R> {
        self.lock().get(token).map(look)
    }

    /// What a token stands for, which it no longer does.
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
