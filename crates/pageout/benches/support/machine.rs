//! What the numbers were measured on.

use std::fmt;
use std::process::Command;

/// The facts without which a number says little.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) rustc: String,
    pub(crate) version: &'static str,
    /// Today in UTC, as in 2000-12-31.
    pub(crate) date: String,
}

impl Machine {
    /// Asks the system; what it does not tell is called unknown.
    pub(crate) fn inspect(file_system: &str) -> Self {
        Self {
            cpu: cpu().unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: memory_bytes().unwrap_or(0),
            kernel: first_line("uname", &["-sr"]).unwrap_or_else(unknown),
            file_system: file_system.to_owned(),
            rustc: first_line("rustc", &["--version"]).unwrap_or_else(unknown),
            version: env!("CARGO_PKG_VERSION"),
            date: first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_bytes, kernel, file_system, rustc, version, date } = self;
        writeln!(out, "pageout {version}, {rustc}, {date}")?;
        write!(out, "{cpu}, {cores} cores, {} GiB of memory, {kernel}, {file_system}", memory_bytes >> 30)
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn cpu() -> Option<String> {
    field("/proc/cpuinfo", "model name").or_else(|| first_line("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn memory_bytes() -> Option<u64> {
    match field("/proc/meminfo", "MemTotal") {
        Some(total) => total.strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10),
        None => first_line("sysctl", &["-n", "hw.memsize"])?.parse().ok(),
    }
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
