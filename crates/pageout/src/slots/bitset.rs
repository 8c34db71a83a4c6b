//! A set of slot indices that finds its lowest and highest member in a few steps, at one bit an index.
//!
//! Level 0 has a bit for each index; a bit of each higher level says that the 64 bits below it are not all zero. Only
//! [`BitSet::extend_to`] allocates; inserting and removing never do.

use std::collections::TryReserveError;

use crate::units;

const WORD_BITS: usize = 64;

/// Neighbouring slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index of the first slot.
    pub(crate) first: u32,
    /// How many slots.
    pub(crate) count: u32,
}

/// A set of indices below a bound.
#[derive(Debug, Default)]
pub(crate) struct BitSet {
    levels: Vec<Vec<u64>>,
    members: u32,
}

impl BitSet {
    /// Allocates for the indices below `bound`; the members stay.
    ///
    /// # Errors
    /// When memory cannot be allocated; the set stays usable.
    pub(crate) fn extend_to(&mut self, bound: u32) -> Result<(), TryReserveError> {
        let mut words = units::index(bound).div_ceil(WORD_BITS);
        let mut level = 0;
        while words > 0 {
            self.extend_level(level, words)?;
            if words == 1 {
                break;
            }
            words = words.div_ceil(WORD_BITS);
            level += 1;
        }
        Ok(())
    }

    /// Adds `index`, which is below the bound. Returns whether it was absent.
    pub(crate) fn insert(&mut self, index: u32) -> bool {
        let mut position = units::index(index);
        if self.has(position) {
            return false;
        }
        for level in &mut self.levels {
            let word = &mut level[position / WORD_BITS];
            let was_empty = *word == 0;
            *word |= 1 << (position % WORD_BITS);
            if !was_empty {
                break;
            }
            position /= WORD_BITS;
        }
        self.members += 1;
        true
    }

    /// The lowest member.
    pub(crate) fn lowest(&self) -> Option<u32> {
        if self.members == 0 {
            return None;
        }
        let mut position = 0;
        for level in self.levels.iter().rev() {
            position = position * WORD_BITS + units::index(level[position].trailing_zeros());
        }
        Some(u32::try_from(position).expect("indices are below a u32 bound"))
    }

    /// The highest member.
    pub(crate) fn highest(&self) -> Option<u32> {
        if self.members == 0 {
            return None;
        }
        let mut position = 0;
        for level in self.levels.iter().rev() {
            // The bit of the level above says that this word is not zero.
            position = position * WORD_BITS + WORD_BITS - 1 - units::index(level[position].leading_zeros());
        }
        Some(u32::try_from(position).expect("indices are below a u32 bound"))
    }

    /// Removes the highest run of neighbouring members, at most `count_max` of them.
    pub(crate) fn pop_highest_run(&mut self, count_max: u32) -> Option<Run> {
        let highest = self.highest()?;
        let mut run = Run { first: highest + 1, count: 0 };
        while run.count < count_max && run.first > 0 && self.remove(run.first - 1) {
            run = Run { first: run.first - 1, count: run.count + 1 };
        }
        Some(run)
    }

    /// Removes and returns the lowest member.
    pub(crate) fn pop_lowest(&mut self) -> Option<u32> {
        let index = self.lowest()?;
        self.take_out(units::index(index));
        Some(index)
    }

    /// Removes `index`, which is below the bound. Returns whether it was a member.
    pub(crate) fn remove(&mut self, index: u32) -> bool {
        let position = units::index(index);
        let was_in = self.has(position);
        if was_in {
            self.take_out(position);
        }
        was_in
    }

    /// Removes the lowest run of neighbouring members, at most `count_max` of them.
    pub(crate) fn pop_run(&mut self, count_max: u32) -> Option<Run> {
        let mut run = Run { first: self.pop_lowest()?, count: 1 };
        while run.count < count_max && self.lowest() == Some(run.first + run.count) {
            self.pop_lowest();
            run.count += 1;
        }
        Some(run)
    }

    /// Number of members.
    pub(crate) fn len(&self) -> u32 {
        self.members
    }

    fn has(&self, position: usize) -> bool {
        self.levels[0][position / WORD_BITS] >> (position % WORD_BITS) & 1 == 1
    }

    fn take_out(&mut self, mut position: usize) {
        for level in &mut self.levels {
            let word = &mut level[position / WORD_BITS];
            *word &= !(1 << (position % WORD_BITS));
            if *word != 0 {
                break;
            }
            position /= WORD_BITS;
        }
        self.members -= 1;
    }

