//! What the tests of pageout share.
//!
//! - [`payload`]: payloads from seeds, and ways to compare them.
//! - [`pagers`]: pagers over the real file system, with directories of their own.
//! - [`process`]: tests in processes of their own; [`mounts`]: on file systems of their own.
//! - [`faulty`]: a device in memory, as unkind as the least kind kernel or file system; [`weather`]: calls that go wrong at random.
//! - [`sweep`]: the operations that are put through every fault, and what must hold behind each; [`ledger`]: the account of that.
//! - [`simulation`]: random operations against a plain model, shrunk where they fail; also what fuzzers run.
//! - [`outcome`]: what a test says beside passing or failing.
//!
//! What belongs to one test program alone stays there. A helper that finds something wrong panics, as a test does.

#![allow(missing_docs, reason = "documentation says what names do not; nobody reads it outside of this repository")]
#![allow(clippy::missing_panics_doc, reason = "a helper of tests panics where the test fails")]
#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a test that ignores what it asked for asserts nothing"
)]

pub mod draws;
pub mod faulty;
pub mod ledger;
#[cfg(target_os = "linux")]
pub mod mounts;
pub mod outcome;
pub mod pagers;
pub mod payload;
pub mod process;
pub mod simulation;
pub mod sweep;
pub mod weather;

pub use outcome::{eventually, panic_text, report, short_or_long, skip, tell};
pub use pagers::{BACKENDS, Setup, TestPager, builder, check_works, names, on_every_pager, scratch};
pub use payload::{
    KIB, LARGEST_SLOT, MIB, Memory, PAGE, PIECE, assert_same, columns, cut, elements, gather, memories, memory, noise,
    slot_bytes, stored_lens, u64_of,
};
#[cfg(target_os = "linux")]
pub use process::in_own_mounts;
pub use process::{assert_passed, by_way_of, in_own_process, is_own_process, own_process, succeeds, text};
