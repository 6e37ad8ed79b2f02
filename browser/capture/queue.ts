// From message to server: queue, batch, send, try again, keep over page loads. Ids are made here, so a repeat is harmless.

import { encode } from './encode'
import { attempt, guard } from './guard'
import type { Storage } from './storage'
import type { Config } from './types'

const SOON_MS = 200 // long enough to put a click and the page it opens into one request, short enough to be live
const BUSY_MS = 1000 // between two requests while there is much to tell: each costs the page as much as many events
const BATCH_MESSAGES = 200
const BATCH_BYTES = 500_000
const KEEPALIVE_BYTES = 60_000 // browsers refuse keepalive requests over 64 kB in all
const LEAVING_BYTES = 50_000 // so that two batches are never under way when the page goes
const MEMORY_MESSAGES = 10_000
const STORED_CHARS = 250_000 // of the 5 MB a site has in localStorage
const RETRY_MS = 1000
const RETRY_LONGEST_MS = 120_000
const ANSWER_MS = 30_000

type Body = Record<string, any> // any: transformers may change messages as they like
interface Item {
  path: string
  body?: Body
  text_?: string // encoded; from then on the item does not change
}
interface Batch {
  path: string
  items_: Item[]
  size: number
}

export interface Queue {
  add(path: string, body: Body): void
  /** Send what is here; when the page may be going away, everything at once. */
  flush_(isLeaving?: boolean): void
  /** Take back what earlier pages could not send. */
  restore_(): void
  clear(): void
}

const send = window.fetch && window.fetch.bind(window)
const later = window.setTimeout.bind(window)

/** At least as many as the text has in UTF-8, which is what browsers and servers count. */
const bytesOf = (text: string): number => text.replace(/[^\0-\x7f]/g, '___').length

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
  let due = 0 // when the timer ends
  let flying = 0 // bytes under way
  let risky: Item[] = [] // under way in a request that ends with the page
  let failures = 0

  const schedule = (delay: number): void => {
    if (timer) return
    due = Date.now() + delay
    timer = later(
      guard(() => {
        timer = 0
        queue.flush_()
      }),
      delay,
    )
  }

  /** Encode the head of the queue into one batch: consecutive events together, anything else alone. */
  const nextBatch = (limit: number): Batch | undefined => {
    const batch: Batch = { path: items[0]?.path ?? '', items_: [], size: 0 }
    while (items[0]?.path === batch.path && batch.items_.length < BATCH_MESSAGES) {
      const item = items[0]!
      if (item.text_ === undefined) {
        const body = prepare(item.path, item.body!)
        item.text_ = body ? encode(body) : ''
      }
      const size = bytesOf(item.text_)
      if (batch.items_.length && batch.size + size > limit) break
      items.shift()
      batch.size += size
      if (item.text_) batch.items_.push(item)
      if (batch.path !== 'track' && batch.items_.length) break
    }
    return batch.items_.length ? batch : items.length ? nextBatch(limit) : undefined
  }

  const deliver = async (batch: Batch): Promise<void> => {
    const { path, size } = batch
    const survives = flying + size < KEEPALIVE_BYTES
    if (!survives) risky = batch.items_
    flying += size
    let status = 0
    try {
      const bodies = batch.items_.map((item) => item.text_).join(',')
      const body = path === 'track' ? `{"events":[${bodies}]}` : bodies
      // The send time lets the server correct this clock; the environment routes without opening the body.
      const query = `?a=${environment}&b=web&st=${Date.now()}`
      const url = config.ingestServer + (config.paths?.[path] ?? '/api/capture/v2/' + path) + query
      // A page may have replaced fetch by something that throws.
      const answer = attempt(() =>
        // A string body is text/plain, which a page may send to another origin without asking first.
        send(url, {
          method: 'POST',
          body,
          keepalive: survives,
          credentials: 'omit',
          signal: AbortSignal.timeout?.(ANSWER_MS),
        }),
      )
      // Awaited, because a page may have replaced what promises offer.
      // A beacon answers no more than whether it was taken: 1 settles as any success does.
      status = answer ? (await answer).status : +navigator.sendBeacon(url, body)
    } catch {
      // no answer
    }
    guard(settle)(batch, survives, status)
  }

  const settle = (batch: Batch, survives: boolean, status: number): void => {
    flying -= batch.size
    const isStored = !survives && risky !== batch.items_
    if (!survives) risky = []
    // Any other refusal would be the same next time: the data counts as consumed.
    if (/^(?!408|429)[1-4]/.test('' + status)) {
      failures = 0
      schedule(items.length < BATCH_MESSAGES ? BUSY_MS : 0)
      return
    }
    if (!isStored) items = batch.items_.concat(items)
    schedule(Math.min(RETRY_LONGEST_MS, RETRY_MS * 2 ** failures++) * (0.5 + Math.random()))
    if (document.hidden) store()
  }

  const store = (): void => {
    items = risky.concat(items)
    risky = []
    if (!items.length) return
    const kept: string[][] = storage.read_('_cairn_queue') ?? []
    let size = encode(kept).length
    for (let batch = nextBatch(BATCH_BYTES); batch; batch = nextBatch(BATCH_BYTES)) {
      for (const { path, text_: text } of batch.items_) {
        size += text!.length
        if (size < STORED_CHARS) kept.push([path, text!])
      }
    }
    storage.write_('_cairn_queue', kept, 'localstorage')
  }

  /** When whoever is speaking has said all. */
  const leaving = async (): Promise<void> => {
    await 0
    guard(queue.flush_)(true)
  }

  const queue: Queue = {
    add: (path, body) => {
      if (items.length < MEMORY_MESSAGES) items.push({ path, body })
      // Said by a page that is going away, perhaps for good: its timers may never end.
      if (document.hidden) void leaving()
      // A page view waits its full time also behind a click: its title often comes a moment after its address.
      // Not where the address changes all the time, as under a map that is dragged.
      if (body.pageview && items.length < BATCH_MESSAGES && due - Date.now() < SOON_MS) {
        clearTimeout(timer)
        timer = 0
      }
      schedule(SOON_MS)
    },
    flush_: (isLeaving) => {
      // Where the server did not answer last time, a page that goes would not hear that it fails again.
      const isWaiting = isHeld() || !navigator.onLine || (isLeaving && failures)
      // A page that is gone cannot hear that a request was too much: it sends what surely fits and keeps the rest.
      while (items.length && !isWaiting && (isLeaving ? flying < KEEPALIVE_BYTES - LEAVING_BYTES : !flying)) {
        const batch = nextBatch(isLeaving ? LEAVING_BYTES : BATCH_BYTES)
        if (batch) void deliver(batch)
      }
      if (isLeaving) store()
    },
    restore_: () => {
      const kept = storage.read_('_cairn_queue')
      if (!Array.isArray(kept)) return
      storage.write_('_cairn_queue', null, 'localstorage')
      items = kept.map(([path, text]: string[]) => ({ path: path!, text_: text }) as Item).concat(items)
      schedule(SOON_MS)
    },
    clear: () => {
      items = []
      storage.write_('_cairn_queue', null, 'localstorage')
    },
  }
  return queue
}
