//! What the numbers were measured on: the facts without which a number says little.

use std::process::Command;
use std::thread;

/// Facts in the order in which they are shown.
pub(crate) type Machine = Vec<(&'static str, String)>;

/// Asks the system; what it does not tell is called unknown.
pub(crate) fn inspect(file_system: &str) -> Machine {
    let known = |fact: Option<String>| fact.unwrap_or_else(|| "unknown".to_owned());
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory_gib = memory_bytes().unwrap_or(0) >> 30;
    vec![
        // In UTC, as in 2000-12-31.
        ("date", known(first_line("date", &["-u", "+%Y-%m-%d"]))),
        ("machine", format!("{}, {cores} cores, {memory_gib} GiB", known(cpu()))),
        ("kernel", known(kernel())),
        ("file system", file_system.to_owned()),
        ("rustc", known(first_line("rustc", &["--version"]).and_then(|line| line.split(' ').nth(1).map(str::to_owned)))),
        ("pageout", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

/// Name and version, without what each distribution adds.
fn kernel() -> Option<String> {
    let line = first_line("uname", &["-sr"])?;
    let mut parts = line.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

fn cpu() -> Option<String> {
    field("/proc/cpuinfo", "model name").or_else(|| first_line("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn memory_bytes() -> Option<u64> {
    match field("/proc/meminfo", "MemTotal") {
        Some(total) => kib_bytes(&total),
        None => first_line("sysctl", &["-n", "hw.memsize"])?.parse().ok(),
    }
}

/// Bytes of memory that this process has resident; none where the system does not tell.
pub(crate) fn resident_bytes() -> Option<usize> {
    usize::try_from(kib_bytes(&field("/proc/self/status", "VmRSS")?)?).ok()
}

/// Bytes that the write calls of this process have written so far; none where the system does not tell.
pub(crate) fn written_bytes() -> Option<usize> {
    field("/proc/self/io", "wchar")?.parse().ok()
}

/// The bytes of a number in kB, as the kernel writes it.
fn kib_bytes(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The first value that a file of lines `name : value` has for `name`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// The first line that a program prints.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
