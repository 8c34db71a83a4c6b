//! Payloads in transit from one thread's environment to another, by the token that JavaScript sends.
//!
//! They have no owner meanwhile: the thread that sent one may end before another adopts it. One that is never adopted keeps its
//! space until the process ends.

use std::sync::{Arc, LazyLock};

use napi::Result;
use napi::bindgen_prelude::Either3;
use napi_derive::napi;
use pageout::Handle;

use crate::error::internal;
use crate::exports::PagerRef;
use crate::in_transit::InTransit;
use crate::numbers::double;
use crate::table::{Opening, Payload, Shared};
use crate::view::ArrayBufferView;

static IN_TRANSIT: LazyLock<InTransit<Moving>> = LazyLock::new(InTransit::default);

struct Moving {
    /// Name of the class of the results, for JavaScript.
    kind: String,
    /// Whether its bytes on the disk are encrypted, for JavaScript.
    is_encrypted: bool,
    cargo: Cargo,
}

enum Cargo {
    /// What keeps its pager open goes with it: a payload outlives the table that it was moved from.
    Stored(Arc<Handle<u8>>, Option<Arc<Opening>>),
    /// A copy of memory that JavaScript kept: memory cannot move between environments.
    Kept {
        bytes: Vec<u8>,
        /// Whether the copy is excluded from core dumps.
        is_excluded: bool,
        counted_in: Arc<Shared>,
    },
}

impl Moving {
    fn len_bytes(&self) -> usize {
        match &self.cargo {
            Cargo::Stored(handle, _) => handle.len_bytes(),
            Cargo::Kept { bytes, .. } => bytes.len(),
        }
    }
}

/// Sends a payload away: its ticket is free, and `token`, which nobody can guess, stands for it. `views` are the memory of one
/// that JavaScript keeps, `is_excluded` whether that is kept out of core dumps; `is_encrypted` is for the receiver to know. False when
/// memory for a copy of it cannot be had; nothing has happened then.
#[napi(catch_unwind)]
pub fn send(
    pager: &PagerRef,
    ticket: f64,
    token: String,
    kind: String,
    views: Vec<ArrayBufferView>,
    is_excluded: bool,
    is_encrypted: bool,
) -> Result<bool> {
    let Some(bytes) = copy_of(&views, is_excluded) else { return Ok(false) };
    let cargo = match pager.remove(ticket) {
        Some(Payload::Stored(handle, opening)) => Cargo::Stored(handle, opening.or_else(|| pager.opening())),
        Some(Payload::Kept(_)) => Cargo::Kept { bytes, is_excluded, counted_in: Arc::clone(pager.shared()) },
        Some(Payload::Collecting(_) | Payload::Held(_) | Payload::Gathered(_)) | None => {
            return Err(internal("the ticket stands for no payload"));
        }
    };
    IN_TRANSIT.send(token, Moving { kind, is_encrypted, cargo });
    Ok(true)
}

/// The bytes of `views`, concatenated; `None` if memory cannot be allocated or excluded from core dumps.
fn copy_of(views: &[ArrayBufferView], is_excluded: bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(views.iter().map(|view| view.bytes().len()).sum()).ok()?;
    for view in views {
        bytes.extend_from_slice(view.bytes());
    }
    let is_ready = !is_excluded || pageout::memory::exclude_from_core_dumps(&bytes).is_ok();
    is_ready.then_some(bytes)
}

/// What a token stands for: the class of chunks, bytes, whether JavaScript is to keep the memory, whether it is to keep that out of
/// core dumps, and whether the payload is encrypted on the disk. `null` when it stands for nothing.
#[napi(
    catch_unwind,
    ts_return_type = "[kind: string, byteLength: number, isKept: boolean, isExcluded: boolean, isEncrypted: boolean] | null"
)]
pub fn look_up(token: String) -> Option<Vec<Either3<String, f64, bool>>> {
    IN_TRANSIT.look_up(&token, |moving| {
        let len_bytes = double(u64::try_from(moving.len_bytes()).ok()?);
        let (is_kept, is_excluded) = match moving.cargo {
            Cargo::Stored(..) => (false, false),
            Cargo::Kept { is_excluded, .. } => (true, is_excluded),
        };
        let kind = Either3::A(moving.kind.clone());
        let flags = [is_kept, is_excluded, moving.is_encrypted].map(Either3::C);
        Some([kind, Either3::B(len_bytes)].into_iter().chain(flags).collect())
    })?
}

/// Takes the payload of a token in, and gives its ticket. What JavaScript is to keep is copied to `target`, which has exactly
/// its length. -1 when the token stands for nothing any more.
#[napi(catch_unwind)]
pub fn receive(pager: &PagerRef, token: String, mut target: ArrayBufferView) -> Result<f64> {
    let Some(moving) = IN_TRANSIT.receive(&token) else { return Ok(-1.0) };
    match moving.cargo {
        Cargo::Stored(handle, opening) => pager.insert(Payload::Stored(handle, opening)),
        Cargo::Kept { mut bytes, is_excluded, counted_in } => {
            let len_bytes = u64::try_from(bytes.len()).map_err(|_| internal("a length that does not fit"))?;
            target.bytes_mut().copy_from_slice(&bytes);
            if is_excluded {
                bytes.clear();
                pageout::memory::discard_excluded(bytes.spare_capacity_mut());
            }
            counted_in.kept.end(len_bytes);
            pager.shared().kept.begin(len_bytes);
            pager.insert(Payload::Kept(len_bytes))
        }
    }
}

/// Payloads that were sent and not received yet.
#[napi(catch_unwind)]
pub fn in_transit() -> u32 {
    u32::try_from(IN_TRANSIT.len()).unwrap_or(u32::MAX)
}
