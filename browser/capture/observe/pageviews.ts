// Page loads, and what single-page applications count as one: every change of the address that is committed.

import { on } from '../dom'
import { guard } from '../guard'
import type { Observer } from '../types'

export const start: Observer = (sink, config) => {
  if (config.disablePageviewAutocapture) return () => 0
  let shown = ''
  const { navigation } = window as any // any: newer than the DOM types
  const look = guard(() => {
    const { href } = location
    if (href === shown) return
    shown = href
    sink({ kind_: 'pageview' })
  })
  look()
  const wrap = (name: 'pushState' | 'replaceState') => {
    const original = history[name]
    const wrapped: typeof original = function (this: History, ...args) {
      original.apply(this, args)
      look()
    }
    history[name] = wrapped
    return () => {
      if (history[name] === wrapped) history[name] = original
    }
  }
  const stops = [
    wrap('pushState'),
    wrap('replaceState'),
    // Browsers with the Navigation API tell all of them here, those of navigations that a page intercepts too.
    navigation && on(navigation, 'currententrychange', look),
    on(window, 'popstate', look),
    on(window, 'hashchange', look),
    on(
      window,
      'pageshow',
      guard((event) => {
        // Back from the back/forward cache: the same document is shown again, which is another view of it.
        if ((event as PageTransitionEvent).persisted) shown = ''
        look()
      }),
    ),
  ]
  return () => stops.forEach((stop) => stop?.())
}
