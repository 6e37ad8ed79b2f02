// Which events an action is for: the part of Segment's filter language that presets use, decided on one event.

type Event = Record<string, any> // any: foreign JSON
type Test = (event: Event) => boolean

const TOKEN = /\s*(?:(and|or)\b|(!?=)|"((?:[^"\\]|\\.)*)"|(true|false|null)\b|(-?\d+(?:\.\d+)?)|([\w.-]+)|([()]))/gy

export const valueAt = (event: unknown, path: string): unknown =>
  path.split('.').reduce<any>((value, key) => (value === null || value === undefined ? undefined : value[key]), event)

/** `path = value`, `!=`, `and`, `or` and parentheses. What it cannot read is for no event. */
export const subscription = (text: string): Test => {
  const tokens = [...text.matchAll(TOKEN)]
  if (tokens.reduce((length, token) => length + token[0].length, 0) < text.trimEnd().length) return () => false
  let at = 0
  const word = (group: number): string | undefined => tokens[at]?.[group]

  const either = (): Test => {
    let left = both()
    while (word(1) === 'or') {
      at++
      const before = left
      const right = both()
      left = (event) => before(event) || right(event)
    }
    return left
  }
  const both = (): Test => {
    let left = term()
    while (word(1) === 'and') {
      at++
      const before = left
      const right = term()
      left = (event) => before(event) && right(event)
    }
    return left
  }
  const term = (): Test => {
    if (word(7) === '(') {
      at++
      const inner = either()
      if (word(7) !== ')') throw new Error('unclosed')
      at++
      return inner
    }
    const path = word(6)
    at++
    const operator = word(2)
    at++
    if (!path || !operator || !tokens[at]) throw new Error('no comparison')
    const value = literal(tokens[at++]!)
    return (event) => ((valueAt(event, path) ?? null) === value) === (operator === '=')
  }

  try {
    const test = either()
    return at === tokens.length ? test : () => false
  } catch {
    return () => false
  }
}

const literal = (token: RegExpMatchArray): unknown => {
  if (token[3] !== undefined) return token[3].replace(/\\(.)/g, '$1')
  if (token[4]) return { true: true, false: false, null: null }[token[4]]
  if (token[5]) return Number(token[5])
  throw new Error('no value')
}
