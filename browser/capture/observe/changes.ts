// That a field changed, never to what.

import { tagOf, targetOf } from '../dom'
import type { Observer } from '../types'

export const start: Observer = (sink, _config, { hear }) =>
  hear(
    'change',
    (event) => {
      const target = targetOf(event)
      if (target && /^(input|textarea|select)$/.test(tagOf(target))) sink({ kind: 'change', target })
    },
    true,
  )
