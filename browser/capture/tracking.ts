// Starting and stopping: the list of observers, and what lives while the page is being captured.

import { type Capture, device, openCapture } from './capture'
import { targetOf } from './dom'
import { guard } from './guard'
import { onLeave, watchLeaving } from './leave'
import { changes, clicks, submits } from './observe/interactions'
import { start as late } from './observe/late'
import { start as pageviews } from './observe/pageviews'
import type { Pipeline } from './pipeline'
import { maskText } from './privacy'
import { openQueue, type Queue } from './queue'
import { hear, roots, wants } from './roots'
import { openSession, type Session } from './session'
import { openStorage } from './storage'
import type { Config, Stop } from './types'

const OBSERVERS = [pageviews, clicks, changes, submits, late]

export interface Tracking {
  session: Session
  capture: Capture
  queue: Queue
  stop: Stop
}

/** Nothing is read from or written to this browser before this is called. */
export const startTracking = (environment: string, config: Config, pipeline: Pipeline, load: () => void): Tracking => {
  const storage = openStorage(environment, config)
  const session = openSession(storage, config)
  const queue = openQueue(environment, config, storage, pipeline.isHeld, (path, body) => {
    const { page } = session
    if (page && body.pageview_info === page) page.title = maskText(document.title)
    return pipeline.transform(path, body)
  })
  const capture = openCapture(environment, config, session, queue)
  const shared = { hear, targetOf, roots, wants, onLeave, early: [], device, load, session }
  queue.restore()
  const stops = [
    ...OBSERVERS.map((start) => guard(start)(capture.sink, config, shared)),
    watchLeaving(
      () => queue.flush(true),
      () => {
        queue.restore()
        queue.flush()
      },
    ),
  ]
  return {
    session,
    capture,
    queue,
    stop: () => {
      stops.forEach((stop) => stop?.())
      queue.clear()
    },
  }
}
