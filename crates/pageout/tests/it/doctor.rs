//! What is found out about the machine is what a pager meets there, and nothing is left of it.

use std::path::Path;

use pageout::Pager;
use pageout::doctor;
use pageout_testing::{MIB, Setup, builder, in_own_process, names, scratch, u64_of};

#[cfg(target_os = "linux")]
fn said(refused: &[pageout::RefusedDir]) -> Vec<String> {
    refused.iter().map(|refused| format!("{}: {}", refused.path.display(), refused.reason)).collect()
}

/// Open descriptors that lead to `directory` or below.
fn descriptors_in(directory: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").into_iter().flatten().filter_map(Result::ok);
    links.filter_map(|entry| std::fs::read_link(entry.path()).ok()).filter(|path| path.starts_with(directory)).count()
}

#[test]
#[cfg(target_os = "linux")]
fn every_directory_is_refused_as_a_pager_refuses_it() {
    use pageout::{Environment, Error};
    use pageout_testing::mounts::run;
    use pageout_testing::{in_own_mounts, text};

    let test = "every_directory_is_refused_as_a_pager_refuses_it";
    in_own_mounts(test, |root| {
        let [locked, in_memory] = ["locked", "in memory"].map(|name| root.join(name));
        std::fs::create_dir_all(&in_memory).expect("a new directory");
        std::fs::write(&locked, "").expect("a new file");
        for place in [Path::new("/var/tmp"), &in_memory] {
            run("mount", &["-t", "tmpfs", "none", text(place)]).expect("a file system in memory");
        }
        let environment =
            Environment { scratch_dir: Some(locked.join("below")), temporary_dir: in_memory.clone(), capacity_bytes: None };
        let builder = || Pager::builder().environment(environment.clone());
        let facts = doctor::scratch(builder());
        let Err(Error::ScratchDir { tried }) = builder().build().expect("a pager").pageout(&mut [vec![1u8]]) else {
            panic!("a pager finds a directory");
        };
        assert_eq!(said(&facts.refused), said(&tried));
        assert_eq!(
            facts.refused.iter().map(|refused| refused.reason.code()).collect::<Vec<_>>(),
            ["ENOTDIR", "ERR_PAGEOUT_RAM_BACKED", "ERR_PAGEOUT_RAM_BACKED"]
        );
        assert!(facts.chosen.is_none() && facts.untried.is_empty() && facts.error.is_none(), "{facts:?}");
        assert_eq!(doctor::speed(builder()).expect_err("no directory").code(), "ERR_PAGEOUT_SCRATCH_DIR");

        let facts = doctor::scratch(builder().allow_ram_backed(true));
        let chosen = facts.chosen.expect("memory that is allowed");
        assert_eq!((&*chosen.path, &*chosen.file_system, chosen.is_in_memory), (&*in_memory, "tmpfs", true));
        assert_eq!(chosen.mount_point.as_deref(), Some(&*in_memory));
        assert_eq!((said(&facts.refused).len(), &*facts.untried), (1, &[Path::new("/var/tmp").to_owned()][..]));
    });
}

#[test]
fn directories_that_are_made_for_a_look_are_removed() {
    let root = scratch();
    let below = root.path().join("not/there/yet");
    for _ in 0..2 {
        let chosen = doctor::scratch(builder(&below)).chosen.expect("a directory");
        assert!(chosen.is_new && chosen.path == below && chosen.capacity_bytes > 0, "{chosen:?}");
        assert!(chosen.total_bytes >= chosen.free_bytes && chosen.free_bytes >= Some(chosen.capacity_bytes), "{chosen:?}");
        doctor::speed(builder(&below).capacity_bytes(u64_of(8 * MIB))).expect("a measurement");
        assert!(names(root.path()).is_empty());
    }
    let chosen = doctor::scratch(builder(root.path())).chosen.expect("a directory");
    assert!(!chosen.is_new && root.path().exists());
    assert_eq!(descriptors_in(root.path()), 0);
}

#[test]
fn a_device_that_can_do_less_says_so() {
    let root = scratch();
    let chosen = |setup: Setup| doctor::scratch(setup.builder(root.path())).chosen.expect("a directory");
    let portable = chosen(Setup::Portable).abilities;
    assert!(!portable.unnamed_files && !portable.reserved_space && !portable.holes);
    let native = chosen(Setup::Native);
    if native.file_system == "ext4" {
        assert!(native.abilities.unnamed_files && native.abilities.reserved_space && native.abilities.holes, "{native:?}");
    }
    assert!(names(root.path()).is_empty());
}

#[test]
fn speed_is_measured_within_the_room_that_there_is() {
    let root = scratch();
    let measured = |capacity| doctor::speed(builder(root.path()).capacity_bytes(u64_of(capacity))).expect("a measurement");
    let speed = measured(64 * MIB).expect("room for eight payloads");
    assert!(speed.out.calls >= 1 && speed.out.calls <= 8 && speed.back.calls >= 1, "{speed:?}");
    assert_eq!(speed.out.bytes, speed.out.calls * speed.payload_bytes);
    assert!(speed.out.elapsed >= speed.out.longest && speed.copy.bytes > 0, "{speed:?}");
    let device = speed.device.expect("a file of the device");
    assert!(device.write.bytes > 0 && device.write.bytes <= u64_of(8 * MIB), "{device:?}");
    assert_eq!(measured(MIB), None, "an eighth of it is less than a payload");
    assert!(names(root.path()).is_empty() && descriptors_in(root.path()) == 0);
}

#[test]
fn a_limit_on_the_length_of_files_bounds_what_is_measured() {
    let test = "a_limit_on_the_length_of_files_bounds_what_is_measured";
    in_own_process(
        test,
        |_| {},
        || {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

            let before = getrlimit(Resource::Fsize);
            setrlimit(Resource::Fsize, Rlimit { current: Some(u64_of(8 * MIB)), ..before }).expect("a lower limit");
            assert_eq!(doctor::process().file_bytes.soft, Some(u64_of(8 * MIB)));
            let root = scratch();
            let speed = doctor::speed(builder(root.path())).expect("a measurement").expect("room");
            assert!(speed.device.is_some_and(|device| device.write.bytes <= u64_of(8 * MIB)), "{speed:?}");
            setrlimit(Resource::Fsize, before).expect("the limit before");
        },
    );
}

#[test]
fn what_encryption_finds_is_told() {
    let facts = doctor::encryption().expect("memory for a key");
    assert_eq!(facts.cipher, "AEGIS-128X2");
    assert_eq!(facts.is_out_of_core_dumps, cfg!(target_os = "linux"));
    let (limit, used) = (doctor::process().locked_bytes, 4096 * 16);
    assert!(facts.is_out_of_swap || limit.soft.is_some_and(|soft| soft < limit.used.unwrap_or(0) + used), "{limit:?}");
}

#[test]
fn a_capacity_of_the_environment_that_is_none_is_told() {
    let test = "a_capacity_of_the_environment_that_is_none_is_told";
    let prepare = |command: &mut std::process::Command| {
        command.env("PAGEOUT_CAPACITY_BYTES", "much");
    };
    in_own_process(test, prepare, || {
        let facts = doctor::scratch(Pager::builder());
        let error = facts.error.expect("no capacity");
        assert!(error.to_string().contains("PAGEOUT_CAPACITY_BYTES") && facts.chosen.is_none(), "{error}");
    });
}
