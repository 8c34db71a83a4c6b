//! What was counted against what is recorded.

use std::error::Error;
use std::fmt::Write;
use std::fs;

use crate::cases::Counted;
use crate::trace::Counts;

/// The compiler and its counts: `rustc VERSION` in the first line, then one verb a line.
const RECORDED: &str = include_str!("recorded.txt");
/// How far instructions may be above what is recorded: the C library's share differs from system to system.
const TOLERATED_PERCENT: u64 = 5;

/// Prints what was counted, and fails where it is not what is recorded.
pub(crate) fn compare(counted: &[Counted]) -> Result<(), Box<dyn Error>> {
    let compiler = compiler()?;
    let mut lines = format!("{compiler}\n");
    for Counted { name, counts } in counted {
        writeln!(lines, "{name} {} {}", counts.instructions, counts.system_calls)?;
    }
    print!("{lines}");
    if RECORDED.lines().next() != Some(&compiler) {
        println!(
            "guard: not compared: recorded for another compiler. Where this one stays, record the lines above in recorded.txt"
        );
        return Ok(());
    }
    let differing: Vec<String> = counted.iter().filter_map(difference).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let advice = "where that is wanted, record the lines above in recorded.txt";
    Err(format!("the hot path has grown; {advice}\n{}", differing.join("\n")).into())
}

/// How one verb differs from what is recorded.
fn difference(counted: &Counted) -> Option<String> {
    let Counted { name, counts } = counted;
    let Some(recorded) = recorded(name) else {
        println!("guard: {name} is not compared: no such row is recorded");
        return None;
    };
    let tolerated = recorded.instructions * TOLERATED_PERCENT / 100;
    if counts.instructions + tolerated < recorded.instructions {
        println!("guard: {name} got shorter, from {recorded}; record the line above");
    }
    let is_kept = counts.system_calls == recorded.system_calls && counts.instructions <= recorded.instructions + tolerated;
    (!is_kept).then(|| format!("{name}: {counts}, recorded {recorded}"))
}

/// What is recorded of a verb.
fn recorded(name: &str) -> Option<Counts> {
    let numbers = RECORDED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    let (instructions, system_calls) = numbers.split_once(' ')?;
    Some(Counts { instructions: instructions.parse().ok()?, system_calls: system_calls.parse().ok()? })
}

/// Version of the compiler that built this program: it leaves it there.
fn compiler() -> Result<String, Box<dyn Error>> {
    const MARK: &[u8] = b"rustc version ";
    let program = fs::read(std::env::current_exe()?)?;
    let start = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).map(|(at, _)| at + MARK.len());
    let version = |start: usize| program[start..].split(|byte| matches!(byte, b' ' | 0)).next();
    let is_number = |version: &&[u8]| version.first().is_some_and(u8::is_ascii_digit);
    let version = start.filter_map(version).find(is_number).ok_or("no version of the compiler in this program")?;
    Ok(format!("rustc {}", String::from_utf8_lossy(version)))
}
