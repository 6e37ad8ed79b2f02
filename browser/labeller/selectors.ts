// From a captured element to selectors that will still find it: the most stable first. Pure, and only from what is
// captured, so that each of them matches the past. Cases in contract/proposals.json.

import type { ElementNode } from '../capture/types'
import { isIdentifier, isPlainValue, isSteadyClass, isSteadyValue } from './steady'

const MOST = 8 // candidates; each is counted
const TEST_IDS = ['data-testid', 'data-test-id', 'data-test', 'data-cy', 'data-qa']
const TEXTS: [name: string, stability: number, why: string][] = [
  ['aria-label', 80, 'by its label for screen readers'],
  ['placeholder', 62, 'by its placeholder'],
  ['title', 60, 'by its title'],
  ['alt', 60, 'by what its picture shows'],
]
/** What capture sends of every element; other attributes are those the environment asked for. */
const COMMON =
  /^(data-(testid|test-id|test|cy|qa)|aria-label|placeholder|title|alt|name|href|role|type|nth|nth-of-type)$/
const TEXT_LIMIT = 60 // characters; longer texts are prose, which is rewritten
const PLAIN_TAG = /^(div|span|i|b|em|strong|p|li|td|svg|path|g|use|img)$/ // says nothing of what an element is for

export interface Candidate {
  selector: string
  /** Empty: whatever text. */
  text: string
  /** 0 to 100: how likely it still matches after the page was changed. */
  stability: number
  why: string
}

/** What is known of the element that was picked. */
export interface Picked {
  /** As captured: the element first, then what is around it. */
  nodes: ElementNode[]
  /** Whether events happen to what is inside it: a click hits the innermost element. */
  hasInside: boolean
}

interface Named {
  own: string
  stability: number
  why: string
}

