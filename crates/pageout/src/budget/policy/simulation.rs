//! Hit ratios of this policy and of others on made-up traces. All of it, in a minute, as a table:
//! ```text
//! cargo test -p pageout --release budget::policy::simulation -- --ignored --nocapture
//! ```

use super::Policy;
use super::rivals::{Cache, Clock, Lru, S3Fifo, Sieve};
use super::twin::{Ghosts, Parameters, Twin};
use crate::units::{self, KIB};

/// Objects of each set.
const OBJECTS: u32 = 100_000;

/// Random numbers, the same ones each time (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without the latter.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws objects so that the k-th most popular has a share of k to the power of minus `exponent`.
struct Zipf {
    sums: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new(exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=OBJECTS).map(|rank| f64::from(rank).powf(-exponent));
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect(), random: Random(1) }
    }

    fn rank(&mut self) -> u32 {
        let drawn = self.random.share() * self.sums[self.sums.len() - 1];
        u32::try_from(self.sums.partition_point(|&sum| sum < drawn)).expect("few objects")
    }
}

/// The object of a popularity: neighbours in popularity are none in a scan. `shift` makes other ones popular.
fn object(rank: u32, shift: u32) -> u32 {
    let spread = u64::from(rank) * 7_919 + u64::from(shift) * 31_013;
    u32::try_from(spread % u64::from(OBJECTS)).expect("few objects")
}

/// What is accessed in which order.
#[derive(Clone, Copy, Debug)]
enum Trace {
    Zipf,
    /// With a scan of the whole set beside it, one of its accesses to each ten others, which alone count.
    Scanned,
    /// What is popular changes, ten times in all.
    Shifting,
    /// The first objects round and round, as many percent of the cache as told.
    Loop(u64),
}

/// A cache of so many KiB in front of objects.
struct Simulation {
    cache: Box<dyn Cache>,
    kib_max: u64,
    kib: u64,
    sizes: Vec<u64>,
    is_in: Vec<bool>,
}

impl Simulation {
    /// The cache has `percent` of the bytes of all objects, which are 1 KiB to 1 MiB each or all of them 1 KiB.
    fn new(cache: Box<dyn Cache>, percent: u64, is_mixed: bool) -> Self {
        let mut random = Random(2);
        let mut mixed_kib = || 1 + ((random.next() % 1_024) >> (random.next() % 10));
        let sizes: Vec<u64> = (0..OBJECTS).map(|_| if is_mixed { mixed_kib() } else { 1 }).collect();
        let kib_max = sizes.iter().sum::<u64>() * percent / 100;
        Self { cache, kib_max, kib: 0, sizes, is_in: vec![false; units::index(OBJECTS)] }
    }

    /// Returns whether it was a hit.
    fn access(&mut self, id: u32) -> bool {
        let at = units::index(id);
        if self.is_in[at] {
            self.cache.touch(id);
            return true;
        }
        while self.kib + self.sizes[at] > self.kib_max {
            let evicted = units::index(self.cache.evict());
            assert!(self.is_in[evicted], "evicted twice");
            self.is_in[evicted] = false;
            self.kib -= self.sizes[evicted];
        }
        self.cache.insert(id, self.sizes[at]);
        self.is_in[at] = true;
        self.kib += self.sizes[at];
        false
    }

    /// Percent of `accesses` that were hits, after half as many that are not counted.
    fn run(&mut self, trace: Trace, accesses: u32) -> f64 {
        let mut zipf = Zipf::new(0.9);
        let looped = u32::try_from(self.kib_max).expect("few objects");
        let mut hits = 0;
        for time in 0..accesses / 2 + accesses {
            let id = match trace {
                Trace::Loop(percent) => {
                    u32::try_from(u64::from(time) % (u64::from(looped) * percent / 100)).expect("few objects")
                }
                Trace::Shifting => object(zipf.rank(), 10 * time.saturating_sub(accesses / 2) / accesses),
                Trace::Zipf | Trace::Scanned => object(zipf.rank(), 0),
            };
            let is_hit = self.access(id);
            hits += u32::from(is_hit && time >= accesses / 2);
            if matches!(trace, Trace::Scanned) && time % 10 == 0 {
                self.access(time / 10 % OBJECTS);
            }
        }
        100.0 * f64::from(hits) / f64::from(accesses)
    }
}

/// The policy, with one part in so many of what is in memory cooled ahead; 0 is none.
struct Ours {
    policy: Policy,
    cooled_parts: u64,
}

impl Cache for Ours {
    fn touch(&mut self, id: u32) {
        self.policy.touch(id);
    }

    fn insert(&mut self, id: u32, kib: u64) {
        self.policy.prepare(id).expect("memory for few entries");
        self.policy.insert(id, kib * KIB);
    }

    fn evict(&mut self) -> u32 {
        while self.policy.cooled_bytes() * self.cooled_parts < self.policy.bytes() && self.cooled_parts > 0 {
            self.policy.cool();
        }
        loop {
            if let Some(id) = self.policy.evict(|_| true) {
                return id;
            }
            assert!(self.policy.is_searching(), "all may leave");
        }
    }
}

/// The policy with other parameters.
impl Cache for Twin {
    fn touch(&mut self, id: u32) {
        Self::touch(self, id);
    }

    fn insert(&mut self, id: u32, kib: u64) {
        Self::insert(self, id, kib * KIB);
    }

