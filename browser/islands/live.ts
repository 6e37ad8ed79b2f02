/**
 * `<cairn-live>`: a list that shows new rows as they come.
 *
 * `data-live` is the address of new rows: its `stream` sends them, and where a proxy holds that back `rows` is asked.
 * `data-after` says where they begin, `data-most` how many are shown.
 */

const LIVE_ROWS = 200 // more would only make the page slow; the URL's filters find the rest
const HELLO_TIMEOUT_MS = 4000 // a proxy that holds the stream back shows itself by this
const POLL_MS = 2000
const MOST_READ_PER_S = 40 // rows; nobody reads more, and the server sends some of them

type State = 'live' | 'reconnecting' | 'paused'

class LiveList extends HTMLElement {
  private list!: HTMLElement
  private button: HTMLButtonElement | null = null
  private source: EventSource | undefined
  private timer: number | undefined
  private isPaused = false
  private isHeld = false // paused because somebody reads a payload
  private waiting: Element[] = []
  private missed = 0 // while paused, beyond what is kept
  private rate = 0 // events a second
  private readonly seen = new Set<string>()
  private readonly follow = (): void => (document.hidden ? this.disconnect() : this.connect())

  connectedCallback(): void {
    this.list = this.querySelector('ul') as HTMLElement
    for (const row of this.list.children) this.seen.add(idOf(row))
    this.button = document.querySelector('[data-pause]')
    this.button?.addEventListener('click', () => this.toggle())
    this.list.addEventListener('toggle', () => this.hold(), true) // it does not bubble
    document.addEventListener('visibilitychange', this.follow)
    this.connect()
  }

  disconnectedCallback(): void {
    document.removeEventListener('visibilitychange', this.follow)
    this.disconnect()
  }

  private address(kind: 'stream' | 'rows'): URL {
    const url = new URL(this.dataset.live ?? '', location.href)
    url.pathname += `/${kind}`
    url.searchParams.set('after', this.dataset.after ?? '')
    return url
  }

  private connect(): void {
    if (this.source || this.timer || document.hidden) return
    const source = (this.source = new EventSource(this.address('stream')))
    const fallBack = (): void => {
      this.disconnect()
      void this.poll()
    }
    const hello = setTimeout(fallBack, HELLO_TIMEOUT_MS)
    source.addEventListener('hello', () => {
      clearTimeout(hello)
      this.say('live')
    })
    source.addEventListener('rows', (event) => this.take(event.data as string, event.lastEventId))
    source.addEventListener('rate', (event) => {
      this.rate = Number(event.data)
      this.say('live')
    })
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return this.say('reconnecting')
      clearTimeout(hello)
      if (this.source === source) fallBack()
    }
  }

  private disconnect(): void {
    this.source?.close()
    clearTimeout(this.timer)
    this.source = this.timer = undefined
  }

  private async poll(): Promise<void> {
    try {
      const response = await fetch(this.address('rows'), { headers: { 'HX-Request': 'true' } })
      if (response.status === 401) return location.reload()
      if (!response.ok) throw new Error(String(response.status))
      this.take(await response.text(), response.headers.get('X-After') ?? '')
      this.say('live')
    } catch {
      this.say('reconnecting')
    }
    if (!document.hidden) this.timer = window.setTimeout(() => void this.poll(), POLL_MS)
  }

  private take(html: string, after: string): void {
    if (after) this.dataset.after = after
    const template = document.createElement('template')
    template.innerHTML = html
    const rows = [...template.content.children].filter((row) => !this.seen.has(idOf(row)))
    for (const row of rows) this.seen.add(idOf(row))
    for (const id of this.seen) {
      if (this.seen.size <= 4 * LIVE_ROWS) break
      this.seen.delete(id) // oldest first; a repeat comes soon or never
    }
    if (!this.isPaused) return this.show(rows)
    this.missed += Math.max(0, rows.length + this.waiting.length - LIVE_ROWS)
    this.waiting = [...rows, ...this.waiting].slice(0, LIVE_ROWS)
    this.label()
  }

  private show(rows: Element[]): void {
    if (!rows.length) return
    document.querySelector('[data-live-empty]')?.remove()
    this.list.hidden = false
    for (const row of rows) row.classList.add('fresh')
    this.list.prepend(...rows)
    const most = Number(this.dataset.most) || LIVE_ROWS
    while (this.list.children.length > most) this.list.lastElementChild?.remove()
  }

  private toggle(): void {
    if (this.isPaused) for (const open of this.openDetails()) open.open = false
    this.pause(!this.isPaused)
  }

  /** Who reads a payload is not to lose it: new rows wait until it is closed. */
  private hold(): void {
    const isRead = this.openDetails().length > 0
    if (isRead && !this.isPaused) {
      this.isHeld = true
      this.pause(true)
    } else if (!isRead && this.isHeld) {
      this.pause(false)
    }
  }

  private openDetails(): HTMLDetailsElement[] {
    return [...this.list.querySelectorAll<HTMLDetailsElement>('details[open]')]
  }

  private pause(isPaused: boolean): void {
    this.isPaused = isPaused
    if (!isPaused) {
      this.isHeld = false
      this.show(this.waiting)
      this.waiting = []
      this.missed = 0
    }
    this.label()
  }

  private label(): void {
    const count = this.waiting.length + this.missed
    if (this.button) {
      this.button.setAttribute('aria-pressed', String(this.isPaused))
      this.button.textContent = this.isPaused ? (count ? `Go on (${count} new)` : 'Go on') : 'Pause'
    }
    this.say(this.isPaused ? 'paused' : 'live')
  }

  private say(state: State): void {
    const badge = document.querySelector<HTMLElement>('[data-live-state]')
    if (!badge) return
    const shown = this.isPaused ? 'paused' : state
    const text = shown === 'live' && this.rate ? `live, ${this.rate.toLocaleString('en')} a second` : shown
    if (badge.textContent === text) return
    badge.textContent = text
    badge.dataset.state = { live: 'good', reconnecting: 'warn', paused: '' }[shown]
    badge.title = this.rate > MOST_READ_PER_S ? 'More arrive than can be read: some of them are shown.' : ''
  }
}

const idOf = (row: Element): string => (row as HTMLElement).dataset.id ?? ''

customElements.define('cairn-live', LiveList)