const quoted = (value: string): string => '"' + value.replace(/["\\]/g, '\\$&') + '"'
const where = (name: string, value: string): string => `[${name}=${quoted(value)}]`

/** The tag, or the role where the tag is only a box. */
const baseOf = ({ node_name, attributes }: ElementNode): string => {
  const tag = isIdentifier(node_name) ? node_name : '*'
  return attributes.role && PLAIN_TAG.test(tag) && isSteadyValue(attributes.role) ? where('role', attributes.role) : tag
}

const classesOf = (node: ElementNode): string[] =>
  (node.node_html_class ?? '').split(' ').filter(isSteadyClass).slice(0, 2)

/** Names given to be found by: they outlive redesigns and translations. */
const anchorsOf = (node: ElementNode): Named[] => {
  const { node_id: id, attributes } = node
  const found: Named[] = []
  for (const name of TEST_IDS) {
    const value = attributes[name]
    if (value && isSteadyValue(value)) found.push({ own: where(name, value), stability: 100, why: 'by its test id' })
  }
  if (id && isSteadyValue(id)) {
    found.push({ own: isIdentifier(id) ? '#' + id : where('id', id), stability: 95, why: 'by its id' })
  }
  for (const name of Object.keys(attributes)) {
    const value = attributes[name]!
    if (COMMON.test(name) || !/^[a-z][\w-]*$/.test(name) || !isSteadyValue(value)) continue
    found.push({ own: baseOf(node) + where(name, value), stability: 92, why: `by ${name}, which you capture` })
  }
  if (attributes.name && isSteadyValue(attributes.name)) {
    found.push({ own: baseOf(node) + where('name', attributes.name), stability: 85, why: 'by its field name' })
  }
  return found
}

const isAddress = (href: string): boolean => isPlainValue(href) && !/^(#?$|javascript:)|[?{]/i.test(href)

/** What else tells it: links, labels and classes, which change when the page is redesigned or translated. */
const marksOf = (node: ElementNode): Named[] => {
  const { href, attributes } = node
  const base = baseOf(node)
  const found: Named[] = []
  if (href && isAddress(href)) {
    const isNumbered = /\d{3}/.test(href) // of one order, article or user
    const why = isNumbered ? 'by this one address it leads to' : 'by where it leads'
    found.push({ own: base + where('href', href), stability: isNumbered ? 40 : 75, why })
  }
  for (const [name, stability, why] of TEXTS) {
    const value = attributes[name]
    if (value && isPlainValue(value) && !/\d/.test(value))
      found.push({ own: base + where(name, value), stability, why })
  }
  const classes = classesOf(node)
  if (classes.length)
    found.push({
      own: base + classes.map((name) => '.' + name).join(''),
      stability: 70,
      why: 'by its class, until a redesign',
    })
  return found
}

/** Tag, role and type by themselves: enough inside something that has a name. */
const kindOf = (node: ElementNode): Named => {
  const { type } = node.attributes
  const own = baseOf(node) + (type && isSteadyValue(type) ? where('type', type) : '')
  return { own, stability: 60, why: 'by what it is' }
}

/** The place in the page: right today, and wrong as soon as something moves. */
const placeOf = ({ nodes, hasInside }: Picked): Named => {
  const anchored = nodes.findIndex((node, depth) => depth > 0 && anchorsOf(node).length > 0)
  const path = (anchored > 0 ? nodes.slice(0, anchored + 1) : nodes.slice(0, 6)).map((node, depth) => {
    if (depth && depth === anchored) return anchorsOf(node)[0]!.own
    // Positions are captured of the element that was hit alone.
    return baseOf(node) + (!depth && !hasInside && node.attributes.nth ? `:nth-child(${node.attributes.nth})` : '')
  })
  return { own: path.reverse().join(' > '), stability: 10, why: 'by its place, until something moves' }
}

/** The nearest named element around it. */
const aroundOf = (nodes: ElementNode[]): Named | undefined => {
  for (const node of nodes.slice(1)) {
    const [anchor] = anchorsOf(node)
    if (anchor) return anchor
    const label = node.attributes['aria-label']
    if (label && isPlainValue(label)) {
      return { own: baseOf(node) + where('aria-label', label), stability: 78, why: 'by a label around it' }
    }
  }
  return undefined
}

/** The classes of the nearest element around it that has some. */
const areaOf = (nodes: ElementNode[]): Named | undefined => {
  const node = nodes.slice(1).find((one) => classesOf(one).length)
  return node && { own: '.' + classesOf(node)[0], stability: 60, why: 'by a class around it' }
}

const within = (around: Named | undefined, inner: Named): Named[] => {
  if (!around) return []
  const stability = Math.min(around.stability, inner.stability) - 4
  return [{ own: `${around.own} ${inner.own}`, stability, why: `${inner.why.split(',', 1)[0]}, inside ${around.own}` }]
}

export const propose = (picked: Picked): Candidate[] => {
  const { nodes, hasInside } = picked
  const target = nodes[0]!
  const text = target.node_text ?? ''
  const [marks, kind, around] = [marksOf(target), kindOf(target), aroundOf(nodes)]
  const found: Named[] = [...anchorsOf(target), ...marks]
  // A link's address or a label is its own; a class or a tag is shared, and narrower inside something named.
  for (const inner of [...marks.filter((mark) => mark.stability === 70), kind]) found.push(...within(around, inner))
  if (!around) found.push(...within(areaOf(nodes), kind))
  found.push(placeOf(picked))

  const candidates: Candidate[] = found.map(({ own, stability, why }) => ({
    selector: hasInside ? `${own}, ${own} *` : own,
    text: '',
    stability,
    why,
  }))
  // The text of an element is captured on itself only, so it cannot be asked of what is inside.
  if (!hasInside && text.length <= TEXT_LIMIT && isPlainValue(text) && !/\d/.test(text)) {
    const shared = marks.find((mark) => mark.stability === 70)
    if (shared) candidates.push({ selector: shared.own, text, stability: 66, why: 'by its class and text' })
    candidates.push({ selector: kind.own, text, stability: 58, why: 'by its text, until it is reworded' })
  }
  return ranked(candidates)
}

const ranked = (candidates: Candidate[]): Candidate[] => {
  const seen = new Set<string>()
  const once = candidates.filter(({ selector, text }) => {
    const key = selector + '\n' + text
    return selector.length <= 1000 && !seen.has(key) && seen.add(key)
  })
  once.sort((one, other) => other.stability - one.stability) // stable: equals stay as found
  // The place always stays: where nothing else tells the element, it does.
  return [...once.filter((one) => one.stability > 10).slice(0, MOST - 1), ...once.filter((one) => one.stability <= 10)]
}
