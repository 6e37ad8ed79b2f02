// Reading the page's elements by the browser's own getters, kept at load time. A form field named "parentNode" or
// "getAttribute" hides the form's own member of that name, and a page may replace them on the prototypes.

const { apply, getOwnPropertyDescriptor } = Reflect

const getter = <T>(prototype: object, name: string): ((of: Node) => T) => {
  const get = getOwnPropertyDescriptor(prototype, name)!.get!
  return (of) => apply(get, of, []) as T
}

const node = Node.prototype
const getAttribute = Element.prototype.getAttribute
const closest = Element.prototype.closest

export const nodeType = getter<number>(node, 'nodeType')
const parentNode = getter<Node | null>(node, 'parentNode')
export const firstChild = getter<Node | null>(node, 'firstChild')
export const nextSibling = getter<Node | null>(node, 'nextSibling')
export const previousElement = getter<Element | null>(Element.prototype, 'previousElementSibling')
export const tagOf = getter<string>(Element.prototype, 'localName')

export const attribute = (element: Element, name: string): string | null => apply(getAttribute, element, [name])

export const closestTo = (element: Element, selector: string): Element | null => apply(closest, element, [selector])

/** The parent element, looking out of open shadow roots and same-origin frames up to our own document. */
export const parentOf = (element: Element): Element | null => {
  const parent = parentNode(element)
  if (!parent || parent === document) return null
  if (nodeType(parent) === 1) return parent as Element
  return (parent as ShadowRoot).host ?? (parent as Document).defaultView?.frameElement ?? null
}

/** What the person really hit, inside shadow roots too. */
export const targetOf = (event: Event): Element | null => {
  const first = (event.composedPath()[0] ?? event.target) as Node | null
  if (!first || !first.ownerDocument) return null
  return nodeType(first) === 1 ? (first as Element) : (parentNode(first) as Element | null)
}

/** Listen without ever blocking the page; calling the answer removes the listener. */
export const on = (target: EventTarget, type: string, run: (event: Event) => void): (() => void) => {
  const options = { capture: true, passive: true }
  target.addEventListener(type, run, options)
  return () => target.removeEventListener(type, run, options)
}
