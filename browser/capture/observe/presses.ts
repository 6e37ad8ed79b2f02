// What was pressed, for pages that cover or disable themselves under the pointer, as modal menus do: the browser then
// gives the click to what both moments have in common, often the whole page.

import { targetOf } from '../dom'
import type { Observer } from '../types'

const SLIP_PX = 10 // a drag from one element to another is a click of neither

export const start: Observer = (_sink, _config, page) => {
  let pressed: EventTarget[] = [] // the element, and all around it
  let x = 0
  let y = 0
  page.targetOf_ = (event) => {
    const { type, detail, clientX, clientY, composedPath } = event as MouseEvent
    const isHere = Math.hypot(clientX - x, clientY - y) < SLIP_PX
    const isAround = type === 'click' && detail && isHere && pressed.includes(composedPath.call(event)[0]!)
    return isAround ? (pressed[0] as Element) : targetOf(event)
  }
  const stop = page.hear_('pointerdown', (event) => {
    pressed = event.composedPath()
    ;({ clientX: x, clientY: y } = event as MouseEvent)
  })
  return () => {
    page.targetOf_ = targetOf
    stop()
  }
}
