// From an event to an action's payload: the directives that Heap's mappings use. Contract: segment.md section 4.

import { valueAt } from './subscription'

type Values = Record<string, any> // any: foreign JSON

const isObject = (value: unknown): value is Values =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

/** `@path` and `@if`; anything else stands for itself. Undefined results are left out, null stays. */
export const mapped = (mapping: unknown, event: Values): any => {
  if (!isObject(mapping)) return mapping
  if (typeof mapping['@path'] === 'string') return valueAt(event, mapping['@path'].replace(/^\$\.?/, ''))
  if (isObject(mapping['@if'])) {
    const { exists, then, else: otherwise } = mapping['@if']
    const value = mapped(exists, event)
    return mapped(value !== undefined && value !== null ? then : otherwise, event)
  }
  return Object.fromEntries(
    Object.entries(mapping)
      .map(([key, value]) => [key, mapped(value, event)])
      .filter(([, value]) => value !== undefined),
  )
}
