// The script that loads late: the observers whose first second nobody misses.

import { guard } from './guard'
import { start as dead } from './observe/dead'
import { start as device } from './observe/device'
import { start as errors } from './observe/errors'
import { start as frames } from './observe/frames'
import { start as presses } from './observe/presses'
import { start as rage } from './observe/rage'
import { start as scroll } from './observe/scroll'
import { start as touches } from './observe/touches'
import { start as twice } from './observe/twice'
import { start as vitals } from './observe/vitals'
import { start as webview } from './observe/webview'
import { setSecretNames } from './privacy'
import type { Observer } from './types'

const OBSERVERS = [device, frames, presses, touches, rage, dead, scroll, errors, vitals, webview, twice]

const ours = (window as any).cairn // any: our own global, set by the runtime that loaded this

const start: Observer = (sink, config, page) => {
  setSecretNames(ours.boot.server.secrets)
  const stops = OBSERVERS.map((observe) => guard(observe)(sink, config, page))
  return () => stops.forEach((stop) => stop?.())
}

ours?.plug?.(start)
