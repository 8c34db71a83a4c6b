//! What the rest of the machine sees of a pager: descriptors, names, modes, and what is left when the process is gone.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pageout::{Error, Handle, Pager};
use pageout_testing::{
    KIB, MIB, Setup, assert_passed, assert_same, builder, by_way_of, elements, eventually, in_own_mounts, in_own_process,
    is_own_process, names, own_process, scratch, skip, succeeds, text, u64_of,
};

/// Tells a process where its scratch directory is.
const SCRATCH: &str = "PAGEOUT_TEST_SCRATCH";
/// Tells a process how many MiB to put out.
const SIZE_MIB: &str = "PAGEOUT_TEST_MIB";
/// Tells a process how to end.
const END: &str = "PAGEOUT_TEST_END";

fn variable(name: &str) -> String {
    std::env::var(name).expect("the variable is set")
}

/// The descriptors of this process, with what they lead to.
fn descriptors() -> Vec<(i32, PathBuf)> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a listing");
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
    let all = entries.map(|entry| entry.expect("an entry")).map(|entry| {
        let target = std::fs::read_link(entry.path());
        (number(entry), target)
    });
    // The descriptor of the listing itself is gone when it is looked at after the listing, and may be looked at before.
    all.filter_map(|(number, target)| target.ok().map(|target| (number, target))).collect()
}

/// Scratch files among the descriptors of this process.
fn scratch_files(scratch: &Path) -> Vec<i32> {
    let below = descriptors().into_iter().filter(|(_, target)| target.starts_with(scratch) && target != scratch);
    below.map(|(number, _)| number).collect()
}

#[test]
fn descriptors_do_not_grow_with_handles() {
    for setup in [Setup::Native, Setup::Portable] {
        let pager = setup.pager();
        let whole = elements::<u64>(300, 1);
        let page_out = || pager.pageout(&mut [whole.clone()]).expect("a pageout");
        let mut handles: Vec<Handle> = (0..10).map(|_| page_out()).collect();
        let files = scratch_files(pager.scratch.path());
        assert_eq!(files.len(), 1);
        handles.extend((0..100_000).map(|_| page_out()));
        assert_eq!(scratch_files(pager.scratch.path()), files, "{setup:?}");
        assert_eq!(names(pager.scratch.path()), [""; 0], "{setup:?}");
        for handle in handles.iter().step_by(9_999) {
            let mut all = Vec::new();
            pager.read_at(handle, 0, 300, &mut all).expect("a read");
            assert_same(&all, &whole);
        }
        drop(handles);
        assert_eq!(pager.stats().used_bytes, 0);
    }
}

#[test]
fn descriptors_are_bounded_by_classes_and_threads() {
    let pager = Setup::Native.pager();
    let lens: Vec<usize> = (12..=22).map(|power| 1 << power).collect();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for &len in &lens {
                    drop(pager.pageout(&mut [vec![1u8; len]]).expect("a pageout"));
                }
            });
        }
    });
    let files = scratch_files(pager.scratch.path()).len();
    assert!(files <= lens.len() * 4, "{files} files for {} classes", lens.len());
    // The keeper may have one of them in hand.
    let is_empty = || {
        pager.trim().expect("a trim");
        scratch_files(pager.scratch.path()).is_empty()
    };
    eventually(|| "nothing is out", is_empty);
}

#[test]
fn no_name_is_ever_left_in_the_scratch_directory() {
    for setup in Setup::ALL {
        let pager = setup.pager();
        let mut handles = Vec::new();
        for len in [1, 5 * KIB, 70 * KIB, 2 * MIB] {
            handles.push(pager.pageout(&mut [elements::<u8>(len, 1)]).expect("a pageout"));
            assert_eq!(names(pager.scratch.path()), [""; 0], "{setup:?}");
        }
        for handle in handles {
            pager.take(handle, &mut Vec::new()).expect("a take");
            assert_eq!(names(pager.scratch.path()), [""; 0], "{setup:?}");
        }
    }
}

