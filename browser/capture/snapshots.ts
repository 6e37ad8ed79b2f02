// Snapshots: extra properties read from the page when an event fires, as set per environment (heap_config.js).
// Attributes, text, form values, and what JavaScript returns: functions the loader has fetched as files, by their ids.

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
      const { a = {}, s = {}, t = {}, f = {}, j = {} } = rules[selector]!
      for (const name of Object.keys(a)) put(taken, name, attributeOf(find(a[name]!.target), a[name]!.attribute))
      for (const texts of config.disableTextCapture ? [] : [s, t]) {
        for (const name of Object.keys(texts)) put(taken, name, shownText(find(texts[name]!)))
      }
      for (const name of Object.keys(f)) put(taken, name, formValue(find(f[name]!)))
      for (const name of Object.keys(j)) returned(taken, name, j[name]!, matched)
    } catch {
      // A selector this browser cannot read skips its own snapshot, not the event.
    }
  }
  return taken
}

const put = (taken: Properties, name: string, value: string): void => {
  if (value) taken[name] = value
}

/** Run a function of the environment's owner. What throws, never came, or returns anything but a scalar, sets nothing. */
const returned = (taken: Properties, name: string, id: string, matched: Element): void => {
  try {
    const value = (window as any).cairn.boot[id].call(matched, matched) // any: a global of the page, and the owner's code
    if (typeof value === 'string') put(taken, name, maskText(value))
    else if (typeof value === 'boolean' || Number.isFinite(value)) taken[name] = value
  } catch {
    // The others, and the event, go on.
  }
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
