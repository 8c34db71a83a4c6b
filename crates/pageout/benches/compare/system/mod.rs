//! What the standard library has no safe call for. All unsafe code of the benchmark is here, in the Linux half and in the allocator.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod platform;

mod heap;

use std::path::Path;

pub(crate) use heap::heap_growth;
pub(crate) use platform::{Ring, announce, drop_from_cache, hint_cold, open_direct, reserve};

/// Alignment of memory and offsets that direct transfers need on all usual devices.
pub(crate) const DIRECT_BYTES: usize = 4096;

/// Memory for direct transfers, which a vector of bytes is not aligned for: a longer one has an aligned part.
pub(crate) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len_bytes: usize,
}

impl Aligned {
    pub(crate) fn new(len_bytes: usize) -> Self {
        let memory = vec![1; len_bytes + DIRECT_BYTES];
        Self { start: memory.as_ptr().align_offset(DIRECT_BYTES), memory, len_bytes }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len_bytes]
    }
}

/// Uses memory that the machine may have given back to its host; whoever is the next to use it would wait for the host.
pub(crate) fn touch_memory(len_bytes: usize) {
    std::hint::black_box(vec![1u8; len_bytes]);
}

/// Opens LMDB in `directory`, as is fair for scratch data: nothing is ever flushed for safety, and values are copied
/// straight into the map.
#[allow(unsafe_code)]
pub(crate) fn open_lmdb(directory: &Path, map_bytes: usize) -> heed::Result<heed::Env> {
    use heed::EnvFlags;
    let mut options = heed::EnvOpenOptions::new();
    options.map_size(map_bytes);
    let flags = EnvFlags::WRITE_MAP | EnvFlags::MAP_ASYNC | EnvFlags::NO_SYNC | EnvFlags::NO_MEM_INIT;
    // SAFETY: these flags give up what survives a crash of the system, which is nothing here: the directory is temporary.
    // With WRITE_MAP a stray write of the process could damage the database; the rest of the benchmark is safe code.
    unsafe { options.flags(flags) };
    // SAFETY: the directory is new and temporary, so that no other process and no other environment of this one opens or
    // changes the files behind the map.
    unsafe { options.open(directory) }
}