/// Runs the test again in a process with another umask.
fn with_umask(umask: &str, test: &str) {
    let script = format!("umask {umask} && exec \"$0\" \"$@\"");
    let output = by_way_of("sh", &["-c", &script], &own_process(test)).output().expect("a shell");
    assert_passed(test, &output);
}

#[test]
fn scratch_files_are_for_their_owner_alone_whatever_the_umask() {
    let test = "scratch_files_are_for_their_owner_alone_whatever_the_umask";
    if !is_own_process(test) {
        return ["000", "022", "077"].into_iter().for_each(|umask| with_umask(umask, test));
    }
    for setup in [Setup::Native, Setup::Portable] {
        let pager = setup.pager();
        let _held = [KIB, 20 * KIB, MIB].map(|len| pager.pageout(&mut [vec![1u8; len]]).expect("a pageout"));
        let files = scratch_files(pager.scratch.path());
        assert_eq!(files.len(), 3);
        for file in files {
            let facts = std::fs::metadata(format!("/proc/self/fd/{file}")).expect("an open file");
            assert_eq!((facts.permissions().mode() & 0o7777, facts.nlink()), (0o600, 0), "{setup:?}");
        }
    }
}

#[test]
fn scratch_files_cannot_be_linked_back_into_view() {
    for setup in [Setup::Native, Setup::Portable] {
        let pager = setup.pager();
        let _held = pager.pageout(&mut [vec![1u8; 20]]).expect("a pageout");
        for file in scratch_files(pager.scratch.path()) {
            let (from, to) = (format!("/proc/{}/fd/{file}", std::process::id()), pager.scratch.path().join("name"));
            assert!(!succeeds("ln", &["-L", &from, text(&to)]), "{setup:?}");
            assert_eq!(names(pager.scratch.path()), [""; 0]);
        }
    }
}

#[test]
fn programs_that_are_started_inherit_no_scratch_file() {
    for setup in [Setup::Native, Setup::Portable] {
        let pager = setup.pager();
        let _held = [KIB, MIB].map(|len| pager.pageout(&mut [vec![1u8; len]]).expect("a pageout"));
        let own = descriptors().into_iter().filter(|(_, target)| target.starts_with(pager.scratch.path())).count();
        assert_eq!(own, 3, "two files and the directory");
        let output = Command::new("sh").args(["-c", "for fd in /proc/self/fd/*; do readlink $fd; done; echo end"]).output();
        let listing = String::from_utf8(output.expect("a shell").stdout).expect("names in UTF-8");
        assert!(listing.ends_with("end\n") && !listing.contains(text(pager.scratch.path())), "{setup:?}:\n{listing}");
    }
}

/// Says that all is well where standard output is closed.
const ALL_IS_WELL: i32 = 42;
/// Tells a process which standard streams to close: the sum of 1 for input, 2 for output and 4 for errors.
const CLOSED: &str = "PAGEOUT_TEST_CLOSED";

#[test]
#[allow(unsafe_code, reason = "closing a standard stream has no safe form")]
fn scratch_files_never_become_standard_streams() {
    let test = "scratch_files_never_become_standard_streams";
    if !is_own_process(test) {
        return (0..8).for_each(|closed| with_closed_streams(closed, test));
    }
    let closed: i32 = variable(CLOSED).parse().expect("a number");
    for setup in [Setup::Native, Setup::Portable] {
        for stream in (0..3).filter(|stream| closed & (1 << stream) != 0) {
            // SAFETY: nothing owns the standard streams; what prints to them from now on gets an error or harmless files.
            unsafe { libc::close(stream) };
        }
        let pager = setup.pager();
        let handles = [KIB, 20 * KIB, MIB].map(|len| pager.pageout(&mut [elements::<u8>(len, 1)]).expect("a pageout"));
        let below = descriptors().into_iter().filter(|(_, target)| target.starts_with(pager.scratch.path()));
        let numbers: Vec<i32> = below.map(|(number, _)| number).collect();
        if numbers.len() != 4 || numbers.iter().any(|&number| number < 3) {
            std::process::exit(ALL_IS_WELL + 1);
        }
        for handle in handles {
            let (len, mut all) = (handle.len(), Vec::new());
            pager.take(handle, &mut all).expect("a take");
            assert_same(&all, &elements::<u8>(len, 1));
        }
    }
    std::process::exit(ALL_IS_WELL);
}

