// How far down a page was read: one event when it is left, for pages that were scrolled.

import { on } from '../dom'
import { guard } from '../guard'
import type { Observer } from '../types'

export const start: Observer = (sink, config, { onLeave_: onLeave }) => {
  let deepest = 0
  let reported = 0
  let isMeasuring = false
  if (config.captureScrollDepth === false) return () => 0
  const measure = (scrolled: Element): void => {
    isMeasuring = false
    const { scrollTop, clientHeight, scrollHeight } = scrolled
    // Many applications scroll in an element that fills the window; a list in a corner is not the page.
    if (clientHeight > innerHeight / 2)
      deepest = Math.max(deepest, Math.min(1, (scrollTop + clientHeight) / scrollHeight))
  }
  const stops = [
    on(document, 'scroll', ({ target }) => {
      const scrolled = target === document ? document.scrollingElement : (target as Element)
      // Once per frame, when the browser has its layout ready anyway.
      if (scrolled && !isMeasuring) isMeasuring = !!requestAnimationFrame(guard(() => measure(scrolled)))
    }),
    onLeave((isForGood) => {
      const percent = Math.round(deepest * 100)
      if (percent > reported) sink({ kind_: 'custom', name: 'Scroll depth', properties: { percent } })
      reported = percent
      if (isForGood) deepest = reported = 0
    }),
  ]
  return () => stops.forEach((stop) => stop())
}
