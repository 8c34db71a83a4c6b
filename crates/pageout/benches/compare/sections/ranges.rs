//! Small parts of one long payload, from the page cache and from the device.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pageout::{Handle, Pager};

use super::{Setting, Skip};
use crate::measure::{Candidate, Laps, Outcome, in_turns, us_each};
use crate::payload::{KIB, MIB, Random, as_u64, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::SUBJECT;
use crate::system::{self, Aligned, Ring};

const RANGE_BYTES: usize = 4 * KIB;
const RANGES: usize = 64;
const ONE_BY_ONE: &str = "a file, one pread after another";
const RING: &str = "a file, io_uring with direct I/O (depth 64)";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let site = &setting.site;
    system::drop_from_cache(&tempfile::tempfile_in(site.path())?)
        .map_err(|error| Skip(format!("the page cache cannot be dropped here ({error})")))?;
    let payload = numbered_pages(setting.mode.pick(256, 256, 1) * MIB);
    let mut readers: Vec<Named> =
        vec![(SUBJECT, Box::new(PagedOut::new(site, &payload)?)), (ONE_BY_ONE, Box::new(OneByOne(file_of(site, &payload)?)))];
    let mut table = Measured::new(head());
    let warm = Batches { payload_bytes: payload.len(), count: setting.mode.pick(64, 16, 1), is_cold: false };
    table.row("warm", &warm.measure(setting, &mut readers)?, 0);
    match Direct::new(&file_of(site, &payload)?) {
        Ok(direct) => readers.push((RING, Box::new(direct))),
        Err(reason) => table.remark(&format!("It is left out here: {reason}.")),
    }
    let cold = Batches { count: setting.mode.pick(8, 2, 1), is_cold: true, ..warm };
    table.row("cold", &cold.measure(setting, &mut readers)?, 0);
    Ok(vec![table.into()])
}

fn head() -> Head {
    Head {
        id: "ranges",
        title: "64 scattered ranges of 4 KiB, time of each",
        note: "Aligned ranges at random places of a payload of 256 MiB are read in one batch; each batch has others, the same \
               for all candidates. Warm: the payload is in the page cache. Cold: nothing of it is, but the disk below may \
               have a cache of its own. Direct I/O does not use the page cache, so it has no warm row: it is what the \
               device gives to somebody who programs it by hand."
            .to_owned(),
        unit: "us",
        better: Better::Less,
        subject: SUBJECT,
        references: vec![ONE_BY_ONE, RING],
    }
}

/// A payload whose pages begin with their numbers.
fn numbered_pages(len_bytes: usize) -> Vec<u8> {
    let mut payload = random_bytes(len_bytes);
    for (page, number) in payload.chunks_mut(RANGE_BYTES).zip(0u64..) {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
    payload
}

/// One way to read ranges.
trait Reader {
    /// Appends the pages with these numbers to `into`, which is empty and has room for no more.
    fn read(&mut self, pages: &[usize], into: &mut Vec<u8>) -> Outcome<()>;
}

type Named = (&'static str, Box<dyn Reader>);

/// Batches of ranges, as many as a lap has.
struct Batches {
    payload_bytes: usize,
    count: usize,
    is_cold: bool,
}

impl Batches {
    fn measure(&self, setting: &Setting, readers: &mut [Named]) -> Outcome<Vec<Laps>> {
        let lap = |reader: &mut dyn Reader, round| {
            let mut random = Random(as_u64(round));
            let times: Outcome<Vec<Duration>> = (0..self.count).map(|_| self.batch(&setting.site, reader, &mut random)).collect();
            Ok(vec![Some(us_each(times?.iter().sum(), self.count * RANGES))])
        };
        let candidates =
            readers.iter_mut().map(|(name, reader)| Candidate::new(name, move |(), round| lap(&mut **reader, round)));
        in_turns(setting.rounds(), &mut (), candidates.collect())
    }

    fn batch(&self, site: &Site, reader: &mut dyn Reader, random: &mut Random) -> Outcome<Duration> {
        let pages = distinct(random, self.payload_bytes / RANGE_BYTES);
        // Touched, because memory that is new to the process is not what this is about.
        let mut back = vec![1; RANGES * RANGE_BYTES];
        back.clear();
        if self.is_cold {
            forget(site)?;
        }
        let start = Instant::now();
        reader.read(&pages, &mut back)?;
        let time = start.elapsed();
        let are_right = back.chunks(RANGE_BYTES).zip(&pages).all(|(page, &number)| page[..8] == as_u64(number).to_le_bytes());
        if are_right && back.len() == RANGES * RANGE_BYTES { Ok(time) } else { Err("other ranges came back".into()) }
    }
}

/// Different numbers below `bound`, in any order.
fn distinct(random: &mut Random, bound: usize) -> Vec<usize> {
    let mut numbers = Vec::with_capacity(RANGES);
    while numbers.len() < RANGES {
        let number = random.below(bound);
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
}

/// Drops from the page cache what the files of all candidates have there; none of them has a name.
fn forget(site: &Site) -> io::Result<()> {
    site.unnamed_files()?.iter().try_for_each(|path| system::drop_from_cache(&File::open(path)?))
}

struct PagedOut {
    pager: Pager,
    handle: Handle<u8>,
}

impl PagedOut {
    fn new(site: &Site, payload: &[u8]) -> Outcome<Self> {
        let pager = Pager::builder().scratch_dir(site.path()).build()?;
        Ok(Self { handle: pager.pageout_copy(&[payload])?, pager })
    }
}

impl Reader for PagedOut {
    fn read(&mut self, pages: &[usize], into: &mut Vec<u8>) -> Outcome<()> {
        let ranges: Vec<(usize, usize)> = pages.iter().map(|page| (page * RANGE_BYTES, RANGE_BYTES)).collect();
        Ok(self.pager.read_at_many(&self.handle, &ranges, into)?)
    }
}

/// A file without a name that holds the payload.
fn file_of(site: &Site, payload: &[u8]) -> io::Result<File> {
    let file = tempfile::tempfile_in(site.path())?;
    file.write_all_at(payload, 0)?;
    Ok(file)
}

struct OneByOne(File);

impl Reader for OneByOne {
    fn read(&mut self, pages: &[usize], into: &mut Vec<u8>) -> Outcome<()> {
        into.resize(RANGES * RANGE_BYTES, 0);
        pages
            .iter()
            .zip(into.chunks_mut(RANGE_BYTES))
            .try_for_each(|(&page, range)| Ok(self.0.read_exact_at(range, offset(page))?))
    }
}

/// All reads at once, past the page cache.
struct Direct {
    ring: Ring,
    file: File,
    memory: Aligned,
}

impl Direct {
    fn new(buffered: &File) -> io::Result<Self> {
        let ring = Ring::new(u32::try_from(RANGES).map_err(io::Error::other)?)?;
        let file = system::open_direct(Path::new(&format!("/proc/self/fd/{}", buffered.as_raw_fd())))?;
        Ok(Self { ring, file, memory: Aligned::new(RANGES * RANGE_BYTES) })
    }
}

impl Reader for Direct {
    fn read(&mut self, pages: &[usize], into: &mut Vec<u8>) -> Outcome<()> {
        let offsets: Vec<u64> = pages.iter().map(|&page| offset(page)).collect();
        self.ring.read(&self.file, &offsets, self.memory.bytes())?;
        into.extend_from_slice(self.memory.bytes());
        Ok(())
    }
}

fn offset(page: usize) -> u64 {
    as_u64(page * RANGE_BYTES)
}