/// Starts a process without some of the standard streams. The standard library opens harmless files in their place before
/// `main`, so the process closes them once more.
fn with_closed_streams(closed: u32, test: &str) {
    let redirections = [(1, " <&-"), (2, " >&-"), (4, " 2>&-")].map(|(bit, close)| if closed & bit != 0 { close } else { "" });
    let script = format!("exec \"$0\" \"$@\"{}", redirections.concat());
    let mut command = by_way_of("sh", &["-c", &script], &own_process(test));
    command.env(CLOSED, closed.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("a shell");
    assert_eq!(status.code(), Some(ALL_IS_WELL), "with {closed} closed");
}

/// The part of the process that is killed: puts payloads out, says so, and ends as it is told.
#[test]
#[ignore = "is started by other tests"]
fn puts_payloads_out_and_ends() {
    if !is_own_process("puts_payloads_out_and_ends") {
        return;
    }
    let pager = Pager::builder().scratch_dir(variable(SCRATCH)).allow_ram_backed(true).integrity(false).build();
    let pager = pager.expect("a pager");
    let whole = elements::<u8>(MIB, 1);
    let mut chunks = [Vec::with_capacity(MIB)];
    let count = variable(SIZE_MIB).parse().expect("a number");
    let handles: Vec<_> = (0..count)
        .map(|_| {
            chunks[0].extend_from_slice(&whole);
            pager.pageout(&mut chunks).expect("a pageout")
        })
        .collect();
    std::io::Write::write_all(&mut std::io::stdout(), b"\nall is out\n").expect("somebody listens");
    // Until the other side closes the pipe, or kills this process.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
    match variable(END).as_str() {
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "panic" => panic!("with {} handles", handles.len()),
        _ => drop(handles),
    }
}

/// Starts that process and waits until everything is out.
fn with_payloads_out(scratch: &Path, size_mib: usize, end: &str) -> Child {
    let mut command = own_process("puts_payloads_out_and_ends");
    command.env(SCRATCH, scratch).env(SIZE_MIB, size_mib.to_string()).env(END, end);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("this executable runs again");
    let lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    let said = lines.map_while(Result::ok).any(|line| line == "all is out");
    assert!(said, "the process ended early with {:?}", child.wait());
    child
}

#[test]
fn nothing_is_left_however_the_process_ends() {
    for end in ["return", "exit", "abort", "panic", "kill"] {
        let scratch = scratch();
        let mut child = with_payloads_out(scratch.path(), 16, end);
        assert_eq!(names(scratch.path()), [""; 0], "while it runs");
        if end == "kill" {
            child.kill().expect("a process that runs");
        }
        drop(child.stdin.take());
        let status = child.wait().expect("a process that ends");
        assert_eq!(status.success(), end == "return", "{end}: {status}");
        assert_eq!(names(scratch.path()), [""; 0], "{end}");
        std::fs::remove_dir(scratch.path()).expect("an empty directory");
    }
}

/// Bytes that a file system has free.
fn free_bytes(path: &Path) -> u64 {
    let output = Command::new("stat").args(["-f", "-c", "%f %S", text(path)]).output().expect("stat");
    let numbers = String::from_utf8(output.stdout).expect("digits");
    numbers.split_whitespace().map(|number| number.parse::<u64>().expect("a number")).product()
}

/// Makes a file system of `size_mib` MiB in an image below `root` and mounts it. Gives the place, or nothing where the
/// machine cannot do that.
fn mounted_image(root: &Path, size_mib: usize) -> Option<PathBuf> {
    let (image, place) = (root.join("image"), root.join("mounted"));
    std::fs::create_dir(&place).expect("a new directory");
    let file = std::fs::File::create(&image).expect("a new file");
    file.set_len(u64_of(size_mib * MIB)).expect("a sparse file");
    let made = succeeds("mkfs.ext4", &["-q", "-m", "0", text(&image)]);
    (made && succeeds("mount", &["-o", "loop", text(&image), text(&place)])).then_some(place)
}

#[test]
fn the_kernel_has_every_byte_back_after_a_kill() {
    let test = "the_kernel_has_every_byte_back_after_a_kill";
    in_own_mounts(test, |root| {
        let Some(place) = mounted_image(root, 1400) else {
            return skip(test, "no file system image can be made and mounted");
        };
        let scratch = place.join("scratch");
        std::fs::create_dir(&scratch).expect("a new directory");
        let before = free_bytes(&place);
        let mut child = with_payloads_out(&scratch, 1024, "never");
        assert!(before - free_bytes(&place) >= 1 << 30, "1 GiB is out");
        assert_eq!(names(&scratch), [""; 0]);
        child.kill().expect("a process that runs");
        child.wait().expect("a process that ends");
        assert_eq!(names(&scratch), [""; 0]);
        assert_eq!(free_bytes(&place), before);
        assert!(succeeds("umount", &[text(&place)]), "nobody holds the file system");
    });
}

#[test]
fn a_directory_in_memory_is_refused_unless_it_is_allowed() {
    let test = "a_directory_in_memory_is_refused_unless_it_is_allowed";
    let Ok(root) = tempfile::tempdir_in("/dev/shm") else { return skip(test, "there is no /dev/shm") };
    for portable in [false, true] {
        let builder = || if portable { Pager::builder().portable() } else { Pager::builder() };
        let error = builder().scratch_dir(root.path()).build().expect_err("a directory in memory");
        assert_eq!((error.code(), error.kind()), ("ERR_PAGEOUT_RAM_BACKED", ErrorKind::Unsupported));
        let Error::RamBacked { path, file_system, .. } = &error else { panic!("{error:?}") };
        assert_eq!((&**path, file_system.as_str()), (root.path(), "tmpfs"));
        assert!(error.to_string().contains(text(root.path())), "{error}");
        let pager = builder().scratch_dir(root.path()).allow_ram_backed(true).build().expect("it is allowed");
        assert_eq!(pager.stats().file_system.as_deref(), Some("tmpfs"));
        let handle = pager.pageout(&mut [elements::<u64>(1_000, 1)]).expect("a pageout");
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &elements::<u64>(1_000, 1));
        assert_eq!(names(root.path()), [""; 0]);
    }
}

