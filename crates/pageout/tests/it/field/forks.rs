//! After a fork both sides use what they have in common without disturbing each other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use super::{Payload, SetWhenDropped, becomes, check_all, payloads};
use pageout::{Environment, Pager, Resident};
use pageout_testing::faulty::Disk;
use pageout_testing::{KIB, MIB, PAGE, Setup, TestPager, assert_same, builder, check_works, in_own_process, scratch};

/// Lengths of several classes, of one and of several pages.
const LENS: [usize; 6] = [100, 4 * KIB, 10 * KIB, 64 * KIB, MIB, 3 * MIB];

/// A forked process, which has nothing but the thread that made it.
pub(super) struct Child {
    process: Pid,
    said: PipeReader,
    heard: PipeWriter,
}

/// The child's end of the pipes to its parent.
pub(super) struct Parent {
    said: PipeWriter,
    heard: PipeReader,
}

impl Parent {
    /// Tells the parent that the child has come this far.
    pub(super) fn tell(&mut self) {
        self.said.write_all(b".").expect("a parent that is there");
    }

    /// Waits until the parent has come as far.
    pub(super) fn wait(&mut self) {
        self.heard.read_exact(&mut [0]).expect("a parent that is there");
    }
}

impl Child {
    /// A child that runs `body` and exits; with an error where that panics.
    #[allow(unsafe_code, reason = "fork has no safe form")]
    pub(super) fn fork(body: impl FnOnce(&mut Parent)) -> Self {
        let (child_heard, heard) = pipe().expect("a pipe");
        let (said, child_said) = pipe().expect("a pipe");
        // SAFETY: the child has a copy of everything. What it calls may wait for locks that other threads held, which is what
        // these tests are there to find.
        let raw = unsafe { libc::fork() };
        assert!(raw >= 0, "fork: {}", std::io::Error::last_os_error());
        if let Some(process) = Pid::from_raw(raw) {
            return Self { process, said, heard };
        }
        drop((said, heard));
        let mut parent = Parent { said: child_said, heard: child_heard };
        let has_passed = catch_unwind(AssertUnwindSafe(|| body(&mut parent))).is_ok();
        std::process::exit(i32::from(!has_passed))
    }

    pub(super) fn tell(&mut self) {
        self.heard.write_all(b".").expect("a child that is there");
    }

    pub(super) fn wait(&mut self) {
        self.said.read_exact(&mut [0]).expect("a child that is there");
    }

    /// Waits for the end of the child, which is ended where it does not come by itself.
    #[track_caller]
    pub(super) fn passes(self) {
        let mut status: Option<WaitStatus> = None;
        let has_ended = becomes(|| {
            status = waitpid(Some(self.process), WaitOptions::NOHANG).expect("a child").map(|(_, status)| status);
            status.is_some()
        });
        if !has_ended {
            kill_process(self.process, Signal::KILL).expect("a child");
            waitpid(Some(self.process), WaitOptions::empty()).expect("a child");
            panic!("the child does not end");
        }
        let code = status.and_then(WaitStatus::exit_status);
        assert_eq!(code, Some(0), "the child has failed: {status:?}");
    }
}

/// A pager with payloads out and free slots between them.
fn with_payloads(setup: Setup) -> (TestPager, Vec<Payload>) {
    let pager = setup.pager();
    let mut held = payloads(&pager, &LENS.repeat(6), 1000);
    let mut position = 0;
    held.retain(|_| {
        position += 1;
        position % 3 != 0
    });
    check_all(&held);
    (pager, held)
}

/// Pages out, takes back and drops; gives what is still out.
fn keep_busy(pager: &Pager, seed: u64) -> Vec<Payload> {
    let mut held = payloads(pager, &LENS.repeat(8), seed);
    let mut all = Vec::new();
    pager.take(held.swap_remove(5).handle, &mut all).expect("a take");
    held.drain(10..30).for_each(drop);
    pager.trim().expect("a trim");
    held.extend(payloads(pager, &LENS.repeat(3), seed + 100));
    check_all(&held);
    held
}

fn in_each_setup(test: &str, body: impl Fn(Setup)) {
    in_own_process(test, |_| {}, || [Setup::Native, Setup::Portable, Setup::Sealed, Setup::Both].into_iter().for_each(body));
}

/// The pages with content of all scratch files that this process has open.
fn pages_on_disk(scratch: &Path) -> BTreeSet<Vec<u8>> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a listing").map(|entry| entry.expect("an entry").path());
    let below = entries.filter(|path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(scratch)));
    let contents = below.filter(|path| path.is_file()).map(|path| std::fs::read(path).expect("its content"));
    let pages = contents.flat_map(|content| content.chunks(PAGE).map(<[u8]>::to_vec).collect::<Vec<_>>());
    pages.filter(|page| page.iter().any(|&byte| byte != 0)).collect()
}

