// The little that pages need beyond HTML and htmx: keys, copying, live lists. No inline code, no eval.
'use strict'

const LIVE_ROWS = 200 // more would only make the page slow; the URL's filters find the rest
const HELLO_TIMEOUT_MS = 4000 // a proxy that holds the stream back shows itself by this
const POLL_MS = 2000

// The server shows times in this zone from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
document.cookie = `cairn_zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax`

document.addEventListener('click', async (event) => {
  const copy = event.target.closest('[data-copy]')
  if (copy) return copyText(copy)
  if (event.target.closest('[data-close]')) return closeAsk(event.target)
  const asking = event.target.closest('details.ask')
  for (const open of document.querySelectorAll('details.ask[open]')) if (open !== asking) open.open = false
})

async function copyText(button) {
  const text = button.dataset.copy
  let done = true
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    done = copyBySelection(text) // pages served without TLS have no clipboard
  }
  const before = button.dataset.label ?? button.textContent
  button.dataset.label = before
  button.style.minWidth = `${button.offsetWidth}px`
  button.textContent = done ? 'Copied' : 'Select it'
  setTimeout(() => { button.textContent = before }, 1600)
}

function copyBySelection(text) {
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'visually-hidden'
  document.body.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  return done
}

function closeAsk(element) {
  const ask = element.closest('details.ask')
  if (!ask) return
  ask.open = false
  ask.querySelector('summary')?.focus()
}

document.addEventListener('change', (event) => {
  const form = event.target.closest('form[data-switch]')
  if (form) return form.requestSubmit()
  // What a row consists of depends on some of its choices: the server draws it again.
  const again = event.target.matches('select.refresh') && event.target.form?.querySelector('[data-refresh]')
  if (again) event.target.form.requestSubmit(again)
})

// A form that was refused: its first wrong control takes the focus, and with it the message that describes it is read out.
let sent = false // what htmx fetches by itself, such as a count, moves nobody's cursor
document.addEventListener('submit', () => { sent = true })
document.addEventListener('htmx:after:swap', () => { if (sent) focusWrong(); sent = false })
focusWrong()

function focusWrong() {
  // A row that is wrong as a whole has no control of its own: then its first one.
  const wrong = ['[aria-invalid=true]', '[data-wrong] :is(input, select, textarea):not([type=hidden])', '[data-refused]']
  wrong.map((selector) => document.querySelector(selector)).find(Boolean)?.focus()
}

// An answer that is not the form again (403, 404, 5xx, signed out) leaves the form as it is, with the reason above it.
const UNSENT = { 503: 'Cairn’s pages are restarting. Nothing was saved, and what you typed is kept: send it again in a moment.' }
document.addEventListener('htmx:after:request', (event) => {
  const { response, select, sourceElement, text } = event.detail.ctx
  if (response.status < 400 || !select) return
  const answer = new DOMParser().parseFromString(text, 'text/html')
  if (answer.querySelector(select)) return
  event.preventDefault()
  if (!sourceElement.matches('form')) return
  if (response.headers.get('X-Send-Whole')) return HTMLFormElement.prototype.submit.call(sourceElement)
  const reason = answer.querySelector('[data-error]')?.textContent.trim()
  const main = answer.querySelector('#main')
  if (sourceElement.id !== 'editor' && main) return document.querySelector('#main').replaceWith(main)
  sayUnsent(sourceElement, reason || UNSENT[response.status] || `It was not saved (status ${response.status}); send it again in a moment.`)
})
document.addEventListener('htmx:error', (event) => {
  const form = event.detail.ctx?.sourceElement
  if (form?.matches?.('form')) sayUnsent(form, 'The server does not answer. Nothing was saved, and what you typed is kept.')
})

function sayUnsent(form, reason) {
  const said = form.querySelector('[data-unsent]') ?? document.createElement('p')
  Object.assign(said, { className: 'alert', tabIndex: -1, textContent: reason })
  Object.assign(said.dataset, { state: 'bad', unsent: '' })
  said.setAttribute('role', 'alert')
  form.prepend(said)
  said.focus()
}

// Keys: `/` to the search field, `g` then a letter to a page, Escape closes and leaves.
let going = 0
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') return onEscape()
  const typing = event.target.matches('input, textarea, select, [contenteditable]') && event.target.type !== 'checkbox'
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === '/') {
    const search = document.querySelector('input[type=search]')
    if (search) { event.preventDefault(); search.focus(); search.select() }
  } else if (event.key === 'g') {
    going = Date.now()
  } else if (Date.now() - going < 1500) {
    going = 0
    document.querySelector(`a[data-go="${CSS.escape(event.key)}"]`)?.click()
  }
})

function onEscape() {
  const open = document.querySelector('details.ask[open]')
  if (open) return closeAsk(open.firstElementChild)
  if (document.activeElement?.matches('input, textarea')) document.activeElement.blur()
}

