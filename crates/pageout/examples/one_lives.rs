//! One dies, one lives: the same job on 4 GiB of columns where 512 MiB are allowed, with a `HashMap` and with a [`PagedMap`].
//!
//! ```text
//! cargo run --release -p pageout --example one_lives
//! cargo run --release -p pageout --example one_lives -- --quick
//! ```
//!
//! Columns of made-up numbers arrive one by one and stay. Meanwhile requests sum up one of those that are there, the popular ones more
//! often, or change it. The answers are checked against those of a process that keeps nothing: it answers all requests about one column
//! before the next one arrives. Each runs in a process of its own, whose data segment is limited: an allocation that goes past the limit
//! fails, and Rust aborts. Nobody needs to be root for that, and in a container with a memory limit it would be killed. Linux only.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::collections::HashMap;
use std::error::Error;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::{env, fs, time::Instant};

use pageout::{PagedMap, Pager};

const COLUMN_LEN: usize = 256 << 10; // 1 MiB
const REQUESTS_EACH: usize = 4;
const ABSENT: &str = "a column is not there";

type Column = Vec<u32>;
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        _ if !cfg!(target_os = "linux") => Err("limits of memory need Linux".into()),
        [] => compare(4096, 512),
        ["--quick"] => compare(1024, 128),
        ["child", keeper, columns, limit_mib] => child(keeper, columns.parse()?, limit_mib.parse()?),
        _ => Err("there is --quick, and nothing else".into()),
    }
}

/// Runs the three processes; an error where they do not end as they should.
fn compare(columns: usize, limit_mib: usize) -> Outcome {
    println!("{columns} MiB of columns where {limit_mib} MiB are allowed");
    let (dead, _) = run("HashMap", columns, limit_mib)?;
    let (alive, answers) = run("PagedMap", columns, limit_mib)?;
    let (_, expected) = run("stream", columns, limit_mib)?;
    // SIGABRT: an allocation was refused.
    if dead.signal() != Some(6) {
        return Err(format!("the process with a HashMap was not ended by the limit: {dead}").into());
    }
    if !alive.success() || answers.is_empty() || answers != expected {
        return Err(format!("the process with a PagedMap: {alive}, answers {answers:?} instead of {expected:?}").into());
    }
    println!("identical answers: {answers}");
    Ok(())
}

