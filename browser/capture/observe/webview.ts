// In a web view the session belongs to the app, which must hear that it goes on (contract: section 6, cookies).

import { guard } from '../guard'
import type { Observer } from '../types'

const SESSION_MS = 30 * 60_000

export const start: Observer = (_sink, _config, { session }) => {
  const extend = guard(() => {
    const bridge = (window as any).webkit?.messageHandlers?.HeapSwiftBridge // any: only web views have it
    if (!bridge || !/(^|; )_hp2_wv_id\./.test(document.cookie)) return
    bridge.postMessage({
      type: 'heapjs-extend-session',
      sessionId: session.sessionInfo_?.id,
      expirationDate: Date.now() + SESSION_MS,
    })
  })
  session.opened_ = extend
  extend()
  return () => {
    session.opened_ = undefined
  }
}
