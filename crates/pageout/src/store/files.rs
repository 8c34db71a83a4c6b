//! The scratch files of a store: which one a new slot comes from.

use super::root::Root;
use super::slot::Slot;
use super::slot_file::{ChooseSlot, SlotFile};
use super::space::{Reservation, Space};
use super::write_behind::WriteBehind;
use crate::error::Error;
use crate::slots::{CLASS_COUNT, Class};
use crate::sync::{Arc, Mutex, UnsizedArc, lock};
use crate::sys::Device;
use crate::units::to_u64;

/// Files of each class that threads are spread over. Four, also with fewer cores: a thread that is preempted while it holds a
/// file's lock stops only those that share the file (8 threads on 2 cores: up to 1.5 x of the throughput with two). More gain
/// nothing, since writers are limited by memory bandwidth before.
pub(super) const SHARDS: usize = 4;

/// Files that serve at a time, at most.
pub(crate) const FILES_MAX: u64 = to_u64(CLASS_COUNT * SHARDS);

/// The files of one process. A forked child has files of its own, and only reads these.
#[derive(Debug)]
pub(super) struct Files {
    /// The files that grow: for each class, one for each shard.
    active: Box<[Mutex<Option<Arc<SlotFile>>>]>,
    /// Files that are full or failed, as long as they hold payloads.
    set_aside: Mutex<Vec<Arc<SlotFile>>>,
    /// Held by the thread that asks the file system for space.
    pub(super) growth: Mutex<()>,
    /// Held while slots are out of circulation because their space is given back, for one step at a time. Whoever is about to
    /// refuse a call for want of room takes it, and sees what others were giving back.
    pub(super) giving: Mutex<()>,
    pub(super) write_behind: Arc<WriteBehind>,
    pub(super) space: Arc<Space>,
}

impl Files {
    pub(super) fn new(device: &UnsizedArc<dyn Device>, space: Space) -> Self {
        Self::with_shards(device, space, CLASS_COUNT * SHARDS)
    }

    /// As [`Self::new`] with the files of fewer classes, the smallest.
    pub(super) fn with_shards(device: &UnsizedArc<dyn Device>, space: Space, count: usize) -> Self {
        Self {
            active: (0..count).map(|_| Mutex::default()).collect(),
            set_aside: Mutex::default(),
            growth: Mutex::default(),
            giving: Mutex::default(),
            write_behind: Arc::new(WriteBehind::new(UnsizedArc::clone(device))),
            space: Arc::new(space),
        }
    }

    /// The file of a class and shard that grows, a new one where there is none or where it can grow no more.
    ///
    /// # Errors
    /// What the operating system said of the new file.
    pub(super) fn active(&self, class: Class, shard: usize, root: &Root) -> Result<Arc<SlotFile>, Error> {
        let mut active = lock(&self.shards(class)[shard % SHARDS]);
        if let Some(file) = &*active
            && file.can_grow()
        {
            return Ok(Arc::clone(file));
        }
        lock(&self.set_aside).try_reserve(1)?;
        let write_behind = Arc::clone(&self.write_behind);
        let created = root.create_file()?;
        let file = Arc::new(SlotFile::new(created, class, Arc::clone(&self.space), write_behind, UnsizedArc::clone(root.path())));
        if let Some(former) = active.replace(Arc::clone(&file)) {
            lock(&self.set_aside).push(former);
            drop(active);
            self.close_unused(false, SlotFile::close);
        }
        Ok(file)
    }

    /// A free slot of any file of the class.
    pub(super) fn claim_any(&self, class: Class, choose: ChooseSlot, reservation: &mut Reservation<'_>) -> Option<Slot> {
        self.of_class(class).find_map(|file| claim(file, choose, reservation))
    }

    /// A file of the class that can grow, if one is open.
    pub(super) fn any_growing(&self, class: Class) -> Option<Arc<SlotFile>> {
        open_in(self.shards(class)).find(|file| file.can_grow())
    }

