//! Processes of their own: for what needs clean memory, or little of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::{Lap, Outcome};
use crate::site::Site;

/// The first argument of a child; its task follows.
pub(crate) const MARK: &str = "--child";
/// What stands for a value that there is none of.
const NONE: &str = "-";

/// A task for a child: a section's id, a candidate, and numbers that the section knows.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) section: &'static str,
    pub(crate) candidate: &'static str,
    pub(crate) site: &'a Site,
    pub(crate) numbers: &'a [usize],
}

impl Task<'_> {
    /// Runs the task, inside of `group` if there is one, and reads the answer.
    pub(crate) fn run(&self, group: Option<&Group>) -> Outcome<Lap> {
        let mut command = match group {
            Some(group) => group.command()?,
            None => Command::new(std::env::current_exe()?),
        };
        let output = self.add_to(&mut command).output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let value = |word: &str| (word != NONE).then(|| word.parse()).transpose();
        Ok(text.split_whitespace().map(value).collect::<Result<_, _>>()?)
    }

    /// Adds the task to a command that runs this program.
    pub(crate) fn add_to<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.args([MARK, self.section, self.candidate]).arg(self.site.path());
        command.args(self.numbers.iter().map(usize::to_string))
    }
}

/// Says what a child has measured.
pub(crate) fn answer(lap: &Lap) {
    let words: Vec<String> = lap.iter().map(|value| value.map_or(NONE.to_owned(), |value| value.to_string())).collect();
    println!("{}", words.join(" "));
}

/// A memory group, removed when it is dropped.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes a group, for which one has to be root on a Linux with control groups.
    pub(crate) fn make(limit_bytes: usize) -> io::Result<Self> {
        let version_1 = Path::new("/sys/fs/cgroup/memory");
        let version_2 = Path::new("/sys/fs/cgroup");
        let is_1 = version_1.is_dir();
        let (parent, limit) = if is_1 { (version_1, "memory.limit_in_bytes") } else { (version_2, "memory.max") };
        let group = Self(parent.join(format!("pageout-bench-{}", std::process::id())));
        fs::create_dir(&group.0)?;
        fs::write(group.0.join(limit), limit_bytes.to_string())?;
        Ok(group)
    }

    /// This program, to be run inside.
    fn command(&self) -> io::Result<Command> {
        let inside = format!("echo $$ > '{}' && exec \"$0\" \"$@\"", self.0.join("cgroup.procs").display());
        let mut command = Command::new("sh");
        command.arg("-c").arg(inside).arg(std::env::current_exe()?);
        Ok(command)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended, but the kernel may still be about it.
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}
