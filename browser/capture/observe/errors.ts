// JavaScript errors: message and place, only where switched on. No stacks: they carry values.

import { on } from '../dom'
import { guard } from '../guard'
import { maskText, maskUrl } from '../privacy'
import type { Observer } from '../types'

const PER_PAGE = 10 // an error in a loop must not become thousands of events

export const start: Observer = (sink, config, { early_: early }) => {
  const seen: string[] = []
  if (!config.captureErrors) return () => 0
  const report = guard((event: Event): void => {
    const { message, filename = '', lineno = 0, colno = 0 } = event as ErrorEvent
    const { reason } = event as PromiseRejectionEvent
    const text = maskText('' + (message ?? reason?.message ?? reason ?? ''))
    const place = `${maskUrl(filename.replace(/[?#].*/, ''))}:${lineno}:${colno}`
    // Without a message an image or a script did not load: no error of the page's code.
    if (!text || seen.includes(text + place) || seen.length >= PER_PAGE) return
    seen.push(text + place)
    sink({ kind_: 'custom', name: 'JavaScript error', properties: { message: text, place } })
  })
  early.splice(0).forEach(report)
  const stops = [on(window, 'error', report), on(window, 'unhandledrejection', report)]
  return () => stops.forEach((stop) => stop())
}
