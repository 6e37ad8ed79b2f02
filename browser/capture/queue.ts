// From message to server: queue, batch, send, try again, keep over page loads. Ids are made here, so a repeat is harmless.

import { encode } from './encode'
import { guard } from './guard'
import type { Storage } from './storage'
import type { Config } from './types'

const SOON_MS = 200 // long enough to put a click and the page it opens into one request, short enough to be live
const BATCH_MESSAGES = 200
const BATCH_CHARS = 500_000
const KEEPALIVE_CHARS = 60_000 // browsers refuse keepalive requests over 64 kB in all
const LEAVING_CHARS = 50_000 // so that two batches are never under way when the page goes
const MEMORY_MESSAGES = 10_000
const STORED_CHARS = 250_000 // of the 5 MB a site has in localStorage
const RETRY_MS = 1000
const RETRY_LONGEST_MS = 120_000
const ANSWER_MS = 30_000

type Body = Record<string, any> // any: transformers may change messages as they like
interface Item {
  path: string
  body?: Body
  text?: string // encoded; from then on the item does not change
}
interface Batch {
  path: string
  items: Item[]
  size: number
}

export interface Queue {
  add(path: string, body: Body): void
  /** Send what is here; when the page may be going away, everything at once. */
  flush(isLeaving?: boolean): void
  /** Take back what earlier pages could not send. */
  restore(): void
  clear(): void
}

const send = window.fetch && window.fetch.bind(window)
const later = window.setTimeout.bind(window)

/** Sending waits while `isHeld`. `prepare` edits or drops a message, once, before it is encoded. */
export const openQueue = (
  environment: string,
  config: Config,
  storage: Storage,
  isHeld: () => boolean,
  prepare: (path: string, body: Body) => Body | null,
): Queue => {
  let items: Item[] = []
  let timer = 0
  let flying = 0 // characters under way
  let risky: Item[] = [] // under way in a request that ends with the page
  let failures = 0

  const schedule = (delay: number): void => {
    timer ||= later(guard(() => {
      timer = 0
      queue.flush()
    }), delay)
  }

  /** Encode the head of the queue into one batch: consecutive events together, anything else alone. */
  const nextBatch = (limit: number): Batch | undefined => {
    const batch: Batch = { path: items[0]?.path ?? '', items: [], size: 0 }
    while (items[0]?.path === batch.path && batch.items.length < BATCH_MESSAGES) {
      const item = items[0]!
      if (item.text === undefined) {
        const body = prepare(item.path, item.body!)
        item.text = body ? encode(body) : ''
      }
      if (batch.items.length && batch.size + item.text.length > limit) break
      items.shift()
      batch.size += item.text.length
      if (item.text) batch.items.push(item)
      if (batch.path !== 'track' && batch.items.length) break
    }
    return batch.items.length ? batch : items.length ? nextBatch(limit) : undefined
  }

  const post = ({ path, items }: Batch, keepalive: boolean): Promise<number> | number => {
    const bodies = items.map((item) => item.text).join(',')
    const body = path === 'track' ? `{"events":[${bodies}]}` : bodies
    // The send time lets the server correct this clock; the environment routes without opening the body.
    const query = `?a=${environment}&b=web&st=${Date.now()}`
    const url = config.ingestServer + (config.paths?.[path] ?? '/api/capture/v2/' + path) + query
    let answer: Promise<Response> | undefined
    try {
      // A string body is text/plain, which a page may send to another origin without asking first.
      answer = send(url, {
        method: 'POST',
        body,
        keepalive,
        credentials: 'omit',
        signal: AbortSignal.timeout?.(ANSWER_MS),
      })
    } catch {
      // the page replaced fetch by something that throws
    }
    if (!answer?.then) return navigator.sendBeacon(url, body) ? 200 : 0
    return answer.then(
      (response) => response.status,
      () => 0,
    )
  }

  const deliver = async (batch: Batch): Promise<void> => {
    const survives = flying + batch.size < KEEPALIVE_CHARS
    if (!survives) risky = batch.items
    flying += batch.size
    const status = await post(batch, survives)
    flying -= batch.size
    const isStored = !survives && risky !== batch.items
    if (!survives) risky = []
    // Any other error of ours would be the same next time: the data counts as consumed.
    if (!/^(0|408|429|5..)$/.test('' + status)) {
      failures = 0
      if (items.length) schedule(0)
      return
    }
    if (!isStored) items = batch.items.concat(items)
    schedule(Math.min(RETRY_LONGEST_MS, RETRY_MS * 2 ** failures++) * (0.5 + Math.random()))
    if (document.hidden) store()
  }

  const store = (): void => {
    items = risky.concat(items)
    risky = []
    if (!items.length) return
    const kept: string[][] = storage.read('_cairn_queue') ?? []
    let size = encode(kept).length
    for (let batch = nextBatch(BATCH_CHARS); batch; batch = nextBatch(BATCH_CHARS)) {
      for (const { path, text } of batch.items) {
        size += text!.length
        if (size < STORED_CHARS) kept.push([path, text!])
      }
    }
    storage.write('_cairn_queue', kept, 'localstorage')
  }

  const queue: Queue = {
    add: (path, body) => {
      if (items.length < MEMORY_MESSAGES) items.push({ path, body })
      // A page view waits its full time also behind a click: its title often comes a moment after its address.
      if (body.pageview) {
        clearTimeout(timer)
        timer = 0
      }
      schedule(SOON_MS)
    },
    flush: (isLeaving = false) => {
      const isWaiting = isHeld() || !navigator.onLine
      // A page that is gone cannot hear that a request was too much: it sends what surely fits and keeps the rest.
      while (items.length && !isWaiting && (isLeaving ? flying < KEEPALIVE_CHARS - LEAVING_CHARS : !flying)) {
        const batch = nextBatch(isLeaving ? LEAVING_CHARS : BATCH_CHARS)
        if (batch) void deliver(batch)
      }
      if (isLeaving) store()
    },
    restore: () => {
      const kept = storage.read('_cairn_queue')
      if (!Array.isArray(kept)) return
      storage.write('_cairn_queue', null, 'localstorage')
      items = kept.map(([path, text]: string[]) => ({ path: path!, text }) as Item).concat(items)
      schedule(SOON_MS)
    },
    clear: () => {
      items = []
      storage.write('_cairn_queue', null, 'localstorage')
    },
  }
  return queue
}
