import { targetOf } from '../dom'
import type { Observer } from '../types'

export const start: Observer = (sink, _config, { hear }) =>
  hear('click', (event) => {
    const target = targetOf(event)
    if (target) sink({ kind: 'click', target })
  })
