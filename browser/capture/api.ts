// The methods a page calls: Heap's JavaScript API (contract: 4.5), under window.heap and window.cairn.

import { LIBRARY } from './capture'
import { guard, say } from './guard'
import { plug } from './observe/late'
import type { Pipeline } from './pipeline'
import { cleanIdentity, cleanProperties, isReservedForUsers } from './properties'
import type { Tracking } from './tracking'
import type { Properties } from './types'

type Method = (...given: any[]) => unknown // any: pages pass what they like
type Call = (now: Tracking, ...given: any[]) => unknown
type Change = (properties: Properties, given: any) => Properties

const add: Change = (properties, given) => ({ ...properties, ...cleanProperties(given) })
const clear: Change = () => ({})
const remove: Change = ({ ...properties }, name: string) => {
  delete properties[name]
  return properties
}

/** Everything a page may call. `tracking` answers nothing while capture is stopped; then calls do nothing. */
export const methodsOf = (
  environment: string,
  tracking: () => Tracking | undefined,
  pipeline: Pipeline,
  consent: { start_: () => void; stop_: () => void },
): Record<string, Method> => {
  const post = ({ queue_: queue, session }: Tracking, path: string, body: object): void =>
    queue.add(path, { env_id: environment, user_id: session.userId, ...body, library: LIBRARY })

  const identify: Call = (now, given) => {
    const identity = cleanIdentity(given)
    const { session, capture } = now
    if (!identity) return say('identify(): no identity')
    if (identity === session.identity) return
    // Somebody else: what this device did before stays with the one who did it.
    if (session.identity) session.switchUser_()
    session.identity = identity
    session.save_()
    capture.announce_()
    post(now, 'identify', { identity, time: Date.now() })
  }

  const sendProperties =
    (path: string): Call =>
    (now, given) => {
      const properties = cleanProperties(given, isReservedForUsers)
      if (Object.keys(properties).length) post(now, path, { properties })
    }

  /** Change the event properties, and the same for the page's. */
  const changeEvent =
    (change: Change): Call =>
    ({ session }, given) =>
      session.keepEventProperties_(change(session.eventProperties_, given))
  const changePage =
    (change: Change): Call =>
    ({ session: { page_: page } }, given) =>
      page && (page.properties = change(page.properties ?? {}, given))

  const whileTracking: Record<string, Call> = {
    track: ({ capture }, name, properties, library) => capture.track(name, properties, library),
    trackPageview: ({ capture }, properties) => capture.pageview(cleanProperties(properties)),
    identify,
    identifyHashed: identify,
    resetIdentity: ({ session, capture }) => {
      if (!session.identity) return
      session.switchUser_()
      capture.announce_()
    },
    addUserProperties: sendProperties('add_user_properties'),
    addAccountProperties: sendProperties('add_account_properties'),
    addEventProperties: changeEvent(add),
    setEventProperties: changeEvent(add),
    removeEventProperty: changeEvent(remove),
    unsetEventProperty: changeEvent(remove),
    clearEventProperties: changeEvent(clear),
    addPageviewProperties: changePage(add),
    removePageviewProperty: changePage(remove),
    clearPageviewProperties: changePage(clear),
    getUserId: ({ session }) => session.userId,
    getSessionId: ({ session }) => session.sessionInfo_?.id,
    getIdentity: ({ session }) => session.identity || null,
  }
  const always: Record<string, Method> = {
    startTracking: consent.start_,
    stopTracking: consent.stop_,
    addAdapter: pipeline.addAdapter_,
    markAdapterAsResolved: pipeline.resolve_,
    addTransformer: (given) => pipeline.addTransformer_(given.fn ?? given.transformerFn ?? given, given.phase),
    // Both (name, fn, phase) and (fn) are written.
    addTransformerFn: (name, run, phase) => pipeline.addTransformer_(run ?? name, phase),
    // The v5 snippet queues an init with what the loader has already read.
    init: () => 0,
    onReady: (run) => run(),
    plug,
  }

  const methods: Record<string, Method> = {}
  for (const name of Object.keys(whileTracking)) {
    methods[name] = guard((...given) => {
      const now = tracking()
      return now && whileTracking[name]!(now, ...given)
    })
  }
  for (const name of Object.keys(always)) methods[name] = guard(always[name]!)
  return methods
}
