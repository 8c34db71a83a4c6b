//! What the places that tell of memory pressure need beside files: a connection that is not waited for, and a look at what is
//! pending.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::call::{checked, retried, retried_int};
use super::failure::{Failure, Outcome};
use super::file::file_system;
use super::in_memory::magic;

/// The numbers of the two file systems that files of pressure are on, from linux/magic.h.
const PROC: i64 = 0x9fa0;
const CGROUP2: i64 = 0x6367_7270;

/// What is pending on an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    /// What was asked for.
    Event,
    /// There will be nothing any more.
    Gone,
}

/// Whether a file is one in which the kernel tells of pressure, so that what is written to it is heard by the kernel alone.
pub(crate) fn is_of_kernel(file: &File) -> bool {
    file_system(file.as_raw_fd()).is_ok_and(|raw| matches!(magic(&raw), PROC | CGROUP2))
}

/// Whether the kernel tells of pressure in `file` since it was last asked. Does not wait.
pub(crate) fn urgent(file: BorrowedFd<'_>) -> Pending {
    pending(file, libc::POLLPRI)
}

/// Whether `file` has bytes to read. Does not wait.
pub(crate) fn readable(file: BorrowedFd<'_>) -> Pending {
    pending(file, libc::POLLIN)
}

fn pending(file: BorrowedFd<'_>, events: libc::c_short) -> Pending {
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    // SAFETY: `asked` is one entry, writable for the call, which does not wait.
    let answer = retried_int("poll", || unsafe { libc::poll(&raw mut asked, 1, 0) });
    // A file of pressure that the kernel has nothing to tell in shows an error beside the event.
    if answer.is_err() || asked.revents & (libc::POLLERR | libc::POLLNVAL) != 0 {
        return Pending::Gone;
    }
    if asked.revents & events != 0 { Pending::Event } else { Pending::Nothing }
}

/// Connects to the stream socket at `path`. Calls on the result do not wait.
///
/// # Errors
/// What the system said; ENAMETOOLONG where an address has no room for the path; EAGAIN where one would have to wait.
pub(crate) fn connect(path: &Path) -> Outcome<OwnedFd> {
    let (address, address_bytes) = address(path)?;
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes no memory.
    let raw = checked("socket", unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: socket just made this descriptor, and nothing else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: the address is of the family's type, borrowed for the call, and has at least `address_bytes`.
    let connected = || unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), address_bytes) };
    retried_int("connect", connected)?;
    Ok(socket)
}

/// The address of the socket at `path`, and how many of its bytes count.
fn address(path: &Path) -> Outcome<(libc::sockaddr_un, libc::socklen_t)> {
    let path = path.as_os_str().as_bytes();
    let family = libc::sa_family_t::try_from(libc::AF_UNIX).expect("a small number");
    let mut address = libc::sockaddr_un { sun_family: family, sun_path: [0; 108] };
    // One byte is for the NUL behind it.
    if path.len() >= address.sun_path.len() || path.contains(&0) {
        return Err(Failure::new("connect", libc::ENAMETOOLONG));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(path) {
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    let address_bytes = std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1;
    Ok((address, libc::socklen_t::try_from(address_bytes).expect("at most 110")))
}

/// Sends bytes, as many as need no waiting. A peer that is gone raises no signal.
///
/// # Errors
/// What the system said.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> Outcome<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the memory is borrowed for the call.
    retried("send", || unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

// Miri has no such sockets.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_connection_shows_what_is_pending_and_a_peer_that_is_gone_raises_no_signal() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let socket = connect(&path).expect("a connection");
        let (mut peer, _) = listener.accept().expect("a connection");
        assert_eq!(readable(socket.as_fd()), Pending::Nothing);
        assert_eq!(send(socket.as_fd(), b"words"), Ok(5));
        let mut words = [0; 5];
        peer.read_exact(&mut words).expect("what was sent");
        assert_eq!(&words, b"words");
        peer.write_all(b"x").expect("a byte");
        assert_eq!((readable(socket.as_fd()), urgent(socket.as_fd())), (Pending::Event, Pending::Nothing));
        drop(peer);
        assert_eq!(send(socket.as_fd(), b"x"), Err(Failure::new("send", libc::EPIPE)));
    }

    #[test]
    fn there_is_no_connection_where_nobody_listens_nor_by_a_path_that_is_too_long() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("socket");
        assert_eq!(connect(&path).map(drop), Err(Failure::new("connect", libc::ENOENT)));
        drop(UnixListener::bind(&path).expect("a socket"));
        assert_eq!(connect(&path).map(drop), Err(Failure::new("connect", libc::ECONNREFUSED)));
        let long = Path::new("/").join("a".repeat(107));
        assert_eq!(connect(&long).map(drop), Err(Failure::new("connect", libc::ENAMETOOLONG)));
    }

    #[test]
    fn files_of_the_kernel_are_told_from_others() {
        assert!(is_of_kernel(&File::open("/proc/self/stat").expect("a file of the kernel")));
        assert!(!is_of_kernel(&tempfile::tempfile().expect("a file")));
    }
}
