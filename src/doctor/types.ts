/** What a diagnosis consists of. What is not known, and a limit that does not exist, is left out. */

/** Of a finding: as it should be; something to know, or to improve; something that keeps pageout from serving. */
export type Level = 'ok' | 'note' | 'problem'

/** What a finding is about. */
export type Section = 'installation' | 'scratch' | 'memory' | 'swap' | 'process' | 'sealing' | 'speed'

/** One thing that was found out. */
export interface Finding {
  /** What it is about. */
  readonly section: Section
  /** A name that stays the same in later versions, such as `scratch-refused`. */
  readonly code: string
  /** How bad it is. */
  readonly level: Level
  /** In words, which may change. */
  readonly message: string
  /** More of it, line by line. */
  readonly details?: readonly string[]
  /** What to do. */
  readonly advice?: string
}

/** @internal Code of the reason for which nothing could be found out where a file system hangs. */
export const NO_ANSWER = 'ETIMEDOUT'

/** Options of `diagnose`. */
export interface DiagnoseOptions {
  /** The directory to look at, as `scratchDir` of a pager. Default: the search of a pager that names none. */
  scratchDir?: string | undefined
  /** As `allowRamBacked` of a pager. */
  allowRamBacked?: boolean | undefined
  /** Whether to measure how fast it is, which takes about a second. Default: true. */
  speed?: boolean | undefined
}

/** What was found out: the facts, and what they mean. */
export interface Diagnosis extends Facts {
  /** Of this shape: a field may be added without a new number, none is renamed or removed. */
  readonly format: 1
  /** Whether pageout can serve: no finding is a problem. */
  readonly canServe: boolean
  /** In the order of the sections. */
  readonly findings: readonly Finding[]
}

/** What was found out, without a judgement. All but the first are left out where the addon cannot be loaded. */
export interface Facts {
  /** What is installed. */
  readonly installation: InstallationFacts
  /** Where scratch files would be. */
  readonly scratch?: ScratchFacts
  /** Memory, memory groups and swap space. */
  readonly memory?: MemoryFacts
  /** Limits of the process. */
  readonly process?: ProcessFacts
  /** What the machine does for pagers with `encryption`. Left out also where there is no memory for a key. */
  readonly encryption?: EncryptionFacts
  /** What the option `compression` may be, beside `none`. */
  readonly compression?: readonly string[]
  /** Left out also where it was not measured, there is no directory, or not the room. */
  readonly speed?: SpeedFacts
  /** Why the speed could not be measured. */
  readonly speedError?: Reason
  /** Why nothing could be found out although the addon is there: a file system that hangs (ETIMEDOUT), or a bug of the package. */
  readonly error?: Reason
}

/** A failure in words. */
export interface Reason {
  /** As `code` of a `PageoutError`. */
  readonly code: string
  /** In words. */
  readonly message: string
  /** The system call that failed. */
  readonly syscall?: string
}

/** What is installed. */
export interface InstallationFacts {
  /** Of the package, and of its addon. */
  readonly version: string
  /** Version of Node. */
  readonly node: string
  /** The Nodes that are supported, as a range of versions. */
  readonly supportedNodes: string
  /** What the process runs on, with the C library of Linux: `linux-x64-musl`. */
  readonly platform: string
  /** The file of the addon that was loaded. */
  readonly addon?: string
  /** Where it was looked for, in that order. */
  readonly looks: readonly AddonLook[]
  /** Why there is none. */
  readonly error?: Reason
}

/** A place where the addon was looked for. */
export interface AddonLook {
  /** A clone of the repository, a package of the platform, a file beside a bundle, the variable PAGEOUT_ADDON. */
  readonly origin: 'clone' | 'package' | 'bundle' | 'environment'
  /** The path of the file, or the name of the package. */
  readonly name: string
  /** What became of it. */
  readonly outcome: 'loaded' | 'missing' | 'refused'
  /** What the system or Node said, where it was refused. */
  readonly message?: string
}

/** Where a pager has its scratch files. */
export interface ScratchFacts {
  /** The directory that was named in the options. */
  readonly named?: string
  /** The values of the variables `PAGEOUT_SCRATCH_DIR` and `PAGEOUT_CAPACITY_BYTES`. */
  readonly variables: {
    /** `PAGEOUT_SCRATCH_DIR` */
    readonly scratchDir?: string
    /** `PAGEOUT_CAPACITY_BYTES` */
    readonly capacityBytes?: string
  }
  /** The directories that cannot serve, in the order in which they were tried. */
  readonly refused: readonly RefusedFacts[]
  /** The directory that a pager would use. */
  readonly chosen?: ScratchDirFacts
  /** The directories that a pager would try next. */
  readonly untried: readonly string[]
  /** Why no pager can be opened, whatever the directory. */
  readonly error?: Reason
}

/** A directory that cannot serve. */
export interface RefusedFacts {
  /** The directory. */
  readonly path: string
  /** Why it was refused. */
  readonly reason: Reason & {
    /** Name of its file system. */
    readonly fileSystem?: string
  }
}

