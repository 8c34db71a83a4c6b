//! What one run does: drawn from a seed or from bytes, and printed when it fails.

use pageout::Backend;

use crate::draws::Draws;
use crate::faulty::{Disk, Feature};
use crate::weather::{Climate, Trouble};
use crate::{KIB, MIB, u64_of};

/// What is under the pager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A device in memory that keeps its promises.
    Simulated,
    /// The same, and calls go wrong.
    Faulty,
    /// The file system of the scratch directory.
    Disk,
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) ground: Ground,
    /// Whether elements are single bytes, else they have four.
    pub(super) has_bytes: bool,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) protection: Protection,
    pub(super) compressed: bool,
    /// Without what only Linux has: on a disk.
    pub(super) portable: bool,
    pub(super) features: Features,
    pub(super) climate: Climate,
    /// The most payloads that are out at a time.
    pub(super) handles_max: usize,
    pub(super) turns: Vec<Turn>,
}

/// What a device in memory is like.
#[derive(Clone, Debug)]
pub(super) struct Features {
    /// What it lacks as a whole.
    pub(super) denied: Vec<Feature>,
    /// Longer reservations are interrupted for good.
    pub(super) reserve_bytes_max: u64,
    /// What another writer takes and frees between calls, where there is one.
    pub(super) neighbour: Option<u64>,
    /// Bytes of a file from here on are not in memory.
    pub(super) cold_from: u64,
    /// The memory that the process may use.
    pub(super) memory_bytes: Option<u64>,
}

impl Features {
    pub(super) fn has(&self, feature: Feature) -> bool {
        !self.denied.contains(&feature)
    }
}

/// A step, and what goes wrong in it.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) step: Step,
    pub(super) weather: Option<u64>,
}

/// One operation. Positions and lengths are cut to what exists when the operation is done.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Pageout {
        named: Option<Backend>,
        lens: Vec<usize>,
        seed: u64,
    },
    Copy {
        lens: Vec<usize>,
        seed: u64,
    },
    Append {
        len: usize,
        seed: u64,
    },
    /// So many pieces of a collector and a bit, which are written at once.
    AppendLong {
        pieces: usize,
        excess: usize,
    },
    Finish,
    DropCollector,
    Read {
        pick: usize,
        offset: usize,
        len: usize,
    },
    /// Ranges that may be past the end, overflow or overlap.
    ReadAny {
        pick: usize,
        ranges: Vec<(usize, usize)>,
    },
    /// Ranges made from cuts, so that they never overlap, in a mixed order.
    ReadParts {
        pick: usize,
        cuts: Vec<usize>,
        rotation: usize,
    },
    /// Into a target that is longer than it may be by `excess`.
    ReadInto {
        pick: usize,
        offset: usize,
        len: usize,
        excess: usize,
    },
    Batch {
        picks: Vec<usize>,
        offset: usize,
        len: usize,
    },
    Prefetch {
        pick: usize,
        ranges: Vec<(usize, usize)>,
    },
    Take {
        pick: usize,
        capacity: usize,
    },
    Drop {
        pick: usize,
    },
    /// All but one of so many.
    DropMost {
        one_of: usize,
    },
    SetBackend(Backend),
    Trim,
    /// So much becomes free on the device.
    Room {
        bytes: u64,
    },
    Memory {
        bytes: u64,
    },
    /// The scratch directory of a device in memory is removed.
    RemoveDirectory,
    /// A write-back that was under way on a device in memory fails: of the file of this payload.
    FailWriteBack {
        pick: usize,
    },
    /// The pager is dropped while its payloads are out, and another one begins on the same device.
    Close,
    /// The pager is closed for all who have it while its payloads are out, and another one begins.
    End,
    /// A payload of the pager that was closed, used with the one that is open.
    Foreign {
        pick: usize,
    },
}

/// What a pager does about the bytes of its payloads on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    Nothing,
    Checksums,
    Encryption,
}

impl Protection {
    /// As often as they are drawn.
    const DRAWN: [Self; 5] = [Self::Nothing, Self::Checksums, Self::Checksums, Self::Encryption, Self::Encryption];
}

