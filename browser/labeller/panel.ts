// The panel of one picked element: what can happen to it, how it is told from others, and the name it gets.

import { parentOf } from '../capture/dom'
import type { Config, Interaction } from '../capture/types'
import { type Cairn, type Known, type Part, partOf, type Recent, Refusal, type Standing } from './cairn'
import { kindsOf, matchesHere, pickedOf, shownText } from './element'
import { countedAlready } from './known'
import { openNaming } from './naming'
import { openPlace } from './place'
import { type Candidate, propose } from './selectors'
import { make, type Outline } from './stage'
import { amount, openWays } from './ways'
import { eventName, readable } from './words'

const OUTLINED = 60 // matches shown on the page
const AROUND = 4 // elements offered around the picked one
const KINDS: Record<Interaction, string> = { click: 'Click', change: 'Change', submit: 'Submit', touch: 'Touch' }

export interface Surroundings {
  cairn: Cairn
  standing: Standing
  config: Config
  /** It is to be closed, perhaps for another element. */
  leave(next?: Element): void
  /** Other outlines are to be drawn. */
  changed(): void
}

export interface Panel {
  root: HTMLElement
  outlines(): Outline[]
  close(): void
}

export const openPanel = ({ cairn, standing, config, leave, changed }: Surroundings, element: Element): Panel => {
  const kinds = kindsOf(element)
  let [kind, target] = kinds[0]!
  let asking = new AbortController()
  let isOpen = true

  const heading = make('h2', { id: 'heading' })
  const already = make('p', { class: 'note', hidden: true })
  const status = make('p', { class: 'hush', role: 'status' })
  const notice = make('p', { class: 'notice', role: 'alert', hidden: true })
  const ways = openWays(changed)
  const place = openPlace(() => count())
  const naming = openNaming(standing.categories)

  const meant = ({ selector, text }: Candidate): Part => partOf(kind, selector, text, place.test())
  const count = async (): Promise<void> => {
    asking.abort()
    const { signal } = (asking = new AbortController())
    ways.wait()
    try {
      const { counts, days } = await cairn.counts(ways.all().map(meant), signal)
      if (signal.aborted) return
      notice.hidden = true
      ways.show(counts)
      status.textContent = `${amount(counts[0]?.events ?? 0, 'event')} in the last ${days} days by the first.`
    } catch (fault) {
      if (signal.aborted) return
      ways.fail()
      complain(fault)
    }
  }
  const complain = (fault: unknown): void => {
    const { message, field } =
      fault instanceof Refusal ? fault : { message: 'Something went wrong; try again.', field: '' }
    notice.hidden = naming.complain(field, message)
    notice.textContent = message
  }

  const draw = (at: number): void => {
    ;[kind, target] = kinds[at]!
    tabs.querySelectorAll('button').forEach((tab, number) => tab.setAttribute('aria-pressed', String(number === at)))
    const picked = pickedOf(target, kind, config)
    const node = picked?.nodes[0]
    const text = shownText(target)
    heading.textContent = node ? readable(node, text) : 'Not captured'
    if (node) naming.offer(eventName(kind, node, text))
    ways.put(picked ? propose(picked) : [])
    tell(already, countedAlready(standing.events, kind, target))
    if (picked) void count()
    changed()
  }
  const tabs = make(
    'div',
    { class: 'tabs', role: 'group', 'aria-label': 'What happens' },
    ...kinds.map(([one, of], at) =>
      make('button', { type: 'button', click: () => draw(at) }, KINDS[one] + (of === element ? '' : ' of the form')),
    ),
  ) // prettier-ignore

  const save = make('button', { class: 'button', 'data-main': true, disabled: !standing.may_define }, 'Save event')
  const send = async (event: Event): Promise<void> => {
    event.preventDefault()
    save.disabled = true
    try {
      const { event: saved, recent, days } = await cairn.define(naming.name(), naming.category(), meant(ways.chosen()!))
      standing.events.push(saved)
      if (saved.category && !standing.categories.includes(saved.category)) standing.categories.push(saved.category)
      isOpen = false
      root.replaceChildren(...saidOf(saved, recent, days, leave))
      root.querySelector('a')?.focus({ preventScroll: true })
      changed()
    } catch (fault) {
      complain(fault)
      save.disabled = false
    }
  }

  const isCaptured = !!pickedOf(target, kind, config)
  const body = make(
    'div',
    { class: 'body' },
    notice,
    already,
    kinds.length > 1 && tabs,
    make('fieldset', {}, make('legend', { id: 'ways' }, `Recognised by · counts of ${standing.days} days`), ways.root),
    place.root,
    naming.root,
    status,
  ) // prettier-ignore
  const root = make(
    'form',
    { class: 'panel', 'aria-labelledby': 'heading', submit: send, novalidate: true },
    make(
      'header',
      { role: 'none' },
      make('div', {}, heading, pathOf(element, leave)),
      make('button', { class: 'close', type: 'button', 'aria-label': 'Close', click: () => leave() }, '×'),
    ),
    isCaptured ? body : make('div', { class: 'body' }, make('p', { class: 'note' }, LEFT_OUT)),
    make(
      'footer',
      { role: 'none' },
      isCaptured && save,
      make('button', { class: 'button', 'data-quiet': true, type: 'button', click: () => leave() }, 'Cancel'),
      !standing.may_define && make('span', { class: 'note' }, 'Your role may look, not define.'),
    ),
  ) // prettier-ignore
  draw(0)
  return {
    root,
    outlines: () => outlinesOf(target, isOpen ? ways.chosen() : undefined),
    close: () => {
      asking.abort()
      root.remove()
    },
  }
}