/// With the same key and the same nonces the same bytes would be encrypted to the same ones on both sides.
#[test]
fn a_child_encrypts_with_a_key_of_its_own_and_reads_what_it_inherited() {
    let test = "a_child_encrypts_with_a_key_of_its_own_and_reads_what_it_inherited";
    let body = || {
        let pager = Setup::Sealed.pager();
        let inherited = pager.pageout_vec(vec![7u8; 2 * PAGE]).expect("a pageout");
        let before = pages_on_disk(pager.scratch.path());
        let told = pager.scratch.path().with_extension("told");
        let child = Child::fork(|_| {
            assert_same(&inherited.read(..).expect("what was inherited"), &[7; 2 * PAGE]);
            let own = pager.pageout_vec(vec![8u8; 2 * PAGE]).expect("a pageout");
            std::fs::write(&told, pages_on_disk(pager.scratch.path()).into_iter().collect::<Vec<_>>().concat()).expect("a file");
            assert_same(&own.read(..).expect("its own"), &[8; 2 * PAGE]);
        });
        // The child finds its parent's file too, so the parent writes when the child has looked.
        child.passes();
        let own = pager.pageout_vec(vec![8u8; 2 * PAGE]).expect("a pageout");
        let of_child = std::fs::read(&told).expect("what the child has on disk");
        std::fs::remove_file(&told).expect("a file");
        let of_child: BTreeSet<Vec<u8>> = of_child.chunks(PAGE).map(<[u8]>::to_vec).collect();
        let of_parent = pages_on_disk(pager.scratch.path());
        assert_eq!((before.len(), of_child.len(), of_parent.len()), (2, 4, 4));
        assert!(of_child.intersection(&of_parent).eq(&before), "only what both have from before is the same");
        assert_same(&own.take().expect("a take"), &[8; 2 * PAGE]);
        assert_same(&inherited.take().expect("a take"), &[7; 2 * PAGE]);
    };
    in_own_process(test, |_| {}, body);
}

/// Nothing but the key is there when the process forks: no file, no directory.
#[test]
fn a_child_of_a_pager_that_has_opened_nothing_encrypts_with_a_key_of_its_own() {
    let body = || {
        let directory = scratch();
        let (path, told) = (directory.path().join("scratch"), directory.path().join("told"));
        let environment = Environment { scratch_dir: Some(path.clone()), temporary_dir: path.clone(), capacity_bytes: None };
        let pager = Pager::builder().environment(environment).allow_ram_backed(true).encryption(true).build().expect("a pager");
        let child = Child::fork(|_| {
            let _own = pager.pageout_vec(vec![7u8; PAGE]).expect("a pageout");
            std::fs::write(&told, pages_on_disk(&path).into_iter().collect::<Vec<_>>().concat()).expect("a file");
        });
        child.passes();
        let _own = pager.pageout_vec(vec![7u8; PAGE]).expect("a pageout");
        let of_child = std::fs::read(&told).expect("what the child had on disk");
        let of_parent = pages_on_disk(&path);
        assert_eq!((of_child.len(), of_parent.len()), (PAGE, 1));
        assert!(!of_parent.contains(&of_child), "the same key and the same nonce on both sides");
    };
    in_own_process("a_child_of_a_pager_that_has_opened_nothing_encrypts_with_a_key_of_its_own", |_| {}, body);
}

/// A budget that follows the memory of the machine is looked after before any file is open.
#[test]
fn a_child_of_a_process_whose_background_thread_runs_starts_its_own() {
    let body = || {
        let threads = || std::fs::read_dir("/proc/self/task").expect("a listing").count();
        let before = threads();
        let _auto = Pager::builder().resident_bytes(Resident::Auto).build().expect("a pager");
        assert!(becomes(|| threads() > before), "the thread does not start");
        let directory = scratch();
        let child = Child::fork(|_| {
            let pager = builder(directory.path()).build().expect("a pager");
            drop(pager.pageout_vec(vec![7u8; 100 * MIB]).expect("a pageout"));
            assert!(becomes(|| pager.stats().scratch_bytes <= 64 << 20), "nobody gives space back");
        });
        child.passes();
    };
    in_own_process("a_child_of_a_process_whose_background_thread_runs_starts_its_own", |_| {}, body);
}