    /// Frees slots of the class that no other process can read any more. Says whether there were some.
    pub(super) fn settle_withheld(&self, class: Class) -> bool {
        self.of_class(class).filter(|file| file.settle_withheld()).count() > 0
    }

    /// All files. One that is being set aside may come twice.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<SlotFile>> {
        self.all_growing().chain(self.all_set_aside())
    }

    /// Lets go of the files of a process that this one was forked from, as far as none of its payloads is read here. Their locks
    /// may be held by threads that are not here.
    pub(super) fn close_unused_inherited(&self) {
        if let Ok(mut set_aside) = self.set_aside.try_lock() {
            set_aside.retain(|file| !is_unused(file));
        }
        for shard in &self.active {
            if let Ok(mut active) = shard.try_lock() {
                active.take_if(|file| is_unused(file));
            }
        }
    }

    /// Calls `step` with each file, again and again until it says that it is done with that one. Whoever looks for unused
    /// files under `giving` sees none that is held by this alone.
    pub(super) fn step_through(&self, mut step: impl FnMut(&SlotFile, bool) -> bool) {
        let at = |position: usize| match self.active.get(position) {
            Some(shard) => Some(lock(shard).as_ref().map(Arc::clone)),
            None => lock(&self.set_aside).get(position - self.active.len()).map(|file| Some(Arc::clone(file))),
        };
        let (mut position, mut is_first) = (0, true);
        loop {
            let _giving = lock(&self.giving);
            let Some(file) = at(position) else { break };
            let is_done = file.is_none_or(|file| step(&file, is_first));
            is_first = is_done;
            position += usize::from(is_done);
        }
    }

    /// The files that grow.
    pub(super) fn all_growing(&self) -> impl Iterator<Item = Arc<SlotFile>> {
        open_in(&self.active)
    }

    /// Closes every descriptor.
    pub(super) fn close(&self) {
        self.all().for_each(|file| file.close());
    }

    /// Lets go of the files that hold no payload, of those that grow only where `also_growing`, and closes each by `close`,
    /// behind the locks.
    pub(super) fn close_unused(&self, also_growing: bool, close: fn(&SlotFile)) {
        let next_set_aside = || lock(&self.set_aside).extract_if(.., |file| is_unused(file)).next();
        std::iter::from_fn(next_set_aside).for_each(|file| close(&file));
        for shard in self.active.iter().filter(|_| also_growing) {
            let unused = lock(shard).take_if(|file| is_unused(file));
            if let Some(file) = unused {
                close(&file);
            }
        }
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = Arc<SlotFile>> {
        open_in(self.shards(class)).chain(self.all_set_aside().filter(move |file| file.class() == class))
    }

    /// The files that were set aside, without any copy of their list. Where one goes meanwhile, another may be passed over.
    fn all_set_aside(&self) -> impl Iterator<Item = Arc<SlotFile>> {
        (0..).map_while(|position| lock(&self.set_aside).get(position).map(Arc::clone))
    }

    fn shards(&self, class: Class) -> &[Mutex<Option<Arc<SlotFile>>>] {
        &self.active[class.index() * SHARDS..][..SHARDS]
    }
}

/// The files of some shards.
fn open_in(shards: &[Mutex<Option<Arc<SlotFile>>>]) -> impl Iterator<Item = Arc<SlotFile>> {
    shards.iter().filter_map(|shard| lock(shard).as_ref().map(Arc::clone))
}

fn claim(file: Arc<SlotFile>, choose: ChooseSlot, reservation: &mut Reservation<'_>) -> Option<Slot> {
    let index = if file.has_failed() { None } else { file.claim(choose, reservation) };
    index.map(|index| Slot::new(file, index))
}

/// Whether nobody but the store holds the file, so that no slot of it is in use.
fn is_unused(file: &Arc<SlotFile>) -> bool {
    Arc::strong_count(file) == 1
}
