// Where the page's events can be heard: our document at once; same-origin frames and open shadow roots as they are
// found (observe/frames.ts). Only change and submit stop at a shadow root, everything else is heard outside it.

import { on } from './dom'
import { guard } from './guard'
import type { Stop } from './types'

export type Root = Document | ShadowRoot
type Want = (root: Root) => void

export const roots = new Set<Root>([document])
/** What is heard: called with each root, those to come too. */
export const wants = new Set<Want>()

/** Hear an event wherever it can be heard, now and in roots to come. A frame that runs its own copy is left to it. */
export const hear = (type: string, run: (event: Event) => void, inShadow?: boolean): Stop => {
  const stops: Stop[] = []
  const want = (root: Root): void => {
    const view = (root as Document).defaultView as any // any: another window's globals
    const guarded = guard((event: Event) => (view && view !== window && view.cairn?.loaded) || run(event))
    // At the window, before the page's own listeners can stop an event; loads of frames do not come that far.
    if (inShadow || view) stops.push(on((type !== 'load' && view) || root, type, guarded))
  }
  wants.add(want)
  roots.forEach(want)
  return () => {
    wants.delete(want)
    stops.forEach((stop) => stop())
  }
}
