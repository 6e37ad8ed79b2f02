// The runtime: finds its configuration, takes over the page's globals, runs what was queued. Loads once.

import { methodsOf } from './api'
import { resolveConfig } from './config'
import { guard, say, silence } from './guard'
import { openPipeline } from './pipeline'
import { setSecretNames } from './privacy'
import { startTracking, type Tracking } from './tracking'

type Global = any // any: the page's globals are arrays, stubs or nothing, as the snippet left them

const ONCE = 'Heap must load only once.'

const page = window as Global

/** Put a member on a global so that a second snippet, which assigns its stubs, changes nothing and throws nothing. */
const pin = (target: object, name: string, get: () => unknown): void => {
  Object.defineProperty(target, name, { get, set: () => 0, configurable: true, enumerable: true })
}

const boot = guard((): void => {
  const cairn: Global = (page.cairn ||= [])
  const { boot } = cairn
  // On the neutral path window.heap may belong to somebody else.
  const names = () => (boot.isNeutral ? ['cairn'] : ['heap', 'cairn'])
  const heap: Global = (!boot?.isNeutral && page.heap) || cairn
  // Every copy finds the same state here, whatever became of the globals. The late script hears of the warning.
  const state: Global = boot || cairn
  const warn = () => {
    if (!state.hasWarned) say(ONCE)
    state.hasWarned = true
  }
  if (!boot || cairn.loaded || heap.loaded) {
    warn()
    return cairn.adopt?.()
  }

  const environment: string = boot.envId
  const client: Global = heap.clientConfig ?? heap.config ?? cairn.config ?? {}
  setSecretNames(boot.server.secrets)
  const config = resolveConfig(boot.server, client, boot.origin)
  if (config.logLevel === 'none') silence()
  let tracking: Tracking | undefined
  const api: Global = { boot, envId: environment, appid: environment, config: client, clientConfig: client }

  const pipeline = openPipeline(api, () => tracking?.queue_.flush_())
  const start = (): void => {
    tracking ??= startTracking(environment, config, pipeline, boot.late)
  }
  const stop = (): void => {
    tracking?.stop_()
    tracking = undefined
  }

  const methods = methodsOf(environment, () => tracking, pipeline, { start_: start, stop_: stop })
  methods.load = warn

  const run = guard((entry: Global): void => {
    if (Array.isArray(entry)) methods[entry[0]]?.(...entry.slice(1))
    else if (typeof entry === 'function') entry(api)
    else entry?.fn?.()
  })

  /** Take over a global, what is queued in it, and whoever still holds the old object. */
  const adopt = (): void => {
    for (const name of names()) {
      const old = page[name]
      if (old?.loaded) continue
      page[name] = api
      if (!old) continue
      const queued = Array.isArray(old) ? old.splice(0) : []
      install(old)
      queued.forEach(run)
    }
    if (boot.isNeutral) return
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
    const fields: Record<string, () => unknown> = {
      loaded: () => isLoaded,
      userId: () => tracking?.session.userId,
      identity: () => tracking?.session.identity || null,
      adopt: () => adopt,
      push: () => push,
    }
    for (const name of Object.keys({ ...methods, ...fields })) pin(target, name, fields[name] ?? (() => methods[name]))
  }

  let isLoaded = false
  const { doNotTrack, globalPrivacyControl } = navigator as Global
  let isWanted = !config.disableTracking && !(config.respectDoNotTrack && (+doNotTrack || globalPrivacyControl))
  // A queued stopTracking must hold before the first pageview, not after it.
  for (const entry of [heap, page.heapReadyCb].flat()) {
    const name = entry?.name ?? entry?.[0]
    if (/^st(art|op)Tracking$/.test(name)) isWanted = name === 'startTracking'
  }
  install(api)
  if (isWanted) start()
  adopt()
  isLoaded = true
})

// A page that is only being prerendered has not been seen by anybody yet.
if ((document as Global).prerendering) document.addEventListener('prerenderingchange', boot, { once: true })
else boot()
