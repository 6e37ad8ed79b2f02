// A second copy of the library warns in the console, where few look; Cairn shows it to the members, once a tab.

import { attempt } from '../guard'
import type { Observer } from '../types'

const TOLD = 'cairn-twice'

export const start: Observer = (sink, { cookieless }) => {
  const { boot } = (window as any).cairn // any: our own global
  let hasWarned = false
  const tell = (): void => {
    hasWarned = true
    if (!cookieless && attempt(() => sessionStorage[TOLD])) return
    if (!cookieless) attempt(() => (sessionStorage[TOLD] = 1))
    sink({ kind_: 'custom', name: 'Heap loaded twice', properties: {} })
  }
  if (boot.hasWarned) tell()
  Object.defineProperty(boot, 'hasWarned', { get: () => hasWarned, set: tell, configurable: true })
  return () => 0
}
