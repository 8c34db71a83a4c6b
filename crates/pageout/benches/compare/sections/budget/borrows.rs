//! Looking at a payload that is in memory.

use std::time::Instant;

use pageout::{Handle, Pager};

use super::{HOT_BYTES, PAYLOADS_BYTES, quick_calls, rounds};
use crate::measure::{Candidate, Outcome, in_turns, us_each};
use crate::payload::{MIB, as_u64, length, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::sections::Setting;
use crate::sections::trips;
use crate::site::Site;
use crate::stores::lmdb::{LMDB, Lmdb};
use crate::stores::{BUDGET, Store};

const COPY: &str = "pageout within a memory budget, a read into a slice";
const READ_IN: &str = "pageout without a budget, a borrow";

pub(super) fn run(setting: &Setting) -> Outcome<Table> {
    let mut table = Measured::new(Head {
        id: "budget-borrow",
        title: "Borrow of a payload that is in memory, and its release",
        note:
            "Both ends of the payload are looked at. A read copies the payload; a borrow without a budget reads it from the page \
               cache into memory of its own. LMDB: a transaction that reads, and looks at its map."
                .to_owned(),
        unit: "us",
        better: Better::Less,
        subject: BUDGET,
        references: vec![COPY, READ_IN, LMDB],
    });
    for payload_bytes in PAYLOADS_BYTES {
        table.row(length(payload_bytes), &in_turns(rounds(setting), &mut (), candidates(setting, payload_bytes)?)?, 0);
    }
    Ok(table.into())
}

fn candidates(setting: &Setting, payload_bytes: usize) -> Outcome<Vec<Candidate<'_, ()>>> {
    let content = random_bytes(payload_bytes);
    let ends = ends(&content);
    let resident = paged_out(&setting.site, HOT_BYTES, &content)?;
    let copied = paged_out(&setting.site, HOT_BYTES, &content)?;
    let stored = paged_out(&setting.site, 0, &content)?;
    let lmdb = Lmdb::new(&setting.site)?;
    let key = lmdb.out(&mut [content.clone()])?;
    let mut target = content;
    let few = trips::count(payload_bytes, setting.mode.pick(64 * MIB, 16 * MIB, 1));
    let many = quick_calls(setting);
    let copy = move || {
        copied.read_into(.., &mut target)?;
        Ok(self::ends(&target))
    };
    Ok(vec![
        candidate(BUDGET, many, ends, move || Ok(self::ends(&resident.borrow()?))),
        candidate(COPY, few, ends, copy),
        candidate(READ_IN, few, ends, move || Ok(self::ends(&stored.borrow()?))),
        candidate(LMDB, many, ends, move || Ok(lmdb.look(key, self::ends)?)),
    ])
}

fn paged_out(site: &Site, resident_bytes: usize, content: &[u8]) -> Outcome<Handle<u8>> {
    let pager = Pager::builder().scratch_dir(site.path()).resident_bytes(as_u64(resident_bytes)).build()?;
    Ok(pager.pageout_vec(content.to_vec()).map_err(pageout::PageoutError::into_error)?)
}

type Ends = (Option<u8>, Option<u8>);

fn ends(bytes: &[u8]) -> Ends {
    (bytes.first().copied(), bytes.last().copied())
}

/// A candidate that looks `count` times a lap; its value is microseconds of a look.
fn candidate<'a>(
    name: &'static str,
    count: usize,
    expected: Ends,
    mut look: impl FnMut() -> Outcome<Ends> + 'a,
) -> Candidate<'a, ()> {
    Candidate::new(name, move |(), _| {
        let start = Instant::now();
        for _ in 0..count {
            if look()? != expected {
                return Err("other bytes were there".into());
            }
        }
        Ok(vec![Some(us_each(start.elapsed(), count))])
    })
}
