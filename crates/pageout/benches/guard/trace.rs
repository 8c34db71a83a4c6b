//! A process that is run instruction by instruction (`ptrace`), and so counted exactly, whatever else the machine does.

use std::collections::HashMap;
use std::ffi::c_uint;
use std::fmt;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr::{null_mut, without_provenance_mut};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};

/// The signal that is a mark. It stops nobody: the process that traces keeps it back.
const MARK: Signal = Signal::STOP;
/// The instruction `syscall`.
const SYSTEM_CALL: [u8; 2] = [0x0f, 0x05];
/// Where the kernel shows the address of the next instruction.
const NEXT: usize = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, rip);

/// What was done between two marks, the instructions of both marks included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counts {
    pub(crate) instructions: u64,
    pub(crate) system_calls: u64,
}

impl Counts {
    /// What is left without what marks cost.
    pub(crate) fn without(self, marks: Self) -> Self {
        Self { instructions: self.instructions - marks.instructions, system_calls: self.system_calls - marks.system_calls }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} instructions and {} system calls", self.instructions, self.system_calls)
    }
}

/// Marks a place in the process that is traced.
pub(crate) fn mark() -> io::Result<()> {
    Ok(kill_process(getpid(), MARK)?)
}

/// The first thread of a process that this thread traces.
pub(crate) struct Traced {
    child: Child,
    pid: Pid,
    memory: File,
    is_system_call: HashMap<u64, bool>,
    has_ended: bool,
}

impl Traced {
    /// Starts a process that stops at its first instruction.
    #[allow(unsafe_code)]
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let ask = || request(libc::PTRACE_TRACEME, Pid::INIT, 0).map(drop);
        // SAFETY: behind the fork one system call is made, and nothing is allocated.
        unsafe { command.pre_exec(ask) };
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let memory = File::open(format!("/proc/{}/mem", child.id()))?;
        let mut this = Self { child, pid, memory, is_system_call: HashMap::new(), has_ended: false };
        this.wait()?;
        Ok(this)
    }

    /// Runs to the next mark at full speed. Says whether there was one before the end.
    pub(crate) fn run(&mut self) -> io::Result<bool> {
        request(libc::PTRACE_CONT, self.pid, 0)?;
        self.has_stopped_by(MARK)
    }

    /// Runs to the next mark, and counts. Nothing where the process ends before.
    pub(crate) fn count(&mut self) -> io::Result<Option<Counts>> {
        let mut counts = Counts::default();
        let mut address = self.next_address()?;
        loop {
            let is_system_call = self.is_system_call(address)?;
            request(libc::PTRACE_SINGLESTEP, self.pid, 0)?;
            match self.wait()? {
                Some(signal) if signal == MARK => return Ok(Some(counts)),
                Some(signal) if signal == Signal::TRAP => {}
                Some(signal) => return Err(io::Error::other(format!("stopped by {signal:?}"))),
                None => return Ok(None),
            }
            let next = self.next_address()?;
            // An instruction that repeats itself stops after each time; how often is for the C library to choose.
            if next != address {
                counts.instructions += 1;
                counts.system_calls += u64::from(is_system_call);
            }
            address = next;
        }
    }

    fn has_stopped_by(&mut self, expected: Signal) -> io::Result<bool> {
        match self.wait()? {
            Some(signal) if signal == expected => Ok(true),
            Some(signal) => Err(io::Error::other(format!("stopped by {signal:?}"))),
            None => Ok(false),
        }
    }

    /// The signal that it has stopped by; nothing where it has ended as it should.
    fn wait(&mut self) -> io::Result<Option<Signal>> {
        let (_, status): (Pid, WaitStatus) =
            waitpid(Some(self.pid), WaitOptions::empty())?.ok_or_else(|| io::Error::other("no child"))?;
        match (status.stopping_signal(), status.exit_status()) {
            (Some(number), _) => Ok(Signal::from_named_raw(number)),
            (None, exit_status) => {
                self.has_ended = true;
                if exit_status == Some(0) {
                    Ok(None)
                } else {
                    Err(io::Error::other(format!("the process ended with {status:?}")))
                }
            }
        }
    }

    fn next_address(&self) -> io::Result<u64> {
        request(libc::PTRACE_PEEKUSER, self.pid, NEXT)
    }

    fn is_system_call(&mut self, address: u64) -> io::Result<bool> {
        if let Some(is_system_call) = self.is_system_call.get(&address) {
            return Ok(*is_system_call);
        }
        let mut code = [0; SYSTEM_CALL.len()];
        self.memory.read_exact_at(&mut code, address)?;
        self.is_system_call.insert(address, code == SYSTEM_CALL);
        Ok(code == SYSTEM_CALL)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.has_ended {
            // What went wrong was reported; nobody needs to hear of this.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// One request to the kernel, of those that neither read nor write memory of this process.
#[allow(unsafe_code)]
fn request(request: c_uint, pid: Pid, address: usize) -> io::Result<u64> {
    let address = without_provenance_mut::<libc::c_void>(address);
    // SAFETY: the requests of this module take numbers, and no address of this process.
    match unsafe { libc::ptrace(request, pid.as_raw_nonzero().get(), address, null_mut::<libc::c_void>()) } {
        // No instruction and no request has this answer.
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer.cast_unsigned()),
    }
}
