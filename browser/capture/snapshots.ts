// Snapshots: extra properties read from the page when an event fires, as set per environment (heap_config.js).
// Attributes, text and form values; JavaScript snapshots are not run: they would need eval.

import { attribute, closestTo } from './dom'
import { chainOf, textOf } from './element'
import { hidesText, isIgnored, isSecretField, maskText, matchesPage, redactedAttributes } from './privacy'
import type { Config, Properties } from './types'

/** What the snapshots of a kind of event yield for this element, or this page when there is none. */
export const snapshotOf = (kind: string, target: Element | null, config: Config): Properties => {
  const taken: Properties = {}
  const rules = config.snapshots?.[kind] ?? {}
  for (const selector of Object.keys(rules)) {
    try {
      const matched = target
        ? closestTo(target, selector)
        : matchesPage(selector, location.hostname, location.pathname) && document.body
      if (!matched) continue
      const find = (where: string) => (where === '${this}' ? matched : document.querySelector(where))
      const { a = {}, s = {}, t = {}, f = {} } = rules[selector]!
      for (const name of Object.keys(a)) put(taken, name, attributeOf(find(a[name]!.target), a[name]!.attribute))
      for (const texts of config.disableTextCapture ? [] : [s, t]) {
        for (const name of Object.keys(texts)) put(taken, name, shownText(find(texts[name]!)))
      }
      for (const name of Object.keys(f)) put(taken, name, formValue(find(f[name]!)))
    } catch {
      // A selector this browser cannot read skips its own snapshot, not the event.
    }
  }
  return taken
}

const put = (taken: Properties, name: string, value: string): void => {
  if (value) taken[name] = value
}

const allowed = (element: Element | null) => {
  const chain = element && chainOf(element)[1]
  return chain && !isIgnored(chain) && !hidesText(chain) ? chain : null
}

const shownText = (element: Element | null): string => {
  const chain = allowed(element)
  return chain ? textOf(element!, chain) : ''
}

const attributeOf = (element: Element | null, name: string): string => {
  const chain = allowed(element)
  const isHidden = !chain || /^value$/i.test(name) || redactedAttributes(chain[0]!).includes(name.toLowerCase())
  return isHidden ? '' : maskText(attribute(element!, name) ?? '')
}

/** The one place where a form's value is read: named by the environment's owner, and never a secret field. */
const formValue = (element: Element | null): string => {
  const chain = allowed(element)
  if (!chain || isSecretField(chain[0]!)) return ''
  const field = element as HTMLInputElement
  if (/^(checkbox|radio)$/.test(field.type)) return '' + field.checked
  return typeof field.value === 'string' ? maskText(field.value) : ''
}
