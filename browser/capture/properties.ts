// From whatever the page passes as properties to what the wire carries: flat, scalar, within limits. Pure.

import { cut } from './privacy'
import type { Properties } from './types'

const KEY_LIMIT = 512 // longer keys are dropped, as published
const DEPTH_LIMIT = 5 // also what ends a cycle
const VISITS_LIMIT = 1000 // somebody will pass the window

/** Nested objects get dotted keys, arrays are joined with || (as the server API does), empty keys and values vanish. */
export const cleanProperties = (given: unknown, isReserved?: (key: string) => boolean): Properties => {
  const clean: Properties = {}
  let visits = 0
  const put = (prefix: string, value: unknown, depth: number): void => {
    if (value instanceof Date) value = value.toJSON() // null for no date
    if (Array.isArray(value)) value = value.filter((one) => typeof one !== 'object').join('||')
    if (typeof value === 'bigint') value = '' + value
    if (typeof value === 'boolean' || (typeof value === 'number' && isFinite(value))) clean[prefix] = value
    else if (typeof value === 'string' && value.trim()) clean[prefix] = cut(value)
    else if (value && typeof value === 'object' && depth < DEPTH_LIMIT) {
      for (const key of Object.keys(value)) {
        const name = prefix ? prefix + '.' + key : key
        if (visits++ > VISITS_LIMIT || !key.trim() || name.length > KEY_LIMIT || isReserved?.(name)) continue
        put(name, (value as Record<string, unknown>)[key], depth + 1)
      }
    }
  }
  if (given && typeof given === 'object' && !Array.isArray(given)) put('', given, 0)
  return clean
}

/** Sent by Segment with every identify, and reserved by Heap: left out without a word. */
export const isReservedForUsers = (key: string): boolean => /^(id|user_id)$/i.test(key)

const JUNK = /^(null|undefined|nan|guest|anonymous|\[object object\])$/i

/** The identity as text; empty when it is none, too long, or would make strangers one user. */
export const cleanIdentity = (given: unknown): string => {
  const identity = typeof given === 'string' || typeof given === 'number' ? ('' + given).trim() : ''
  return identity.length > 255 || JUNK.test(identity) ? '' : identity
}