impl Plan {
    /// A plan with `turns_max` steps, or with fewer where bytes that it is made of end before.
    pub(super) fn draw(ground: Ground, draws: &mut Draws<'_>, turns_max: usize) -> Self {
        let mut plan = Self {
            ground,
            has_bytes: draws.one_of(2),
            capacity_bytes: capacity_bytes(draws),
            protection: draws.pick(&Protection::DRAWN),
            compressed: draws.one_of(3),
            portable: draws.one_of(4),
            features: features(draws),
            climate: Climate::default(),
            handles_max: 1 + draws.index(64),
            turns: Vec::new(),
        };
        if ground == Ground::Faulty {
            plan.climate = climate(draws, plan.protection != Protection::Nothing);
        }
        while plan.turns.len() < turns_max && !draws.is_used_up() {
            let weather = (ground == Ground::Faulty).then(|| draws.number());
            let turn = Turn { step: step(draws), weather };
            plan.turns.push(turn);
        }
        plan
    }

    /// The device of a plan that has one in memory.
    pub(super) fn disk(&self) -> Option<Disk> {
        if self.ground == Ground::Disk {
            return None;
        }
        let disk = self.features.denied.iter().fold(Disk::new(), |disk, &feature| disk.without(feature));
        disk.interrupt_reserves_above(self.features.reserve_bytes_max);
        disk.set_neighbour(self.features.neighbour);
        disk.set_cold_from(self.features.cold_from);
        if let Some(bytes) = self.features.memory_bytes {
            disk.set_memory(bytes);
        }
        Some(disk)
    }
}

fn capacity_bytes(draws: &mut Draws<'_>) -> Option<u64> {
    // Small enough to be reached often.
    let bytes = draws.pick(&[40 * KIB, 400 * KIB, 400 * KIB, MIB, 16 * MIB, 0]);
    (bytes > 0).then(|| u64_of(bytes))
}

fn features(draws: &mut Draws<'_>) -> Features {
    let cold = draws.pick(&[0, u64_of(8 * KIB), u64_of(200 * KIB), u64::MAX, u64::MAX]);
    let all = [Feature::Reserve, Feature::Punch, Feature::CachedReads, Feature::WriteBack];
    let denied = all.into_iter().filter(|_| draws.one_of(8)).collect();
    Features {
        denied,
        reserve_bytes_max: if draws.one_of(8) { u64_of(draws.pick(&[0, 8 * KIB, 100 * KIB])) } else { u64::MAX },
        neighbour: draws.one_of(8).then(|| draws.number()),
        cold_from: cold,
        memory_bytes: draws.one_of(8).then(|| memory_bytes(draws)),
    }
}

fn memory_bytes(draws: &mut Draws<'_>) -> u64 {
    u64_of(draws.pick(&[0, 64 * KIB, MIB, 64 * MIB]))
}

/// What goes wrong with up to a tenth of the calls: everything, or one or two things.
fn climate(draws: &mut Draws<'_>, is_verified: bool) -> Climate {
    let kinds = if is_verified { &Trouble::ALL[..] } else { &Trouble::SAID };
    let permille = draws.below(101);
    let troubles = if draws.one_of(2) { kinds.to_vec() } else { vec![draws.pick(kinds), draws.pick(kinds)] };
    Climate { permille, troubles }
}

