// What the parts of the bench hand to each other.

/** What was measured of one candidate. */
export interface Cell {
  candidate: string
  min: number
  median: number
  max: number
  /** Percentiles and their values, for a curve. */
  points?: [percentile: number, value: number][]
}

export interface Unit {
  unit: string
  better: 'less' | 'more'
}

export interface Row extends Partial<Unit> {
  name: string
  cells: Cell[]
}

export interface MeasuredTable extends Unit {
  id: string
  title: string
  /** What is measured, and what is fair or unfair to whom. */
  note: string
  /** The candidate that ratios are for. */
  subject: string
  /** The candidates that the subject is compared with. */
  references: string[]
  plot: 'bars' | 'curve' | 'none'
  rows: Row[]
}

export interface SkippedTable {
  id: string
  title: string
  /** Why. */
  skipped: string
}

export type Table = MeasuredTable | SkippedTable

/** What a run leaves behind. */
export interface Results {
  title: string
  /** What measures the same again. */
  command: string
  /** Where it was measured; `node` where it was Node that ran. */
  machine: Record<string, string>
  tables: Table[]
}

/** Something asked of rows of a table: of one candidate's median by itself, or against another candidate or row. */
export interface Goal {
  what: string
  /** Its id. */
  table: string
  /** All rows where none are named. */
  rows?: string[]
  /** The table's subject where none is named. */
  ours?: string
  against?: string
  againstRow?: string
  /** `time`: of ours, as a share of the other's; `ahead`: how many times ours is better; `difference`: ours without the other's. */
  measure: 'value' | 'time' | 'ahead' | 'difference'
  /** A number, or one for a major version of Node. */
  atMost?: number | ((node: number) => number)
  atLeast?: number | ((node: number) => number)
  /** Of values and differences; ratios have none. */
  unit?: string
}

/** Where a store keeps its files, and the length of all its payloads. */
export interface Place {
  folder: string
  payloadBytes: number
  /** How much a store with a memory budget may keep in memory. */
  residentBytes?: number | undefined
}

/** A place for payloads. What `back` gives is memory of the caller's own. */
export interface Store {
  name: string
  /** Readies the store for a batch; not timed. */
  prepare?(): void
  // biome-ignore lint/suspicious/noExplicitAny: each store has handles of its own kind
  out(bytes: Uint8Array): any
  // biome-ignore lint/suspicious/noExplicitAny: see above
  back(handle: any): Uint8Array
  /** Forgets a payload unread, where the store can do that. */
  // biome-ignore lint/suspicious/noExplicitAny: see above
  drop?(handle: any): void
  /** Reads without removing, where the store can do that. */
  // biome-ignore lint/suspicious/noExplicitAny: see above
  read?(handle: any): Uint8Array
  close(): void | Promise<void>
}

/** A place for payloads by number, of which a part is in memory. */
export interface Cache {
  name: string
  /** Adds the payload of the next number. */
  add(bytes: Uint8Array): void
  /** Gives a payload to `work`, which only looks. */
  look<T>(number: number, work: (bytes: Uint8Array) => T): T
  /** How many looks found their payload in memory. */
  hits(): number
  close(): void | Promise<void>
}

/** A place for payloads whose verbs return promises. */
export interface PromiseStore {
  name: string
  prepare?(): void
  // biome-ignore lint/suspicious/noExplicitAny: each store has handles of its own kind
  out(bytes: Uint8Array): Promise<any>
  // biome-ignore lint/suspicious/noExplicitAny: see above
  back(handle: any): Promise<Uint8Array>
  /** Gives a payload, which stays, to `work`. */
  // biome-ignore lint/suspicious/noExplicitAny: see above
  look(handle: any, work: (bytes: Uint8Array) => void): Promise<void>
  close(): void | Promise<void>
}

/** Values of one sort. */
export interface Column {
  name: string
  values: Float64Array | Int32Array | Uint16Array | Uint8Array
}

/** A build of pageout. */
export interface Build {
  name: string
  /** The name of its promises. */
  promisedName: string
  Pager: typeof import('../dist/index.js').Pager
  PromisePager: typeof import('../dist/promises.js').Pager
}

export type Makers = Record<string, (place: Place) => Store>

/** What every section gets. */
export interface Bench {
  quick: boolean
  /** How often everything is measured, unless a section has reason to measure more often. */
  rounds: number
  /** The folder that all candidates use. */
  folder: string
  /** The build that is measured, and the one that `--against` names. */
  builds: readonly Build[]
  /** The directory of the other build, for parts that have a process of their own. */
  against: string | undefined
  /** The stores that can be opened here. */
  makers: Makers
  /** How lmdb is used, or why it is left out. */
  lmdbNote: string
  /** Tells whoever waits what is being measured. */
  say(text: string): void
}

export interface Section {
  id: string
  run(bench: Bench): Promise<Table[]>
}
