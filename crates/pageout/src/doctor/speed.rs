//! How fast payloads go out and come back, and the device beneath.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::limits;
use crate::pager::{Examined, Pager};
use crate::sys::page_cache;
use crate::sys::process_limits::ProcessLimits;
use crate::units::{MIB, to_u64, to_usize};

/// Bytes of one payload.
const PAYLOAD_BYTES: u64 = MIB;
/// Bytes that are paged out, at most: so much, and this part of the capacity and of the free memory.
const OUT_BYTES_MAX: u64 = 64 * MIB;
const SHARE_DIVISOR: u64 = 8;
/// Payloads that differ.
const DISTINCT_MAX: u64 = 16;
/// No pass begins another transfer after so long.
const PASS_TIME_MAX: Duration = Duration::from_millis(400);

/// Transfers of one kind, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// Calls that were made.
    pub calls: u64,
    /// Bytes that they moved.
    pub bytes: u64,
    /// The time that they took.
    pub elapsed: Duration,
    /// The time of the longest one.
    pub longest: Duration,
}

impl Transfer {
    /// Bytes for each second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a measurement")]
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Makes one more call, of so many bytes.
    fn call<R>(&mut self, bytes: u64, call: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let result = call();
        let elapsed = begun.elapsed();
        self.calls += 1;
        self.bytes += bytes;
        self.elapsed += elapsed;
        self.longest = self.longest.max(elapsed);
        result
    }

    fn has_time(&self) -> bool {
        self.elapsed < PASS_TIME_MAX
    }
}

/// How fast a pager is, from [`speed`](crate::doctor::speed()).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Speed {
    /// Bytes of each payload.
    pub payload_bytes: u64,
    /// Pageouts, into the page cache as long as memory is there.
    pub out: Transfer,
    /// Takes, out of the page cache.
    pub back: Transfer,
    /// Copies of the same bytes in memory, to compare with.
    pub copy: Transfer,
    /// The device, where it could be asked.
    pub device: Option<DeviceSpeed>,
}

/// How fast the device beneath is: what pageouts and reads come to when payloads are more than the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceSpeed {
    /// Writes, each with waiting until the device has what was written.
    pub write: Transfer,
    /// Reads of what had left the page cache; `None` where it did not leave.
    pub read: Option<Transfer>,
}

/// Measures; `None` where there is not the room for a single payload.
pub(super) fn measure(examined: &Examined, capacity_bytes: u64) -> Result<Option<Speed>, Error> {
    let free_bytes = limits::current().free_bytes();
    let spare_bytes = capacity_bytes.min(free_bytes) / SHARE_DIVISOR;
    let payloads = spare_bytes.min(OUT_BYTES_MAX) / PAYLOAD_BYTES;
    if payloads == 0 {
        return Ok(None);
    }
    let content = noise(to_usize(payloads.min(DISTINCT_MAX) * PAYLOAD_BYTES))?;
    let copy = copies(&content)?;
    let (out, back) = out_and_back(&examined.pager, &content, payloads)?;
    // What was taken is idle, and its space the device's test may need.
    examined.pager.trim()?;
    // A write past the limit would send a signal.
    let file_bytes_max = ProcessLimits::of_process().file_bytes.soft.unwrap_or(u64::MAX);
    let bytes_max = file_bytes_max.min(payloads * PAYLOAD_BYTES);
    let device = examined.measured_file().and_then(|file| device(&File::from(file), &content, bytes_max));
    Ok(Some(Speed { payload_bytes: PAYLOAD_BYTES, out, back, copy, device }))
}

/// Pages so many payloads out, and then takes them back.
fn out_and_back(pager: &Pager, content: &[u8], payloads: u64) -> Result<(Transfer, Transfer), Error> {
    let (mut out, mut back) = (Transfer::default(), Transfer::default());
    let mut target = allocated(to_usize(PAYLOAD_BYTES))?;
    let mut handles = Vec::new();
    for chunk in content.chunks_exact(to_usize(PAYLOAD_BYTES)).cycle().take(to_usize(payloads)) {
        if out.has_time() {
            handles.push(out.call(PAYLOAD_BYTES, || pager.pageout_copy(&[chunk]))?);
        }
    }
    for handle in handles {
        if back.has_time() {
            back.call(PAYLOAD_BYTES, || pager.take(handle, &mut target))?;
        }
    }
    Ok((out, back))
}