// Filters of a page apply as soon as one is chosen; without this there is a button.
document.addEventListener('change', (event) => {
  if (event.target.matches('form[data-auto] select')) event.target.form.requestSubmit()
})

// Live lists: `data-live` is the address of new rows; its `stream` sends them as they come, `rows` is asked otherwise.
class LiveList {
  constructor(list) {
    this.list = list
    this.paused = false
    this.waiting = []
    this.missed = 0 // while paused, beyond what is kept
    this.seen = new Set([...list.children].map((row) => row.dataset.id))
    this.button = document.querySelector('[data-pause]')
    this.button?.addEventListener('click', () => this.toggle())
    list.addEventListener('toggle', () => this.hold(), true) // it does not bubble
    document.addEventListener('visibilitychange', () => (document.hidden ? this.disconnect() : this.connect()))
    this.connect()
  }

  address(kind) {
    const url = new URL(this.list.dataset.live, location.href)
    url.pathname += `/${kind}`
    url.searchParams.set('after', this.list.dataset.after)
    return url
  }

  connect() {
    if (this.source || this.timer || document.hidden) return
    this.source = new EventSource(this.address('stream'))
    const fallBack = () => { this.disconnect(); this.poll() }
    const hello = setTimeout(fallBack, HELLO_TIMEOUT_MS)
    this.source.addEventListener('hello', () => { clearTimeout(hello); this.say('live') })
    this.source.addEventListener('rows', (event) => this.take(event.data, event.lastEventId))
    this.source.addEventListener('rate', (event) => { this.rate = Number(event.data); this.say('live') })
    this.source.onerror = () => { if (this.source?.readyState === EventSource.CLOSED) { clearTimeout(hello); fallBack() } else this.say('reconnecting') }
  }

  disconnect() {
    this.source?.close()
    clearTimeout(this.timer)
    this.source = this.timer = undefined
  }

  async poll() {
    try {
      const response = await fetch(this.address('rows'), { headers: { 'HX-Request': 'true' } })
      if (response.status === 401) return location.reload()
      if (!response.ok) throw new Error(String(response.status))
      this.take(await response.text(), response.headers.get('X-After'))
      this.say('live')
    } catch {
      this.say('reconnecting')
    }
    if (!document.hidden) this.timer = setTimeout(() => this.poll(), POLL_MS)
  }

  take(html, after) {
    if (after) this.list.dataset.after = after
    const template = document.createElement('template')
    template.innerHTML = html
    const rows = [...template.content.children].filter((row) => !this.seen.has(row.dataset.id))
    for (const row of rows) this.seen.add(row.dataset.id)
    for (const id of this.seen) { // oldest first; a repeat comes soon or never
      if (this.seen.size <= 4 * LIVE_ROWS) break
      this.seen.delete(id)
    }
    if (!this.paused) return this.show(rows)
    this.missed += Math.max(0, rows.length + this.waiting.length - LIVE_ROWS)
    this.waiting = [...rows, ...this.waiting].slice(0, LIVE_ROWS)
    this.label()
  }

  show(rows) {
    if (!rows.length) return
    document.querySelector('[data-live-empty]')?.remove()
    this.list.hidden = false
    for (const row of rows) row.classList.add('fresh')
    this.list.prepend(...rows)
    const most = Number(this.list.dataset.most || LIVE_ROWS)
    while (this.list.children.length > most) this.list.lastElementChild.remove()
  }

  toggle() {
    if (this.paused) for (const open of this.list.querySelectorAll('details[open]')) open.open = false
    this.pause(!this.paused)
  }

  /** Who reads a payload is not to lose it: new rows wait until it is closed. */
  hold() {
    const reads = Boolean(this.list.querySelector('details[open]'))
    if (reads && !this.paused) { this.holds = true; this.pause(true) } else if (!reads && this.holds) this.pause(false)
  }

  pause(paused) {
    this.paused = paused
    if (!paused) { this.holds = false; this.show(this.waiting); this.waiting = []; this.missed = 0 }
    this.label()
  }

  label() {
    const count = this.waiting.length + this.missed
    this.button?.setAttribute('aria-pressed', String(this.paused))
    if (this.button) this.button.textContent = this.paused ? (count ? `Go on (${count} new)` : 'Go on') : 'Pause'
    this.say(this.paused ? 'paused' : 'live')
  }

  say(state) {
    const badge = document.querySelector('[data-live-state]')
    if (!badge) return
    const shown = this.paused ? 'paused' : state
    const text = shown === 'live' && this.rate ? `live, ${this.rate.toLocaleString('en')} a second` : shown
    if (badge.textContent === text) return
    badge.textContent = text
    badge.dataset.state = { live: 'good', reconnecting: 'warn' }[shown] || ''
    badge.title = this.rate > 40 ? 'More arrive than can be read: some of them are shown.' : ''
  }
}

const list = document.querySelector('[data-live]')
if (list) new LiveList(list)
