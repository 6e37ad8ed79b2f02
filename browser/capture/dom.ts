// Reading the page's elements by the browser's own getters, kept at load time. A form field named "parentNode" or
// "getAttribute" hides the form's own member of that name, and a page may replace them on the prototypes.

const { apply, getOwnPropertyDescriptor } = Reflect

const getter = <T>(prototype: object, name: string): ((of: Node) => T) => {
  const get = getOwnPropertyDescriptor(prototype, name)!.get!
  return (of) => apply(get, of, []) as T
}

const node = Node.prototype
const element = Element.prototype
const { getRootNode } = node
const { getAttribute, closest } = element

const parentElement = getter<Element | null>(node, 'parentElement')
export const firstChild = getter<Node | null>(node, 'firstChild')
export const nextSibling = getter<Node | null>(node, 'nextSibling')
export const previousElement = getter<Element | null>(element, 'previousElementSibling')
export const tagOf = getter<string>(element, 'localName')

export const attribute = (element: Element, name: string): string | null => apply(getAttribute, element, [name])

export const closestTo = (element: Element, selector: string): Element | null => apply(closest, element, [selector])

/** The parent element, looking out of open shadow roots and same-origin frames up to our own document. */
export const parentOf = (of: Element): Element | null => {
  const parent = parentElement(of)
  const root: any = parent ?? apply(getRootNode, of, []) // any: a shadow root, a frame's document, or a lone element
  if (parent || root === of || root === document) return parent
  return root.host ?? root.defaultView?.frameElement
}

/** What the person really hit, inside shadow roots too. */
export const targetOf = (event: Event): Element | null => {
  const first = event.composedPath()[0] as Element | undefined
  return first?.ownerDocument ? first : null
}

/** Listen without ever blocking the page; calling the answer removes the listener. */
export const on = (target: EventTarget, type: string, run: (event: Event) => void): (() => void) => {
  const options = { capture: true, passive: true }
  target.addEventListener(type, run, options)
  return () => target.removeEventListener(type, run, options)
}
