/** What the installation means: pure. */

import type { AddonLook, Finding, InstallationFacts } from './types.js'

const section = 'installation'

export function installationFindings(facts: InstallationFacts): Finding[] {
  return facts.error ? [missing(facts, facts.error.message)] : present(facts)
}

function missing({ looks }: InstallationFacts, text: string): Finding {
  // The messages of the loader say what is wrong first, and then what to do.
  const [message = text, ...rest] = text.split(/\. (?=[A-Z])/)
  const advice = rest.join('. ')
  const details = looks.map(looked)
  return { section, code: 'addon', level: 'problem', message, details, ...(advice !== '' && { advice }) }
}

function looked({ name, outcome, message }: AddonLook): string {
  return outcome === 'refused' ? `looked for ${name}: ${message}` : `looked for ${name}: ${outcome}`
}

function present({ version, node, platform, addon, looks }: InstallationFacts): Finding[] {
  const ok: Finding = {
    section,
    code: 'addon',
    level: 'ok',
    message: `pageout ${version} with its addon for ${platform}, on Node ${node}`,
    details: [addon ?? 'the addon is part of a program'],
  }
  return looks.at(-1)?.origin === 'environment' ? [ok, fromEnvironment] : [ok]
}

const fromEnvironment: Finding = {
  section,
  code: 'addon-from-environment',
  level: 'note',
  message: 'PAGEOUT_ADDON names the addon, and no other is looked for',
  advice: 'Unset it where the addon of the installed package should be used.',
}
