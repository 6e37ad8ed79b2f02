// From a live element to what is sent of it. The rules are in privacy.ts and hierarchy.ts; here the page is read.

import { attribute, attributeNames, documentOf, firstChild, nextSibling, parentOf, previousElement, tagOf } from './dom'
import { type Facts, hierarchy } from './hierarchy'
import { cut, hidesText, holdsValue, maskText, maskUrl, redactedAttributes, type Seen, TEXT_READ } from './privacy'
import type { Config, ElementNode } from './types'

const NODES_LIMIT = 30 // nodes sent per event, as the mobile capture does; the hierarchy string has its own limit
const SIBLINGS_LIMIT = 1000 // counting further would cost more than a position in such a list is worth
const TEXT_NODES_LIMIT = 500 // nodes looked at for text, so that a click on a huge container stays cheap

const TEXT_ATTRIBUTES = ['alt', 'aria-label', 'placeholder', 'title']
const ATTRIBUTES = [
  ...TEXT_ATTRIBUTES,
  'href',
  'name',
  'role',
  'type',
  'data-testid',
  'data-test-id',
  'data-test',
  'data-cy',
  'data-qa',
]

const see = (element: Element): Seen => {
  const names = attributeNames(element)
  // Nearly all that is asked for is not there, which the list says sooner; it may have a name in other letters.
  return {
    tag_: tagOf(element),
    attr_: (name) => (names.includes(name) || /[A-Z]/.test(name) ? attribute(element, name) : null),
  }
}

/** The element and everything around it, target first, out of shadow roots and frames. */
export const chainOf = (target: Element): [Element[], Seen[]] => {
  const elements: Element[] = []
  for (let element: Element | null = target; element; element = parentOf(element)) elements.push(element)
  return [elements, elements.map(see)]
}

const collect = (parent: Node, budget: { text_: string; nodes: number }): void => {
  for (let child = firstChild(parent); child; child = nextSibling(child)) {
    if (budget.text_.length > TEXT_READ || --budget.nodes < 0) return
    if (child.nodeType === 3) {
      // substringData: a text node may hold megabytes, and `data` would copy them
      budget.text_ += (child as Text).substringData(0, TEXT_READ + 1)
    } else if (child.nodeType === 1) {
      const seen = see(child as Element)
      if (!holdsValue(seen) && !hidesText([seen])) collect(child, budget)
    }
  }
}

/** The masked text of an element that its chain allows to show. */
export const textOf = (element: Element, chain: Seen[]): string => {
  // In design mode a whole document is one text field.
  if (hidesText(chain) || chain.some(holdsValue) || documentOf(element).designMode === 'on') return ''
  const budget = { text_: '', nodes: TEXT_NODES_LIMIT }
  collect(element, budget)
  return maskText(budget.text_.replace(/\s+/g, ' ').trim())
}

const factsOf = (seen: Seen, names: string[]): Facts => {
  const redacted = redactedAttributes(seen)
  const read = (name: string) => (redacted.includes(name.toLowerCase()) ? '' : (seen.attr_(name) ?? '').trim())
  const attributes: Record<string, string> = {}
  for (const name of names) {
    const value = read(name)
    if (value) attributes[name] = name === 'href' ? maskUrl(value) : maskText(value)
  }
  return {
    tag_: seen.tag_,
    id: maskText(read('id')),
    classes_: cut(read('class')).split(/\s+/).filter(Boolean),
    attributes,
  }
}

const positionOf = (element: Element): number => {
  let nth = 0
  for (let one: Element | null = element; one && nth <= SIBLINGS_LIMIT; one = previousElement(one)) nth++
  return nth
}

/** The hierarchy string and the nodes of an element, target first; html and body only when they are the target. */
export const describe = (
  elements: Element[],
  chain: Seen[],
  config: Config,
): { hierarchy: string; nodes: ElementNode[] } => {
  const quiet = config.disableTextCapture || config.disableInteractionTextCapture || hidesText(chain)
  const names = [...ATTRIBUTES, ...config.captureAttributes].filter(
    (name) => !/^value$/i.test(name) && !(quiet && TEXT_ATTRIBUTES.includes(name)),
  )
  const path: Facts[] = []
  const nodes: ElementNode[] = []
  for (let i = 0; i < chain.length && path.length < NODES_LIMIT; i++) {
    const element = elements[i]!
    const isWholePage = /^(html|body)$/.test(chain[i]!.tag_)
    if (i && isWholePage) continue
    const facts = factsOf(chain[i]!, names)
    path.push(facts)
    const { href, ...attributes } = facts.attributes!
    const nth = positionOf(element)
    if (nth <= SIBLINGS_LIMIT) attributes.nth = '' + nth
    // The text of a whole page is the text of nothing that was hit.
    const isLabelled = !i || /^(a|button|label|summary)$/.test(facts.tag_)
    nodes.push({
      node_name: facts.tag_,
      node_html_class: facts.classes_!.join(' ') || undefined,
      node_id: facts.id || undefined,
      node_text: (!quiet && isLabelled && !isWholePage && textOf(element, chain.slice(i))) || undefined,
      href: href || undefined,
      accessibility_label: attributes['aria-label'],
      attributes,
    })
  }
  return { hierarchy: hierarchy(path), nodes }
}
