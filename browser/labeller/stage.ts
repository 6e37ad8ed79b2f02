// The labeller's own place in the page: a closed shadow root above everything, out of reach of the page's styles, and
// out of capture's sight by `heap-ignore`.

import { guard } from '../capture/guard'
import { boxOf } from './element'
import { LOOK } from './look'

type Given = Record<string, string | boolean | ((event: any) => void) | undefined> // any: each listener has its own event
type Inside = Node | string | undefined | false

/** One element; nothing that was read from the page ever becomes markup. */
export const make = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  given: Given = {},
  ...inside: Inside[]
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === 'function') element.addEventListener(name, guard(value))
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...inside.filter((one): one is Node | string => !!one || one === ''))
  return element
}

export interface Outline {
  element: Element
  as: 'picked' | 'match' | 'known'
  text?: string
}

export interface Stage {
  host: HTMLElement
  all: HTMLElement
  pane: HTMLElement
  /** Draw these outlines, and none but these, until the next time. */
  outline(outlines: Outline[]): void
  focused(): Element | null
  close(): void
}

/** What happens in the labeller goes no further up the page. */
const KEPT_IN = [
  'click',
  'auxclick',
  'dblclick',
  'contextmenu',
  'pointerdown',
  'pointerup',
  'pointermove',
  'pointerover',
  'mousedown',
  'mouseup',
  'mousemove',
  'mouseover',
  'touchstart',
  'touchend',
  'input',
  'submit',
]
/** What traps for the focus and hotkeys of the page would act on; ours do without them. */
const KEPT_OUT = ['focusin', 'focusout', 'focus', 'blur', 'keypress', 'beforeinput', 'paste', 'copy', 'cut']
const OPEN_MODAL = 'dialog:modal'

export const openStage = (onKey: (event: KeyboardEvent, isOurs: boolean) => void): Stage => {
  const host = document.createElement('cairn-labeller')
  // Set one by one and important: no style sheet of the page can say otherwise, and no policy forbids it.
  const style: Record<string, string> = {
    all: 'initial',
    position: 'fixed',
    inset: '0',
    width: '100%',
    height: '100%',
    'z-index': '2147483647',
    'pointer-events': 'none',
    display: 'block',
    margin: '0',
    border: '0',
    padding: '0',
    background: 'none',
    overflow: 'visible',
    visibility: 'visible',
    opacity: '1',
  }
  for (const [name, value] of Object.entries(style)) host.style.setProperty(name, value, 'important')
  host.setAttribute('heap-ignore', '')
  host.setAttribute('popover', 'manual')
  const root = host.attachShadow({ mode: 'closed' })
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(LOOK)
  root.adoptedStyleSheets = [sheet]
  const layer = make('div', { class: 'layer' })
  const pane = make('div', { class: 'pane', hidden: true })
  const all = make('div', { class: 'all' })
  all.append(pane, layer)
  root.append(all)
  const stops = KEPT_IN.map((type) => listen(root, type, (event) => event.stopPropagation(), false))
  const isOurs = (event: Event): boolean => event.target === host
  for (const type of KEPT_OUT)
    stops.push(listen(window, type, (event) => isOurs(event) && event.stopImmediatePropagation()))
  for (const type of ['keydown', 'keyup']) {
    stops.push(
      listen(window, type, (event) => {
        onKey(event as KeyboardEvent, isOurs(event))
        if (isOurs(event)) event.stopImmediatePropagation()
      }),
    )
  }

  /** Applications replace the page under us, and a modal dialog makes everything outside it dead: then we move in. */
  const settle = (): void => {
    const modals = document.querySelectorAll(OPEN_MODAL)
    const place = modals[modals.length - 1] ?? document.documentElement
    if (host.parentNode !== place) {
      place.append(host)
      host.showPopover?.()
    }
  }
  settle()
  const settling = setInterval(guard(settle), 300)

  let drawn: { outline: Outline; box: HTMLElement }[] = []
  let frame = 0
  const place = (): void => {
    for (const { outline, box } of drawn) {
      const { x, y, width, height } = boxOf(outline.element)
      const shown: Record<string, string> = {
        left: x - 3 + 'px',
        top: y - 3 + 'px',
        width: width + 6 + 'px',
        height: height + 6 + 'px',
      }
      for (const name of Object.keys(shown)) box.style.setProperty(name, shown[name]!)
      box.toggleAttribute('data-low', y < 34)
      box.hidden = !width && !height
    }
    // What is outlined moves with scrolling, layout and animation, of which nothing tells.
    frame = drawn.length ? requestAnimationFrame(guard(place)) : 0
  }
  return {
    host,
    all,
    pane,
    outline: (outlines) => {
      drawn = outlines.map((outline) => ({
        outline,
        box: make('div', { class: 'box', 'data-as': outline.as }, outline.text && make('span', {}, outline.text)),
      }))
      layer.replaceChildren(...drawn.map(({ box }) => box))
      cancelAnimationFrame(frame)
      place()
    },
    focused: () => root.activeElement,
    close: () => {
      clearInterval(settling)
      cancelAnimationFrame(frame)
      stops.forEach((stop) => stop())
      host.remove()
    },
  }
}

/** Listen, without ever throwing into the page; calling the answer removes the listener. */
export const listen = (on: EventTarget, type: string, run: (event: any) => void, capture = true): (() => void) => {
  // any: each type has its own event
  const guarded = guard(run)
  on.addEventListener(type, guarded, { capture, passive: false })
  return () => on.removeEventListener(type, guarded, { capture })
}

/** Cairn's mark. */
export const mark = (): SVGElement => {
  const NS = 'http://www.w3.org/2000/svg'
  const svg = document.createElementNS(NS, 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('class', 'mark')
  svg.setAttribute('aria-hidden', 'true')
  for (const [cx, cy, rx, ry] of [
    ['12', '19', '9', '3.2'],
    ['12.6', '12.4', '6.3', '2.7'],
    ['11.6', '6.8', '3.8', '2.1'],
  ] as const) {
    const stone = document.createElementNS(NS, 'ellipse')
    for (const [name, value] of Object.entries({ cx, cy, rx, ry })) stone.setAttribute(name, value)
    svg.append(stone)
  }
  return svg
}
