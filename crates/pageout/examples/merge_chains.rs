//! Merges sorted chains that are much larger than the memory it uses: the classic use of a pager.
//!
//! ```text
//! cargo run --release -p pageout --example merge_chains
//! cargo run --release -p pageout --example merge_chains -- --elements 500000000 --chains 16 --prefetch 2
//! ```
//!
//! A chain is a list of chunks that are out. In memory are one chunk of each chain that is read and one of the chain that
//! is written; their vectors are used again and again. Everything else is a [`Handle`]: a few dozen bytes, and the
//! checksums of its payload.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its results")]

use std::collections::VecDeque;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pageout::{Handle, Pager, TakeError};

const OPTIONS: &str = "there are --elements, --chains, --chunk-elements, --prefetch (chunks) and --budget (bytes)";
const ELEMENT_BYTES: usize = size_of::<u64>();
const BYTES_PER_MB: f64 = 1e6;

fn main() -> ExitCode {
    let outcome = Options::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|options| run(&options));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("merge_chains: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let pager = Pager::builder().build()?;
    let Options { elements, chains, chunk_elements, .. } = options;
    println!("{elements} elements in {chains} sorted chains, in chunks of {chunk_elements}");

    let start = Instant::now();
    let (chains, expected) = generate(&pager, options)?;
    report("generated", expected.elements, start.elapsed());

    let start = Instant::now();
    let merged = merge(&pager, chains, options)?;
    report("merged", expected.elements, start.elapsed());

    let start = Instant::now();
    let actual = Summary::of_sorted(ChainReader::open(&pager, merged, options.prefetch)?)?;
    report("read back", actual.elements, start.elapsed());
    if actual != expected {
        return Err(format!("the merged chain is wrong: {actual:?} instead of {expected:?}").into());
    }

    report_memory(&pager, options)?;
    println!("verified");
    Ok(())
}

/// A sorted sequence: its chunks in order, all of them out.
type Chain = VecDeque<Handle>;

/// Makes sorted chains of random numbers that together have the elements asked for.
fn generate(pager: &Pager, options: &Options) -> Result<(Vec<Chain>, Summary), Box<dyn Error>> {
    let mut random = SplitMix64 { state: 0 };
    let mut summary = Summary::default();
    let mut chains = Vec::new();
    for position in 0..options.chains {
        // What does not divide evenly goes to the first chains.
        let elements = options.elements / options.chains + usize::from(position < options.elements % options.chains);
        // Steps below this add up to less than u64::MAX.
        let step_bound = u64::MAX / u64::try_from(elements.max(1))?;
        let mut writer = ChainWriter::new(pager, options.chunk_elements);
        let mut value = 0;
        for _ in 0..elements {
            value += random.next() % step_bound;
            summary.add(value);
            writer.push(value)?;
        }
        chains.push(writer.finish()?);
    }
    Ok((chains, summary))
}

/// Merges sorted chains into one. A chunk's place is free for the result as soon as the chunk has been read.
fn merge(pager: &Pager, chains: Vec<Chain>, options: &Options) -> Result<Chain, pageout::Error> {
    let readers: Result<Vec<_>, _> = chains.into_iter().map(|chain| ChainReader::open(pager, chain, options.prefetch)).collect();
    let mut readers = readers?;
    let mut writer = ChainWriter::new(pager, options.chunk_elements);
    // The least of a few is found by looking at all of them; for many chains, keep the readers in a heap.
    while let Some((value, reader)) =
        readers.iter_mut().filter_map(|reader| Some((reader.peek()?, reader))).min_by_key(|(value, _)| *value)
    {
        writer.push(value)?;
        reader.advance()?;
    }
    writer.finish()
}

/// Writes a chain: collects elements in one chunk and pages it out when it is full.
struct ChainWriter<'a> {
    pager: &'a Pager,
    /// Never longer than its capacity, so it is allocated once: paging out empties it and leaves the capacity.
    chunk: Vec<u64>,
    chain: Chain,
}

impl<'a> ChainWriter<'a> {
    fn new(pager: &'a Pager, chunk_elements: usize) -> Self {
        Self { pager, chunk: Vec::with_capacity(chunk_elements), chain: Chain::new() }
    }

    fn push(&mut self, value: u64) -> Result<(), pageout::Error> {
        if self.chunk.len() == self.chunk.capacity() {
            self.page_out()?;
        }
        self.chunk.push(value);
        Ok(())
    }

    fn finish(mut self) -> Result<Chain, pageout::Error> {
        if !self.chunk.is_empty() {
            self.page_out()?;
        }
        Ok(self.chain)
    }

    fn page_out(&mut self) -> Result<(), pageout::Error> {
        self.chain.push_back(self.pager.pageout(std::slice::from_mut(&mut self.chunk))?);
        Ok(())
    }
}

/// Reads a chain: takes one chunk back at a time.
///
/// One or two chains come back in the order in which they went out, and the system reads ahead by itself; announcing on top
/// of that costs more than it gains. With many chains, or where the order is another, announce one or two chunks ahead.
struct ChainReader<'a> {
    pager: &'a Pager,
    /// The chunk that is read; the next one comes back into the same memory.
    chunk: Vec<u64>,
    position: usize,
    rest: Chain,
    /// How many chunks ahead of the current one are announced; 0 for none.
    prefetch: usize,
}

