//! The tests of the crate from outside, a module for each subject. A test that changes what belongs to a whole process runs in
//! one of its own. What cannot be told from the program that it runs in is a program of its own beside this one: another
//! allocator, another C library.

mod accounting;
mod batch;
mod budget;
mod budget_faults;
mod budget_trouble;
mod collector;
#[cfg(not(miri))]
mod compression;
mod contract;
mod core_dumps;
mod corruption;
mod crash;
#[cfg(target_os = "linux")]
mod directories;
mod doctor;
mod failed_files;
mod faults;
#[cfg(target_os = "linux")]
mod field;
mod full_disk;
mod fuzz;
mod handle_verbs;
mod lent;
mod limits;
mod map;
mod model;
mod process;
mod ranges;
mod reference_api;
#[cfg(target_os = "linux")]
mod sealed_memory;
#[cfg(not(miri))]
mod sealing;
mod security;
mod soak;
mod space;
mod syscalls;
mod trouble;
mod write_behind;
