//! The results as a Markdown table.

use super::rounds::Row;

pub(crate) const HEAD: &str = "\
| payload | candidate                        |    min us | median us |    max us | vs file per payload |
| ------- | -------------------------------- | --------: | --------: | --------: | ------------------: |";

pub(crate) fn line(row: &Row) -> String {
    let Row { candidate, min_us, median_us, max_us, speed_up, .. } = row;
    let payload = payload(row.payload_bytes);
    format!("| {payload:>7} | {candidate:<32} | {min_us:>9.2} | {median_us:>9.2} | {max_us:>9.2} | {speed_up:>17.2} x |")
}

fn payload(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}
