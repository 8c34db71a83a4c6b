//! The results as JSON, for programs that compare runs.

use std::fmt::Write;

use super::machine::Machine;
use super::rounds::{Destination, Plan, Row};

/// The whole document.
pub(crate) fn document(machine: &Machine, plan: &Plan, rows: &[Row]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("    {}", self::row(row))).collect();
    let Plan { rounds, warm_up_rounds, .. } = plan;
    format!(
        "{{\n  \"benchmark\": \"round_trip\",\n  \"machine\": {},\n  \"rounds\": {rounds},\n  \
         \"warm_up_rounds\": {warm_up_rounds},\n  \"rows\": [\n{}\n  ]\n}}\n",
        self::machine(machine),
        rows.join(",\n")
    )
}

fn machine(machine: &Machine) -> String {
    let Machine { cpu, cores, memory_bytes, kernel, file_system, rustc, version, date } = machine;
    let texts = [("cpu", cpu), ("kernel", kernel), ("file_system", file_system), ("rustc", rustc), ("date", date)];
    let texts = texts.map(|(name, text)| format!("\"{name}\": {}", quoted(text))).join(", ");
    let version = quoted(version);
    format!("{{ \"version\": {version}, \"cores\": {cores}, \"memory_bytes\": {memory_bytes}, {texts} }}")
}

fn row(row: &Row) -> String {
    let Row { payload_bytes, candidate, trips_per_round, min_us, median_us, max_us, speed_up, .. } = row;
    let destination = quoted(match row.destination {
        Destination::Reused => "reused",
        Destination::Fresh => "fresh",
    });
    let candidate = quoted(candidate);
    format!(
        "{{ \"destination\": {destination}, \"payload_bytes\": {payload_bytes}, \"candidate\": {candidate}, \
         \"trips_per_round\": {trips_per_round}, \"min_us\": {min_us:.3}, \"median_us\": {median_us:.3}, \
         \"max_us\": {max_us:.3}, \"speed_up\": {speed_up:.3} }}"
    )
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => write!(quoted, "\\u{:04x}", u32::from(control)).expect("a string takes everything"),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
