//! Calls that go wrong at random, drawn for each thread by itself.
//!
//! A thread says what may go wrong and how often ([`set_climate`]), and from when to when ([`begin`], [`end`]). The seed of
//! one step decides alone what goes wrong in it, so that a sequence of which some steps are left out repeats the rest.

use std::cell::RefCell;

use super::draws::Draws;
use super::faulty::{Call, Effect, Short};
use super::{PAGE, u64_of};

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Fail,
    Short,
    LoseWrite,
    TearWrite,
    MisplaceWrite,
    FlipWrite,
    StaleRead,
    MisplaceRead,
    FlipRead,
    FailWriteBack,
    LoseWriteBack,
}

impl Trouble {
    pub const ALL: [Self; 11] = [
        Self::Fail,
        Self::Short,
        Self::LoseWrite,
        Self::TearWrite,
        Self::MisplaceWrite,
        Self::FlipWrite,
        Self::StaleRead,
        Self::MisplaceRead,
        Self::FlipRead,
        Self::FailWriteBack,
        Self::LoseWriteBack,
    ];
    /// What the device itself says, so that it takes no checksum to notice it.
    pub const SAID: [Self; 3] = [Self::Fail, Self::Short, Self::FailWriteBack];

    /// What happens to a call, where this can happen to calls of its kind.
    fn effect(self, call: Call, draws: &mut Draws<'_>) -> Option<Effect> {
        let is_read = matches!(call, Call::Read | Call::ReadCached);
        let further_bytes = |draws: &mut Draws<'_>| (1 + draws.below(64)) * u64_of(PAGE);
        match (self, call) {
            // Hints have no answer.
            (_, Call::Announce | Call::Evict) => None,
            (Self::Fail, Call::Reserve) if draws.one_of(4) => Some(Effect::Fail(libc::EINTR)),
            (Self::Fail, _) => Some(Effect::Fail(draws.pick(&ERRNOS))),
            (Self::Short, Call::Write) => Some(Effect::Short(draws.pick(&Short::ALL))),
            (Self::Short, _) if is_read => Some(Effect::Short(draws.pick(&Short::ALL))),
            (Self::LoseWrite, Call::Write) => Some(Effect::LoseWrite),
            (Self::TearWrite, Call::Write) => Some(Effect::TearWrite),
            (Self::MisplaceWrite, Call::Write) => Some(Effect::MisplaceWrite(further_bytes(draws))),
            (Self::FlipWrite, Call::Write) => Some(Effect::FlipWrite(draws.number() >> 1)),
            (Self::StaleRead, _) if is_read => Some(Effect::StaleRead),
            (Self::MisplaceRead, _) if is_read => Some(Effect::MisplaceRead(further_bytes(draws))),
            (Self::FlipRead, _) if is_read => Some(Effect::FlipRead(draws.number() >> 1)),
            (Self::FailWriteBack, Call::WriteBack) => Some(Effect::LateError(draws.pick(&LOSSES))),
            (Self::LoseWriteBack, Call::WriteBack) => Some(Effect::LateLoss(draws.pick(&LOSSES))),
            _ => None,
        }
    }
}

/// Error numbers with which write-back fails.
const LOSSES: [i32; 3] = [libc::EIO, libc::ENOSPC, libc::EDQUOT];

/// Error numbers that a call may give. EINTR is none of them: the device itself repeats such calls, reservations only for a while.
const ERRNOS: [i32; 12] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EDQUOT,
    libc::ENOMEM,
    libc::EINVAL,
    libc::EMFILE,
    libc::EFBIG,
    libc::EROFS,
    libc::EPERM,
    libc::EOPNOTSUPP,
    libc::ESTALE,
    libc::EAGAIN,
];

/// What goes wrong, and how often: with so many of a thousand calls.
#[derive(Clone, Debug, Default)]
pub struct Climate {
    pub permille: u64,
    pub troubles: Vec<Trouble>,
}

/// What happened to the calls of a thread since [`begin`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Calls that went wrong.
    pub hits: u64,
    /// File and offset of the last write.
    pub write: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Weather {
    climate: Climate,
    /// Decides what goes wrong, while something may.
    draws: Option<Draws<'static>>,
    seen: Seen,
}

thread_local! {
    static WEATHER: RefCell<Weather> = const {
        let climate = Climate { permille: 0, troubles: Vec::new() };
        RefCell::new(Weather { climate, draws: None, seen: Seen { hits: 0, write: None } })
    };
}

/// Says what may go wrong with calls of this thread.
pub fn set_climate(climate: &Climate) {
    WEATHER.with_borrow_mut(|weather| *weather = Weather { climate: climate.clone(), draws: None, seen: Seen::default() });
}

/// Lets calls of this thread go wrong as `seed` says, until [`end`]; none without a seed.
pub fn begin(seed: Option<u64>) {
    WEATHER.with_borrow_mut(|weather| {
        weather.draws = seed.filter(|_| weather.climate.permille > 0).map(Draws::seeded);
        weather.seen = Seen::default();
    });
}

/// Ends what [`begin`] began.
pub fn end() -> Seen {
    WEATHER.with_borrow_mut(|weather| {
        weather.draws = None;
        weather.seen
    })
}

/// Whether reads of this thread may be stale now.
pub(super) fn has_stale_reads() -> bool {
    WEATHER.with_borrow(|weather| weather.draws.is_some() && weather.climate.troubles.contains(&Trouble::StaleRead))
}

/// What goes wrong with a call of this thread.
pub(super) fn effect(call: Call, file: u64, offset: u64) -> Option<Effect> {
    WEATHER.with_borrow_mut(|weather| {
        let Weather { climate, draws, seen } = weather;
        if call == Call::Write {
            seen.write = Some((file, offset));
        }
        let draws = draws.as_mut()?;
        if draws.below(1000) >= climate.permille {
            return None;
        }
        let start = draws.index(climate.troubles.len());
        let mut troubles = climate.troubles.iter().cycle().skip(start).take(climate.troubles.len());
        let effect = troubles.find_map(|trouble| trouble.effect(call, draws))?;
        seen.hits += 1;
        Some(effect)
    })
}