/// Mounts an overlay whose files are written below `upper`; says whether that worked.
fn overlay(upper: &Path, place: &Path) -> bool {
    let parts = ["lower", "upper", "work"].map(|name| upper.join(name));
    for part in &parts {
        std::fs::create_dir(part).expect("a new directory");
    }
    let [lower, upper, work] = parts.each_ref().map(|part| text(part));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    succeeds("mount", &["-t", "overlay", "overlay", "-o", &options, text(place)])
}

#[test]
fn an_overlay_over_memory_is_refused_unless_it_is_allowed() {
    let test = "an_overlay_over_memory_is_refused_unless_it_is_allowed";
    in_own_mounts(test, |root| {
        let [memory, on_memory, disk, on_disk] = ["memory", "on memory", "disk", "on disk"].map(|name| root.join(name));
        for path in [&memory, &on_memory, &disk, &on_disk] {
            std::fs::create_dir(path).expect("a new directory");
        }
        assert!(succeeds("mount", &["-t", "tmpfs", "none", text(&memory)]));
        if !overlay(&memory, &on_memory) || !overlay(&disk, &on_disk) {
            return skip(test, "no overlay can be mounted");
        }
        let error = Pager::builder().scratch_dir(on_memory.join("new")).build().expect_err("a directory in memory");
        assert!(matches!(&error, Error::RamBacked { file_system, .. } if file_system == "overlay"), "{error:?}");
        drop(Pager::builder().scratch_dir(&on_memory).allow_ram_backed(true).build().expect("it is allowed"));
        if Pager::builder().scratch_dir(root).build().is_err() {
            return skip(test, "the second half: the temporary directory is in memory");
        }
        let pager = Pager::builder().scratch_dir(&on_disk).build().expect("an overlay over a disk");
        assert_eq!(pager.stats().file_system.as_deref(), Some("overlay"));
    });
}

