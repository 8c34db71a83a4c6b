//! The bytes of a payload as a stream: positioned reads that are verified, through a buffer of a page to 64 KiB.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

use crate::block::PAGE_BYTES;
use crate::error::Error;
use crate::payload::Extent;
use crate::sys::{Destination, destination};
use crate::units::{self, KIB};

/// The buffer's length after a seek. What is verified is verified by whole pages, so less would read some of them twice.
const BUFFER_BYTES_MIN: usize = units::to_usize(PAGE_BYTES);
/// The buffer's length once it was filled several times in a row, and what is read past it, straight into the caller's memory:
/// a system call costs little beside the bytes by then.
const BUFFER_BYTES_MAX: usize = units::to_usize(64 * KIB);

/// Where a reader reads.
pub(super) trait Source: Send + Sync {
    /// Bytes of the payload.
    fn len_bytes(&self) -> u64;

    /// Fills `whole`, which is as long as `extent`, with its bytes.
    ///
    /// # Errors
    /// What kept the bytes from coming back whole and verified.
    fn fill(&self, extent: Extent, whole: Destination<'_>) -> Result<(), Error>;
}

/// Reads the bytes of a payload in order, from any position. Made by [`Handle::reader`](crate::Handle::reader).
///
/// Each byte is verified before it is handed on. The buffer has one page after a seek and grows to 64 KiB while the reads
/// follow each other; reads of 64 KiB and more go straight into the caller's memory, and [`Read::read_to_end`] makes one read
/// of all that is left. Each of these counts as a read in [`PagerStats`](crate::PagerStats). The payload stays paged out, and
/// other threads may read it at the same time, each through a reader of its own.
///
/// As with a file, a position past the end is allowed, and nothing is read there. The errors are [`Error`]s as
/// [`io::Error`]s, with the same kind; a read that failed can be tried again.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::{BufRead, Read, Seek, SeekFrom};
///
/// let pager = pageout::Pager::builder().build()?;
/// let log = pager.pageout_vec(b"first line\nsecond line\nlast line\n".to_vec())?;
///
/// let mut reader = log.reader();
/// let mut line = String::new();
/// reader.read_line(&mut line)?;
/// assert_eq!(line, "first line\n");
///
/// reader.seek(SeekFrom::End(-10))?;
/// let mut rest = String::new();
/// reader.read_to_string(&mut rest)?;
/// assert_eq!(rest, "last line\n");
/// # Ok(())
/// # }
/// ```
pub struct Reader<'a> {
    source: &'a dyn Source,
    /// The next byte that the caller gets.
    position: u64,
    /// Where in the payload the buffer begins.
    buffer_start: u64,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self { source, position: 0, buffer_start: 0, buffer: Vec::new() }
    }

    /// What the buffer has from the position on.
    fn buffered(&self) -> &[u8] {
        let start = self.position.checked_sub(self.buffer_start).map(units::to_usize);
        start.and_then(|start| self.buffer.get(start..)).unwrap_or_default()
    }

    /// Bytes from the position to the end.
    fn remaining_bytes(&self) -> usize {
        units::to_usize(self.source.len_bytes().saturating_sub(self.position))
    }

    /// Fills the buffer from the position on: up to the end of a page, `wanted_bytes` or more as far as the payload and the
    /// longest buffer go, and twice as much as before where the reads follow each other.
    fn fill(&mut self, wanted_bytes: usize) -> Result<(), Error> {
        let is_next = self.position == self.buffer_start + units::to_u64(self.buffer.len());
        let grown_bytes = if is_next { 2 * self.buffer.len() } else { 0 };
        let len_bytes =
            grown_bytes.max(wanted_bytes).next_multiple_of(BUFFER_BYTES_MIN).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        let end = units::round_down(self.position + units::to_u64(len_bytes), PAGE_BYTES).min(self.source.len_bytes());
        let extent = Extent { start: self.position, len_bytes: end - self.position };
        self.buffer.clear();
        self.buffer_start = self.position;
        self.buffer.try_reserve_exact(units::to_usize(extent.len_bytes))?;
        destination::append_to(&mut self.buffer, units::to_usize(extent.len_bytes), |whole| self.source.fill(extent, whole))
    }

    /// Reads as much as `target` holds, past the buffer.
    fn read_past_buffer(&mut self, target: &mut [u8]) -> Result<(), Error> {
        let extent = Extent { start: self.position, len_bytes: units::to_u64(target.len()) };
        destination::overwrite(target, |whole| self.source.fill(extent, whole))?;
        self.position = extent.end();
        Ok(())
    }

    /// Appends all that is left to `dst`.
    fn append_rest(&mut self, dst: &mut Vec<u8>) -> Result<(), Error> {
        dst.try_reserve(self.remaining_bytes())?;
        let buffered = self.buffered();
        dst.extend_from_slice(buffered);
        self.position += units::to_u64(buffered.len());
        let rest_bytes = self.remaining_bytes();
        if rest_bytes > 0 {
            let extent = Extent { start: self.position, len_bytes: units::to_u64(rest_bytes) };
            destination::append_to(dst, rest_bytes, |whole| self.source.fill(extent, whole))?;
            self.position = extent.end();
        }
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let len = target.len().min(self.remaining_bytes());
        if len >= BUFFER_BYTES_MAX && self.buffered().is_empty() {
            self.read_past_buffer(&mut target[..len])?;
            return Ok(len);
        }
        if len > 0 && self.buffered().is_empty() {
            self.fill(len)?;
        }
        let buffered = self.buffered();
        let len = len.min(buffered.len());
        target[..len].copy_from_slice(&buffered[..len]);
        self.consume(len);
        Ok(len)
    }

    fn read_to_end(&mut self, dst: &mut Vec<u8>) -> io::Result<usize> {
        let len_before = dst.len();
        self.append_rest(dst)?;
        Ok(dst.len() - len_before)
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() && self.remaining_bytes() > 0 {
            self.fill(0)?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, len: usize) {
        self.position += units::to_u64(len.min(self.buffered().len()));
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.source.len_bytes().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let refused = || io::Error::new(ErrorKind::InvalidInput, "a seek to a negative or overflowing position");
        self.position = position.ok_or_else(refused)?;
        Ok(self.position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position)
    }
}

