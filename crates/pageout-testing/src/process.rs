//! Processes of their own, for tests that change what belongs to a whole process.
//!
//! The process runs this executable once more, with the one test. A test is named as it is in its file; what the harness puts
//! before the name follows from where the caller stands.

use std::panic::Location;
use std::path::Path;
use std::process::{Command, Output};

use crate::outcome::{LINES_HANDED_ON, tell};
#[cfg(target_os = "linux")]
use crate::{scratch, skip};

/// Names the test that the process was started for.
const OWN_PROCESS_VARIABLE: &str = "PAGEOUT_TEST_IN_OWN_PROCESS";

/// What the harness calls the test `test` of the file where `caller` stands. A file in `tests` is a program; a folder there is
/// one too, and what it has in it are modules.
fn harness_name(test: &str, caller: &Location<'_>) -> String {
    let file = Path::new(caller.file()).with_extension("");
    let names: Vec<_> = file.iter().map(|name| name.to_string_lossy()).collect();
    let program = names.iter().rposition(|name| name == "tests").map_or(names.len(), |tests| tests + 1);
    let modules = names.iter().skip(program + 1).filter(|name| !matches!(&***name, "main" | "mod"));
    modules.map(|name| &**name).chain([test]).collect::<Vec<_>>().join("::")
}

/// Runs `body` in a process that runs the test `test` alone, since it changes what belongs to the whole process. `test`
/// must be the name of the calling test; `prepare` may set variables and a directory.
#[track_caller]
pub fn in_own_process(test: &str, prepare: impl FnOnce(&mut Command), body: impl FnOnce()) {
    if is_own_process(test) {
        return body();
    }
    let mut command = own_process(test);
    prepare(&mut command);
    assert_passed(test, &command.output().expect("this executable runs again"));
}

/// Checks that a process of [`own_process`] ran its one test and that it passed.
#[track_caller]
pub fn assert_passed(test: &str, output: &Output) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the process of {test} ended with {}:\n{said}", output.status);
    assert!(said.contains("1 passed"), "{test} is not the name of a test:\n{said}");
    for line in said.lines().filter(|line| LINES_HANDED_ON.iter().any(|start| line.starts_with(start))) {
        tell(line);
    }
}

/// Whether this process was made by [`own_process`] for `test`.
#[must_use]
#[track_caller]
pub fn is_own_process(test: &str) -> bool {
    let name = harness_name(test, Location::caller());
    std::env::var_os(OWN_PROCESS_VARIABLE).is_some_and(|own| own == *name)
}

/// A command that runs the test `test` of the calling file alone.
#[must_use]
#[track_caller]
pub fn own_process(test: &str) -> Command {
    let test = &harness_name(test, Location::caller());
    assert_ne!(std::env::var(OWN_PROCESS_VARIABLE).as_ref(), Ok(test), "a process of its own makes another");
    let mut command = Command::new(std::env::current_exe().expect("a path of this executable"));
    command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]);
    command.env(OWN_PROCESS_VARIABLE, test);
    command.env_remove("PAGEOUT_SCRATCH_DIR");
    command
}

/// Starts `command` by way of another program, which gets it as its last arguments.
pub fn by_way_of(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Names the directory in which a process may mount file systems.
#[cfg(target_os = "linux")]
const ROOT_VARIABLE: &str = "PAGEOUT_TEST_ROOT";

/// As [`in_own_process`], where `body` may mount file systems in the empty directory it gets. Nobody else sees them, and
/// they end with the process, so that the directory can be removed behind it.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn in_own_mounts(test: &str, body: impl FnOnce(&Path)) {
    if is_own_process(test) {
        return body(Path::new(&std::env::var_os(ROOT_VARIABLE).expect("the variable is set")));
    }
    if !succeeds("unshare", &["-m", "true"]) {
        return skip(test, "this process may not mount file systems");
    }
    let root = scratch();
    let mut command = by_way_of("unshare", &["-m"], &own_process(test));
    assert_passed(test, &command.env(ROOT_VARIABLE, root.path()).output().expect("unshare ran before"));
}

/// Runs a program that the test cannot do without; says whether it succeeded.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}
