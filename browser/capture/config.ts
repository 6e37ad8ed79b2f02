// Which options hold: the environment's (heap_config.js) under the page's own (heap.load).

import type { Config } from './types'

type Given = Record<string, any> // any: options come from the page as they are

const PRIVATE = [
  'disableTextCapture',
  'disableInteractionTextCapture',
  'cookieless',
  'respectDoNotTrack',
  'secureCookie',
]

/** Privacy switches can be turned on by either side and off by none; every other option of the page wins. */
export const resolveConfig = (server: Given, client: Given, origin: string): Config => {
  const config: Given = { ...server, ...client }
  for (const given of [server, server.privacy ?? {}, client]) {
    for (const name of PRIVATE) if (given[name]) config[name] = true
    if (given.disableTargetText) config.disableTextCapture = true
    if (given.enableSecureCookies) config.secureCookie = true
  }
  for (const name of ['disableInteractionEvents', 'captureAttributes']) {
    if (!Array.isArray(config[name])) config[name] = []
  }
  // The page cannot widen what the environment allows to be captured.
  config.capture = server.capture ?? { mode: 'all' }
  config.ingestServer = ('' + (client.ingestServer || client.trackingServer || server.ingestServer || origin)).replace(
    /\/+$/,
    '',
  )
  return config as Config
}
