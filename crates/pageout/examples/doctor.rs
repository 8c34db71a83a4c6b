//! What this machine is like for a pager, in plain text.
//!
//! ```text
//! cargo run --release -p pageout --example doctor -- /var/tmp/scratch
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use pageout::doctor::{self, Limit, MemoryFacts, ScratchFacts, Speed, Transfer};
use pageout::{Pager, PagerBuilder};

fn main() {
    let named = std::env::args_os().nth(1);
    let builder = || named.iter().fold(Pager::builder(), PagerBuilder::scratch_dir);
    let scratch = doctor::scratch(builder());
    print_scratch(&scratch);
    print_memory(&doctor::memory());
    let limits = doctor::process();
    print_limit("address space", limits.address_space_bytes);
    print_limit("private memory", limits.data_bytes);
    print_limit("length of a file", limits.file_bytes);
    print_limit("descriptors", limits.descriptors);
    print_limit("locked memory", limits.locked_bytes);
    #[cfg(feature = "encryption")]
    println!("{:?}", doctor::encryption());
    match scratch.chosen.map(|_| doctor::speed(builder())) {
        Some(Ok(Some(speed))) => print_speed(&speed),
        Some(Ok(None)) => println!("speed: no room to measure it"),
        Some(Err(error)) => println!("speed: {error}"),
        None => std::process::exit(1),
    }
}

fn print_scratch(scratch: &ScratchFacts) {
    if let Some(error) = &scratch.error {
        println!("no pager can be opened: {error}");
    }
    for refused in &scratch.refused {
        println!("refused: {}: {}", refused.path.display(), refused.reason);
    }
    if let Some(chosen) = &scratch.chosen {
        println!("serves: {}, {} on {:?}", chosen.path.display(), chosen.file_system, chosen.mount_source);
        println!("  free: {}, capacity: {} bytes", bytes(chosen.free_bytes), chosen.capacity_bytes);
        println!("  {:?}", chosen.abilities);
    }
}

fn print_memory(memory: &MemoryFacts) {
    println!("memory: {} of {} available", bytes(memory.available_bytes), bytes(memory.physical_bytes));
    println!("memory groups: limit {}, {} left", bytes(memory.limit_bytes), bytes(memory.group_free_bytes));
    println!("an automatic budget begins with {} bytes", memory.auto_bytes);
    println!("swap space: {} bytes, {} free", memory.swap_bytes, memory.swap_free_bytes);
}

fn print_limit(name: &str, limit: Limit) {
    if let Some(soft) = limit.soft {
        println!("limit of the process: {name}: {soft}, {} used", limit.used.unwrap_or_default());
    }
}

fn print_speed(speed: &Speed) {
    let row = |name: &str, transfer: &Transfer| {
        let mb_per_second = transfer.bytes_per_second() / 1e6;
        println!("{name}: {mb_per_second:.0} MB/s in {} calls, the longest {:?}", transfer.calls, transfer.longest);
    };
    row("out", &speed.out);
    row("back", &speed.back);
    row("copy in memory", &speed.copy);
    if let Some(device) = &speed.device {
        row("device, write", &device.write);
        device.read.iter().for_each(|read| row("device, read", read));
    }
}

fn bytes(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| format!("{number} bytes"))
}