/// Writes payloads of the same bytes, of one to three pages, and adds how each page begins on the disk to a file.
fn seal_the_same(disk: &Disk, pager: &Pager, writes: usize, begins: &Path) {
    let mut all = Vec::new();
    for write in 0..writes {
        let len = (1 + write % 3) * PAGE;
        let handle = pager.pageout_copy(&[&[7u8; 3 * PAGE][..len]]).expect("a pageout");
        let (file, start) = disk.last_place();
        (0..len / PAGE).for_each(|page| all.extend_from_slice(&disk.page(file, start + (page * PAGE) as u64)[..8]));
        drop(handle);
        disk.forget();
    }
    let mut file = OpenOptions::new().append(true).create(true).open(begins).expect("a file");
    file.write_all(&all).expect("all in one piece");
}

/// The same bytes are encrypted to the same ones if a nonce is used twice with one key. `PAGEOUT_NONCES` chooses how many payloads
/// are written, by a parent, its children and theirs, before and after each fork.
#[test]
fn no_nonce_is_used_twice_on_any_side_of_forks() {
    let writes: usize = std::env::var("PAGEOUT_NONCES").map_or(6_000, |count| count.parse().expect("a number"));
    let body = || {
        let (disk, directory) = (Disk::new(), scratch());
        let pager = disk.builder().encryption(true).build().expect("a pager in memory");
        let begins = directory.path().join("begins");
        let seal = || seal_the_same(&disk, &pager, writes / 30, &begins);
        for _ in 0..5 {
            seal();
            let child = Child::fork(|_| {
                seal();
                let grandchild = Child::fork(|_| seal());
                seal();
                grandchild.passes();
                seal();
            });
            seal();
            child.passes();
        }
        let all = std::fs::read(&begins).expect("what was written");
        let (begins, _) = all.as_chunks::<8>();
        assert_eq!(begins.len(), 30 * (0..writes / 30).map(|write| 1 + write % 3).sum::<usize>());
        let mut different = begins.to_vec();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), begins.len(), "pages that are encrypted alike");
    };
    in_own_process("no_nonce_is_used_twice_on_any_side_of_forks", |_| {}, body);
}

#[test]
fn what_a_child_does_changes_no_payload_of_its_parent() {
    in_each_setup("what_a_child_does_changes_no_payload_of_its_parent", |setup| {
        let (pager, held) = with_payloads(setup);
        let held = RefCell::new(held);
        let mut child = Child::fork(|parent| {
            check_all(&held.borrow());
            let own = keep_busy(&pager, 5000);
            check_all(&held.borrow());
            parent.tell();
            parent.wait();
            // Its copies of the parent's handles go, some by a take, while the parent goes on using its own.
            let mut inherited = held.take();
            pager.take(inherited.remove(0).handle, &mut Vec::new()).expect("a take");
            drop(inherited);
            pager.trim().expect("a trim");
            check_all(&own);
            drop(own);
            drop(keep_busy(&pager, 6000));
        });
        child.wait();
        check_all(&held.borrow());
        child.tell();
        let own = keep_busy(&pager, 7000);
        child.passes();
        check_all(&held.borrow());
        check_all(&own);
        check_works(&pager);
    });
}

#[test]
fn what_a_parent_does_changes_no_payload_that_its_child_inherited() {
    in_each_setup("what_a_parent_does_changes_no_payload_that_its_child_inherited", |setup| {
        let (pager, held) = with_payloads(setup);
        let held = RefCell::new(held);
        let mut child = Child::fork(|parent| {
            for _ in 0..3 {
                parent.wait();
                check_all(&held.borrow());
                parent.tell();
            }
        });
        // Everything that both have is dropped here, and its space wanted for something else.
        drop(held.take());
        let mut own = keep_busy(&pager, 5000);
        child.tell();
        child.wait();
        own.drain(..own.len() / 2).for_each(drop);
        pager.trim().expect("a trim");
        child.tell();
        child.wait();
        drop(own);
        let own = keep_busy(&pager, 6000);
        child.tell();
        child.wait();
        child.passes();
        check_all(&own);
        check_works(&pager);
    });
}

#[test]
fn both_sides_may_page_out_at_the_same_time() {
    in_each_setup("both_sides_may_page_out_at_the_same_time", |setup| {
        let (pager, held) = with_payloads(setup);
        let child = Child::fork(|_| {
            for round in 0..10 {
                drop(keep_busy(&pager, 100_000 + round * 1000));
                check_all(&held);
            }
        });
        for round in 0..10 {
            drop(keep_busy(&pager, 200_000 + round * 1000));
            check_all(&held);
        }
        child.passes();
        check_all(&held);
    });
}

