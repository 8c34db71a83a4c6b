//! Many plans on several threads, until enough operations are done.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::plan::{Ground, Plan};
use super::shrink::{attempt, shrink};
use super::world::Counts;
use crate::draws::Draws;
use crate::{scratch, tell};

/// Names a seed: the first run has it, and each later one the next number.
const SEED_VARIABLE: &str = "PAGEOUT_TEST_SEED";
/// Steps of one run at most.
const TURNS_MAX: usize = 1_000;
const PROGRESS: Duration = Duration::from_secs(30);

/// The seed that the environment names, else a new one.
pub fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    }
}

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    pub ground: Ground,
    pub operations: u64,
    pub threads: usize,
    pub seed: u64,
    /// Whether to say how far it is.
    pub is_told: bool,
}

impl Campaign {
    /// Of the seed that the environment names, else of a new one.
    pub fn new(ground: Ground, operations: u64) -> Self {
        Self { ground, operations, threads: 1, seed: seed(), is_told: false }
    }

    /// Does it, and says what happened.
    ///
    /// # Panics
    /// Where pager and model disagree, with the seed of that run and the shortest steps that were found to fail.
    pub fn run(self) -> Counts {
        let (next_run, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let began = Instant::now();
        let progress = Mutex::new((Counts::default(), began));
        let work = || {
            let directory = scratch();
            while !is_over.load(Relaxed) {
                let seed = self.seed.wrapping_add(next_run.fetch_add(1, Relaxed));
                let counts = run_seed(self.ground, seed, directory.path()).inspect_err(|_| is_over.store(true, Relaxed));
                let counts = counts.unwrap_or_else(|report| panic!("{report}"));
                let mut progress = progress.lock().expect("no thread panics while it counts");
                let (total, told) = &mut *progress;
                total.add(&counts);
                if total.operations >= self.operations {
                    is_over.store(true, Relaxed);
                }
                if self.is_told && told.elapsed() >= PROGRESS {
                    *told = Instant::now();
                    tell(&self.line(total, began.elapsed()));
                }
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            work();
            for other in others {
                other.join().expect("the model agrees");
            }
        });
        let (total, _) = progress.into_inner().expect("no thread panics while it counts");
        if self.is_told {
            tell(&self.line(&total, began.elapsed()));
        }
        total
    }

    fn line(&self, total: &Counts, elapsed: Duration) -> String {
        let rate = u128::from(total.operations) * 1000 / elapsed.as_millis().max(1);
        format!(
            "model: ground {:?}, seed {}, {} threads, {} runs, {} operations in {} s, {rate} a second; device calls that went \
             wrong {}, operations that failed {}, refused {}, corrupt {}, caller's errors {}",
            self.ground,
            self.seed,
            self.threads,
            total.runs,
            total.operations,
            elapsed.as_secs(),
            total.faults,
            total.failed,
            total.refused,
            total.corrupt,
            total.callers
        )
    }
}

/// Does the run of a seed; where it fails, the report names the seed and the shortest steps that were found.
fn run_seed(ground: Ground, seed: u64, directory: &Path) -> Result<Counts, String> {
    let plan = Plan::draw(ground, &mut Draws::seeded(seed), TURNS_MAX);
    attempt(&plan, directory).map_err(|reason| {
        let shrunk = shrink(&plan, &reason, directory);
        // What depends on the moment may not fail once more.
        let shortest = attempt(&shrunk, directory).err().unwrap_or_else(|| "not every time".to_owned());
        format!("{SEED_VARIABLE}={seed} on {ground:?}: {reason}\nshrunk to {} steps: {shortest}\n{shrunk:#?}", shrunk.turns.len())
    })
}
