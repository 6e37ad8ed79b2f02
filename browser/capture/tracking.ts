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
  queue_: Queue
  stop_: Stop
}

/** Nothing is read from or written to this browser before this is called. */
export const startTracking = (environment: string, config: Config, pipeline: Pipeline, load: () => void): Tracking => {
  const storage = openStorage(environment, config)
  const session = openSession(storage, config)
  const queue = openQueue(environment, config, storage, pipeline.isHeld_, (path, body) => {
    const { page_: page } = session
    if (page && body.pageview_info === page) page.title = maskText(document.title)
    return pipeline.transform_(path, body)
  })
  const capture = openCapture(environment, config, session, queue)
  const shared = {
    hear_: hear,
    targetOf_: targetOf,
    roots_: roots,
    wants_: wants,
    onLeave_: onLeave,
    early_: [],
    device,
    load,
    session,
  }
  queue.restore_()
  const stops = [
    ...OBSERVERS.map((start) => guard(start)(capture.sink_, config, shared)),
    watchLeaving(
      () => queue.flush_(true),
      () => {
        queue.restore_()
        queue.flush_()
      },
    ),
  ]
  return {
    session,
    capture,
    queue_: queue,
    stop_: () => {
      stops.forEach((stop) => stop?.())
      queue.clear()
    },
  }
}
