//! The codec of compressed payloads: how small it makes columns, how fast, and beside `zstd -1` of the same bytes, shuffled.
//!
//! ```text
//! node crates/pageout/benches/codec/columns.mjs target/columns
//! cargo bench -p pageout --features compression --bench codec -- target/columns
//! ```
//!
//! A file of the folder is named NAME.BYTES-AN-ELEMENT. Without a folder only made-up data is measured. Medians of rounds, on one thread, between warm buffers of 1 MiB.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::hint::black_box;
use std::io::{IoSlice, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pageout::frames::{FRAME_BYTES, Layout, Workspace};

/// As much of each column is measured.
const COLUMN_BYTES: usize = 4 << 20;
/// A payload.
const PAYLOAD_BYTES: usize = 1 << 20;
const PAGE: usize = 4096;
const ROUNDS: usize = 7;

struct Column {
    name: String,
    width: usize,
    bytes: Vec<u8>,
}

fn main() {
    let mut columns: Vec<Column> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).flat_map(from_folder).collect();
    columns.extend(made_up());
    println!(
        "| column | bytes an element | ratio | `zstd -1`, shuffled | of that | in, GB/s | out, GB/s | 4 KiB, us | at any byte |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    columns.iter().for_each(report);
    report_noise();
    report_reads();
}

/// Files named NAME.WIDTH.
fn from_folder(folder: String) -> Vec<Column> {
    // `cargo bench` runs in the folder of the crate.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let column = |path: &Path| {
        let width = path.extension()?.to_str()?.parse().ok()?;
        let mut bytes = std::fs::read(path).expect("a column");
        bytes.truncate(COLUMN_BYTES);
        Some(Column { name: path.file_stem()?.to_str()?.to_owned(), width, bytes })
    };
    paths.iter().filter_map(|path| column(path)).collect()
}

/// A generator of random words (xorshift).
fn random() -> impl FnMut() -> u64 {
    let mut state = 88_172_645_463_325_252u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// A sensor: a random walk of nearly normal steps.
#[expect(clippy::cast_precision_loss, reason = "random")]
fn walk() -> impl FnMut() -> f64 {
    let (mut random, mut value) = (random(), 20.0);
    move || {
        let step: f64 = (0..4).map(|_| (random() >> 11) as f64 / (1u64 << 53) as f64 - 0.5).sum();
        value += step * 0.1;
        value
    }
}

fn made_up() -> Vec<Column> {
    let column = |name: &str, width: usize, element: &mut dyn FnMut() -> u64| {
        let elements = std::iter::repeat_with(element).take(COLUMN_BYTES / width);
        let bytes = elements.flat_map(|element| element.to_le_bytes().into_iter().take(width)).collect();
        Column { name: name.to_owned(), width, bytes }
    };
    let [mut double, mut rounded, mut single] = [walk(), walk(), walk()];
    #[expect(clippy::cast_possible_truncation, reason = "a float of less precision")]
    let mut single = move || u64::from((single() as f32).to_bits());
    let (mut noise, mut later, mut time) = (random(), random(), 1_700_000_000_000);
    vec![
        column("walk, f64", 8, &mut || double().to_bits()),
        column("walk in hundredths, f64", 8, &mut || ((rounded() * 100.0).round() / 100.0).to_bits()),
        column("walk, f32", 4, &mut single),
        column("times in ms, u64", 8, &mut || {
            time += 990 + later() % 20;
            time
        }),
        column("random", 8, &mut noise),
    ]
}

fn report(column: &Column) {
    let mut workspace = Workspace::new().expect("memory");
    let payloads: Vec<&[u8]> = column.bytes.chunks(PAYLOAD_BYTES).collect();
    let mut encoded: Vec<Encoded> = payloads.iter().map(|payload| encode(&mut workspace, payload, column.width)).collect();
    let stored_bytes: usize = encoded.iter().map(|encoded| encoded.stored.len()).sum();
    let len = column.bytes.len();
    let in_rate = rate(len, || {
        for (payload, encoded) in payloads.iter().zip(&mut encoded) {
            encode_into(&mut workspace, payload, column.width, &mut encoded.stored);
        }
    });
    let mut back = vec![0; PAYLOAD_BYTES];
    let out_rate = rate(len, || {
        for (payload, encoded) in payloads.iter().zip(&encoded) {
            decode(&mut workspace, encoded, 0..payload.len(), &mut back[..payload.len()]);
            black_box(&mut back);
        }
    });
    let ratio = ratio(len, stored_bytes);
    let (zstd, part) = match zstd_bytes(&shuffled(column)) {
        Some(bytes) => (format!("{:.2}", self::ratio(len, bytes)), format!("{:.2}", ratio / self::ratio(len, bytes))),
        None => ("no zstd".to_owned(), "-".to_owned()),
    };
    let [page_us, any_us] = [PAGE, 1].map(|step| {
        let pages_rate = rate(1000 * PAGE, || {
            for start in page_starts(step) {
                decode(&mut workspace, &encoded[0], start..start + PAGE, &mut back[..PAGE]);
                black_box(&mut back);
            }
        });
        number(PAGE) / pages_rate / 1e3
    });
    let Column { name, width, .. } = column;
    println!("| {name} | {width} | {ratio:.2} | {zstd} | {part} | {in_rate:.2} | {out_rate:.2} | {page_us:.2} | {any_us:.2} |");
}

/// A payload as it is stored; without a layout where it looked incompressible.
struct Encoded {
    layout: Option<Layout>,
    stored: Vec<u8>,
}

fn encode(workspace: &mut Workspace, payload: &[u8], width: usize) -> Encoded {
    let mut stored = Vec::with_capacity(payload.len());
    let layout = encode_into(workspace, payload, width, &mut stored);
    Encoded { layout, stored }
}

fn encode_into(workspace: &mut Workspace, payload: &[u8], width: usize, stored: &mut Vec<u8>) -> Option<Layout> {
    stored.clear();
    let (slices, len_bytes) = ([IoSlice::new(payload)], u64_of(payload.len()));
    let Some(form) = workspace.choose(&slices, len_bytes, width) else {
        stored.extend_from_slice(payload);
        return None;
    };
    let put = |frame: &[u8]| {
        stored.extend_from_slice(frame);
        Ok::<(), std::collections::TryReserveError>(())
    };
    Some(workspace.encode_all(&slices, len_bytes, form, put).expect("memory"))
}

fn decode(workspace: &mut Workspace, encoded: &Encoded, wanted: Range<usize>, into: &mut [u8]) {
    let Some(layout) = &encoded.layout else { return into.copy_from_slice(&encoded.stored[wanted]) };
    let wanted = u64_of(wanted.start)..u64_of(wanted.end);
    let Range { start, end } = layout.stored(&layout.frames(&wanted));
    let stored = &encoded.stored[usize_of(start)..usize_of(end)];
    workspace.decode_range(layout, stored, &wanted, into).expect("what was encoded");
}

fn u64_of(value: usize) -> u64 {
    u64::try_from(value).expect("64 bits")
}

fn usize_of(value: u64) -> usize {
    usize::try_from(value).expect("64 bits")
}

/// Starts of pieces as long as a page of a payload, multiples of `step`, in random order.
fn page_starts(step: usize) -> impl Iterator<Item = usize> {
    std::iter::repeat_with(random()).map(move |word| usize_of(word) % ((PAYLOAD_BYTES - PAGE) / step) * step).take(1000)
}

/// The bytes of each frame by their place in the element.
fn shuffled(column: &Column) -> Vec<u8> {
    let places = |frame: &[u8]| -> Vec<u8> {
        (0..column.width).flat_map(|place| frame.iter().copied().skip(place).step_by(column.width)).collect()
    };
    column.bytes.chunks(FRAME_BYTES).flat_map(places).collect()
}

/// What `zstd -1` makes of all of them in one stream, where it is installed.
fn zstd_bytes(bytes: &[u8]) -> Option<usize> {
    let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
    let mut zstd = Command::new("zstd").args(["-1", "--single-thread", "-c"]).stdin(stdin).stdout(stdout).spawn().ok()?;
    let mut stdin = zstd.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).expect("zstd reads"));
        zstd.wait_with_output().expect("zstd ends")
    });
    Some(output.stdout.len())
}

