//! What happens when payloads are more than the memory: out in a row, then back in the same order, in a memory group.
//!
//! ```text
//! cargo bench -p pageout --bench out_of_core
//! cargo bench -p pageout --bench out_of_core -- --quick
//! ```
//!
//! Each candidate runs in a process of its own, in turns, inside a memory group of 512 MiB that this program makes, for which it
//! has to be root on a Linux with control groups. Printed are the rate and the longest single call, which is what
//! somebody waits for.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

#[path = "support/machine.rs"]
mod machine;

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const MIB: usize = 1 << 20;
const GROUP_BYTES: usize = 512 * MIB;
const PAYLOAD_BYTES: usize = 2 * MIB;
const CANDIDATES: [&str; 2] = ["pageout", "one named temp file per payload"];
/// Tells a child process which candidate it is, and how many payloads it moves.
const ROLE: &str = "PAGEOUT_OUT_OF_CORE_ROLE";
const PAYLOADS: &str = "PAGEOUT_OUT_OF_CORE_PAYLOADS";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = match std::env::var(ROLE) {
        Ok(role) => be_candidate(&role),
        Err(_) => measure(std::env::args().skip(1)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let arguments: Vec<String> = arguments.collect();
    if let Some(unknown) = arguments.iter().find(|argument| !["--bench", "--test", "--quick"].contains(&argument.as_str())) {
        return Err(format!("unknown option {unknown}; there is --quick").into());
    }
    let is_full = arguments.iter().all(|argument| argument == "--bench") && !arguments.is_empty();
    let (rounds, payloads) = if is_full { (7, 2048) } else { (1, 512) };
    let group = match Group::make() {
        Ok(group) => group,
        Err(reason) => {
            println!("skipped: no memory group can be made here ({reason})");
            return Ok(());
        }
    };
    let file_system = pageout::Pager::builder().scratch_dir(std::env::temp_dir()).build()?.stats().file_system;
    println!("{}", machine::Machine::inspect(&file_system.unwrap_or_default()));
    println!("{} MiB out and back in payloads of {} MiB, memory group of 512 MiB, {rounds} rounds\n", payloads * 2, 2);
    let mut results = vec![Vec::new(); CANDIDATES.len()];
    for _ in 0..rounds {
        for (candidate, runs) in CANDIDATES.iter().zip(&mut results) {
            runs.push(group.run(candidate, payloads)?);
        }
    }
    println!("| candidate | out MB/s, median | longest call ms, median / worst | back MB/s, median | longest call ms |");
    println!("| --- | --: | --: | --: | --: |");
    for (candidate, runs) in CANDIDATES.iter().zip(&results) {
        let column = |index: usize| {
            let mut values: Vec<f64> = runs.iter().map(|run: &[f64; 4]| run[index]).collect();
            values.sort_by(f64::total_cmp);
            (values[values.len() / 2], values[values.len() - 1])
        };
        let [out, stall, back, back_stall] = [0, 1, 2, 3].map(column);
        println!(
            "| {candidate} | {:.0} | {:.1} / {:.1} | {:.0} | {:.1} / {:.1} |",
            out.0, stall.0, stall.1, back.0, back_stall.0, back_stall.1
        );
    }
    Ok(())
}

/// A memory group, removed when it is dropped.
struct Group(PathBuf);

impl Group {
    fn make() -> std::io::Result<Self> {
        let name = format!("pageout-bench-{}", std::process::id());
        let version_1 = Path::new("/sys/fs/cgroup/memory");
        let version_2 = Path::new("/sys/fs/cgroup");
        let is_1 = version_1.is_dir();
        let (parent, limit) = if is_1 { (version_1, "memory.limit_in_bytes") } else { (version_2, "memory.max") };
        let group = Self(parent.join(name));
        std::fs::create_dir(&group.0)?;
        std::fs::write(group.0.join(limit), GROUP_BYTES.to_string())?;
        Ok(group)
    }

    /// Runs a candidate inside, and reads its four numbers.
    fn run(&self, candidate: &str, payloads: usize) -> Outcome<[f64; 4]> {
        let inside = format!("echo $$ > '{}' && exec \"$0\"", self.0.join("cgroup.procs").display());
        let mut command = Command::new("sh");
        command.arg("-c").arg(inside).arg(std::env::current_exe()?);
        let output = command.env(ROLE, candidate).env(PAYLOADS, payloads.to_string()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let diagnosis = String::from_utf8_lossy(&output.stderr).into_owned();
        numbers.try_into().map_err(|_| format!("{candidate} failed: {diagnosis}").into())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended, but the kernel may still be about it.
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

fn be_candidate(role: &str) -> Outcome<()> {
    let payloads: u64 = std::env::var(PAYLOADS)?.parse()?;
    let chunk: Vec<u8> = (0..PAYLOAD_BYTES).map(|position| (position * 31 + position / 4096).to_le_bytes()[0]).collect();
    let numbers = if role == CANDIDATES[0] { through_pageout(payloads, chunk)? } else { through_files(payloads, chunk)? };
    println!("{}", numbers.map(|number| number.to_string()).join(" "));
    Ok(())
}

fn through_pageout(payloads: u64, chunk: Vec<u8>) -> Outcome<[f64; 4]> {
    let pager = pageout::Pager::builder().build()?;
    out_and_back(payloads, chunk, |chunk| Ok(pager.pageout_copy(&[chunk])?), |handle, back| Ok(pager.take(handle, back)?))
}

fn through_files(payloads: u64, chunk: Vec<u8>) -> Outcome<[f64; 4]> {
    let folder = tempfile::tempdir()?;
    let mut number = 0;
    let out = |chunk: &[u8]| {
        number += 1;
        let path = folder.path().join(number.to_string());
        File::create(&path)?.write_all(chunk)?;
        Ok(path)
    };
    let back = |path: PathBuf, back: &mut Vec<u8>| {
        back.clear();
        File::open(&path)?.read_to_end(back)?;
        Ok(std::fs::remove_file(path)?)
    };
    out_and_back(payloads, chunk, out, back)
}

/// Moves payloads out and back in order. Gives MB/s and the longest call in ms, for each way.
fn out_and_back<H>(
    payloads: u64,
    mut chunk: Vec<u8>,
    mut out: impl FnMut(&[u8]) -> Outcome<H>,
    mut back: impl FnMut(H, &mut Vec<u8>) -> Outcome<()>,
) -> Outcome<[f64; 4]> {
    let mut handles = Vec::new();
    let mut clock = Clock::start();
    for number in 0..payloads {
        chunk[..8].copy_from_slice(&number.to_le_bytes());
        handles.push(clock.call(|| out(&chunk))?);
    }
    let [out_rate, out_stall] = clock.stop(handles.len());
    let count = handles.len();
    let mut clock = Clock::start();
    for (handle, number) in handles.into_iter().zip(0u64..) {
        clock.call(|| back(handle, &mut chunk))?;
        if chunk[..8] != number.to_le_bytes() {
            return Err(format!("payload {number} did not come back").into());
        }
    }
    let [back_rate, back_stall] = clock.stop(count);
    Ok([out_rate, out_stall, back_rate, back_stall])
}

/// Times a run and its longest call.
struct Clock {
    start: Instant,
    longest_seconds: f64,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now(), longest_seconds: 0.0 }
    }

    fn call<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = call();
        self.longest_seconds = self.longest_seconds.max(start.elapsed().as_secs_f64());
        result
    }

    /// MB/s of `payloads`, and the longest call in ms.
    #[allow(clippy::cast_precision_loss, reason = "rates need no more than three digits")]
    fn stop(self, payloads: usize) -> [f64; 2] {
        let megabytes = (payloads * PAYLOAD_BYTES) as f64 / 1e6;
        [megabytes / self.start.elapsed().as_secs_f64(), self.longest_seconds * 1e3]
    }
}
