// Reading the page's elements by the browser's own getters, kept at load time. A form field named "parentNode" or
// "getAttribute" hides the form's own member of that name, and a page may replace them on the prototypes.

const { apply, getOwnPropertyDescriptor } = Reflect

/** A getter or a method as a function of its object. */
const own = <T>(prototype: object, name: string): ((of: Node, ...given: string[]) => T) => {
  const { get, value } = getOwnPropertyDescriptor(prototype, name)!
  return (of, ...given) => apply(get ?? value, of, given) as T
}

const node = Node.prototype
const element = Element.prototype

const parentElement = own<Element | null>(node, 'parentElement')
const rootOf = own<Node>(node, 'getRootNode')
export const documentOf = own<Document>(node, 'ownerDocument')
export const firstChild = own<Node | null>(node, 'firstChild')
export const nextSibling = own<Node | null>(node, 'nextSibling')
export const previousElement = own<Element | null>(element, 'previousElementSibling')
export const tagOf = own<string>(element, 'localName')
export const attribute = own<string | null>(element, 'getAttribute')
export const attributeNames = own<string[]>(element, 'getAttributeNames')
// Pure: left out of the core, where nothing asks for it.
export const closestTo = /* @__PURE__ */ own<Element | null>(element, 'closest')

/** The parent element, looking out of open shadow roots and same-origin frames up to our own document. */
export const parentOf = (of: Element): Element | null => {
  const parent = parentElement(of)
  const root: any = parent ?? rootOf(of) // any: a shadow root, a frame's document, or a lone element
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
