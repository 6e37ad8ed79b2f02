// The heart: what observers saw becomes messages (contract: v2 capture), and messages go to the queue.

import { chainOf, describe } from './element'
import { leavePage } from './leave'
import { isPageCaptured } from './pages'
import { isIgnored, maskText } from './privacy'
import { cleanProperties } from './properties'
import type { Queue } from './queue'
import { newId, type Session } from './session'
import { snapshotOf } from './snapshots'
import type { Captured, Config, Properties } from './types'

declare const __VERSION__: string
declare const __RULES__: boolean

const BUILTIN = ['', 'click', 'touch', 'change', 'submit'] // each at the number the wire has for it
const NAME_LIMIT = 1024 // longest event name the server takes

export const LIBRARY = { name: 'web', version: __VERSION__, platform: 'web' }
/** Marks the events the script makes up itself (rage clicks, scroll depth, ...) apart from the page's own. */
const OURSELVES = 'cairn'

/** Shared by all messages, so what the browser tells late is in every message not sent yet. */
export const device: Record<string, unknown> = { user_agent: navigator.userAgent }

export interface Capture {
  sink_(captured: Captured): void
  track(name: unknown, properties: unknown, library: any): void // any: whatever the page passes
  pageview(properties?: Properties): void
  announce_(): void
}

export const openCapture = (environment: string, config: Config, session: Session, queue: Queue): Capture => {
  const send = (kind: Record<string, unknown>, properties: Properties = {}, id = newId(), time = Date.now()): void => {
    queue.add('track', {
      id,
      env_id: environment,
      user_id: session.userId,
      identity: session.identity || undefined,
      time,
      base_library: LIBRARY,
      device,
      session_info: session.sessionInfo_,
      // References: a title set late and properties an adapter adds reach every message not sent yet.
      pageview_info: kind.session ? undefined : session.page_,
      properties: { ...session.eventProperties_, ...properties },
      ...kind,
    })
  }

  /** Snapshots come in the runtime for environments that have rules of their own. */
  const taken = (kind: string, target: Element | null) => (__RULES__ ? snapshotOf(kind, target, config) : undefined)

  /** Tell the server of a user and session it has not seen; each once. */
  const announce = (): void => {
    const { sessionInfo_: info } = session
    if (!info) return
    const { isNewUser_: isNewUser, isNewSession_: isNewSession } = session
    session.isNewUser_ = session.isNewSession_ = false
    if (isNewUser) {
      send({
        user: {
          id: session.userId,
          initial_referrer: info.referrer,
          initial_search_keyword: info.search_keyword,
          initial_utm: info.utm,
          initial_pageview_info: info.initial_pageview_info,
        },
      })
    }
    if (isNewSession) send({ session: {} }, {}, info.id, info.time)
  }

  const pageview = (properties?: Properties): void => {
    if (session.page_) leavePage(true)
    if (!session.openPage_(properties)) return
    announce()
    const { page_: page } = session
    send({ pageview: {} }, taken('pageview', null), page!.id, page!.time)
  }

  /** Events before the first pageview, or with pageviews switched off, still belong to a page. */
  const isOnPage = (): boolean => {
    if (!isPageCaptured(config.capture)) return false
    if (!session.page_ && session.openPage_()) announce()
    // Applications set the title after they changed the address; what is not sent yet has the title of now.
    if (session.page_) session.page_.title = maskText(document.title)
    return !!session.page_
  }

  const custom = (name: string, properties: Record<string, unknown>, library?: string): void => {
    if (!isOnPage()) return
    send({
      source_library: library ? { name: library } : undefined,
      event: { custom: { name, properties } },
    })
  }

  const sink = (captured: Captured): void => {
    const { kind_: kind } = captured
    if (kind === 'pageview') return pageview()
    if (!isOnPage()) return
    const { target } = captured
    const [elements, chain] = target ? chainOf(target) : []
    if (chain && isIgnored(chain)) return
    const described = chain && describe(elements!, chain, config)
    if (kind === 'custom') {
      const { name, properties } = captured
      custom(
        name,
        { ...properties, hierarchy: described?.hierarchy, target_text: described?.nodes[0]!.node_text },
        OURSELVES,
      )
    } else if (!config.disableInteractionEvents.includes(kind)) {
      send({ event: { interaction: { builtin: BUILTIN.indexOf(kind), ...described } } }, taken(kind, target!))
    }
  }

  return {
    sink_: sink,
    pageview,
    announce_: announce,
    track: (name, properties, library) => {
      const clean = typeof name === 'string' ? name.trim() : ''
      if (clean && clean.length <= NAME_LIMIT) {
        custom(clean, cleanProperties(properties), library && '' + library)
      }
    },
  }
}