/// The reason for which a directory was refused.
fn refusal(path: &Path) -> Error {
    match builder(path).build().expect_err("an unusable directory") {
        Error::ScratchDir { tried } if tried.len() == 1 && tried[0].path == path => tried[0].reason.clone(),
        error => panic!("{error:?}"),
    }
}

#[test]
fn an_unusable_directory_is_refused_with_what_the_system_said() {
    let root = scratch();
    let file = root.path().join("file");
    std::fs::write(&file, "kept").expect("a new file");
    assert!(matches!(refusal(&file).code(), "ENOTDIR" | "EEXIST"));
    assert_eq!(refusal(&file.join("below")).code(), "ENOTDIR");
    assert_eq!(refusal(&root.path().join("x".repeat(300))).code(), "ENAMETOOLONG");
    let circle = root.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).expect("a new link");
    assert!(matches!(refusal(&circle.join("below")).code(), "ELOOP"));
    let dangling = root.path().join("dangling");
    std::os::unix::fs::symlink(root.path().join("nowhere"), &dangling).expect("a new link");
    refusal(&dangling);
    refusal(Path::new("/proc/self"));
    assert_eq!(std::fs::read(&file).expect("the file is left alone"), b"kept");
}

#[test]
fn a_read_only_directory_is_refused() {
    let test = "a_read_only_directory_is_refused";
    in_own_mounts(test, |root| {
        let place = root.join("place");
        std::fs::create_dir(&place).expect("a new directory");
        assert!(succeeds("mount", &["-t", "tmpfs", "-o", "ro", "none", text(&place)]));
        assert_eq!(refusal(&place).code(), "EROFS");
        assert_eq!(refusal(&place.join("new")).code(), "EROFS");
    });
}

#[test]
fn a_directory_without_permission_is_refused() {
    let test = "a_directory_without_permission_is_refused";
    let root = scratch();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o500)).expect("the own directory");
    if std::fs::write(root.path().join("probe"), "").is_ok() {
        return skip(test, "this user may write everywhere");
    }
    assert_eq!(refusal(root.path()).code(), "EACCES");
}

#[test]
fn a_directory_in_other_hands_is_refused() {
    let test = "a_directory_in_other_hands_is_refused";
    let root = scratch();
    let set_mode =
        |mode| std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(mode)).expect("the own directory");
    set_mode(0o777);
    drop(builder(root.path()).build().expect("everybody may write to it, and it is this user's own"));
    if std::os::unix::fs::chown(root.path(), Some(54_321), None).is_err() {
        return skip(test, "this user may not give a directory away");
    }
    let error = refusal(root.path());
    assert_eq!((error.code(), error.kind()), ("ERR_PAGEOUT_SCRATCH_DIR", ErrorKind::PermissionDenied));
    let words = "belongs to another user, and everybody may write to it (owner 54321, mode 0777)";
    assert!(error.to_string().contains(words), "{error}");
    set_mode(0o1777);
    assert!(refusal(root.path()).to_string().contains("mode 1777"), "the sticky bit does not bind the owner");
    set_mode(0o755);
    drop(builder(root.path()).build().expect("only its owner and root may write to it"));
}

#[test]
fn a_missing_directory_is_made_with_its_parents() {
    for setup in Setup::ALL {
        let root = scratch();
        let deep = root.path().join("a/b/c");
        let pager = setup.builder(&deep).build().expect("a pager");
        assert!(deep.is_dir());
        assert_eq!(pager.stats().scratch_dir, Some(deep));
    }
}

