// Who is here, in which session, on which page. Continues the users of a site that ran Heap before (contract: 6, 7).

import { isPageCaptured } from './pages'
import { cut, maskText, maskUrl } from './privacy'
import { cleanProperties } from './properties'
import type { Storage } from './storage'
import type { Config, PageInfo, Properties, SessionInfo } from './types'

// Reading cookies costs the page a question to another process after each write, so a map that changes the address at
// every move must not write at every move. A session may end this much early.
const WRITE_AGAIN_MS = 1000
const SESSION_MS = 30 * 60_000 // without a pageview; other events do not extend it

let random: number[] = []
/** A random integer 0..2^53-1 as text: how users, sessions, pageviews and events are named. */
export const newId = (): string => {
  // Many at a time: each question to the generator costs as much as a fair part of a click.
  if (!random.length) random = [...crypto.getRandomValues(new Uint32Array(64))]
  return '' + ((random.pop()! & 0x1fffff) * 2 ** 32 + random.pop()!)
}

const idOf = (value: unknown): string => (/^\d{1,16}$/.test('' + value) ? '' + value : '')

/** The path of an address on this site; empty for any other. */
const ownPath = (url: string): string => (url.startsWith(location.origin + '/') ? new URL(url).pathname : '')

type Kept = Record<string, any> // any: written by earlier versions and other scripts

export interface Session {
  userId: string
  identity: string
  eventProperties_: Properties
  page_: PageInfo | undefined
  sessionInfo_: SessionInfo | undefined
  /** What the server has not been told of yet. */
  isNewUser_: boolean
  isNewSession_: boolean
  /** Begin a pageview; false where the environment captures nothing. */
  openPage_(properties?: Properties): boolean
  /** A new user in the middle of a page: a new session, and the page under a new id, so that no two users share one. */
  switchUser_(): void
  keepEventProperties_(properties: Properties): void
  save_(): void
  /** Called after each pageview. */
  opened_?: () => void
}

export const openSession = (storage: Storage, config: Config): Session => {
  let written = 0

  const renewUser = (): void => {
    session.userId = newId()
    session.identity = ''
    session.isNewUser_ = true
    session.sessionInfo_ = undefined
    if (config.clearEventPropertiesOnNewUser) session.keepEventProperties_({})
  }

  /** Read what is kept: our own and v5's cookie, the classic one, and the one a native app set for its web view. */
  const restore = (): void => {
    storage.refresh_()
    const meta: Kept = storage.read_('_hp5_meta') ?? {}
    const app: Kept | null = storage.read_('_hp2_wv_id')
    const isOurs = idOf(meta.userId)
    let classic = (!isOurs && storage.read_('_hp2_id')) || {}
    if (classic.split) {
      const [userId, , sessionId] = classic.split('.') // the oldest form: user.pageview.session
      classic = { userId, sessionId }
    }
    const kept: Kept = app ?? (isOurs ? meta : classic)
    const userId = idOf(kept.userId)
    if (!userId) return session.userId ? undefined : renewUser()
    // Another tab may have signed in or out since; a session in memory then belongs to somebody else.
    if (userId !== session.userId) session.sessionInfo_ = undefined
    session.userId = userId
    session.identity = cut('' + (kept.identity ?? ''), 255)
    const id = idOf(kept.sessionId)
    if (!id || id === session.sessionInfo_?.id) return
    const last = +storage.read_('_hp5_let') || meta.lastEventTime
    const visit: Kept | null = storage.read_('_hp2_ses_props') // lives as long as a classic session
    if (id === '' + meta.sessionId && meta.sessionProperties?.time && (app || Date.now() - last < SESSION_MS)) {
      session.sessionInfo_ = { ...meta.sessionProperties, id }
    } else if (app) session.sessionInfo_ = describeVisit(id)
    else if (kept === classic && visit) session.sessionInfo_ = classicVisit(id, visit)
  }

  const classicVisit = (id: string, { r, e, us, um, ut, uc, ua, ts, d, h, q, g }: Kept): SessionInfo => ({
    id,
    time: ts,
    referrer: r,
    search_keyword: e,
    utm: { source: us, medium: um, term: ut, content: uc, campaign: ua },
    initial_pageview_info: { time: ts, url: { domain: d, path: h, query: q, hash: g } },
  })

  const describeVisit = (id: string): SessionInfo => {
    const { referrer } = document
    const query = new URLSearchParams(maskUrl(location.search))
    const utm: Record<string, string> = {}
    for (const name of ['source', 'medium', 'term', 'content', 'campaign'])
      utm[name] = cut(query.get('utm_' + name) ?? '', 255)
    return {
      id,
      time: Date.now(),
      referrer: ownPath(referrer) ? '' : maskUrl(referrer),
      search_keyword: '', // the server finds it in the referrer
      utm,
      initial_pageview_info: session.page_,
    }
  }

  const enter = (page: PageInfo): void => {
    session.page_ = page
    if (session.sessionInfo_) return
    session.isNewSession_ = true
    session.sessionInfo_ = describeVisit(newId())
  }

  const session: Session = {
    userId: '',
    identity: '',
    eventProperties_: {},
    page_: undefined,
    sessionInfo_: undefined,
    isNewUser_: false,
    isNewSession_: false,
    openPage_: (properties) => {
      const { hostname, pathname, search, hash } = location
      const previous = session.page_?.url.path ?? ownPath(document.referrer)
      const now = Date.now()
      session.page_ = undefined
      if (!isPageCaptured(config.capture)) return false
      if (now - written >= SESSION_MS) session.sessionInfo_ = undefined
      restore()
      enter({
        id: newId(),
        time: now,
        title: maskText(document.title),
        url: { domain: hostname, path: maskUrl(pathname), query: maskUrl(search), hash: maskUrl(hash) },
        source_properties: { screen_height: screen.height, screen_width: screen.width },
        previous_page: maskUrl(previous),
        properties,
      })
      if (now - written > WRITE_AGAIN_MS) storage.write_('_hp5_let', (written = now), config.metadataStorage)
      session.save_()
      session.opened_?.()
      return true
    },
    switchUser_: () => {
      renewUser()
      if (session.page_) enter({ ...session.page_, id: newId(), time: Date.now() })
      session.save_()
    },
    keepEventProperties_: (properties) => {
      session.eventProperties_ = properties
      for (const medium of [config.eventPropertiesStorage, 'localstorage']) {
        if (storage.write_('_hp5_event_props', properties, medium)) return
      }
    },
    save_: () => {
      const { userId, identity, sessionInfo_: sessionInfo } = session
      // An endless address must not cost the user its cookie: the session then keeps less.
      for (const sessionProperties of [
        sessionInfo,
        sessionInfo && { ...sessionInfo, initial_pageview_info: undefined },
        undefined,
      ]) {
        const meta = { userId, sessionId: sessionInfo?.id, identity: identity || null, sessionProperties }
        if (storage.write_('_hp5_meta', meta, config.metadataStorage)) return
      }
    },
  }
  restore()
  session.eventProperties_ = cleanProperties(storage.read_('_hp5_event_props') ?? storage.read_('_hp2_props'))
  return session
}
