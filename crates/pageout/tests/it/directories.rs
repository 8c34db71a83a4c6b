//! What may be a scratch directory: nothing that blocks, nothing in memory, nothing that lets other users at the files.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use pageout::{Error, Pager};
use pageout_testing::mounts::{FileSystem, Fuse, run};
use pageout_testing::{Setup, check_works, in_own_mounts, names, scratch, skip, text};

/// The reason for which a directory was refused.
fn reason(error: Error) -> Error {
    match error {
        Error::ScratchDir { mut tried } if tried.len() == 1 => tried.remove(0).reason,
        error => error,
    }
}

/// What becomes of opening `path`, which must not take as long as it likes.
fn opened_at_once(setup: Setup, path: &Path) -> Result<Pager, Error> {
    let (sender, receiver) = mpsc::channel();
    let builder = setup.builder(path);
    std::thread::spawn(move || sender.send(builder.build().map_err(reason)));
    receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{setup:?}: {} blocks", path.display()))
}

#[test]
fn what_is_no_directory_is_refused_at_once() {
    let root = scratch();
    let [fifo, socket, file] = ["fifo", "socket", "file"].map(|name| root.path().join(name));
    run("mkfifo", &[text(&fifo)]).expect("a FIFO");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    std::fs::write(&file, "kept").expect("a new file");
    let mut places = vec![fifo, socket, file, "/dev/null".into(), "/dev/zero".into(), "/dev/tty".into()];
    let links: Vec<PathBuf> = (0..places.len()).map(|number| root.path().join(format!("link {number}"))).collect();
    for (link, place) in links.iter().zip(&places) {
        std::os::unix::fs::symlink(place, link).expect("a new link");
    }
    places.extend(links);
    for place in places {
        for setup in [Setup::Native, Setup::Portable] {
            let error = opened_at_once(setup, &place).expect_err("no directory");
            assert_eq!(error.code(), "ENOTDIR", "{setup:?}, {}: {error}", place.display());
        }
        let error = opened_at_once(Setup::Native, &place.join("below")).expect_err("below what is no directory");
        assert_eq!(error.code(), "ENOTDIR", "{}: {error}", place.display());
    }
}

/// What becomes of a directory where memory is not allowed.
fn outcome(path: &Path) -> Result<Pager, Error> {
    Pager::builder().scratch_dir(path).build().map_err(reason)
}

#[track_caller]
fn assert_ram_backed(path: &Path, file_system: &str) {
    for portable in [false, true] {
        let builder = Pager::builder().scratch_dir(path);
        let error = if portable { builder.portable() } else { builder }.build().expect_err("a directory in memory");
        assert!(matches!(&error, Error::RamBacked { file_system: name, .. } if name == file_system), "{error:?}");
    }
    assert_eq!(names(path).iter().filter(|name| name.starts_with(".pageout")).count(), 0);
}

/// Says whether directories on the disk of this machine's temporary directory are served at all.
fn has_disk(test: &str, root: &Path) -> bool {
    let is_served = outcome(root).is_ok();
    if !is_served {
        skip(test, "the part on a disk: the temporary directory is in memory");
    }
    is_served
}

/// An overlay in `place` whose files are written below `upper`.
fn overlay(upper: &Path, place: &Path) -> Result<(), String> {
    let parts = ["lower", "upper", "work"].map(|name| upper.join(name));
    for part in parts.iter().chain([&place.to_owned()]) {
        std::fs::create_dir_all(part).expect("a directory");
    }
    let [lower, upper, work] = parts.each_ref().map(|part| text(part));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    run("mount", &["-t", "overlay", "overlay", "-o", &options, text(place)])
}

#[test]
fn an_overlay_is_what_its_upper_directory_is_on_also_where_no_path_leads_there() {
    let test = "an_overlay_is_what_its_upper_directory_is_on_also_where_no_path_leads_there";
    in_own_mounts(test, |root| {
        let [memory, on_memory, disk, on_disk] = ["memory", "on memory", "disk", "on disk"].map(|name| root.join(name));
        for (place, kind) in [(&memory, &["-t", "tmpfs", "none"][..]), (&disk, &["--bind", text(root)])] {
            std::fs::create_dir(place).expect("a new directory");
            run("mount", &[kind, &[text(place)]].concat()).expect("a mount");
        }
        for (below, place) in [(&memory, &on_memory), (&disk.join("parts"), &on_disk)] {
            if let Err(reason) = overlay(below, place) {
                return skip(test, &reason);
            }
        }
        assert_ram_backed(&on_memory, "overlay");
        for place in [&memory, &disk] {
            run("umount", &["-l", text(place)]).expect("a mount");
        }
        assert_ram_backed(&on_memory, "overlay");
        check_works(&Pager::builder().scratch_dir(&on_memory).allow_ram_backed(true).build().expect("it is allowed"));
        if has_disk(test, root) {
            check_works(&outcome(&on_disk).expect("an overlay over a disk"));
        }
    });
}