#[test]
fn a_link_to_a_directory_and_a_relative_path_may_be_named() {
    let test = "a_link_to_a_directory_and_a_relative_path_may_be_named";
    in_own_process(
        test,
        |_| {},
        || {
            let root = scratch();
            std::env::set_current_dir(root.path()).expect("a directory");
            std::fs::create_dir("real").expect("a new directory");
            std::os::unix::fs::symlink("real", "link").expect("a new link");
            for name in ["real", "link", "./real/../new", "ünï cødé \u{1f5dc}"] {
                let pager = builder(Path::new(name)).build().expect("a pager");
                let used = pager.stats().scratch_dir.expect("a directory");
                assert!(used.is_absolute() && used.starts_with(root.path()), "{}", used.display());
                std::env::set_current_dir("/").expect("a directory");
                drop(pager.pageout(&mut [vec![1u8; 9]]).expect("a pageout after a change of directory"));
                std::env::set_current_dir(root.path()).expect("a directory");
            }
        },
    );
}

#[test]
fn a_directory_that_is_renamed_keeps_what_is_in_it_and_is_made_again() {
    for setup in [Setup::Native, Setup::Portable] {
        let root = scratch();
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        let pager = setup.builder(&old).build().expect("a pager");
        let handle = pager.pageout(&mut [elements::<u64>(1_000, 1)]).expect("a pageout");
        std::fs::rename(&old, &new).expect("a directory");
        let large = pager.pageout(&mut [elements::<u64>(100_000, 1)]).expect("a pageout into a new file");
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &elements::<u64>(1_000, 1));
        pager.take(large, &mut all).expect("a take");
        assert_same(&all, &elements::<u64>(100_000, 1));
        assert_eq!((names(&old), names(&new)), (Vec::new(), Vec::new()), "{setup:?}");
    }
}

#[test]
fn a_directory_that_is_removed_costs_new_files_at_most() {
    for setup in [Setup::Native, Setup::Portable] {
        let root = scratch();
        let place = root.path().join("place");
        let pager = setup.builder(&place).build().expect("a pager");
        let whole = elements::<u64>(1_000, 1);
        let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout");
        std::fs::remove_dir(&place).expect("an empty directory");
        let mut chunks = [elements::<u64>(100_000, 2)];
        // ext4 says EPERM where others say ENOENT; tmpfs makes unnamed files all the same.
        if let Err(error) = pager.pageout(&mut chunks) {
            assert!(matches!(error.code(), "ENOENT" | "EPERM"), "{error:?}");
            assert_same(&chunks[0], &elements::<u64>(100_000, 2));
        }
        let second = pager.pageout(&mut [whole.clone()]).expect("a place in a file that is open");
        for handle in [handle, second] {
            let mut all = Vec::new();
            pager.take(handle, &mut all).expect("a take");
            assert_same(&all, &whole);
        }
    }
}

#[test]
fn a_limit_of_descriptors_is_an_ordinary_error() {
    let test = "a_limit_of_descriptors_is_an_ordinary_error";
    if !is_own_process(test) {
        let limited = ["-c", "ulimit -n 64 && exec \"$0\" \"$@\""];
        return assert_passed(test, &by_way_of("sh", &limited, &own_process(test)).output().expect("a shell"));
    }
    let pager = Setup::Native.pager();
    let whole = elements::<u64>(1_000, 1);
    let held = pager.pageout(&mut [whole.clone()]).expect("a pageout");
    let mut others = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        others.push(file);
    }
    let mut chunks = [elements::<u64>(100_000, 1)];
    let error = pager.pageout(&mut chunks).expect_err("a new file needs a descriptor");
    let same_class = pager.pageout(&mut [whole.clone()]);
    let (mut all, mut some) = (Vec::new(), Vec::new());
    let read = pager.read_at_many(&held, &[(900, 50), (0, 50)], &mut some);
    let taken = pager.take(held, &mut all);
    drop(others);
    assert_eq!(error.code(), "EMFILE");
    read.expect("a read needs no descriptor");
    taken.expect("a take needs no descriptor");
    assert_same(&all, &whole);
    drop(same_class.expect("an open file serves"));
    drop(pager.pageout(&mut chunks).expect("it works again"));
}
