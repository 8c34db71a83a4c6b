#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pageout_testing::simulation::targets::frames(data));
