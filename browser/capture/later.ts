// The script that loads late: the observers whose first second nobody misses.

import * as dead from './observe/dead'
import * as errors from './observe/errors'
import * as rage from './observe/rage'
import * as scroll from './observe/scroll'
import * as vitals from './observe/vitals'
import type { Observer } from './types'

const OBSERVERS = [rage, dead, scroll, errors, vitals]

const start: Observer = (sink, config, page) => {
  const stops = OBSERVERS.map((observer) => observer.start(sink, config, page))
  return () => stops.forEach((stop) => stop())
}

;(window as any).cairn?.plug?.(start) // any: our own global, set by the runtime that loaded this
