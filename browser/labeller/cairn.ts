// What the labeller asks Cairn, with the grant of its link and nothing else of the browser's.

import { encode } from '../capture/encode'
import type { Interaction } from '../capture/types'

export interface Test {
  key: string
  operator: string
  value: string
}

export interface Part {
  kind: string
  selector: string
  tests: Test[]
}

export interface Known {
  id: number
  name: string
  category: string
  url: string
  parts: Part[]
}

export interface Standing {
  environment: string
  app_id: string
  may_define: boolean
  until: string
  days: number
  categories: string[]
  events: Known[]
}

export interface Recent {
  events: number
  users: number
}

/** Why Cairn did not do it, in its own words. */
export class Refusal extends Error {
  constructor(
    readonly status: number, // 0: it was not reached
    readonly code: string,
    message: string,
    readonly field = '',
  ) {
    super(message)
  }
}

export interface Cairn {
  standing(): Promise<Standing>
  counts(parts: Part[], signal: AbortSignal): Promise<{ days: number; counts: Recent[] }>
  define(name: string, category: string, part: Part): Promise<{ event: Known; recent: Recent; days: number }>
}

export const partOf = (kind: Interaction, selector: string, text: string, place: Test | undefined): Part => ({
  kind,
  selector,
  tests: [...(text ? [{ key: 'text', operator: 'is', value: text }] : []), ...(place ? [place] : [])],
})

const ask = async (origin: string, path: string, grant: string, body?: object, signal?: AbortSignal): Promise<any> => {
  // any: JSON
  let answer: Response
  try {
    answer = await fetch(origin + '/api/label/' + path, {
      method: body ? 'POST' : 'GET',
      headers: { authorization: 'Bearer ' + grant, ...(body && { 'content-type': 'application/json' }) },
      body: body && encode(body),
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      cache: 'no-store',
      signal,
    })
  } catch (fault) {
    if (signal?.aborted) throw fault
    throw new Refusal(
      0,
      'unreached',
      `Cairn cannot be reached from this page. Its content-security policy must let it connect to ${origin}.`,
    )
  }
  const said = await answer.json().catch(() => ({}))
  if (answer.ok) return said
  throw new Refusal(answer.status, said.code ?? '', said.detail ?? `Cairn answered ${answer.status}.`, said.field)
}

/** The grant for a link's code, which works once and only on the site it was made for. */
export const exchange = async (origin: string, code: string): Promise<string> =>
  (await ask(origin, 'exchange', code, {})).token

export const openCairn = (origin: string, grant: string): Cairn => ({
  standing: () => ask(origin, 'standing', grant),
  counts: (parts, signal) => ask(origin, 'counts', grant, { parts }, signal),
  define: (name, category, part) => ask(origin, 'events', grant, { name, category, definition: { parts: [part] } }),
})