    /// Lengthens one level to `words`; a new level summarises the one below it.
    fn extend_level(&mut self, level: usize, words: usize) -> Result<(), TryReserveError> {
        if level == self.levels.len() {
            self.levels.try_reserve(1)?;
            let mut summary = zeros(words)?;
            if level > 0 {
                for (position, word) in self.levels[level - 1].iter().enumerate() {
                    summary[position / WORD_BITS] |= u64::from(*word != 0) << (position % WORD_BITS);
                }
            }
            self.levels.push(summary);
        } else if let Some(more) = words.checked_sub(self.levels[level].len()) {
            self.levels[level].try_reserve(more)?;
            self.levels[level].resize(words, 0);
        }
        Ok(())
    }
}

fn zeros(words: usize) -> Result<Vec<u64>, TryReserveError> {
    let mut level = Vec::new();
    level.try_reserve(words)?;
    level.resize(words, 0);
    Ok(level)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32),
        Pop,
        Remove(u32),
        PopRun(u32),
        PopHighestRun(u32),
        Extend(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => any::<u32>().prop_map(Step::Insert),
            3 => Just(Step::Pop),
            2 => any::<u32>().prop_map(Step::Remove),
            1 => (1..9u32).prop_map(Step::PopRun),
            1 => (1..9u32).prop_map(Step::PopHighestRun),
            1 => (0..9000u32).prop_map(Step::Extend),
        ]
    }

    #[test]
    fn runs_end_at_the_count_and_at_gaps() {
        let mut set = BitSet::default();
        set.extend_to(10).expect("memory for a small set");
        assert!((0..10).filter(|&index| index != 5).all(|index| set.insert(index)));
        assert_eq!(set.pop_run(2), Some(Run { first: 0, count: 2 }));
        assert_eq!(set.pop_highest_run(2), Some(Run { first: 8, count: 2 }));
        assert_eq!(set.pop_run(9), Some(Run { first: 2, count: 3 }));
        assert_eq!(set.pop_highest_run(9), Some(Run { first: 6, count: 2 }));
        assert_eq!((set.pop_run(9), set.pop_highest_run(9)), (None, None));
    }

    #[test]
    fn room_for_nothing_can_be_extended() {
        let mut set = BitSet::default();
        set.extend_to(0).expect("no memory is needed");
        assert_eq!((set.lowest(), set.highest()), (None, None));
        set.extend_to(65).expect("memory for a small set");
        assert!(set.insert(64));
        assert_eq!((set.lowest(), set.highest()), (Some(64), Some(64)));
    }

    proptest! {
        /// The set agrees with the standard library's ordered set, across growth to three levels.
        #[test]
        fn agrees_with_an_ordered_set(steps in proptest::collection::vec(step(), 1..400)) {
            let (mut set, mut model, mut bound) = (BitSet::default(), BTreeSet::new(), 0);
            for step in steps {
                match step {
                    Step::Insert(_) | Step::Remove(_) if bound == 0 => {}
                    Step::Insert(index) => {
                        prop_assert_eq!(set.insert(index % bound), model.insert(index % bound));
                    }
                    Step::Remove(index) => prop_assert_eq!(set.remove(index % bound), model.remove(&(index % bound))),
                    Step::PopRun(count_max) => {
                        let run = set.pop_run(count_max);
                        prop_assert_eq!(run.map(|run| run.first), model.first().copied());
                        let popped = run.map_or(0..0, |run| run.first..run.first + run.count);
                        prop_assert!(popped.len() <= count_max as usize && popped.clone().all(|index| model.remove(&index)));
                        prop_assert!(popped.len() == count_max as usize || !model.contains(&popped.end) || popped.is_empty());
                    }
                    Step::PopHighestRun(count_max) => {
                        let run = set.pop_highest_run(count_max);
                        prop_assert_eq!(run.map(|run| run.first + run.count - 1), model.last().copied());
                        let popped = run.map_or(0..0, |run| run.first..run.first + run.count);
                        prop_assert!(popped.len() <= count_max as usize && popped.clone().all(|index| model.remove(&index)));
                        let goes_on = popped.start > 0 && model.contains(&(popped.start - 1));
                        prop_assert!(popped.len() == count_max as usize || !goes_on || popped.is_empty());
                    }
                    Step::Pop => prop_assert_eq!(set.pop_lowest(), model.pop_first()),
                    Step::Extend(more) => {
                        bound += more;
                        set.extend_to(bound).expect("memory for a small set");
                    }
                }
                prop_assert_eq!(set.len() as usize, model.len());
            }
        }
    }
}
