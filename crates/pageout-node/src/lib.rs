//! The Node addon: it converts JavaScript values into calls of the `pageout` crate, and decides nothing.
//!
//! Every export is guarded against panics. The first argument is a `PagerRef`, which belongs to one thread's environment
//! and frees what that thread left behind. Offsets and lengths are bytes; `ticket`s stand for payloads. The TypeScript
//! layer checks arguments before it calls.

#![deny(unsafe_code)]
#![allow(clippy::needless_pass_by_value, reason = "exports own their converted arguments")]
#![allow(clippy::trivially_copy_pass_by_ref, reason = "JavaScript objects borrow their environment")]
#![cfg_attr(test, allow(dead_code, reason = "exports are registered in the addon only"))]
#![allow(unreachable_pub, reason = "the export attribute needs public items")]

#[allow(unsafe_code, reason = "fills buffers that a job holds")]
mod asynchronous;
mod collect;
#[allow(unsafe_code, reason = "reads memory that JavaScript lends")]
mod departures;
mod doctor;
#[allow(unsafe_code, reason = "throws what it has made")]
mod error;
mod exports;
mod in_transit;
mod lane;
mod lanes;
mod memory;
mod numbers;
#[allow(unsafe_code, reason = "fills a buffer that a job holds")]
mod resident;
#[allow(unsafe_code, reason = "fills a buffer that a job holds")]
mod swap;
mod sync;
mod table;
mod task;
mod transit;
mod version;
#[allow(unsafe_code, reason = "looks at memory of JavaScript")]
mod view;
