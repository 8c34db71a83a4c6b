//! The watch of memory pressure that a service manager asks its services for, by systemd's protocol.
//!
//! `$MEMORY_PRESSURE_WATCH` has the absolute path of a place that tells of pressure: a file of the kernel, a FIFO or a socket.
//! `$MEMORY_PRESSURE_WRITE`, if there is one, has what is to be written there first, in Base64: the kernel learns from it how
//! long a stall must be before it is told. `/dev/null` says that nobody shall watch. What cannot be opened, or understood, is not
//! watched. Nothing here waits.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::sys::above_standard_streams;
use crate::sys::pressure::{self, Pending};

const PLACE_VARIABLE: &str = "MEMORY_PRESSURE_WATCH";
const SETTINGS_VARIABLE: &str = "MEMORY_PRESSURE_WRITE";
/// The place that says that nobody shall watch.
const NOWHERE: &str = "/dev/null";
/// The most that is discarded of a FIFO or a socket in one look: what a pipe holds. The rest tells of pressure in the next look.
const DISCARDED_BYTES_MAX: u64 = 64 << 10;

/// A place that tells of pressure, as long as it does.
#[derive(Debug)]
pub(super) struct Watch(Option<Place>);

#[derive(Debug)]
enum Place {
    /// A file of the kernel, which is never read.
    Kernel(File),
    /// A FIFO or a socket.
    Stream {
        file: File,
        /// What was written to it. A FIFO gives it back where nobody else reads it.
        settings: Vec<u8>,
    },
}

impl Watch {
    /// The watch that this process was asked for.
    pub(super) fn of_process() -> Self {
        let place = std::env::var_os(PLACE_VARIABLE);
        let settings = std::env::var_os(SETTINGS_VARIABLE);
        Self::open(place.as_deref(), settings.as_deref())
    }

    fn open(place: Option<&OsStr>, settings: Option<&OsStr>) -> Self {
        let settings = settings.map_or(Some(Vec::new()), |text| decoded(text.as_bytes()));
        Self(place.zip(settings).and_then(|(place, settings)| Place::open(Path::new(place), settings)))
    }

    /// Whether there was pressure since it was last asked.
    pub(super) fn is_pressed(&mut self) -> bool {
        let pending = self.0.as_mut().map_or(Pending::Nothing, Place::pending);
        if pending == Pending::Gone {
            self.0 = None;
        }
        pending == Pending::Event
    }
}

impl Place {
    fn open(path: &Path, settings: Vec<u8>) -> Option<Self> {
        if !path.is_absolute() || path == Path::new(NOWHERE) {
            return None;
        }
        let kind = path.metadata().ok()?.file_type();
        if kind.is_socket() {
            let socket = above_standard_streams(pressure::connect(path).ok()?).ok()?;
            let is_told = settings.is_empty() || pressure::send(socket.as_fd(), &settings) == Ok(settings.len());
            return is_told.then(|| Self::Stream { file: File::from(socket), settings: Vec::new() });
        }
        let file = (kind.is_file() || kind.is_fifo()).then(|| opened(path, !settings.is_empty()))??;
        // Anybody else's file is not written to.
        if kind.is_file() && !pressure::is_of_kernel(&file) {
            return None;
        }
        // The kernel wants the whole in one call.
        let is_told = settings.is_empty() || (&file).write(&settings).ok()? == settings.len();
        is_told.then(|| if kind.is_file() { Self::Kernel(file) } else { Self::Stream { file, settings } })
    }

    fn pending(&mut self) -> Pending {
        match self {
            Self::Kernel(file) => pressure::urgent(file.as_fd()),
            Self::Stream { file, settings } => match pressure::readable(file.as_fd()) {
                Pending::Event => discard(file, settings),
                pending => pending,
            },
        }
    }
}

/// Reads what is there; it tells of pressure, whatever it is, but for what this process wrote itself.
fn discard(file: &File, settings: &mut Vec<u8>) -> Pending {
    let own = std::mem::take(settings);
    let mut discarded = Vec::new();
    let end = file.take(DISCARDED_BYTES_MAX).read_to_end(&mut discarded);
    let is_dry = end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    match discarded.len() {
        // Where there is an end, nobody is left at the other one.
        0 if !is_dry => Pending::Gone,
        0 => Pending::Nothing,
        _ if discarded == own => Pending::Nothing,
        _ => Pending::Event,
    }
}

/// The file or FIFO at `path`. Opening it waits for nobody, and neither does anything that is done with it.
fn opened(path: &Path, is_written: bool) -> Option<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(is_written).custom_flags(flags).open(path).ok()?;
    above_standard_streams(OwnedFd::from(file)).ok().map(File::from)
}

/// The bytes that a text in Base64 (RFC 4648, section 4) stands for.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let (groups, []) = text.as_chunks::<4>() else { return None };
    let mut bytes = Vec::with_capacity(3 * groups.len());
    for (index, group) in groups.iter().enumerate() {
        let count = group.iter().position(|&digit| digit == b'=').unwrap_or(4);
        let is_padded = count < 4;
        if count < 2 || is_padded && (index + 1 < groups.len() || group[count..].iter().any(|&byte| byte != b'=')) {
            return None;
        }
        let digits = group[..count].iter().map(|&digit| value(digit));
        let bits = digits.chain([Some(0), Some(0)]).take(4).try_fold(0, |bits: u32, digit| Some(bits << 6 | digit?))?;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..count]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests;
