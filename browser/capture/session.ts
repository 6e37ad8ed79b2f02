// Who is here, in which session, on which page. Continues the users of a site that ran Heap before (contract: 6, 7).

import { cut, isPageCaptured, maskText, maskUrl } from './privacy'
import { cleanProperties } from './properties'
import type { Storage } from './storage'
import type { Config, PageInfo, Properties, SessionInfo } from './types'

const SESSION_MS = 30 * 60_000 // without a pageview; other events do not extend it
const SEARCH = /^[^?]*\b(?:google|bing|yahoo|duckduckgo|baidu|yandex|ecosia)\.[^?]*\?(?:.*&)?(?:q|p|query|wd|text)=([^&#]*)/
/** Each utm parameter with its key in the classic session cookie. */
const UTM = { source: 'us', medium: 'um', term: 'ut', content: 'uc', campaign: 'ua' }

/** A random integer 0..2^53-1 as text: how users, sessions, pageviews and events are named. */
export const newId = (): string => {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2))
  return '' + ((high! & 0x1fffff) * 2 ** 32 + low!)
}

const idOf = (value: unknown): string => (/^\d{1,16}$/.test('' + value) ? '' + value : '')

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text.replace(/\+/g, ' '))
  } catch {
    return text
  }
}

type Kept = Record<string, any> // any: written by earlier versions and other scripts

const describeSession = (id: string, time: number, referrer: string, keyword: string, utmOf: (name: string, short: string) => string) => {
  const utm: Record<string, string> = {}
  for (const [name, short] of Object.entries(UTM)) utm[name] = cut(utmOf(name, short), 255)
  return { id, time, referrer, search_keyword: cut(keyword, 255), utm } as SessionInfo
}

export interface Session {
  userId: string
  identity: string
  eventProperties: Properties
  page: PageInfo | undefined
  info: SessionInfo | undefined
  /** What the server has not been told of yet. */
  isNewUser: boolean
  isNewSession: boolean
  /** Begin a pageview; false where the environment captures nothing. */
  openPage(properties?: Properties): boolean
  /** A new user in the middle of a page: a new session, and the page under a new id, so that no two users share one. */
  switchUser(): void
  setEventProperties(properties: Properties): void
  save(): void
}

export const openSession = (storage: Storage, config: Config): Session => {
  let lastPage = 0

  const renewUser = (): void => {
    session.userId = newId()
    session.identity = ''
    session.isNewUser = true
    session.info = undefined
    if (config.clearEventPropertiesOnNewUser) session.setEventProperties({})
  }

  /** Read what is kept: our own and v5's cookie, the classic one, and the one a native app set for its web view. */
  const restore = (): void => {
    const meta: Kept = storage.read('_hp5_meta') ?? {}
    const app: Kept | null = storage.read('_hp2_wv_id')
    let classic = storage.read('_hp2_id') ?? {}
    if (classic.split) {
      const [userId, , sessionId] = classic.split('.') // the oldest form: user.pageview.session
      classic = { userId, sessionId }
    }
    const kept: Kept = app ?? (idOf(meta.userId) ? meta : classic)
    const userId = idOf(kept.userId)
    if (userId) {
      // Another tab may have signed in or out since; a session in memory then belongs to somebody else.
      if (userId !== session.userId) session.info = undefined
      session.userId = userId
      session.identity = cut('' + (kept.identity ?? ''), 255)
    } else if (!session.userId) renewUser()
    const id = idOf(kept.sessionId)
    const classicSession: Kept | null = kept === classic ? storage.read('_hp2_ses_props') : app && {}
    const last = +storage.read('_hp5_let') || meta.lastEventTime || 0
    if (!id || session.info?.id === id || !(classicSession || Date.now() - last < SESSION_MS)) return
    const old = classicSession ?? {}
    session.info =
      (kept === meta && meta.sessionProperties) ||
      describeSession(id, +old.ts || Date.now(), old.r || '', old.e || '', (_name, short) => old[short] || '')
  }

  const enter = (page: PageInfo): void => {
    session.page = page
    if (session.info) return
    const { referrer } = document
    const query = new URLSearchParams(location.search)
    session.isNewSession = true
    session.info = describeSession(
      newId(),
      page.time,
      referrer.startsWith(location.origin + '/') ? '' : maskUrl(referrer),
      maskText(decode(SEARCH.exec(referrer)?.[1] ?? '')),
      (name) => query.get('utm_' + name) ?? '',
    )
    session.info.initial_pageview_info = { ...page, properties: undefined, previous_page: undefined }
  }

  const session: Session = {
    userId: '',
    identity: '',
    eventProperties: cleanProperties(storage.read('_hp5_event_props') ?? storage.read('_hp2_props')),
    page: undefined,
    info: undefined,
    isNewUser: false,
    isNewSession: false,
    openPage: (properties) => {
      const { hostname, pathname, search, hash, origin } = location
      const { referrer, title } = document
      const previous = session.page?.url.path ?? (referrer.startsWith(origin + '/') ? new URL(referrer).pathname : '')
      const now = Date.now()
      session.page = undefined
      if (!isPageCaptured(config.capture, hostname, pathname)) return false
      if (now - lastPage >= SESSION_MS) session.info = undefined
      restore()
      lastPage = now
      enter({
        id: newId(),
        time: now,
        title: maskText(title),
        url: { domain: hostname, path: maskUrl(pathname), query: maskUrl(search), hash: maskUrl(hash) },
        source_properties: { screen_height: screen.height, screen_width: screen.width },
        previous_page: maskUrl(previous) || undefined,
        properties,
      })
      storage.write('_hp5_let', now)
      session.save()
      return true
    },
    switchUser: () => {
      renewUser()
      if (session.page) enter({ ...session.page, id: newId(), time: Date.now() })
      session.save()
    },
    setEventProperties: (properties) => {
      session.eventProperties = properties
      storage.write('_hp5_event_props', properties, config.eventPropertiesStorage)
    },
    save: () => {
      const { userId, identity, info } = session
      // An endless address must not cost the user its cookie: the session then keeps less.
      for (const sessionProperties of [info, info && { ...info, initial_pageview_info: undefined }, undefined]) {
        const meta = { userId, sessionId: info?.id, identity: identity || null, sessionProperties }
        if (storage.write('_hp5_meta', meta, config.metadataStorage)) return
      }
    },
  }
  restore()
  return session
}
