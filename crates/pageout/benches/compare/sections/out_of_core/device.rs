//! What the device itself gives: direct transfers, several at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{Clock, Lap, Outcome};
use crate::payload::{Random, as_u64};
use crate::site::Site;
use crate::system::{self, Aligned};

/// So many transfers are on their way at a time.
const DEPTH: usize = 8;

/// Writes blocks in order, reads half of them in order and the other half at random. The last way, announced, is none of
/// its own here.
pub(in super::super) fn passes(site: &Site, blocks: usize, block_bytes: usize) -> Outcome<Lap> {
    let directory = tempfile::tempdir_in(site.path())?;
    let file = system::open_direct(&directory.path().join("device"))?;
    system::reserve(&file, as_u64(blocks * block_bytes))?;
    let mut order: Vec<usize> = (0..blocks).collect();
    let out = pass(&order, block_bytes, |block, offset| file.write_all_at(block, offset))?;
    let mut random_order = order.split_off(blocks / 2);
    Random(0).shuffle(&mut random_order);
    let read = |block: &mut [u8], offset| File::read_exact_at(&file, block, offset);
    let in_order = pass(&order, block_bytes, read)?;
    let at_random = pass(&random_order, block_bytes, read)?;
    Ok([out, in_order, at_random, [None, None]].concat())
}

fn pass(
    order: &[usize],
    block_bytes: usize,
    transfer: impl Fn(&mut [u8], u64) -> io::Result<()> + Sync,
) -> Outcome<[Option<f64>; 2]> {
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Duration> {
        let mut memory = Aligned::new(block_bytes);
        let mut longest = Duration::ZERO;
        while let Some(block) = order.get(next.fetch_add(1, Relaxed)) {
            let start = Instant::now();
            transfer(memory.bytes(), as_u64(block * block_bytes))?;
            longest = longest.max(start.elapsed());
        }
        Ok(longest)
    };
    let mut clock = Clock::start();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..DEPTH).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            clock.note(worker.join().map_err(|_| "a thread panicked")??);
        }
        Ok(clock.rate(order.len() * block_bytes))
    })
}