fn step(draws: &mut Draws<'_>) -> Step {
    let pick = draws.index(1 << 16);
    match draws.below(64) {
        0..=17 => Step::Pageout { named: named(draws), lens: lens(draws), seed: draws.below(1 << 32) },
        18..=19 => Step::Copy { lens: lens(draws), seed: draws.below(1 << 32) },
        20..=21 => Step::Append { len: appended(draws), seed: draws.below(1 << 32) },
        22 => Step::Finish,
        23..=29 => Step::Read { pick, offset: draws.index(1 << 16), len: draws.index(1 << 16) },
        30..=31 => Step::ReadAny { pick, ranges: ranges(draws) },
        32..=38 => Step::ReadParts { pick, cuts: cuts(draws), rotation: draws.index(64) },
        39..=41 => {
            let excess = usize::from(draws.one_of(4));
            Step::ReadInto { pick, offset: draws.index(1 << 16), len: draws.index(1 << 16), excess }
        }
        42..=43 => {
            let picks = (0..draws.index(8)).map(|_| draws.index(1 << 16)).collect();
            Step::Batch { picks, offset: draws.index(1 << 16), len: draws.index(1 << 12) }
        }
        44..=45 => Step::Prefetch { pick, ranges: ranges(draws) },
        46..=55 => Step::Take { pick, capacity: draws.index(5_000) * draws.index(2) },
        56..=58 => Step::Drop { pick },
        59 => Step::SetBackend(backend(draws)),
        60 => Step::Foreign { pick },
        61 => Step::Trim,
        _ => rare(draws),
    }
}

fn rare(draws: &mut Draws<'_>) -> Step {
    match draws.below(16) {
        0..=4 => Step::Room { bytes: draws.pick(&[0, 1, 2, 5, 40, 200, 1_200, 1 << 20]) * 4096 },
        5..=6 => Step::Room { bytes: 1 << 40 },
        7 => Step::Memory { bytes: memory_bytes(draws) },
        8 => {
            if draws.one_of(4) {
                Step::End
            } else {
                Step::Close
            }
        }
        9 => Step::DropMost { one_of: 1 + draws.index(20) },
        10 => Step::DropCollector,
        11 => Step::RemoveDirectory,
        12 => Step::FailWriteBack { pick: draws.index(1 << 16) },
        13 if draws.one_of(8) => Step::AppendLong { pieces: 1 + draws.index(2), excess: draws.index(3_000) },
        _ => Step::Trim,
    }
}

fn named(draws: &mut Draws<'_>) -> Option<Backend> {
    draws.one_of(2).then(|| backend(draws))
}

fn backend(draws: &mut Draws<'_>) -> Backend {
    if draws.one_of(4) { Backend::Swap } else { Backend::File }
}

/// Chunk lengths in elements: mostly a few small ones, sometimes very many, sometimes more than the capacity.
fn lens(draws: &mut Draws<'_>) -> Vec<usize> {
    match draws.below(128) {
        0 => (0..draws.index(1_100)).map(|_| draws.index(9)).collect(),
        1..=4 => vec![10_000 + draws.index(20_000); 1 + draws.index(2)],
        5..=8 => vec![0; draws.index(3)],
        _ => (0..=draws.index(3)).map(|_| small_len(draws)).collect(),
    }
}

fn small_len(draws: &mut Draws<'_>) -> usize {
    match draws.below(8) {
        0 => 0,
        1..=5 => 1 + draws.index(700),
        _ => 500 + draws.index(2_500),
    }
}

fn appended(draws: &mut Draws<'_>) -> usize {
    draws.index(3_000) * draws.index(2)
}

/// Any ranges, or two that touch or share one element.
fn ranges(draws: &mut Draws<'_>) -> Vec<(usize, usize)> {
    if draws.one_of(4) {
        let (offset, len) = (draws.index(600), 1 + draws.index(60));
        let second = (offset + len - draws.index(2), 1 + draws.index(60));
        return if draws.one_of(2) { vec![(offset, len), second] } else { vec![second, (offset, len)] };
    }
    (0..draws.index(6)).map(|_| (edge(draws, 5_000), edge(draws, 600))).collect()
}

/// A number below `bound`, or one at the end of all numbers.
fn edge(draws: &mut Draws<'_>, bound: usize) -> usize {
    if draws.one_of(32) { usize::MAX - draws.index(2) } else { draws.index(bound) }
}

fn cuts(draws: &mut Draws<'_>) -> Vec<usize> {
    let count = if draws.one_of(8) { draws.index(40) } else { draws.index(6) };
    (0..count).map(|_| draws.index(1 << 16)).collect()
}
