import { tagOf, targetOf } from '../dom'
import type { Observer } from '../types'

export const start: Observer = (sink, _config, { hear }) =>
  hear(
    'submit',
    (event) => {
      const target = targetOf(event)
      if (target && tagOf(target) === 'form') sink({ kind: 'submit', target })
    },
    true,
  )