#[test]
fn a_mount_point_that_is_no_text_hides_nothing() {
    let test = "a_mount_point_that_is_no_text_hides_nothing";
    in_own_mounts(test, |root| {
        let strange = root.join(std::ffi::OsStr::from_bytes(b"D\xe9"));
        std::fs::create_dir(&strange).expect("a new directory");
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&strange).status();
        assert!(mounted.expect("a program").success());
        let (memory, place) = (root.join("memory"), root.join("place"));
        std::fs::create_dir(&memory).expect("a new directory");
        run("mount", &["-t", "tmpfs", "none", text(&memory)]).expect("a mount");
        match overlay(&memory, &place) {
            Ok(()) => assert_ram_backed(&place, "overlay"),
            Err(reason) => skip(test, &reason),
        }
        let error = outcome(&strange).expect_err("a directory in memory");
        assert!(matches!(&error, Error::RamBacked { file_system, .. } if file_system == "tmpfs"), "{error:?}");
    });
}

#[test]
fn a_file_system_in_a_file_is_what_the_file_is_on() {
    let test = "a_file_system_in_a_file_is_what_the_file_is_on";
    in_own_mounts(test, |root| {
        let memory = root.join("memory");
        std::fs::create_dir(&memory).expect("a new directory");
        run("mount", &["-t", "tmpfs", "-o", "size=2g", "none", text(&memory)]).expect("a mount");
        let has_disk = has_disk(test, root);
        for (kind, size_mib) in [("ext4", 64), ("ext2", 64), ("xfs", 320), ("btrfs", 192)] {
            for (images, is_memory) in [(memory.as_path(), true), (root, false)] {
                match FileSystem::in_image(kind, size_mib, images, root, &[]) {
                    Ok(system) => check_system(&system, is_memory, has_disk),
                    Err(reason) => skip(&format!("{test} on {kind}"), &reason),
                }
            }
        }
    });
}

/// Checks a file system in a file, and a subvolume where it has some: those have numbers that the table of mounts does not show.
fn check_system(system: &FileSystem, is_memory: bool, has_disk: bool) {
    let subvolume = system.place.join("subvolume");
    let has_subvolume = system.kind == "btrfs" && run("btrfs", &["subvolume", "create", text(&subvolume)]).is_ok();
    for place in [Some(&system.place), has_subvolume.then_some(&subvolume)].into_iter().flatten() {
        match is_memory {
            true => assert_ram_backed(place, system.kind),
            false if has_disk => check_works(&outcome(place).unwrap_or_else(|error| panic!("{}: {error}", system.kind))),
            false => {}
        }
    }
    // The file may be gone while the file system is there.
    std::fs::remove_file(&system.image).expect("the image");
    assert_eq!(matches!(outcome(&system.place), Err(Error::RamBacked { .. })), is_memory || !has_disk, "{}", system.kind);
    system.unmount().expect("nobody holds the file system");
}

/// A block device of compressed memory, which ends with this.
struct Zram {
    number: String,
}

impl Zram {
    const CONTROL: &str = "/sys/class/zram-control";

    fn new() -> Result<Self, String> {
        let number = std::fs::read_to_string(format!("{}/hot_add", Self::CONTROL)).map_err(|error| format!("zram: {error}"))?;
        let this = Self { number: number.trim().to_owned() };
        std::fs::write(format!("/sys/block/zram{}/disksize", this.number), "64M").map_err(|error| format!("zram: {error}"))?;
        Ok(this)
    }

    fn device(&self) -> PathBuf {
        format!("/dev/zram{}", self.number).into()
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _ = std::fs::write(format!("/sys/block/zram{}/reset", self.number), "1");
        let _ = std::fs::write(format!("{}/hot_remove", Self::CONTROL), &self.number);
    }
}

