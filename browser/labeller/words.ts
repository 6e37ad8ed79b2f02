// Elements and events in words: what the hover shows, and the name that is offered. Pure.

import type { ElementNode, Interaction } from '../capture/types'
import { isMade, isSteadyClass } from './steady'

const LONGEST = 60 // characters of a name taken from the page

const NOUNS: Record<string, string> = {
  a: 'link',
  img: 'picture',
  svg: 'picture',
  select: 'list',
  textarea: 'field',
  input: 'field',
  nav: 'navigation',
  ul: 'list',
  ol: 'list',
  li: 'list item',
  p: 'text',
  td: 'cell',
  th: 'cell',
  tr: 'row',
  summary: 'summary',
  h1: 'heading',
  h2: 'heading',
  h3: 'heading',
  h4: 'heading',
  h5: 'heading',
  h6: 'heading',
  div: 'box',
  span: 'text',
} // prettier-ignore
const INPUTS: Record<string, string> = {
  checkbox: 'checkbox',
  radio: 'choice',
  submit: 'button',
  button: 'button',
  reset: 'button',
  image: 'button',
  range: 'slider',
  file: 'file field',
}
const VERBS: Record<Interaction, string> = { click: 'Click', change: 'Change', submit: 'Submit', touch: 'Touch' }

export const nounOf = ({ node_name: tag, attributes: { role, type } }: ElementNode): string =>
  role && /^[a-z]+$/.test(role) ? role : (tag === 'input' && INPUTS[type ?? '']) || NOUNS[tag] || tag

/** `add-to-cart` as “Add to cart”. */
const spelled = (name: string): string => {
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .split(/[^\p{L}\d]+/u)
    .filter(Boolean)
  const text = words.join(' ').toLowerCase()
  return text && text[0]!.toUpperCase() + text.slice(1)
}

/** Counts and prices at the end are of today: “Cart 3”, “Order for 12.50 €”. */
const lasting = (text: string): string =>
  text.replace(/(\s+(for|at|from))?[\s(:·–-]*[\d.,]+\s*(%|\p{Sc}|[A-Z]{3})?\)?$/u, '') || text

const short = (text: string): string => (text.length > LONGEST ? text.slice(0, LONGEST - 1).trim() + '…' : text)

/** What people call it; empty when nothing on it says so. */
export const labelOf = (node: ElementNode, text = ''): string => {
  const { attributes } = node
  // The text of a form is that of all its fields.
  const own = node.node_name === 'form' ? '' : node.node_text || text
  const said = attributes['aria-label'] || own || attributes.placeholder || attributes.alt || attributes.title
  if (said) return short(said)
  const names = [attributes.name, attributes['data-testid'], attributes['data-test'], node.node_id]
  const name = names.find((one) => one && !isMade(one))
  return name ? short(spelled(name)) : ''
}

/** `button “Add to cart”` */
export const readable = (node: ElementNode, text = ''): string => {
  const label = labelOf(node, text)
  return nounOf(node) + (label && ` “${label}”`)
}

/** `Click Add to cart`, `Submit Sign in form` */
export const eventName = (kind: Interaction, node: ElementNode, text = ''): string => {
  const noun = nounOf(node)
  const first = (node.node_html_class ?? '').split(' ').find((name) => name && isSteadyClass(name))
  const label = lasting(labelOf(node, text))
  const isNounNeeded = !label || noun === 'form'
  const words = [label || (first && spelled(first)), isNounNeeded && noun].filter(Boolean)
  return `${VERBS[kind]} ${words.join(' ')}`
}
