// The elements of the page as the labeller meets them: what lies under a point, what people mean by it, and what
// capture would say of it. The page is read by the same code as capture reads it, so both see the same.

import { resolveConfig } from '../capture/config'
import { attribute, parentOf, tagOf } from '../capture/dom'
import { chainOf, describe, textOf } from '../capture/element'
import { isIgnored } from '../capture/privacy'
import type { Config, Interaction } from '../capture/types'
import type { Picked } from './selectors'

const INTERACTIVE = /^(a|button|input|select|textarea|label|summary|option)$/
const ROLES =
  /^(button|link|tab|menuitem|menuitemcheckbox|menuitemradio|checkbox|radio|switch|option|combobox|treeitem)$/
const FIELDS = /^(input|select|textarea)$/

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

/** The deepest element under a point, in open shadow roots and same-origin frames too; `host` is ours and not the page's. */
export const elementAt = (x: number, y: number, host: Element): Element | null => {
  let root: Document | ShadowRoot = document
  let found: Element | null = null
  for (;;) {
    const here: Element | undefined = root
      .elementsFromPoint(x, y)
      .find((one) => one !== host && one.getRootNode() === root)
    if (!here || here === found) return found
    found = here
    const frame = innerDocument(here)
    if (here.shadowRoot) root = here.shadowRoot
    else if (frame) {
      const { left, top } = here.getBoundingClientRect()
      x -= left + here.clientLeft
      y -= top + here.clientTop
      root = frame
    } else return found
  }
}

/** The document inside a frame of our own origin. */
const innerDocument = (element: Element): Document | null =>
  /^i?frame$/.test(tagOf(element)) ? (element as HTMLIFrameElement).contentDocument : null

const isInteractive = (element: Element): boolean =>
  INTERACTIVE.test(tagOf(element)) || ROLES.test(attribute(element, 'role') ?? '')

/** People who point at the words on a button mean the button. */
export const meantBy = (element: Element): Element => {
  for (let one: Element | null = element; one; one = parentOf(one)) if (isInteractive(one)) return one
  for (let one: Element | null = element; one; one = parentOf(one)) {
    if (one.namespaceURI === 'http://www.w3.org/1999/xhtml') return one
  }
  return element
}

/** What can happen to it, the likeliest first, and to which element. A form is submitted as a whole. */
export const kindsOf = (element: Element): [Interaction, Element][] => {
  const kinds: [Interaction, Element][] = [['click', element]]
  if (FIELDS.test(tagOf(element)) && !/^(submit|button|reset|image)$/i.test(attribute(element, 'type') ?? '')) {
    kinds.unshift(['change', element])
  }
  for (let one: Element | null = element; one; one = parentOf(one)) {
    if (tagOf(one) !== 'form') continue
    kinds.splice(one === element ? 0 : 2, 0, ['submit', one])
    break
  }
  return kinds
}

/** What the environment lets be captured here; the same options as the capture script's. */
export const configOf = (boot: any, client: unknown): Config =>
  // any: what heap_config.js carries
  resolveConfig(boot.server, (client as object) ?? {}, boot.origin)

/** An element as capture sends it; undefined where capture leaves it out altogether. */
export const pickedOf = (element: Element, kind: Interaction, config: Config): Picked | undefined => {
  const [elements, chain] = chainOf(element)
  if (isIgnored(chain)) return undefined
  const { hierarchy, nodes } = describe(elements, chain, config)
  // What did not fit into the hierarchy is not known to Cairn either.
  const kept = Math.max(hierarchy.split('|').length - 1, 1)
  return { nodes: nodes.slice(0, kept), hasInside: kind === 'click' && element.firstElementChild !== null }
}

export const shownText = (element: Element): string => textOf(element, chainOf(element)[1])

/** Where it is in the window, inside frames too. */
export const boxOf = (element: Element): Box => {
  const { left, top, width, height } = element.getBoundingClientRect()
  const box = { x: left, y: top, width, height }
  for (
    let view = element.ownerDocument.defaultView;
    view && view !== window;
    view = view.parent as Window & typeof globalThis
  ) {
    const frame = view.frameElement
    if (!frame) break
    const around = frame.getBoundingClientRect()
    box.x += around.left + frame.clientLeft
    box.y += around.top + frame.clientTop
  }
  return box
}

/** Everything on the page that a selector and text mean; what is inside those is left out. */
export const matchesHere = (selector: string, text: string): Element[] => {
  try {
    const found = [...document.querySelectorAll(selector)].filter((one) => !text || shownText(one) === text)
    return found.filter((one) => !found.includes(one.parentElement!))
  } catch {
    return [] // captured paths know selectors that this browser does not
  }
}
