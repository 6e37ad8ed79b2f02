// What Segment's classic Heap destination makes of traits and properties. Contract: segment.md 5.2, column A of 5.1.

type Values = Record<string, unknown>

const kindOf = (value: unknown): string => Object.prototype.toString.call(value)

/**
 * Null and undefined vanish, dates become ISO text, booleans and numbers stay, arrays become JSON text, objects get
 * dotted keys, everything else becomes text. An empty object inside stays an object, as upstream leaves it.
 */
export const clean = (given: Values): Values => {
  const cleaned: Values = {}
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue
    const kind = kindOf(value)
    if (kind === '[object Date]') cleaned[key] = (value as Date).toISOString()
    else if (kind === '[object Boolean]' || kind === '[object Number]') cleaned[key] = value
    else if (kind === '[object Array]') cleaned[key] = JSON.stringify(value)
    else if (kind === '[object Object]') flatten(key, value as Values, cleaned)
    else cleaned[key] = String(value)
  }
  return cleaned
}

const flatten = (prefix: string, value: Values, into: Values): void => {
  const keys = Object.keys(value)
  if (!keys.length) into[prefix] = value
  for (const key of keys) {
    const inner = value[key]
    const name = `${prefix}.${key}`
    if (kindOf(inner) === '[object Object]') flatten(name, inner as Values, into)
    else into[name] = Array.isArray(inner) ? JSON.stringify(inner) : inner
  }
}