/// Runs this program under the limit; gives how it ended, and the digest of its answers.
fn run(keeper: &str, columns: usize, limit_mib: usize) -> Outcome<(ExitStatus, String)> {
    let start = Instant::now();
    let output = Command::new("sh")
        .args(["-c", "ulimit -d \"$0\" && exec \"$@\"", &(limit_mib << 10).to_string()])
        .arg(env::current_exe()?)
        .args(["child", keeper, &columns.to_string(), &limit_mib.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let (digest, about) = said.trim().split_once(' ').unwrap_or_default();
    println!("{keeper:<8} {:>6.1} s, {} {about}", start.elapsed().as_secs_f64(), output.status);
    Ok((output.status, digest.to_owned()))
}

/// What one of the three processes does: prints the digest of its answers, and some numbers.
fn child(keeper: &str, columns: usize, limit_mib: usize) -> Outcome {
    let requests: Vec<Request> = requests(columns).collect();
    let mut about = String::new();
    let answers = match keeper {
        "HashMap" => serve(&requests, &mut HashMap::new(), |_| ())?,
        "PagedMap" => {
            let mut map = PagedMap::new(Pager::builder().resident_bytes(u64::try_from(limit_mib << 19)?))?;
            serve(&requests, &mut map, |map| {
                let stats = map.stats();
                let out_mib = (stats.payload_bytes - stats.resident_bytes) >> 20;
                about = format!("{out_mib} MiB paged out, {} hits, {} misses, ", stats.resident_hits, stats.resident_misses);
            })?
        }
        _ => stream(&requests)?,
    };
    let digest = answers.into_iter().fold(0, |digest, answer| mixed(digest ^ answer));
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    println!("{digest:016x} {about}at most {} resident", peak.trim());
    Ok(())
}

/// Columns arrive and stay; requests are answered meanwhile. After their answers come the sums of all columns as they are in the end.
fn serve<K: Keeper>(requests: &[Request], keeper: &mut K, look: impl FnOnce(&K)) -> Outcome<Vec<u64>> {
    let mut answers = Vec::new();
    for (key, requests) in requests.chunks(REQUESTS_EACH).enumerate() {
        keeper.set(key, column(key))?;
        for request in requests {
            answers.push(keeper.answer(request)?);
        }
    }
    look(keeper);
    let ends = (0..requests.len() / REQUESTS_EACH).map(|key| keeper.answer(&Request { key, addend: 0 }));
    answers.into_iter().map(Ok).chain(ends).collect()
}

/// The same answers, with one column in memory at a time.
fn stream(requests: &[Request]) -> Outcome<Vec<u64>> {
    let columns = requests.len() / REQUESTS_EACH;
    let mut answers = vec![0; requests.len() + columns];
    for key in 0..columns {
        let mut one = HashMap::from([(key, column(key))]);
        for (index, request) in requests.iter().enumerate().filter(|(_, request)| request.key == key) {
            answers[index] = one.answer(request)?;
        }
        answers[requests.len() + key] = one.answer(&Request { key, addend: 0 })?;
    }
    Ok(answers)
}

trait Keeper {
    fn set(&mut self, key: usize, column: Column) -> Outcome;
    fn answer(&mut self, request: &Request) -> Outcome<u64>;
}

impl Keeper for HashMap<usize, Column> {
    fn set(&mut self, key: usize, column: Column) -> Outcome {
        self.insert(key, column);
        Ok(())
    }

    fn answer(&mut self, request: &Request) -> Outcome<u64> {
        Ok(request.change(self.get_mut(&request.key).ok_or(ABSENT)?))
    }
}

impl Keeper for PagedMap<usize, u32> {
    fn set(&mut self, key: usize, column: Column) -> Outcome {
        Ok(PagedMap::set(self, key, column)?)
    }

    fn answer(&mut self, request: &Request) -> Outcome<u64> {
        if request.addend == 0 {
            return Ok(sum(&self.borrow(&request.key)?.ok_or(ABSENT)?));
        }
        Ok(self.update(request.key, |column| column.as_mut().map(|column| request.change(column)))?.ok_or(ABSENT)?)
    }
}

struct Request {
    key: usize,
    /// What is added to some elements; 0 where nothing is to be changed.
    addend: u32,
}

impl Request {
    /// The sum of all elements, after the change.
    fn change(&self, column: &mut Column) -> u64 {
        column.iter_mut().step_by(64).for_each(|element| *element = element.wrapping_add(self.addend));
        sum(column)
    }
}

/// Some requests for each column that arrives, about one of those that are there then. Of `columns`, a power of two, the first few of an
/// order of popularity are asked for as often as the next half, the next quarter, and so on: Zipf's law, nearly.
fn requests(columns: usize) -> impl Iterator<Item = Request> {
    let mut state = 0u64;
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed(state) >> 32).expect("32 bits") % below
    };
    (0..columns * REQUESTS_EACH).map(move |index| {
        let mut key = columns;
        while key > index / REQUESTS_EACH {
            let ranks = 1 << random(columns.ilog2() as usize + 1);
            key = random(ranks).wrapping_mul(0x9e37_79b1) % columns;
        }
        Request { key, addend: u32::from(random(8) == 0) }
    })
}

fn column(key: usize) -> Column {
    (0..COLUMN_LEN).map(|row| u32::try_from(mixed((key * COLUMN_LEN + row) as u64) >> 32).expect("32 bits")).collect()
}

fn sum(column: &[u32]) -> u64 {
    column.iter().map(|&element| u64::from(element)).sum()
}

/// The end of a splitmix64.
fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
