// Clicks, changes and submits: on which element. Of a change only that it happened, never to what.

import { tagOf } from '../dom'
import type { Interaction, Observer } from '../types'

const watch =
  (kind: Interaction, tags?: RegExp): Observer =>
  (sink, _config, page) =>
    page.hear_(
      kind,
      (event) => {
        const target = page.targetOf_(event)
        if (target && (!tags || tags.test(tagOf(target)))) sink({ kind_: kind, target })
      },
      !!tags, // those of form fields stop at a shadow root
    )

export const clicks = watch('click')
export const changes = watch('change', /^(input|textarea|select)$/)
export const submits = watch('submit', /^form$/)
