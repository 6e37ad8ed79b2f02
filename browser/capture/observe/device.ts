// What the user agent string no longer says: system version, browser version, model.

import type { Observer } from '../types'

type Hints = Record<string, string>

export const start: Observer = (_sink, _config, { device }) => {
  const agent = (navigator as any).userAgentData // any: not in the DOM types
  agent?.getHighEntropyValues(['platformVersion', 'uaFullVersion', 'model']).then(
    ({ model, platformVersion, uaFullVersion }: Hints) => {
      device.uach = { model, platform_version: platformVersion, browser_version: uaFullVersion }
    },
    () => 0,
  )
  return () => 0
}
