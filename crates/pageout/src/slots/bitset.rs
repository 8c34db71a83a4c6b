//! A set of slot indices that hands out its lowest member in a few steps, at one bit an index.
//!
//! Level 0 has a bit for each index; a bit of each higher level says that the 64 bits below it are not all zero. Room is
//! made by [`BitSet::extend_to`] alone, so that inserting and removing never allocate.

use std::collections::TryReserveError;

use crate::units;

const WORD_BITS: usize = 64;

/// A set of indices below a bound.
#[derive(Debug, Default)]
pub(crate) struct BitSet {
    levels: Vec<Vec<u64>>,
    members: u32,
}

impl BitSet {
    /// Makes room for the indices below `bound`; the members stay.
    ///
    /// # Errors
    /// When the memory cannot be had; the set is as usable as before.
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

    /// Adds `index`, which is below the bound. Says whether it was absent.
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

    /// Removes and returns the lowest member.
    pub(crate) fn pop_lowest(&mut self) -> Option<u32> {
        let index = self.lowest()?;
        self.remove(units::index(index));
        Some(index)
    }

    /// How many indices are in the set.
    pub(crate) fn len(&self) -> u32 {
        self.members
    }

    fn has(&self, position: usize) -> bool {
        self.levels[0][position / WORD_BITS] >> (position % WORD_BITS) & 1 == 1
    }

    fn remove(&mut self, mut position: usize) {
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

    /// Lengthens one level to `words`; a level that is new summarises the one below it.
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
        Extend(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => any::<u32>().prop_map(Step::Insert),
            4 => Just(Step::Pop),
            1 => (0..9000u32).prop_map(Step::Extend),
        ]
    }

    proptest! {
        /// The set agrees with the standard library's ordered set, across growth to three levels.
        #[test]
        fn agrees_with_an_ordered_set(steps in proptest::collection::vec(step(), 1..400)) {
            let (mut set, mut model, mut bound) = (BitSet::default(), BTreeSet::new(), 0);
            for step in steps {
                match step {
                    Step::Insert(_) if bound == 0 => {}
                    Step::Insert(index) => {
                        prop_assert_eq!(set.insert(index % bound), model.insert(index % bound));
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
