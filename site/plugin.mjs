// What TypeDoc leaves open: a document is called by its first heading, and the navigation ends with the reference of the crate.
import { Converter, JSX, ReflectionKind } from 'typedoc'

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const document of project.getReflectionsByKind(ReflectionKind.Document)) {
      document.name = titleOf(document.content[0]) ?? document.name
    }
    // The page of the README has a title already.
    const [first] = project.readme ?? []
    if (titleOf(first)) first.text = first.text.replace(/^.*\n+/, '')
  })
  app.renderer.hooks.on('sidebar.end', ({ relativeURL }) =>
    JSX.createElement('a', { href: relativeURL('rust/pageout/index.html') }, 'Reference of the Rust crate'),
  )
}

/** The first heading of a text. */
function titleOf(part) {
  return /^# (.*)/.exec(part?.text ?? '')?.[1]
}
