// JSON without the page's help: a toJSON on Array.prototype or an extra key on Object.prototype must not change it,
// nor what the page later puts in place of JSON's functions.

const DEPTH_LIMIT = 12 // messages are six deep; a transformer's cycle ends here

export const { parse } = JSON
const { stringify } = JSON

export const encode = (value: unknown, depth = 0): string => {
  if (depth > DEPTH_LIMIT) return 'null'
  if (!value || typeof value !== 'object') return stringify(value) ?? 'null'
  const isList = Array.isArray(value)
  let body = ''
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key]
    if (!isList && (member === undefined || typeof member === 'function')) continue
    body += (body && ',') + (isList ? '' : stringify(key) + ':') + encode(member, depth + 1)
  }
  return isList ? `[${body}]` : `{${body}}`
}
