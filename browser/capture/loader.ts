// What /js/heap-<env>.js, /config/<env>/heap_config.js and the neutral path answer: the environment's configuration,
// and then the runtime by its versioned name. The server puts the configuration in front as `C`.

import { insertScript, ownScript } from './insert'

declare const C: { envId: string; server: Record<string, any>; isNeutral: boolean }

const page = window as any // any: globals of the page
const cairn = (page.cairn = page.cairn || [])
const heap = C.isNeutral ? cairn : (page.heap = page.heap || [])

if (cairn.boot || cairn.loaded || heap.loaded) {
  if (!cairn.hasWarned) console.warn(`[cairn] Heap must load only once; this copy (${C.envId}) does nothing.`)
  cairn.hasWarned = true
  if (cairn.adopt) cairn.adopt()
} else {
  const origin = ownScript ? new URL(ownScript.src).origin : location.origin
  cairn.boot = { envId: C.envId, isNeutral: C.isNeutral, origin }
  heap.serverConfig = C.server
  const sdk = { ...C.server.sdk, ...heap.clientConfig?.sdk }
  const folder = C.isNeutral ? '/k/' + sdk.version + '/' : `/v5/heapjs-static/${sdk.version}/core/`
  insertScript((sdk.domain || origin) + folder + (C.isNeutral ? 'core.js' : 'heap.js'), ownScript?.nonce ?? '')
}
