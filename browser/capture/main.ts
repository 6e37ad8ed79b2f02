// The runtime: finds its configuration, takes over the page's globals, runs what was queued. Loads once.

import { methodsOf } from './api'
import { resolveConfig } from './config'
import { guard, say, silence } from './guard'
import { ownScript } from './insert'
import { openPipeline } from './pipeline'
import { startTracking, type Tracking } from './tracking'
import type { Config } from './types'

type Global = any // any: the page's globals are arrays, stubs or nothing, as the snippet left them

const page = window as Global

/** Put a member on a global so that a second snippet, which assigns its stubs, changes nothing and throws nothing. */
const pin = (target: object, name: string, get: () => unknown): void => {
  Object.defineProperty(target, name, { get, set: () => 0, configurable: true, enumerable: true })
}

const boot = guard((): void => {
  const cairn: Global = (page.cairn ||= [])
  const info = cairn.boot ?? { origin: ownScript ? new URL(ownScript.src).origin : location.origin }
  // On the neutral path window.heap may belong to somebody else.
  const names = info.isNeutral ? ['cairn'] : ['heap', 'cairn']
  const heap: Global = (page[names[0]!] ||= [])
  if (cairn.loaded || heap.loaded) {
    if (!cairn.hasWarned) say('Heap must load only once; this copy does nothing.')
    cairn.hasWarned = true
    cairn.adopt?.()
    return
  }

  let environment = ''
  let client: Global = {}
  let config: Config | undefined
  let tracking: Tracking | undefined
  let isStopped = false
  const api: Global = {}

  const pipeline = openPipeline(api, () => tracking?.queue.flush())
  const start = (): void => {
    isStopped = false
    if (config && !tracking) tracking = startTracking(environment, config, pipeline)
  }
  const stop = (): void => {
    isStopped = true
    tracking?.stop()
    tracking = undefined
  }

  /** Once configured, the page's later init calls (the v5 snippet queues one) change nothing. */
  const init = guard((envId: unknown, given: Global, server: Global): void => {
    if (config || !envId) return
    environment = '' + envId
    client = given ?? {}
    config = resolveConfig(server ?? {}, client, info.origin)
    if (config.logLevel === 'none') silence()
    const signals = navigator as Global
    const isAskedNot = config.respectDoNotTrack && (signals.doNotTrack === '1' || signals.globalPrivacyControl)
    if (!config.disableTracking && !isAskedNot && !isStopped) start()
  })

  const methods = methodsOf(
    () => environment,
    () => tracking,
    pipeline,
    { start, stop },
  )
  methods.init = init
  methods.load = guard((envId: unknown) => {
    if (config) say('Heap must load only once; load(' + envId + ') does nothing.')
    else if (info.envId === undefined) init(envId, {}, {})
  })

  const run = guard((entry: Global): void => {
    if (Array.isArray(entry)) methods[entry[0]]?.(...entry.slice(1))
    else if (typeof entry === 'function') entry(api)
    else entry?.fn?.()
  })

  /** Take over a global, what is queued in it, and whoever still holds the old object. */
  const adopt = (): void => {
    for (const name of names) {
      const old = page[name]
      if (old?.loaded) continue
      page[name] = api
      if (!old) continue
      const queued = Array.isArray(old) ? old.splice(0) : []
      install(old)
      queued.forEach(run)
    }
    if (info.isNeutral) return
    const ready: Global = (page.heapReadyCb ||= [])
    if (!Array.isArray(ready) || ready.push === push) return
    ready.push = push
    ready.splice(0).forEach(run)
  }
  const push = (...entries: Global[]): number => {
    entries.forEach(run)
    return entries.length
  }
  const install = (target: object): void => {
    for (const name of Object.keys(methods)) pin(target, name, () => methods[name])
    const fields: Record<string, () => unknown> = {
      loaded: () => isLoaded,
      envId: () => environment,
      appid: () => environment,
      config: () => client,
      clientConfig: () => client,
      userId: () => tracking?.session.userId,
      identity: () => tracking?.session.identity || null,
      adopt: () => adopt,
      push: () => push,
    }
    for (const name of Object.keys(fields)) pin(target, name, fields[name]!)
  }

  let isLoaded = false
  const queue: Global[] = [...(Array.isArray(heap) ? heap : []), ...(Array.isArray(page.heapReadyCb) ? page.heapReadyCb : [])]
  // A queued stopTracking must hold before the first pageview, not after it.
  for (const entry of queue) {
    const name = entry?.name ?? entry?.[0]
    if (/^st(art|op)Tracking$/.test(name)) isStopped = name === 'stopTracking'
  }
  install(api)
  init(info.envId ?? heap.envId ?? heap.appid, heap.clientConfig ?? heap.config, heap.serverConfig)
  adopt()
  isLoaded = true
})

// A page that is only being prerendered has not been seen by anybody yet.
if ((document as Global).prerendering) document.addEventListener('prerenderingchange', boot, { once: true })
else boot()
