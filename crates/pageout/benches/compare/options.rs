//! The command line.

use std::path::PathBuf;

use crate::sections::SECTIONS;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Enough rounds to publish.
    Full,
    /// A first impression.
    Quick,
    /// Everything once and tiny, to see that it runs: what `cargo test --benches` gets.
    Smoke,
}

impl Mode {
    /// What belongs to this mode.
    pub(crate) fn pick<T>(self, full: T, quick: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Smoke => smoke,
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Sections to run; all when none is named.
    only: Vec<String>,
    /// Where the results go as JSON; a relative path starts from the package's directory, where cargo runs benchmarks.
    pub(crate) json: Option<PathBuf>,
    /// The directory that all candidates use; by default the one that pageout chooses.
    pub(crate) dir: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments. `cargo bench` adds `--bench`; without it this is a test run.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut is_bench, mut is_test, mut is_quick) = (false, false, false);
        let (mut only, mut json, mut dir) = (Vec::new(), None, None);
        while let Some(argument) = arguments.next() {
            // cargo puts its own `--bench` last, which would pass for a forgotten value.
            let given = |value: &String| !value.starts_with("--");
            let mut value = || arguments.next().filter(given).ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => is_bench = true,
                "--test" => is_test = true,
                "--quick" => is_quick = true,
                "--only" => only.extend(value()?.split(',').map(str::to_owned)),
                "--json" => json = Some(PathBuf::from(value()?)),
                "--dir" => dir = Some(PathBuf::from(value()?)),
                _ => return Err(format!("unknown option {argument}; there are --quick, --only, --json and --dir")),
            }
        }
        let ids = SECTIONS.map(|section| section.id);
        if let Some(unknown) = only.iter().find(|id| !ids.contains(&id.as_str())) {
            return Err(format!("there is no section {unknown}; there are {}", ids.join(", ")));
        }
        let mode = match (is_bench && !is_test, is_quick) {
            (false, _) => Mode::Smoke,
            (true, true) => Mode::Quick,
            (true, false) => Mode::Full,
        };
        Ok(Self { mode, only, json, dir })
    }

    pub(crate) fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }

    /// The command that measures the same again.
    pub(crate) fn command(&self) -> String {
        let quick = (self.mode == Mode::Quick).then(|| "--quick".to_owned());
        let only = (!self.only.is_empty()).then(|| format!("--only {}", self.only.join(",")));
        let options: Vec<String> = quick.into_iter().chain(only).collect();
        let separator = if options.is_empty() { "" } else { " -- " };
        format!("cargo bench -p pageout{separator}{}", options.join(" "))
    }
}
