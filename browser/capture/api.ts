// The methods a page calls: Heap's JavaScript API (contract: 4.5), under window.heap and window.cairn.

import { LIBRARY } from './capture'
import { guard, say } from './guard'
import { plug } from './observe/late'
import type { Pipeline } from './pipeline'
import { cleanIdentity, cleanProperties, isReservedForUsers } from './properties'
import type { Tracking } from './tracking'
import type { Properties } from './types'

type Method = (...given: any[]) => unknown // any: pages pass what they like

/** Everything a page may call. `tracking` answers nothing while capture is stopped; then calls do nothing. */
export const methodsOf = (
  environment: () => string,
  tracking: () => Tracking | undefined,
  pipeline: Pipeline,
  consent: { start: () => void; stop: () => void },
): Record<string, Method> => {
  const post = (path: string, body: Record<string, unknown>): void => {
    const now = tracking()!
    now.queue.add(path, { env_id: environment(), user_id: now.session.userId, ...body, library: LIBRARY })
  }

  const changeEventProperties = (change: (properties: Properties) => Properties): void =>
    tracking()!.session.setEventProperties(change(tracking()!.session.eventProperties))

  const changePageProperties = (change: (properties: Properties) => Properties): void => {
    const { page } = tracking()!.session
    if (page) page.properties = change(page.properties ?? {})
  }

  const without = (key: string) => (properties: Properties) => {
    const { [key]: _, ...rest } = properties
    return rest
  }

  const identify = (given: unknown): void => {
    const identity = cleanIdentity(given)
    const { session, capture } = tracking()!
    if (!identity) return say('identify() needs a real identity of 1 to 255 characters; got ' + typeof given)
    if (identity === session.identity) return
    // Somebody else: what this device did before stays with the one who did it.
    if (session.identity) session.switchUser()
    session.identity = identity
    session.save()
    capture.announce()
    post('identify', { identity, time: Date.now() })
  }

  const reset = (): void => {
    const { session, capture } = tracking()!
    if (!session.identity) return
    session.switchUser()
    capture.announce()
  }

  const sendProperties = (path: string) => (given: unknown) => {
    const properties = cleanProperties(given, isReservedForUsers)
    if (Object.keys(properties).length) post(path, { properties })
  }

  const addEventProperties = (given: unknown): void => changeEventProperties((old) => ({ ...old, ...cleanProperties(given) }))
  const removeEventProperty = (key: string): void => changeEventProperties(without(key))

  const whileTracking: Record<string, Method> = {
    track: (name, properties, library) => tracking()!.capture.track(name, properties, library),
    trackPageview: (properties) => tracking()!.capture.pageview(cleanProperties(properties)),
    identify,
    identifyHashed: identify,
    resetIdentity: reset,
    addUserProperties: sendProperties('add_user_properties'),
    addAccountProperties: sendProperties('add_account_properties'),
    addEventProperties,
    setEventProperties: addEventProperties,
    removeEventProperty,
    unsetEventProperty: removeEventProperty,
    clearEventProperties: () => changeEventProperties(() => ({})),
    addPageviewProperties: (given) => changePageProperties((old) => ({ ...old, ...cleanProperties(given) })),
    removePageviewProperty: (key) => changePageProperties(without(key)),
    clearPageviewProperties: () => changePageProperties(() => ({})),
    getUserId: () => tracking()!.session.userId,
    getSessionId: () => tracking()!.session.info?.id,
    getIdentity: () => tracking()!.session.identity || null,
  }
  const always: Record<string, Method> = {
    startTracking: consent.start,
    stopTracking: consent.stop,
    addAdapter: pipeline.addAdapter,
    markAdapterAsResolved: pipeline.resolve,
    addTransformer: (given) => pipeline.addTransformer(given.fn ?? given.transformerFn ?? given.transform ?? given, given.phase),
    // Both (name, fn, phase) and (fn) are written.
    addTransformerFn: (name, run, phase) => pipeline.addTransformer(run ?? name, phase),
    onReady: (run) => run(),
    plug,
  }

  const methods: Record<string, Method> = {}
  for (const name of Object.keys(whileTracking)) {
    methods[name] = guard((...given) => (tracking() ? whileTracking[name]!(...given) : undefined))
  }
  for (const name of Object.keys(always)) methods[name] = guard(always[name]!)
  return methods
}
