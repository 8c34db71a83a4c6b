//! Numbers of which few are drawn often, as things are asked for in most programs.

use crate::measure::real;
use crate::payload::Random;

/// Draws numbers, that of rank n with a weight of 1 / n^exponent. Which rank a number has is random.
pub(super) struct Zipf {
    /// The weights of all ranks up to each.
    sums: Vec<f64>,
    numbers: Vec<usize>,
    random: Random,
}

impl Zipf {
    /// Numbers below `count`, the same in every run.
    pub(super) fn new(count: usize, exponent: f64) -> Self {
        let mut random = Random(0);
        let mut numbers: Vec<usize> = (0..count).collect();
        random.shuffle(&mut numbers);
        let add = |sum: &mut f64, rank: usize| {
            *sum += real(rank).powf(-exponent);
            Some(*sum)
        };
        Self { sums: (1..=count).scan(0.0, add).collect(), numbers, random }
    }

    pub(super) fn draw(&mut self) -> usize {
        const STEPS: usize = 1 << 30;
        let share = real(self.random.below(STEPS)) / real(STEPS);
        let point = share * self.sums.last().copied().unwrap_or(0.0);
        self.numbers[self.sums.partition_point(|&sum| sum <= point)]
    }
}
