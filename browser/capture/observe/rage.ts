// Rage clicks: three clicks within a second on one spot.

import { closestTo } from '../dom'
import type { Observer } from '../types'

const CLICKS = 3
const WITHIN_MS = 1000
const SPOT_PX = 30
const SELECTING = 5 // on text: a double click selects a word, a triple one a paragraph
const CLICKABLE = 'a,button,summary,label,[role=button],[role=link],[role=tab],[role=menuitem],[onclick]'
const TEXT_FIELDS = 'input,textarea,select,[contenteditable]' // there, three clicks select a paragraph

/** Whether the clicks select text, and what they hit does nothing else. */
const selects = (target: Element): boolean =>
  target.ownerDocument.getSelection()?.type === 'Range' &&
  !closestTo(target, CLICKABLE) &&
  getComputedStyle(target).cursor !== 'pointer'

export const start: Observer = (sink, config, page) => {
  let isRaging = false
  let clicks: { x: number; y: number; time: number }[] = []
  if (config.captureRageClicks === false) return () => 0
  return page.hear_('click', (event) => {
    const { clientX: x, clientY: y, timeStamp: time, detail } = event as MouseEvent
    const target = page.targetOf_(event)
    // A click without a pointer (detail 0) comes from a script or the keyboard.
    if (!target || !detail) return
    clicks = clicks.filter(
      (one) => time - one.time < WITHIN_MS && Math.abs(one.x - x) < SPOT_PX && Math.abs(one.y - y) < SPOT_PX,
    )
    clicks.push({ x, y, time })
    // Once: a longer burst is the same rage.
    const wasRaging = isRaging
    isRaging = clicks.length >= (selects(target) ? SELECTING : CLICKS)
    if (isRaging && !wasRaging && !closestTo(target, TEXT_FIELDS))
      sink({ kind_: 'custom', name: 'Rage click', properties: {}, target })
  })
}
