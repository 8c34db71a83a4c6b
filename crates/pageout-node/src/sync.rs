//! Synchronisation primitives: the standard library's, or in models (`--cfg pageout_loom`) loom's, which try every order of events
//! within a bound.

#[cfg(not(pageout_loom))]
pub use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32},
};

#[cfg(pageout_loom)]
pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32},
};
