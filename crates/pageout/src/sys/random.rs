//! Random bytes that nobody can guess.

use std::fs::File;
use std::io::Read;

use super::call::{of, retried_int};
use super::failure::Outcome;

/// Fills `bytes`, at most 256, with random bits of the system.
///
/// # Errors
/// What the system said where it has none.
pub(super) fn fill(bytes: &mut [u8]) -> Outcome<()> {
    // In a sandbox that denies the call the device serves, in one without the device the call.
    from_system(bytes).or_else(|failure| from_device(bytes).map_err(|_| failure))
}

#[cfg(target_os = "linux")]
fn from_system(bytes: &mut [u8]) -> Outcome<()> {
    use super::failure::Failure;

    let (start, len_bytes, flags) = (bytes.as_mut_ptr(), bytes.len(), 0 as libc::c_uint);
    // The wrapper of the C library is younger than the systems this runs on, so the kernel is called by number.
    // SAFETY: the memory is exclusively borrowed for the call.
    let call = || unsafe { libc::syscall(libc::SYS_getrandom, start, len_bytes, flags) };
    let filled = retried_int("getrandom", || libc::c_int::try_from(call()).expect("at most 256"))?;
    // So few bytes come whole, once the system has any.
    if usize::try_from(filled) == Ok(len_bytes) { Ok(()) } else { Err(Failure::new("getrandom", libc::EIO)) }
}

#[cfg(not(target_os = "linux"))]
fn from_system(bytes: &mut [u8]) -> Outcome<()> {
    let (start, len_bytes) = (bytes.as_mut_ptr(), bytes.len());
    // SAFETY: the memory is exclusively borrowed for the call.
    retried_int("getentropy", || unsafe { libc::getentropy(start.cast(), len_bytes) }).map(drop)
}

fn from_device(bytes: &mut [u8]) -> Outcome<()> {
    let mut device = File::open("/dev/urandom").map_err(|error| of("open", &error))?;
    device.read_exact(bytes).map_err(|error| of("read", &error))
}

// Miri has no such system.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_source_differ_each_time() {
        for source in [fill, from_system, from_device] {
            let (mut first, mut second) = ([0; 16], [0; 16]);
            source(&mut first).expect("random bytes");
            source(&mut second).expect("random bytes");
            assert!(first != second && first != [0; 16]);
        }
    }
}
