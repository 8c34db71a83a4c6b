//! The ten-line use: out of memory, a few ranges back, then all of it.
//!
//! ```text
//! cargo run --release -p pageout --example quick_start
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use pageout::{Error, Pager};

fn main() -> Result<(), Error> {
    let pager = Pager::builder().build()?;
    let handle = pager.pageout_vec((0..1_000_000u64).collect())?;
    println!("{} elements are paged out, and their memory is free", handle.len());

    let some = handle.read_many(&[999_998..1_000_000, 0..2])?;
    println!("two ranges, in the order asked for: {some:?}");

    let all = handle.take()?;
    println!("all {} elements, and their space is free again: {pager:?}", all.len());
    Ok(())
}
