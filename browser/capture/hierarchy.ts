// The path of an element as one string (contract: heap.md 5.4). Pure; cases in contract/hierarchy.json.

/** One node of the path, already redacted and masked. */
export interface Facts {
  tag_: string
  id?: string
  classes_?: string[]
  attributes?: Record<string, string>
}

const HIERARCHY_LIMIT = 1024 // characters, filled from the target upwards

// `;` ends a part and `|` a node, so neither may stand inside a value.
const plain = (text: string): string => text.replace(/[;|]/g, '')

/** `@tag;#id;.class;[attr=value];|` with classes and attributes sorted. */
const parts = ({ tag_: tag, id, classes_: classes = [], attributes = {} }: Facts): string[] =>
  [
    '@' + tag,
    id ? '#' + plain(id) : '',
    ...classes.map((name) => '.' + plain(name)).sort(),
    ...Object.keys(attributes)
      .sort()
      .map((name) => `[${name}=${plain(attributes[name]!)}]`),
  ].filter(Boolean)

/** The whole path, outermost first, from a chain with the target first. Outer nodes that do not fit are left out. */
export const hierarchy = (chain: Facts[]): string => {
  let path = ''
  for (const facts of chain) {
    let node = ''
    for (const part of parts(facts)) {
      // A target with endless classes keeps its first parts; an ancestor comes whole or not at all.
      if (path || (node + part).length + 2 <= HIERARCHY_LIMIT) node += part + ';'
    }
    if (path.length + node.length + 1 > HIERARCHY_LIMIT) break
    path = node + '|' + path
  }
  return path
}
