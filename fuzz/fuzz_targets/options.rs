#![no_main]

#[path = "../../crates/pageout/tests/common/mod.rs"]
mod common;
#[path = "../../crates/pageout/tests/simulation/mod.rs"]
mod simulation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| simulation::targets::options(data));
