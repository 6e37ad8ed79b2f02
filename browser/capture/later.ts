// The script that loads late: the observers whose first second nobody misses.

import { guard } from './guard'
import { start as dead } from './observe/dead'
import { start as device } from './observe/device'
import { start as errors } from './observe/errors'
import { start as frames } from './observe/frames'
import { start as rage } from './observe/rage'
import { start as scroll } from './observe/scroll'
import { start as touches } from './observe/touches'
import { start as vitals } from './observe/vitals'
import { start as webview } from './observe/webview'
import type { Observer } from './types'

const OBSERVERS = [device, frames, touches, rage, dead, scroll, errors, vitals, webview]

const start: Observer = (sink, config, page) => {
  const stops = OBSERVERS.map((observe) => guard(observe)(sink, config, page))
  return () => stops.forEach((stop) => stop?.())
}

;(window as any).cairn?.plug?.(start) // any: our own global, set by the runtime that loaded this