    fn evict(&mut self) -> u32 {
        Self::evict(self, |_| true).expect("something to evict")
    }
}

fn ours(cooled_parts: u64) -> Box<dyn Cache> {
    Box::new(Ours { policy: Policy::new(), cooled_parts })
}

fn lru() -> Box<dyn Cache> {
    Box::new(Lru::default())
}

fn other(parameters: Parameters) -> Box<dyn Cache> {
    Box::new(Twin::new(parameters))
}

type Make = Box<dyn Fn() -> Box<dyn Cache>>;

fn candidates() -> Vec<(&'static str, Make)> {
    let mut all: Vec<(&'static str, Make)> = vec![
        ("LRU", Box::new(lru)),
        ("clock", Box::new(|| Box::new(Clock::default()))),
        ("SIEVE", Box::new(|| Box::new(Sieve::default()))),
        ("S3-FIFO", Box::new(|| Box::new(S3Fifo::default()))),
        ("pageout", Box::new(|| ours(0))),
        ("pageout, 1/8 cooled", Box::new(|| ours(8))),
        ("pageout, 1/4 cooled", Box::new(|| ours(4))),
    ];
    let chosen = Parameters::CHOSEN;
    for (name, parameters) in [
        ("Small a fifth", Parameters { small_parts: 5, ..chosen }),
        ("Small a twentieth", Parameters { small_parts: 20, ..chosen }),
        ("two uses for Main", Parameters { uses_for_main: 2, ..chosen }),
        ("no ghosts", Parameters { ghosts: Ghosts::Nobody, ..chosen }),
        ("no ghosts, two uses", Parameters { ghosts: Ghosts::Nobody, uses_for_main: 2, ..chosen }),
        ("ghosts of all", Parameters { ghosts: Ghosts::All, ..chosen }),
        ("ghosts as many as Main", Parameters { ghosts: Ghosts::OfSmallAsMain, ..chosen }),
        ("turns without bound", Parameters { turns_max: u32::MAX, ..chosen }),
    ] {
        all.push((name, Box::new(move || other(parameters))));
    }
    all
}

/// Name, trace, percent in the cache, whether the sizes are mixed.
const WORKLOADS: [(&str, Trace, u64, bool); 13] = [
    ("zipf 1", Trace::Zipf, 1, false),
    ("zipf 10", Trace::Zipf, 10, false),
    ("zipf 25", Trace::Zipf, 25, false),
    ("scan 1", Trace::Scanned, 1, false),
    ("scan 10", Trace::Scanned, 10, false),
    ("scan 25", Trace::Scanned, 25, false),
    ("shift 1", Trace::Shifting, 1, false),
    ("shift 10", Trace::Shifting, 10, false),
    ("shift 25", Trace::Shifting, 25, false),
    ("loop 110", Trace::Loop(110), 10, false),
    ("loop 150", Trace::Loop(150), 10, false),
    ("mixed 1", Trace::Zipf, 1, true),
    ("mixed 10", Trace::Zipf, 10, true),
];

/// Percent of hits of a short run.
fn hits(cache: Box<dyn Cache>, trace: Trace, percent: u64, is_mixed: bool) -> f64 {
    Simulation::new(cache, percent, is_mixed).run(trace, 200_000)
}

#[test]
fn popular_entries_stay_better_than_with_lru() {
    for (percent, is_mixed, gain) in [(1, false, 9.0), (25, false, 1.5), (1, true, 8.0)] {
        let [ours, lru] = [ours(0), lru()].map(|cache| hits(cache, Trace::Zipf, percent, is_mixed));
        assert!(ours > lru + gain, "{percent} % in the cache, mixed sizes {is_mixed}: {ours} against {lru}");
    }
    let hits = hits(ours(0), Trace::Zipf, 1, false);
    assert!(hits > 43.5, "{hits}");
}

#[test]
fn a_scan_pushes_out_nothing_that_is_popular() {
    for percent in [1, 25] {
        let [alone, scanned] = [Trace::Zipf, Trace::Scanned].map(|trace| hits(ours(0), trace, percent, false));
        assert!(scanned > alone - 1.0, "{percent} % in the cache: {scanned} against {alone}");
    }
}

#[test]
fn a_loop_longer_than_the_cache_has_hits() {
    let hits = hits(ours(0), Trace::Loop(110), 10, false);
    assert!(hits > 60.0, "{hits}");
}

#[test]
fn what_becomes_popular_is_kept() {
    let [ours, lru] = [ours(0), lru()].map(|cache| hits(cache, Trace::Shifting, 1, false));
    assert!(ours > lru + 3.0, "{ours} against {lru}");
}

#[test]
fn cooling_ahead_costs_little() {
    let [ahead, late] = [ours(8), ours(0)].map(|cache| hits(cache, Trace::Zipf, 1, false));
    assert!(ahead > late - 1.5, "{ahead} against {late}");
}

#[test]
#[ignore = "takes a minute: a table to read"]
#[allow(clippy::print_stdout, reason = "what it is for")]
fn table_of_hit_ratios() {
    print!("\n{:24}", "");
    for (name, ..) in WORKLOADS {
        print!("{name:>9}");
    }
    println!();
    for (name, make) in candidates() {
        print!("{name:24}");
        for (_, trace, percent, is_mixed) in WORKLOADS {
            print!("{:9.1}", Simulation::new(make(), percent, is_mixed).run(trace, 1_000_000));
        }
        println!();
    }
}
