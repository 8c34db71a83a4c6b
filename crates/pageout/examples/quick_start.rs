//! The ten-line use: out of memory, a few ranges back, then all of it.
//!
//! ```text
//! cargo run --release -p pageout --example quick_start
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use pageout::{self as pager, Handle};

fn main() {
    let mut chunks = [vec![1u64, 2, 3], vec![4, 5]];
    let handle: Handle = pager::pageout(&mut chunks);
    println!("{} elements are out; the chunks are empty: {chunks:?}", handle.len());

    let mut some = Vec::new();
    pager::read_at_many(&handle, &[(3, 2), (0, 1)], &mut some);
    println!("two ranges, in the order asked for: {some:?}");

    let mut all = Vec::new();
    pager::take(handle, &mut all);
    println!("all of it, and its place is free again: {all:?}");
}
