use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

use super::*;

/// `some 200000 2000000` and a NUL, as systemd writes it.
const SETTINGS: &str = "c29tZSAyMDAwMDAgMjAwMDAwMAA=";
const PLAIN_SETTINGS: &[u8] = b"some 200000 2000000\0";

fn watch(place: &Path, settings: Option<&str>) -> Watch {
    Watch::open(Some(place.as_os_str()), settings.map(OsStr::new))
}

fn fifo() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    (directory, path)
}

/// Both ends of a FIFO, so that neither waits for the other.
fn both_ends(path: &Path) -> File {
    opened(path, true).expect("an open FIFO")
}

#[test]
#[cfg_attr(miri, ignore = "asks the kernel")]
fn a_fifo_tells_of_pressure_once_for_all_that_is_in_it() {
    let (_directory, path) = fifo();
    let mut watch = watch(&path, None);
    assert!(!watch.is_pressed());
    for _ in 0..2 {
        let mut writer = both_ends(&path);
        writer.write_all(b"xyz").expect("three bytes");
        assert!(watch.is_pressed() && !watch.is_pressed());
        // Another writer may come after the last one has left.
        drop(writer);
        assert!(!watch.is_pressed());
    }
}

#[test]
#[cfg_attr(miri, ignore = "asks the kernel")]
fn a_fifo_gets_the_settings_which_tell_of_no_pressure() {
    let (_directory, path) = fifo();
    let mut other = both_ends(&path);
    let mut reading = watch(&path, Some(SETTINGS));
    let mut read = [0; 20];
    other.read_exact(&mut read).expect("the settings");
    assert_eq!(read, PLAIN_SETTINGS);
    assert!(!reading.is_pressed());
    other.write_all(b"x").expect("a byte");
    assert!(reading.is_pressed());
    // Where nobody reads them they come back.
    let mut alone = watch(&path, Some(SETTINGS));
    assert!(!alone.is_pressed());
    other.write_all(PLAIN_SETTINGS).expect("bytes");
    assert!(alone.is_pressed());
}

#[test]
#[cfg_attr(miri, ignore = "asks the kernel")]
fn more_than_is_discarded_at_once_is_left_for_the_next_look() {
    let (_directory, path) = fifo();
    let mut writer = both_ends(&path);
    let mut watch = watch(&path, None);
    // As much as the pipe holds, which is the bound, and then more.
    while writer.write(&[0; 4096]).is_ok() {}
    assert!(watch.is_pressed() && !watch.is_pressed());
    writer.write_all(b"x").expect("a byte");
    assert!(watch.is_pressed() && !watch.is_pressed());
}

#[test]
#[cfg_attr(miri, ignore = "asks the kernel")]
fn a_socket_gets_the_settings_and_tells_of_pressure_until_its_peer_is_gone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut watch = watch(&path, Some(SETTINGS));
    let (mut peer, _) = listener.accept().expect("a connection");
    let mut read = [0; 20];
    peer.read_exact(&mut read).expect("the settings");
    assert_eq!(read, PLAIN_SETTINGS);
    assert!(!watch.is_pressed());
    peer.write_all(b"xx").expect("two bytes");
    assert!(watch.is_pressed() && !watch.is_pressed());
    peer.write_all(b"x").expect("a byte");
    drop(peer);
    assert!(watch.is_pressed() && !watch.is_pressed());
    assert!(watch.0.is_none());
}

#[test]
#[cfg_attr(miri, ignore = "asks the kernel")]
fn pressure_of_the_machine_can_be_watched() {
    const FILE: &str = "/proc/pressure/memory";
    if opened(Path::new(FILE), true).is_none() {
        let line = format!("skipped: pressure_of_the_machine_can_be_watched: {FILE} cannot be opened");
        return writeln!(std::io::stderr(), "{line}").expect("standard error can be written");
    }
    let mut watched = watch(Path::new(FILE), Some(SETTINGS));
    // Some kernels keep this for the administrator; some machines are under pressure.
    let is_watched = watched.0.is_some();
    watched.is_pressed();
    assert_eq!(watched.0.is_some(), is_watched, "a look does not end a watch");
    // Without settings the kernel has nothing to tell.
    let mut silent = watch(Path::new(FILE), None);
    assert!(!silent.is_pressed() && silent.0.is_none());
    // Settings that it does not understand.
    assert!(watch(Path::new(FILE), Some("c29tZQ==")).0.is_none());
}

#[test]
#[cfg_attr(miri, ignore = "asks the kernel")]
fn what_is_no_place_of_pressure_is_neither_watched_nor_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("a file");
    let (_fifo_directory, fifo) = fifo();
    let long = directory.path().join("a".repeat(200));
    for (place, settings) in [
        (&*file, Some(SETTINGS)),
        (&*file, None),
        (directory.path(), Some(SETTINGS)),
        (Path::new("/dev/null"), Some(SETTINGS)),
        (Path::new("/dev/zero"), None),
        (Path::new("/nonexistent/memory.pressure"), Some(SETTINGS)),
        (Path::new("proc/pressure/memory"), Some(SETTINGS)),
        (Path::new(""), Some(SETTINGS)),
        (&*long, None),
        (&*fifo, Some("no Base64")),
    ] {
        let mut watch = watch(place, settings);
        assert!(watch.0.is_none() && !watch.is_pressed(), "{} {settings:?}", place.display());
    }
    assert!(!Watch::open(None, Some(OsStr::new(SETTINGS))).is_pressed());
    assert_eq!(fs::read(&file).expect("the file"), b"precious");
}

#[test]
fn base64_is_decoded() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zm8=", b"fo"),
        ("Zm9v", b"foo"),
        ("Zm9vYmFy", b"foobar"),
        ("AP/+", b"\0\xff\xfe"),
        (SETTINGS, PLAIN_SETTINGS),
    ] {
        assert_eq!(decoded(text.as_bytes()).as_deref(), Some(bytes), "{text}");
    }
    for text in ["Z", "Zg", "Zg=", "Z===", "====", "Zg=a", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm9-", "\u{e9}\u{e9}"] {
        assert_eq!(decoded(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_is_decoded(bytes in vec(any::<u8>(), 0..50)) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bit = |index: usize| bytes.get(index / 8).map_or(0, |byte| usize::from(byte >> (7 - index % 8) & 1));
        let count = (8 * bytes.len()).div_ceil(6);
        let digits = (0..count).map(|digit| DIGITS[(0..6).fold(0, |value, place| value << 1 | bit(6 * digit + place))]);
        let text: Vec<u8> = digits.chain(std::iter::repeat_n(b'=', count.next_multiple_of(4) - count)).collect();
        prop_assert_eq!(decoded(&text), Some(bytes));
    }

    #[test]
    fn no_text_panics(text in vec(any::<u8>(), 0..20)) {
        decoded(&text);
    }
}
