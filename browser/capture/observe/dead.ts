// Dead clicks: a click on what looks clickable, after which nothing happens: no change of the page, no scrolling,
// no focus, selection, navigation or other window.

import { closestTo, on, targetOf } from '../dom'
import { guard } from '../guard'
import type { Observer, Stop } from '../types'

const WAIT_MS = 2500 // slower answers without a sign of life feel dead too
const CLICKABLE = 'a,button,summary,[role=button],[role=link],[role=tab],[role=menuitem],[onclick]'
/** These do their work outside the page, or show it in ways a page cannot see. */
const ELSEWHERE = 'input,textarea,select,option,label,video,audio,a[target],a[download],a[href^="mailto:"],a[href^="tel:"]'
const EFFECTS = ['scroll', 'selectionchange', 'focusin', 'input', 'visibilitychange', 'toggle']
const WINDOW_EFFECTS = ['pagehide', 'blur', 'popstate', 'hashchange']

export const start: Observer = (sink, config, { hear }) => {
  let forget: Stop = () => 0
  if (config.captureDeadClicks === false) return forget
  const onClick = (event: Event): void => {
    const target = targetOf(event)
    forget()
    if (!target || !(event as MouseEvent).detail || closestTo(target, ELSEWHERE)) return
    const clickable = closestTo(target, CLICKABLE)
    if (!clickable && getComputedStyle(target).cursor !== 'pointer') return
    const url = location.href
    const seen = new MutationObserver(() => forget())
    const wide = { attributes: true, characterData: true, childList: true, subtree: true }
    for (const root of event.composedPath()) {
      const type = (root as Node).nodeType
      if (type === 9 || type === 11) seen.observe(root as Node, wide) // documents and shadow roots
    }
    const effects = [
      ...EFFECTS.map((type) => on(document, type, () => forget())),
      ...WINDOW_EFFECTS.map((type) => on(window, type, () => forget())),
    ]
    const timer = setTimeout(
      guard(() => {
        forget()
        if (location.href === url) sink({ kind: 'custom', name: 'Dead click', properties: {}, target })
      }),
      WAIT_MS,
    )
    forget = () => {
      forget = () => 0
      seen.disconnect()
      clearTimeout(timer)
      effects.forEach((stop) => stop())
    }
  }
  const stop = hear('click', onClick)
  return () => {
    stop()
    forget()
  }
}
