// Dead clicks: a click on what looks clickable, after which nothing happens: no change of the page, no scrolling,
// no focus, selection, navigation or other window.

import { closestTo, on } from '../dom'
import { guard } from '../guard'
import type { Observer } from '../types'

const WAIT_MS = 2500 // slower answers without a sign of life feel dead too
const LOOK_AGAIN_MS = 10_000 // a walk over a large page takes its time
const CLICKABLE = 'a,button,summary,[role=button],[role=link],[role=tab],[role=menuitem],[onclick]'
const LINK = 'a[href],area[href]'
/** These do their work outside the page, or show it in ways a page cannot see. */
const ELSEWHERE =
  'input,textarea,select,option,label,video,audio,canvas,a[target],a[download],a[href^="mailto:"],a[href^="tel:"]'
const EFFECTS = [
  'scroll',
  'selectionchange',
  'focusin',
  'input',
  'visibilitychange',
  'toggle',
  'fullscreenchange',
  'copy',
]
const WINDOW_EFFECTS = ['pagehide', 'blur', 'popstate', 'hashchange']

/** Whether the browser follows the link: to another address than the page's own, unless the page took it over. */
const isFollowed = (event: Event, target: Element): boolean => {
  const { href = '', protocol = '' } = (closestTo(target, LINK) ?? {}) as HTMLAnchorElement
  const [there, here] = [href, location.href].map((url) => url.replace(/#.*/, ''))
  return !event.defaultPrevented && protocol !== 'javascript:' && there !== '' && there !== here
}

export const start: Observer = (sink, config, page) => {
  let waiting: { event: Event; submit?: Event; target: Element; url: string; until: number } | undefined // the last click, while it has had no effect
  let timer = 0 // one for many clicks: starting and ending one costs as much as the rest
  let shadows: Node[] = []
  let looked = -LOOK_AGAIN_MS
  const { navigation } = window as any // any: newer than the DOM types
  if (config.captureDeadClicks === false) return () => 0
  const forget = (): void => {
    if (waiting) changes.disconnect()
    waiting = undefined
  }
  const changes = new MutationObserver(forget)
  // Changes inside shadow roots are not seen from outside, so all of them are looked for when there is time.
  const look = guard((root: ParentNode = document): void => {
    root.querySelectorAll('*').forEach(({ shadowRoot }) => {
      if (!shadowRoot) return
      shadows.push(shadowRoot)
      look(shadowRoot)
    })
  })
  const lookLater = (now: number): void => {
    if (now - looked < LOOK_AGAIN_MS) return
    looked = now
    ;(window.requestIdleCallback ?? setTimeout)(() => {
      shadows = []
      look()
    })
  }
  const judge = guard((): void => {
    timer = 0
    if (!waiting) return
    const { event, submit, target, url, until } = waiting
    const left = until - performance.now()
    if (left > 0) return wait(left)
    forget()
    const isTaken = closestTo(target, ELSEWHERE) || isFollowed(event, target) || (submit && !submit.defaultPrevented)
    if (location.href === url && !isTaken) sink({ kind_: 'custom', name: 'Dead click', properties: {}, target })
  })
  const wait = (ms: number): void => {
    timer ||= window.setTimeout(judge, ms)
  }
  const onClick = (event: Event): void => {
    const target = page.targetOf_(event)
    const now = performance.now() // an event of a frame has that frame's time
    lookLater(now)
    const { detail, ctrlKey, metaKey, shiftKey, altKey } = event as MouseEvent
    // With a key held, a link opens elsewhere: in a tab, a window, or as a file.
    const opensElsewhere = (ctrlKey || metaKey || shiftKey || altKey) && target && closestTo(target, LINK)
    const isClickable =
      target &&
      detail &&
      !opensElsewhere &&
      (closestTo(target, CLICKABLE) || getComputedStyle(target).cursor === 'pointer')
    if (!isClickable) return forget()
    const wide = { attributes: true, characterData: true, childList: true, subtree: true }
    for (const root of [document, ...shadows, ...event.composedPath()]) {
      const type = (root as Node).nodeType
      if (type === 9 || type === 11) changes.observe(root as Node, wide) // documents and shadow roots
    }
    waiting = { event, target, url: location.href, until: now + WAIT_MS }
    wait(WAIT_MS)
  }
  // Whatever the page asks the browser to open: links answered as a file, downloads, forms. Only a fragment that is
  // shown already opens nothing.
  const onNavigate = ({ destination }: any): void => {
    if (!destination.sameDocument || destination.url !== location.href) forget()
  }
  // A link that a page makes only to save a file is never in the page, where its click could be heard.
  const links = HTMLAnchorElement.prototype as any // any: two methods of the same shape
  const wrap = (name: 'click' | 'dispatchEvent') => {
    const wrapped = function (this: HTMLAnchorElement, ...given: unknown[]) {
      forget()
      return (HTMLElement.prototype as any)[name].apply(this, given)
    }
    links[name] = wrapped
    return () => links[name] === wrapped && delete links[name]
  }
  lookLater(0)
  const stops = [
    wrap('click'),
    wrap('dispatchEvent'),
    page.hear_('click', onClick),
    ...EFFECTS.map((type) => on(document, type, forget)),
    ...WINDOW_EFFECTS.map((type) => on(window, type, forget)),
    ...(navigation ? [on(navigation, 'navigate', guard(onNavigate))] : []),
    page.hear_('submit', (event) => waiting && (waiting.submit = event)),
  ]
  return () => {
    stops.forEach((stop) => stop())
    clearTimeout(timer)
    forget()
  }
}
