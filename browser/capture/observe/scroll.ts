// How far down a page was read: one event when it is left, for pages that were scrolled.

import { on } from '../dom'
import { guard } from '../guard'
import type { Observer } from '../types'

export const start: Observer = (sink, config, { onLeave }) => {
  let deepest = 0
  let reported = 0
  let isMeasuring = false
  if (config.captureScrollDepth === false) return () => 0
  const measure = guard(() => {
    isMeasuring = false
    const page = document.scrollingElement
    if (page) deepest = Math.max(deepest, Math.min(1, (page.scrollTop + innerHeight) / page.scrollHeight))
  })
  const stops = [
    on(document, 'scroll', (event) => {
      // Once per frame, when the browser has its layout ready anyway.
      if (event.target === document && !isMeasuring) isMeasuring = !!requestAnimationFrame(measure)
    }),
    onLeave((isForGood) => {
      const percent = Math.round(deepest * 100)
      if (percent > reported) sink({ kind: 'custom', name: 'Scroll depth', properties: { percent } })
      reported = percent
      if (isForGood) deepest = reported = 0
    }),
  ]
  return () => stops.forEach((stop) => stop())
}
