// Whether anything may be captured on the page of now: the environment's allow or block list.

import { isPageAllowed } from './privacy'
import type { PageRules } from './types'

declare const __RULES__: boolean

/** Lists come with the runtime for environments that have rules; the other captures nothing where it meets some. */
export const isPageCaptured = (rules: PageRules): boolean =>
  rules.mode === 'all' || (__RULES__ && isPageAllowed(rules, location))
