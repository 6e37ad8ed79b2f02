// What nobody waits for (frames, rage and dead clicks, scroll depth, web vitals, errors) comes in a script of their
// own, later.ts, when the browser has time. Errors until then are kept for it.

import { on } from '../dom'
import type { Observer, Stop } from '../types'

const MOST_EARLY = 10 // where the late script is blocked, an error in a loop must not fill the memory

let late: Observer | undefined
let begin: (() => void) | undefined

/** Called by the late script when it has arrived. */
export const plug = (arrived: Observer): void => {
  late = arrived
  begin?.()
}

export const start: Observer = (sink, config, page) => {
  const stops: Stop[] = []
  if (config.captureErrors) {
    for (const type of ['error', 'unhandledrejection'])
      stops.push(on(window, type, (event) => page.early_.length < MOST_EARLY && page.early_.push(event)))
  }
  begin = () => {
    stops.splice(0).forEach((stop) => stop())
    stops.push(late!(sink, config, page))
  }
  if (late) begin()
  else (window.requestIdleCallback ?? setTimeout)(page.load)
  return () => {
    begin = undefined
    stops.forEach((stop) => stop())
  }
}
