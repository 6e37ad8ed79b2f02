// JSON without the page's help: a toJSON on Array.prototype or an extra key on Object.prototype must not change it.

const DEPTH_LIMIT = 12 // messages are six deep; a transformer's cycle ends here

export const encode = (value: unknown, depth = 0): string => {
  if (depth > DEPTH_LIMIT) return 'null'
  if (Array.isArray(value)) {
    let list = ''
    for (let i = 0; i < value.length; i++) list += (i ? ',' : '') + encode(value[i], depth + 1)
    return '[' + list + ']'
  }
  if (value && typeof value === 'object') {
    let body = ''
    const keys = Object.keys(value)
    for (let i = 0; i < keys.length; i++) {
      const member = (value as Record<string, unknown>)[keys[i]!]
      if (member === undefined || typeof member === 'function') continue
      body += (body && ',') + JSON.stringify(keys[i]) + ':' + encode(member, depth + 1)
    }
    return '{' + body + '}'
  }
  return JSON.stringify(value) ?? 'null'
}
