// Web vitals. Only the first page of a document has them, so they are reported once, when it is hidden or left.

import type { Observer, Properties } from '../types'

const INTERACTION_MS = 40 // shorter ones are good whatever they are
const SHIFT_GAP_MS = 1000
const SHIFT_WINDOW_MS = 5000

type Entry = PerformanceEntry & Record<string, any> // any: entry types newer than the DOM types

export const start: Observer = (sink, config, { onLeave_: onLeave }) => {
  const vitals: Properties = {}
  const observers: PerformanceObserver[] = []
  if (config.captureWebVitals === false) return () => 0
  const [navigation] = performance.getEntriesByType('navigation') as Entry[]
  // A page that was prerendered is waited for from the moment it is shown.
  const since = (time: number): number => Math.round(Math.max(0, time - (navigation?.activationStart ?? 0)))
  const watch = (type: string, see: (entry: Entry) => void, options: object = {}): boolean => {
    try {
      const observer = new PerformanceObserver((list) => list.getEntries().forEach(see))
      observer.observe({ type, buffered: true, ...options })
      return !!observers.push(observer)
    } catch {
      return false // this browser does not measure that
    }
  }
  let shifted = 0
  let first = 0
  let last = 0
  const slowest = new Map<number, number>()

  watch('paint', (entry) => {
    if (entry.name === 'first-contentful-paint') vitals.fcp_ms = since(entry.startTime)
  })
  watch('largest-contentful-paint', (entry) => {
    vitals.lcp_ms = since(entry.startTime)
  })
  const isShiftSeen = watch('layout-shift', (entry) => {
    if (entry.hadRecentInput) return
    const isSameBurst = entry.startTime - last < SHIFT_GAP_MS && entry.startTime - first < SHIFT_WINDOW_MS
    if (!isSameBurst) first = entry.startTime
    shifted = (isSameBurst ? shifted : 0) + entry.value
    last = entry.startTime
    vitals.cls = Math.max(+vitals.cls!, Math.round(shifted * 10000) / 10000)
  })
  if (isShiftSeen) vitals.cls = 0
  watch(
    'event',
    (entry) => {
      if (entry.interactionId) {
        slowest.set(entry.interactionId, Math.max(slowest.get(entry.interactionId) ?? 0, entry.duration))
      }
    },
    { durationThreshold: INTERACTION_MS },
  )

  const stop = () => {
    for (const observer of observers) observer.disconnect()
    stopLeave()
  }
  const stopLeave = onLeave(() => {
    if (navigation) vitals.ttfb_ms = since(navigation.responseStart)
    // The slowest but one in fifty, so that a single hiccup on a long page does not decide.
    const durations = [...slowest.values()].sort((a, b) => b - a)
    if (durations.length) vitals.inp_ms = durations[Math.floor(durations.length / 50)]!
    stop()
    sink({ kind_: 'custom', name: 'Web vitals', properties: vitals })
  })
  return stop
}