#[test]
fn a_fork_while_other_threads_page_out_leaves_a_child_that_works() {
    in_own_process(
        "a_fork_while_other_threads_page_out_leaves_a_child_that_works",
        |_| {},
        || {
            let (pager, held) = with_payloads(Setup::Native);
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                // A failed child ends the threads, too.
                let _end = SetWhenDropped(&is_over);
                for number in 0..3 {
                    let (pager, is_over) = (&*pager, &is_over);
                    scope.spawn(move || {
                        let mut round = 0;
                        while !is_over.load(Relaxed) {
                            check_all(&payloads(pager, &LENS, number * 1_000_000 + round));
                            round += 1;
                        }
                    });
                }
                for round in 0..30 {
                    let child = Child::fork(|_| {
                        check_all(&held);
                        check_all(&payloads(&pager, &LENS, 10_000_000 + round));
                        pager.trim().expect("a trim");
                        check_all(&held);
                    });
                    child.passes();
                }
            });
            check_all(&held);
            check_works(&pager);
        },
    );
}

#[test]
fn a_grandchild_is_a_child_like_any_other() {
    in_each_setup("a_grandchild_is_a_child_like_any_other", |setup| {
        let (pager, held) = with_payloads(setup);
        let child = Child::fork(|_| {
            let own = keep_busy(&pager, 5000);
            let grandchild = Child::fork(|_| {
                let youngest = keep_busy(&pager, 6000);
                check_all(&own);
                check_all(&held);
                check_all(&youngest);
            });
            let more = keep_busy(&pager, 7000);
            grandchild.passes();
            check_all(&held);
            check_all(&own);
            check_all(&more);
        });
        let own = keep_busy(&pager, 8000);
        child.passes();
        check_all(&held);
        check_all(&own);
    });
}

#[test]
fn a_grandchild_may_outlive_the_child_between() {
    in_own_process(
        "a_grandchild_may_outlive_the_child_between",
        |_| {},
        || {
            let (pager, held) = with_payloads(Setup::Native);
            let held = RefCell::new(held);
            let mut child = Child::fork(|parent| {
                // The grandchild speaks by the pipes of the child, which is gone by then.
                let _grandchild = Child::fork(|_| {
                    parent.wait();
                    check_all(&held.borrow());
                    parent.tell();
                });
            });
            let gone = waitpid(Some(child.process), WaitOptions::empty()).expect("a child");
            assert!(gone.is_some_and(|(_, status)| status.exit_status() == Some(0)));
            drop(held.take());
            let own = keep_busy(&pager, 5000);
            child.tell();
            child.wait();
            check_all(&own);
        },
    );
}

fn descriptor_count() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a listing").count()
}

#[test]
fn many_short_lived_children_cost_neither_descriptors_nor_space() {
    in_own_process(
        "many_short_lived_children_cost_neither_descriptors_nor_space",
        |_| {},
        || {
            let (pager, held) = with_payloads(Setup::Native);
            let lens = [100, 64 * KIB, MIB];
            drop(payloads(&pager, &lens, 1));
            let before = descriptor_count();
            let (mut descriptors_max, mut scratch_bytes_max) = (0, 0);
            for round in 0..200 {
                let mut trips = payloads(&pager, &lens, round);
                let child = Child::fork(|_| panic!("no other program: {}", Command::new("true").exec()));
                trips.extend(payloads(&pager, &[MIB], round + 100));
                child.passes();
                check_all(&trips);
                drop(trips);
                descriptors_max = descriptors_max.max(descriptor_count());
                scratch_bytes_max = scratch_bytes_max.max(pager.stats().scratch_bytes);
            }
            assert!(descriptors_max <= before + 100, "{descriptors_max} descriptors, {before} before");
            assert!(scratch_bytes_max <= 256 << 20, "{scratch_bytes_max} bytes of scratch");
            check_all(&held);
        },
    );
}

#[test]
fn children_that_live_on_cost_a_bounded_number_of_descriptors() {
    in_own_process(
        "children_that_live_on_cost_a_bounded_number_of_descriptors",
        |_| {},
        || {
            let (pager, held) = with_payloads(Setup::Native);
            let before = descriptor_count();
            let mut children: Vec<_> = (0..100)
                .map(|round| {
                    drop(payloads(&pager, &LENS, round));
                    Child::fork(|parent| {
                        parent.wait();
                        check_all(&held);
                    })
                })
                .collect();
            // Two of each child belong to the test.
            assert!(descriptor_count() <= before + 2 * children.len() + 100);
            children.iter_mut().for_each(Child::tell);
            children.into_iter().for_each(Child::passes);
            assert!(becomes(|| {
                drop(payloads(&pager, &LENS, 1));
                descriptor_count() <= before + 100
            }));
            check_all(&held);
            check_works(&pager);
        },
    );
}
