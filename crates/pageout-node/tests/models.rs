//! Models of what the threads of JavaScript share in one process, without JavaScript: the map of payloads on their way, and
//! the count of busy lanes. `scripts/loom` runs them; see `crates/pageout/src/models`.

#![cfg(pageout_loom)]
#![allow(unreachable_pub, reason = "modules of the addon")]

#[path = "../../pageout/src/models/explore.rs"]
mod explore;
#[path = "../src/in_transit.rs"]
mod in_transit;
#[path = "../src/lanes.rs"]
mod lanes;
#[path = "../src/sync.rs"]
mod sync;

use loom::sync::Arc;
use loom::thread;
use pageout::{Backend, Handle, Pager};

use explore::explore;
use in_transit::InTransit;
use lanes::{Lane, Lanes};

/// A payload of one word that needs no device.
fn payload(pager: &Pager) -> Arc<Handle> {
    Arc::new(pager.pageout_with(Backend::Swap, &mut [vec![7]]).expect("memory for a word"))
}

/// What a thread's environment does with a token before it ends: it adopts the payload into its table, which it frees.
fn adopt(in_transit: &InTransit<Arc<Handle>>) -> bool {
    let Some(len) = in_transit.look_up("token", |handle| handle.len()) else { return false };
    assert_eq!(len, 1);
    let Some(handle) = in_transit.receive("token") else { return false };
    let mut back = Vec::new();
    handle.pager().read_at(&handle, 0, 1, &mut back).expect("memory for a word");
    assert_eq!(back, [7]);
    true
}

#[test]
fn a_payload_that_was_sent_is_adopted_at_most_once() {
    explore("a_payload_that_was_sent_is_adopted_at_most_once", || {
        let pager = Pager::builder().build().expect("nothing is opened yet");
        let in_transit = Arc::new(InTransit::default());
        let sending = {
            let (pager, in_transit) = (pager.clone(), Arc::clone(&in_transit));
            thread::spawn(move || {
                let handle = payload(&pager);
                // A read that is pending holds the payload, whatever becomes of the handle meanwhile.
                let pending = Arc::clone(&handle);
                in_transit.send("token".to_owned(), handle);
                assert_eq!(pending.len(), 1);
            })
        };
        let adopting = {
            let in_transit = Arc::clone(&in_transit);
            thread::spawn(move || adopt(&in_transit))
        };
        let own = adopt(&in_transit);
        sending.join().expect("no panic");
        let other = adopting.join().expect("no panic");
        assert!(!(own && other), "both adopted it");
        // The sender has ended: who did not come too early finds the payload as it was.
        assert_eq!(adopt(&in_transit), !own && !other);
        assert_eq!((in_transit.len(), pager.stats().handles), (0, 0));
    });
}

#[test]
fn one_that_nobody_adopts_stays() {
    explore("one_that_nobody_adopts_stays", || {
        let pager = Pager::builder().build().expect("nothing is opened yet");
        let in_transit = Arc::new(InTransit::default());
        let sending = ["first", "second"].map(|token| {
            let (pager, in_transit) = (pager.clone(), Arc::clone(&in_transit));
            thread::spawn(move || in_transit.send(token.to_owned(), payload(&pager)))
        });
        assert!(in_transit.receive("another").is_none());
        sending.into_iter().for_each(|sending| sending.join().expect("no panic"));
        assert_eq!((in_transit.len(), pager.stats().handles), (2, 2));
    });
}

#[test]
fn lanes_end_with_their_environments() {
    explore("lanes_end_with_their_environments", || {
        let lanes = Arc::new(Lanes::default());
        let environments = [true, false].map(|ends_busy| {
            let lane = Lane::new(Arc::clone(&lanes));
            thread::spawn(move || {
                lane.set_busy(true);
                lane.set_busy(true);
                if !ends_busy {
                    lane.set_busy(false);
                }
            })
        });
        assert!(lanes.busy() <= 2, "{} of two lanes are busy", lanes.busy());
        environments.into_iter().for_each(|environment| environment.join().expect("no panic"));
        assert_eq!(lanes.busy(), 0);
    });
}
