// How "Heap Web (Actions)" flattens what it sends. Contract: segment.md 5.1, column C.

type Values = Record<string, unknown>

export const isDefined = (value: unknown): boolean =>
  typeof value === 'object'
    ? !!value && Object.keys(value).length !== 0
    : !(value === undefined || value === '' || value === 0 || value === '0')

/** Dotted keys; numbers and booleans as text, arrays as JSON text, null as it is. Empty objects vanish. */
export const flat = (given: Values, prefix = ''): Values => {
  const flattened: Values = {}
  for (const [key, value] of Object.entries(given)) {
    const name = prefix + key
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      Object.assign(flattened, flat(value as Values, `${name}.`))
    else flattened[name] = value === null || typeof value === 'string' ? value : textOf(value)
  }
  return flattened
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'number' || typeof value === 'boolean' ? value.toString() : JSON.stringify(value)
