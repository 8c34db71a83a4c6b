// Every link of a page to another page, to a heading or to a file of the site leads somewhere. The pages of the crate are rustdoc's
// affair, which has its own check.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const [, , site] = process.argv
const pages = readdirSync(site, { recursive: true, encoding: 'utf8' }).filter(
  path => path.endsWith('.html') && !path.startsWith('rust/'),
)
const texts = new Map(pages.map(path => [path, readFileSync(join(site, path), 'utf8')]))
if (texts.size === 0) throw new Error(`${site} has no pages`)

const decoded = text => decodeURIComponent(text.replaceAll('&amp;', '&'))
const anchors = new Map([...texts].map(([path, text]) => [path, new Set(values(text, 'id'))]))

function values(text, attribute) {
  return [...text.matchAll(new RegExp(`\\s${attribute}="([^"]*)"`, 'g'))].map(([, value]) => decoded(value))
}

function isThere(page, link) {
  const [path, anchor] = link.split('#')
  const target = path === '' ? page : join(dirname(page), path)
  // A document that is no page of the site was copied as it is.
  if (target.endsWith('.md') || !existsSync(join(site, target))) return false
  return !anchor || !anchors.has(target) || anchors.get(target).has(anchor)
}

let count = 0
for (const [page, text] of texts) {
  for (const link of [...values(text, 'href'), ...values(text, 'src'), ...values(text, 'srcset')]) {
    if (/^\w+:/.test(link)) continue
    count++
    if (isThere(page, link)) continue
    console.error(`${page}: ${link} leads nowhere`)
    process.exitCode = 1
  }
}
console.log(`${relative('', site)}: ${texts.size} pages, ${count} links`)
