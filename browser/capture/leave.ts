// The moments when a page may be going away. Mobile browsers often end a hidden page without another word.

import { on } from './dom'
import { guard } from './guard'
import type { Stop } from './types'

type Leave = (isForGood: boolean) => void

const leavers = new Set<Leave>()

/** Called when the page is hidden, and once more, for good, when it is left. */
export const onLeave = (leave: Leave): Stop => {
  leavers.add(leave)
  return () => leavers.delete(leave)
}

/** Let everybody report before the page changes. */
export const leavePage = (isForGood: boolean): void => leavers.forEach((leave) => guard(leave)(isForGood))

export const watchLeaving = (left: () => void, returned: () => void): Stop => {
  const look = guard((event: Event) => {
    if (event.type !== 'pagehide' && !document.hidden) return returned()
    leavePage(event.type === 'pagehide')
    left()
  })
  const stops = [on(document, 'visibilitychange', look), on(window, 'pagehide', look), on(window, 'online', look)]
  return () => stops.forEach((stop) => stop())
}