impl fmt::Debug for Reader<'_> {
    /// Without the buffer, which holds bytes of the payload.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len_bytes = self.source.len_bytes();
        out.debug_struct("Reader").field("position", &self.position).field("len_bytes", &len_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const PAGE: usize = BUFFER_BYTES_MIN;

    /// A payload in memory that lists what is read of it.
    struct Listed {
        bytes: Vec<u8>,
        reads: Mutex<Vec<(u64, u64)>>,
    }

    impl Listed {
        fn new(len: usize) -> Self {
            Self { bytes: (0..=250u8).cycle().take(len).collect(), reads: Mutex::default() }
        }

        /// The reads since the last call, as start and length.
        fn reads(&self) -> Vec<(u64, u64)> {
            std::mem::take(&mut *self.reads.lock().expect("no panic holds it"))
        }
    }

    impl Source for Listed {
        fn len_bytes(&self) -> u64 {
            units::to_u64(self.bytes.len())
        }

        fn fill(&self, extent: Extent, mut whole: Destination<'_>) -> Result<(), Error> {
            self.reads.lock().expect("no panic holds it").push((extent.start, extent.len_bytes));
            whole.append(&self.bytes[units::to_usize(extent.start)..units::to_usize(extent.end())]);
            Ok(())
        }
    }

    #[test]
    fn small_reads_in_a_row_make_few_long_ones_that_end_with_a_page() {
        let source = Listed::new(40 * PAGE + 7);
        let mut reader = Reader::new(&source);
        reader.seek(SeekFrom::Start(5)).expect("a position");
        let mut all = Vec::new();
        let mut part = [0; 100];
        loop {
            match reader.read(&mut part).expect("memory") {
                0 => break,
                len => all.extend_from_slice(&part[..len]),
            }
        }
        assert_eq!(all, source.bytes[5..]);
        let page = units::to_u64(PAGE);
        // Twice 4,091 bytes is nearly two pages.
        let expected = [(5, page - 5), (page, 2 * page), (3 * page, 4 * page), (7 * page, 8 * page)];
        let rest = [(15 * page, 16 * page), (31 * page, 9 * page + 7)];
        assert_eq!(source.reads(), [&expected[..], &rest].concat());
    }

    #[test]
    fn a_seek_within_the_buffer_reads_nothing_and_one_past_it_begins_with_a_page() {
        let source = Listed::new(100 * PAGE);
        let mut reader = Reader::new(&source);
        let mut part = [0; 10];
        reader.read_exact(&mut part).expect("memory");
        reader.seek(SeekFrom::Current(4_000)).expect("a position");
        reader.read_exact(&mut part).expect("memory");
        reader.rewind().expect("a position");
        reader.read_exact(&mut part).expect("memory");
        assert_eq!(source.reads(), [(0, 4_096)]);
        reader.seek(SeekFrom::Start(50 * 4_096 + 1)).expect("a position");
        reader.read_exact(&mut part).expect("memory");
        assert_eq!((&part[..], source.reads()), (&source.bytes[50 * PAGE + 1..][..10], vec![(50 * 4_096 + 1, 4_095)]));
    }

    #[test]
    fn long_reads_go_past_the_buffer_and_the_rest_is_one_read() {
        let source = Listed::new(100 * PAGE);
        let mut reader = Reader::new(&source);
        let mut target = vec![0; BUFFER_BYTES_MAX + 1];
        reader.read_exact(&mut target).expect("memory");
        assert_eq!((&target[..], source.reads()), (&source.bytes[..target.len()], vec![(0, 65_537)]));
        reader.read_exact(&mut target[..1]).expect("memory");
        source.reads();
        let mut rest = vec![1, 2];
        assert_eq!(reader.read_to_end(&mut rest).expect("memory"), 100 * PAGE - BUFFER_BYTES_MAX - 2);
        assert_eq!((&rest[..2], &rest[2..]), (&[1, 2][..], &source.bytes[BUFFER_BYTES_MAX + 2..]));
        assert_eq!(source.reads().len(), 1);
        assert_eq!(reader.read_to_end(&mut rest).expect("nothing is left"), 0);
    }
}