/// What it costs to find out that nothing can be gained, beside a round trip with checksums through the page cache.
fn report_noise() {
    let pager = pageout::Pager::builder().allow_ram_backed(true).build().expect("a scratch directory");
    let mut workspace = Workspace::new().expect("memory");
    println!("\n| random payload | round trip, us | after a look at a sample, us | x |\n| --- | --- | --- | --- |");
    for len in [64 << 10, 2 << 20] {
        let mut random = random();
        let mut payload: Vec<u64> = std::iter::repeat_with(&mut random).take(len / 8).collect();
        let mut times = [Vec::new(), Vec::new()];
        // By turns, so that both meet the same weather.
        for round in 0..4_000_000 / (len >> 6) {
            let start = Instant::now();
            if round % 2 == 1 {
                let bytes = [IoSlice::new(bytemuck::cast_slice(&payload))];
                assert!(workspace.choose(&bytes, u64_of(len), 8).is_none());
            }
            let mut chunks = [std::mem::take(&mut payload)];
            let handle = pager.pageout(&mut chunks).expect("room");
            [payload] = chunks;
            pager.take(handle, &mut payload).expect("what was paged out");
            times[round % 2].push(start.elapsed());
        }
        let [plain, looked] = times.map(|mut times| micros(median(&mut times)));
        println!("| {} KiB | {plain:.2} | {looked:.2} | {:.3} |", len >> 10, looked / plain);
    }
}

/// What the 4 KiB of the first table are to be added to.
fn report_reads() {
    let pager = pageout::Pager::builder().allow_ram_backed(true).build().expect("a scratch directory");
    let handle = pager.pageout(&mut [vec![1u8; PAYLOAD_BYTES]]).expect("room");
    let mut target = vec![0; PAGE];
    let read = rate(1000 * PAGE, || {
        for start in page_starts(PAGE) {
            pager.read_into(&handle, &[(start, PAGE)], &mut target).expect("what was paged out");
        }
    });
    println!("\nA read of 4 KiB from the page cache, without compression: {:.2} us", number(PAGE) / read / 1e3);
}

/// GB/s of `work` on `len` bytes.
fn rate(len: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    number(len) / median(&mut times).as_secs_f64() / 1e9
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ratio(len: usize, stored_bytes: usize) -> f64 {
    number(len) / number(stored_bytes)
}

#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn number(value: usize) -> f64 {
    value as f64
}