impl<'a> ChainReader<'a> {
    fn open(pager: &'a Pager, chain: Chain, prefetch: usize) -> Result<Self, pageout::Error> {
        let mut reader = Self { pager, chunk: Vec::new(), position: 0, rest: chain, prefetch };
        reader.next_chunk()?;
        Ok(reader)
    }

    /// The element at the reader's position; none behind the last.
    fn peek(&self) -> Option<u64> {
        self.chunk.get(self.position).copied()
    }

    fn advance(&mut self) -> Result<(), pageout::Error> {
        self.position += 1;
        if self.position == self.chunk.len() { self.next_chunk() } else { Ok(()) }
    }

    fn next_chunk(&mut self) -> Result<(), pageout::Error> {
        self.position = 0;
        match self.rest.pop_front() {
            Some(handle) => self.pager.take(handle, &mut self.chunk).map_err(TakeError::into_error)?,
            None => self.chunk.clear(),
        }
        if self.prefetch > 0
            && let Some(later) = self.rest.get(self.prefetch - 1)
        {
            self.pager.prefetch(later, &[(0, later.len())])?;
        }
        Ok(())
    }
}

/// What two sequences with the same elements have in common, whatever their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    elements: usize,
    sum: u64,
    xor: u64,
}

impl Summary {
    /// Reads a chain to its end; an error where it is not sorted.
    fn of_sorted(mut reader: ChainReader<'_>) -> Result<Self, Box<dyn Error>> {
        let mut summary = Self::default();
        let mut last = 0;
        while let Some(value) = reader.peek() {
            if value < last {
                return Err(format!("element {} is less than the one before", summary.elements).into());
            }
            last = value;
            summary.add(value);
            reader.advance()?;
        }
        Ok(summary)
    }

    fn add(&mut self, value: u64) {
        self.elements += 1;
        self.sum = self.sum.wrapping_add(value);
        self.xor ^= value;
    }
}

/// A small generator of random numbers.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What the command line asks for.
struct Options {
    /// Elements of all chains together.
    elements: usize,
    chains: usize,
    chunk_elements: usize,
    /// How many chunks ahead of the current one a reader announces.
    prefetch: usize,
    /// The most memory that the process may have used at its end.
    budget_bytes: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { elements: 1 << 27, chains: 2, chunk_elements: 1 << 18, prefetch: 0, budget_bytes: 64 << 20 };
        while let Some(name) = arguments.next() {
            let value = match name.as_str() {
                "--elements" => &mut options.elements,
                "--chains" => &mut options.chains,
                "--chunk-elements" => &mut options.chunk_elements,
                "--prefetch" => &mut options.prefetch,
                "--budget" => &mut options.budget_bytes,
                _ => return Err(format!("unknown option {name}; {OPTIONS}")),
            };
            let text = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            *value = text.parse().map_err(|_| format!("{name} needs a whole number, not {text}"))?;
        }
        options.check()
    }

    /// Refuses what makes no sense or cannot stay within the budget.
    fn check(self) -> Result<Self, String> {
        let Self { elements, chains, chunk_elements, budget_bytes, .. } = self;
        if [elements, chains, chunk_elements].contains(&0) {
            return Err("--elements, --chains and --chunk-elements must be above 0".to_owned());
        }
        if elements > usize::MAX / ELEMENT_BYTES {
            return Err(format!("--elements is {elements}, more than any memory holds"));
        }
        // One chunk of each chain that is read, one of the chain that is written.
        let chunks = chains.saturating_add(1);
        let needed_bytes = chunks.saturating_mul(chunk_elements).saturating_mul(ELEMENT_BYTES);
        if needed_bytes > budget_bytes {
            return Err(format!(
                "{chunks} chunks of {chunk_elements} elements need {needed_bytes} bytes, above the budget of {budget_bytes}; \
                 give smaller --chunk-elements or a larger --budget"
            ));
        }
        Ok(self)
    }
}

fn report(what: &str, elements: usize, time: Duration) {
    let data_mb = megabytes(elements * ELEMENT_BYTES);
    println!("{what:<9} {data_mb:>8.1} MB in {:>6.2} s, {:>6.0} MB/s", time.as_secs_f64(), data_mb / time.as_secs_f64());
}

/// Compares the memory that was used with the data's size; an error where it is above the budget.
fn report_memory(pager: &Pager, options: &Options) -> Result<(), Box<dyn Error>> {
    let stats = pager.stats();
    let data_bytes = options.elements * ELEMENT_BYTES;
    println!("{} payloads paged out, {:.1} MB", stats.pageouts, megabytes(usize::try_from(stats.pageout_bytes)?));
    let Some(peak_bytes) = peak_memory_bytes() else {
        println!("this system does not tell the peak of memory; the data has {:.1} MB", megabytes(data_bytes));
        return Ok(());
    };
    println!("peak memory {:.1} MB for {:.1} MB of data", megabytes(peak_bytes), megabytes(data_bytes));
    if peak_bytes > options.budget_bytes {
        return Err(format!("the peak of {peak_bytes} bytes is above the budget of {}", options.budget_bytes).into());
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / BYTES_PER_MB
}

/// The most memory that this process has had resident, as Linux tells it.
fn peak_memory_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kib| kib << 10)
}