/// Copies payload after payload to memory that is there already.
fn copies(content: &[u8]) -> Result<Transfer, Error> {
    let mut targets = allocated(content.len())?;
    targets.resize(content.len(), 1);
    let mut copy = Transfer::default();
    let payload_bytes = to_usize(PAYLOAD_BYTES);
    for (payload, target) in content.chunks_exact(payload_bytes).zip(targets.chunks_exact_mut(payload_bytes)) {
        copy.call(PAYLOAD_BYTES, || target.copy_from_slice(payload));
    }
    std::hint::black_box(&targets);
    Ok(copy)
}

/// Writes to an empty file and reads it back past the page cache, at most `bytes_max` bytes. `None` where a call fails: that is
/// for those to tell who need it.
fn device(file: &File, content: &[u8], bytes_max: u64) -> Option<DeviceSpeed> {
    let mut write = Transfer::default();
    let mut step_bytes = PAYLOAD_BYTES;
    // Longer and longer steps, so that a slow device is asked for little, and waiting for a fast one does not count much.
    while write.has_time() && write.bytes + step_bytes <= bytes_max && step_bytes <= to_u64(content.len()) {
        let step = &content[..to_usize(step_bytes)];
        let offset = write.bytes;
        let written = write.call(step_bytes, || file.write_all_at(step, offset).and_then(|()| file.sync_data()));
        written.ok()?;
        step_bytes *= 2;
    }
    let len_bytes = write.bytes;
    let mut read = Transfer::default();
    let mut target = allocated(to_usize(PAYLOAD_BYTES)).ok()?;
    target.resize(to_usize(PAYLOAD_BYTES), 0);
    let has_left = page_cache::drop_pages(file.as_fd(), to_usize(len_bytes));
    while has_left && read.has_time() && read.bytes < len_bytes {
        let offset = read.bytes;
        read.call(PAYLOAD_BYTES, || file.read_exact_at(&mut target, offset)).ok()?;
    }
    Some(DeviceSpeed { write, read: has_left.then_some(read) })
}

/// Memory for so many bytes.
fn allocated(len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    Ok(bytes)
}

/// Bytes that no file system makes smaller.
fn noise(len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = allocated(len)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        bytes.extend_from_slice(&word[..word.len().min(len - bytes.len())]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_counts_calls_bytes_and_the_longest() {
        let mut transfer = Transfer::default();
        assert_eq!(transfer.call(5, || 7), 7);
        transfer.call(6, || std::thread::sleep(Duration::from_millis(1)));
        assert_eq!((transfer.calls, transfer.bytes), (2, 11));
        assert!(transfer.longest >= Duration::from_millis(1) && transfer.elapsed >= transfer.longest);
        assert!(transfer.bytes_per_second() > 0.0 && transfer.bytes_per_second() < 11_000.0);
    }

    #[test]
    fn noise_has_no_two_payloads_alike() {
        let bytes = noise(4_001).expect("memory");
        assert_eq!(bytes.len(), 4_001);
        assert_ne!(bytes[..2_000], bytes[2_000..4_000]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn a_device_is_asked_for_no_more_than_it_may() {
        let content = noise(2 << 20).expect("memory");
        let measured =
            |bytes_max| device(&tempfile::tempfile().expect("a temporary file"), &content, bytes_max).expect("it works");
        assert_eq!(measured(8 << 20).write.bytes % PAYLOAD_BYTES, 0);
        assert!(measured(8 << 20).write.bytes <= 3 << 20, "two steps, as the content allows");
        assert_eq!(measured(1 << 20).write.bytes, 1 << 20);
        assert_eq!(measured(1000).write.calls, 0);
    }
}
