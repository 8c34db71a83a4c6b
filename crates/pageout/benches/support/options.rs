//! The command line.

use std::path::PathBuf;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Enough rounds to publish.
    Full,
    /// A first impression.
    Quick,
    /// One trip each, to see that everything runs: what `cargo test --benches` gets.
    Smoke,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Where the results go as JSON; a relative path starts from the package's directory, where cargo runs benchmarks.
    pub(crate) json: Option<PathBuf>,
    /// The directory that all candidates use; by default the one that pageout chooses.
    pub(crate) dir: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments. `cargo bench` adds `--bench`; without it this is a test run.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut is_bench, mut is_test, mut is_quick) = (false, false, false);
        let (mut json, mut dir) = (None, None);
        while let Some(argument) = arguments.next() {
            // cargo puts its own `--bench` last, which would pass for a forgotten path.
            let given = |path: &String| !path.starts_with("--");
            let mut path = || arguments.next().filter(given).map(PathBuf::from).ok_or_else(|| format!("{argument} needs a path"));
            match argument.as_str() {
                "--bench" => is_bench = true,
                "--test" => is_test = true,
                "--quick" => is_quick = true,
                "--json" => json = Some(path()?),
                "--dir" => dir = Some(path()?),
                _ => return Err(format!("unknown option {argument}; there are --quick, --json FILE and --dir DIR")),
            }
        }
        let mode = match (is_bench && !is_test, is_quick) {
            (false, _) => Mode::Smoke,
            (true, true) => Mode::Quick,
            (true, false) => Mode::Full,
        };
        Ok(Self { mode, json, dir })
    }
}