/** The directory that serves. */
export interface ScratchDirFacts {
  /** The directory, as an absolute path. */
  readonly path: string
  /** Whether it is not there yet: the first pageout makes it. */
  readonly isNew: boolean
  /** Name of its file system, such as `ext4`. */
  readonly fileSystem: string
  /** Where that file system is mounted. */
  readonly mountPoint?: string
  /** What is mounted there, often the path of a device. */
  readonly mountSource?: string
  /** Whether it is in memory, which an option allowed. */
  readonly isInMemory: boolean
  /** Whether it is on another machine. */
  readonly isRemote: boolean
  /** Bytes of the file system that this user may still write. */
  readonly freeBytes?: number
  /** Length of the file system. */
  readonly totalBytes?: number
  /** What a pager may have of it now. */
  readonly capacityBytes: number
  /** Whether there are files without a name (`O_TMPFILE`). */
  readonly unnamedFiles: boolean
  /** Whether space can be reserved (`fallocate`). */
  readonly reservedSpace: boolean
  /** Whether space can be given back from the middle of a file (`FALLOC_FL_PUNCH_HOLE`). */
  readonly holes: boolean
}

/** What the process may use of the memory. */
export interface MemoryFacts {
  /** Bytes of memory of the machine. */
  readonly physicalBytes?: number
  /** What the machine has available, page cache that can be dropped included. */
  readonly availableBytes?: number
  /** The smallest limit of the memory groups around the process. */
  readonly limitBytes?: number
  /** What the tightest of them leaves beside what cannot be dropped. */
  readonly groupFreeBytes?: number
  /** What a budget of `residentBytes: 'auto'` begins with. */
  readonly autoBytes: number
  /** Bytes of swap space of the machine. */
  readonly swapBytes: number
  /** Bytes of it that are free. */
  readonly swapFreeBytes: number
  /** The memory groups (cgroups) around the process, its own one first. */
  readonly groups: readonly MemoryGroupFacts[]
}

/** A memory group around the process. */
export interface MemoryGroupFacts {
  /** Of control groups: 1 or 2. */
  readonly version: number
  /** Its directory in the file system of control groups. */
  readonly directory: string
  /** Past this the kernel ends processes. */
  readonly limitBytes?: number
  /** Past this it slows them down (`memory.high`). */
  readonly highBytes?: number
  /** What is in memory, page cache included. */
  readonly usedBytes?: number
  /** The part of it that cannot be dropped. */
  readonly heldBytes?: number
  /** Upper limit on the bytes of its memory in swap space. */
  readonly swapLimitBytes?: number
  /** Bytes of its memory in swap space. */
  readonly swapUsedBytes?: number
}

/** What the system lets the process have. */
export interface ProcessFacts {
  /** `ulimit -v` */
  readonly addressSpaceBytes: LimitFacts
  /** `ulimit -d` */
  readonly dataBytes: LimitFacts
  /** The length of a file: `ulimit -f` */
  readonly fileBytes: LimitFacts
  /** `ulimit -n` */
  readonly descriptors: LimitFacts
  /** Memory that is not swapped out: `ulimit -l`. The key of each pager with `encryption` takes a page of it. */
  readonly lockedBytes: LimitFacts
  /** Descriptors that a pager needs at most, as long as no file of it is full or has failed. */
  readonly pagerDescriptors: number
}

/** What the machine does for pagers with `encryption`. */
export interface EncryptionFacts {
  /** The cipher. */
  readonly cipher: string
  /** The processor's instructions for AES that are used: `VAES`, `AES-NI`, `ARMv8 AES`. */
  readonly aesInstructions?: string
  /** Whether keys are left out of core dumps. */
  readonly isOutOfCoreDumps: boolean
  /** Whether keys are locked in memory, so that they are never swapped out. */
  readonly isOutOfSwap: boolean
}

/** A limit of the process. */
export interface LimitFacts {
  /** The limit that is enforced. */
  readonly soft?: number
  /** How far the process may raise it. */
  readonly hard?: number
  /** How much of it is in use. */
  readonly used?: number
}

/** How fast payloads of `payloadBytes` bytes are paged out and read back. */
export interface SpeedFacts {
  /** Length of the payloads that were used. */
  readonly payloadBytes: number
  /** Into the page cache. */
  readonly out: TransferFacts
  /** Out of the page cache. */
  readonly back: TransferFacts
  /** Copies of as many bytes in memory, to compare with. */
  readonly copy: TransferFacts
  /** Writes to the device, waiting until it has each. */
  readonly deviceWrite?: TransferFacts
  /** Reads from the device. */
  readonly deviceRead?: TransferFacts
}

/** Transfers of one kind. */
export interface TransferFacts {
  /** How many were made. */
  readonly calls: number
  /** Bytes of all of them. */
  readonly bytes: number
  /** Their rate. */
  readonly bytesPerSecond: number
  /** The longest call, in milliseconds. */
  readonly longestMs: number
}
