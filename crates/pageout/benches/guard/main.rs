//! Fails when the hot path has grown: instructions and system calls of each verb, counted by stepping through them, against those
//! that are recorded beside this file.
//!
//! ```text
//! cargo bench -p pageout --bench guard
//! ```
//!
//! Counts depend on neither the machine's speed nor its load, but on the compiler, and with checksums on what the processor has. So they
//! are compared for the compiler that they were recorded with, and for the processors that there are rows for. What is counted is printed as
//! the file has it: where numbers have changed for a good reason, or the compiler has, the file gets what is printed.

#![deny(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod cases;
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod compared;
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
mod trace;

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guard: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, case] = &arguments[..]
        && first == cases::CHILD
    {
        return cases::be_child(case);
    }
    let counted = match cases::count_all() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("guard: skipped: this system lets no process step through another: {error}");
            return Ok(());
        }
        counted => counted?,
    };
    compared::compare(&counted)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")))]
fn main() {
    println!("guard: skipped: counts are recorded for Linux with the GNU C library on x86-64");
}
