// Where the page's events can be heard: our document, same-origin frames, and open shadow roots for the events that
// stop at one (change and submit). Frames are found when they load, shadow roots when somebody first touches them.

import { on } from './dom'
import { guard } from './guard'
import type { Stop } from './types'

type Root = Document | ShadowRoot
type Run = (event: Event) => void

const TOUCHED = ['focusin', 'pointerdown', 'input', 'click']

let roots: Root[] = []
let wanted: { type: string; run: Run; inShadow: boolean; stops: Stop[] }[] = []

const attach = (want: (typeof wanted)[0], root: Root): void => {
  if (want.inShadow || nodeIsDocument(root)) want.stops.push(on(root, want.type, want.run))
}

const nodeIsDocument = (root: Root): root is Document => 'defaultView' in root

const add = (root: Root): void => {
  // Frames come and go: what is no longer shown is forgotten, else every closed frame would stay in memory.
  roots = roots.filter((one) => (nodeIsDocument(one) ? one.defaultView : one.host.isConnected))
  if (roots.includes(root)) return
  roots.push(root)
  for (const want of wanted) attach(want, root)
  if (nodeIsDocument(root)) for (const frame of root.querySelectorAll('iframe,frame')) addFrame(frame)
}

const addFrame = guard((frame: Element): void => {
  const inner = (frame as HTMLIFrameElement).contentDocument
  if (inner) add(inner)
})

/** Hear an event wherever it can be heard, now and in roots to come. A frame that runs its own copy is left to it. */
export const hear = (type: string, run: Run, inShadow = false): Stop => {
  const guarded = guard((event: Event) => {
    const view = (event.currentTarget as Node | null)?.ownerDocument?.defaultView ?? (event.currentTarget as Document).defaultView
    if (view === window || !(view as any)?.cairn?.loaded) run(event) // any: another window's globals
  })
  const want = { type, run: guarded, inShadow, stops: [] as Stop[] }
  wanted.push(want)
  for (const root of roots) attach(want, root)
  return () => {
    for (const stop of want.stops) stop()
    wanted = wanted.filter((one) => one !== want)
  }
}

/** Begin to look for roots; the answer ends it. */
export const watchRoots = (): Stop => {
  const stops = TOUCHED.map((type) =>
    hear(type, (event) => {
      for (const node of event.composedPath()) if (isOpenRoot(node)) add(node as ShadowRoot)
    }),
  )
  stops.push(
    hear(
      'load',
      (event) => {
        const element = event.target as Element
        if (/^i?frame$/i.test(element.nodeName)) addFrame(element)
      },
      true,
    ),
  )
  add(document)
  return () => {
    for (const stop of stops) stop()
    roots = []
  }
}

const isOpenRoot = (node: EventTarget): boolean => (node as Node).nodeType === 11 && 'host' in node