/// Checks that a file system on a block device counts as memory.
fn check_memory_device(device: &Path, root: &Path, test: &str) {
    for kind in ["ext4", "btrfs"] {
        // Smaller ones put both kinds of blocks together, which is as good here.
        let options: &[&str] = if kind == "btrfs" { &["-q", "-f", "-M"] } else { &["-q", "-F"] };
        let place = root.join(kind);
        std::fs::create_dir_all(&place).expect("a directory");
        let made = run(&format!("mkfs.{kind}"), &[options, &[text(device)]].concat());
        match made.and_then(|()| run("mount", &[text(device), text(&place)])) {
            Ok(()) => {
                assert_ram_backed(&place, kind);
                run("umount", &[text(&place)]).expect("nobody holds the file system");
            }
            Err(reason) => skip(&format!("{test} on {kind}"), &reason),
        }
    }
}

#[test]
fn block_devices_that_are_memory_are_refused() {
    let test = "block_devices_that_are_memory_are_refused";
    in_own_mounts(test, |root| {
        match Zram::new() {
            Ok(zram) => check_memory_device(&zram.device(), root, test),
            Err(reason) => skip(test, &reason),
        }
        // One that is in use is left alone.
        match File::options().read(true).write(true).open("/dev/ram0") {
            Ok(_) => check_memory_device(Path::new("/dev/ram0"), root, test),
            Err(error) => skip(test, &format!("RAM disk: {error}")),
        }
    });
}

/// What becomes of a directory of a file system that makes owners and modes up as `options` say.
fn with_made_up(root: &Path, options: &[&str]) -> Result<Result<(), Error>, String> {
    let fuse = Fuse::mounted(root, options)?;
    let built = Setup::Native.builder(&fuse.place).build().map_err(reason);
    let outcome = built.map(|pager| check_works(&pager));
    // FUSE itself renames files that are removed while they are open, until it has heard that they are closed.
    assert_eq!(names(&fuse.place).iter().filter(|name| !name.starts_with(".fuse_hidden")).count(), 0, "{options:?}");
    Ok(outcome)
}

#[test]
fn made_up_owners_and_modes_serve_where_that_is_safe_and_else_are_told() {
    let test = "made_up_owners_and_modes_serve_where_that_is_safe_and_else_are_told";
    in_own_mounts(test, |root| {
        let safe: [&[&str]; 5] = [
            &[],
            &["--force-user=root", "--perms=u=rwX:go="],
            &["--perms=u=rwX:go="],
            &["--no-allow-other", "--force-user=nobody"],
            &["--no-allow-other", "--perms=a+rwX"],
        ];
        for options in safe {
            match with_made_up(root, options) {
                Ok(outcome) => outcome.unwrap_or_else(|error| panic!("{options:?}: {error}")),
                Err(reason) => return skip(test, &reason),
            }
        }
        let unsafe_ones: [(&[&str], &str, u32); 3] = [
            (&["--force-user=nobody"], "gives what this process creates in it to another user (owner 65534, mode 0700)", 65_534),
            (
                &["--perms=a+rwX"],
                "lets other users into what this process creates in it, whatever mode is set (owner 0, mode 0777)",
                0,
            ),
            (&["--force-user=nobody", "--perms=a+rwX"], "belongs to another user, and everybody may write to it", 65_534),
        ];
        for (options, words, owner) in unsafe_ones {
            let error = with_made_up(root, options).expect("it worked before").expect_err("others can reach the files");
            assert!(error.to_string().contains(words), "{options:?}: {error}");
            let Error::Exposed { exposure, .. } = &error else { panic!("{error:?}") };
            assert_eq!((exposure.owner, error.code()), (owner, "ERR_PAGEOUT_SCRATCH_DIR"), "{options:?}");
        }
    });
}

#[test]
fn a_directory_of_this_user_serves_whatever_its_mode() {
    for setup in [Setup::Native, Setup::Portable] {
        for mode in [0o700, 0o755, 0o777, 0o1777, 0o2777] {
            let root = scratch();
            std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(mode)).expect("the own directory");
            check_works(&setup.builder(root.path()).build().expect("the own directory"));
            assert_eq!(names(root.path()), [""; 0], "{setup:?}, {mode:o}");
        }
    }
}