const LEFT_OUT =
  'Capture leaves this element out: it holds a secret, or the page marks it with heap-ignore. So there is nothing to count.'

const tell = (already: HTMLElement, events: Known[]): void => {
  const links = events.flatMap(({ name, url }, at) => [
    at ? ', ' : '',
    make('a', { href: url, target: '_blank', rel: 'noopener' }, name),
  ])
  already.hidden = !events.length
  already.replaceChildren('Counted already by ', ...links, '.')
}

/** The elements around the picked one, outermost first, to pick one of them instead. */
const pathOf = (element: Element, leave: (next?: Element) => void): HTMLElement => {
  const chain: Element[] = []
  for (let one: Element | null = element; one && chain.length <= AROUND; one = parentOf(one)) {
    if (!/^(html|body)$/.test(one.localName)) chain.unshift(one)
  }
  const nameOf = (one: Element): string => {
    const first = (one.getAttribute('class') ?? '').split(/\s+/).find(Boolean)
    return one.localName + (one.id ? '#' + one.id : first ? '.' + first : '')
  }
  const steps = chain.flatMap((one, at) => [
    at ? '›' : '',
    make('button', { type: 'button', 'aria-current': one === element && 'true', click: () => leave(one) }, nameOf(one)),
  ])
  return make('div', { class: 'path', role: 'group', 'aria-label': 'Elements around it' }, ...steps)
}

const outlinesOf = (target: Element, candidate: Candidate | undefined): Outline[] => {
  const matches = candidate ? matchesHere(candidate.selector, candidate.text) : []
  const others = matches.filter((one) => one !== target).slice(0, OUTLINED)
  return [...others.map((element): Outline => ({ element, as: 'match' })), { element: target, as: 'picked' }]
}

const saidOf = (event: Known, { events, users }: Recent, days: number, leave: () => void): HTMLElement[] => [
  make('header', { role: 'none' }, make('div', {}, make('h2', { id: 'heading' }, `Saved “${event.name}”`))),
  make(
    'div',
    { class: 'body' },
    make('p', { role: 'status' }, `${amount(events, 'event')} in the last ${days} days, by ${amount(users, 'user')}.`),
    make('p', { class: 'note' }, 'It counts from the first captured event on, and can be used in segments at once.'),
  ), // prettier-ignore
  make(
    'footer',
    { role: 'none' },
    make(
      'a',
      { class: 'button', 'data-main': true, href: event.url, target: '_blank', rel: 'noopener' },
      'Open it in Cairn',
    ),
    make('button', { class: 'button', type: 'button', click: () => leave() }, 'Label another'),
  ), // prettier-ignore
]
