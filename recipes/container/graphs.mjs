// What the graphs of a container show while arrays are paged out. Run it in a memory group, alone in it, or in a container:
//   node recipes/container/graphs.mjs [MiB]
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { pageout, readAt, stats } from 'pageout'

const MIB = 2 ** 20

/** The memory of the group that this process is in, as cAdvisor and `docker stats` compute it. */
export function groupMemory() {
  const groups = readFileSync('/proc/self/cgroup', 'utf8')
  const [, path] = /^\d+:memory:(.*)$/m.exec(groups) ?? []
  // In a container the group is the root of what is mounted.
  return path === undefined ? version2(/^0::(.*)$/m.exec(groups)?.[1] ?? '/') : version1(path)
}

function version1(path) {
  const { usage, stat } = first('/sys/fs/cgroup/memory', path, 'memory.usage_in_bytes')
  return { usage, cache: stat('total_cache'), workingSet: usage - stat('total_inactive_file') }
}

function version2(path) {
  const { usage, stat } = first('/sys/fs/cgroup', path, 'memory.current')
  return { usage, cache: stat('file'), workingSet: usage - stat('inactive_file') }
}

function first(mount, path, name) {
  for (const folder of [`${mount}${path}`, mount]) {
    try {
      const usage = Number(readFileSync(`${folder}/${name}`, 'utf8'))
      const lines = readFileSync(`${folder}/memory.stat`, 'utf8')
      return { usage, stat: key => Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(lines)?.[1] ?? 0) }
    } catch (error) {
      if (error.code !== 'ENOENT' || folder === mount) throw error
    }
  }
}

/** Pages arrays out and reads ranges of them; calls `show` with the name of each step. */
export function run(totalMib, show) {
  const make = id => new Float64Array((4 * MIB) / 8).fill(id)
  show('start')
  const arrays = Array.from({ length: totalMib / 4 }, (_, id) => make(id))
  show(`${totalMib} MiB of arrays`)
  const handles = arrays.map(array => pageout(array))
  show('the same, paged out')
  const isWhole = handles.every((handle, id) => readAt(handle, 1000, 1)[0] === id)
  show('a number of each read')
  return { isWhole, scratchBytes: stats().scratchBytes }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const inMib = bytes => Math.round(bytes / MIB)
  console.log('| MiB | RSS | usage | page cache | working set |\n| --- | --: | --: | --: | --: |')
  run(Number(process.argv[2] ?? 300), step => {
    const { usage, cache, workingSet } = groupMemory()
    console.log(`| ${[step, ...[process.memoryUsage.rss(), usage, cache, workingSet].map(inMib)].join(' | ')} |`)
  })
}
