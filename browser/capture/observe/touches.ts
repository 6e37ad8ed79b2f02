// Taps. A finger that moves is scrolling and no touch of an element.

import type { Observer } from '../types'

const MOVED_PX = 10

export const start: Observer = (sink, _config, page) => {
  let from: Touch | undefined
  const stops = [
    page.hear_('touchstart', (event) => {
      const { touches } = event as TouchEvent
      from = touches.length === 1 ? touches[0] : undefined
    }),
    page.hear_('touchend', (event) => {
      const to = (event as TouchEvent).changedTouches[0]
      const target = page.targetOf_(event)
      const hasMoved = !from || !to || Math.hypot(to.clientX - from.clientX, to.clientY - from.clientY) > MOVED_PX
      if (target && !hasMoved) sink({ kind_: 'touch', target })
      from = undefined
    }),
  ]
  return () => stops.forEach((stop) => stop())
}
