// Finds the roots beside our document: same-origin frames when they load, open shadow roots when somebody first
// touches what is in them.

import type { Root } from '../roots'
import type { Observer } from '../types'

const TOUCHED = ['focusin', 'pointerdown', 'input', 'click']

const isShown = (root: Root): boolean => !!(root as Document).defaultView || !!(root as ShadowRoot).host?.isConnected

export const start: Observer = (_sink, _config, { hear_: hear, roots_: roots, wants_: wants }) => {
  const add = (root: Root | null): void => {
    if (!root || roots.has(root)) return
    // Frames come and go: what is no longer shown is forgotten, else every closed frame would stay in memory.
    for (const one of roots) if (!isShown(one)) roots.delete(one)
    roots.add(root)
    wants.forEach((want) => want(root))
    scan(root)
  }
  const addFrame = (frame: Element): void => {
    if (/^i?frame$/i.test(frame.nodeName)) add((frame as HTMLIFrameElement).contentDocument)
  }
  const scan = (root: Root): void => root.querySelectorAll('iframe,frame').forEach(addFrame)
  const stops = [
    ...TOUCHED.map((type) =>
      hear(type, (event) => {
        for (const node of event.composedPath()) {
          if ((node as Node).nodeType === 11 && 'host' in node) add(node as ShadowRoot)
        }
      }),
    ),
    hear('load', (event) => addFrame(event.target as Element), true),
  ]
  scan(document)
  return () => {
    stops.forEach((stop) => stop())
    roots.clear()
    roots.add(document)
  }
}
