// The panel of one picked element: what can happen to it, how it is told from others, and the name it gets.

import { maskUrl } from '../capture/privacy'
import { parentOf } from '../capture/dom'
import type { Config, ElementNode, Interaction } from '../capture/types'
import { partOf, Refusal, type Cairn, type Known, type Recent, type Standing, type Test } from './cairn'
import { kindsOf, matchesHere, pickedOf, shownText } from './element'
import { countedAlready } from './known'
import { propose, type Candidate } from './selectors'
import { make, type Outline, type Stage } from './stage'
import { eventName, readable } from './words'

const OUTLINED = 60 // matches shown on the page
const AROUND = 4 // elements offered around the picked one
const KINDS: Record<Interaction, string> = { click: 'Click', change: 'Change', submit: 'Submit', touch: 'Touch' }

export interface Surroundings {
  cairn: Cairn
  standing: Standing
  config: Config
  stage: Stage
}

export interface Panel {
  root: HTMLElement
  outlines(): Outline[]
  close(): void
}

const amount = (number: number, word: string): string => `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`
const tagName = (element: Element): string => {
  const first = (element.getAttribute('class') ?? '').split(/\s+/).filter(Boolean)[0]
  return element.localName + (element.id ? '#' + element.id : first ? '.' + first : '')
}

/** Where the page is, as captured: its path, or its hash where that routes. */
const placeHere = (): Test =>
  /^#!?\//.test(location.hash)
    ? { key: 'hash', operator: 'is', value: maskUrl(location.hash) }
    : { key: 'path', operator: 'is', value: maskUrl(location.pathname) }

/** `leave` is called when it is to be closed, with another element to open. */
export const openPanel = (around: Surroundings, element: Element, leave: (next?: Element) => void, changed: () => void): Panel => {
  const { cairn, standing, config } = around
  const kinds = kindsOf(element)
  const asking = { current: new AbortController() }
  let [kind, target] = kinds[0]!
  let candidates: Candidate[] = []
  let chosen = 0
  let isNameOwn = false

  const heading = make('h2', { id: 'heading' })
  const already = make('p', { class: 'note', hidden: true })
  const ways = make('div', { class: 'ways', role: 'radiogroup', 'aria-labelledby': 'ways' })
  const status = make('p', { class: 'hush', role: 'status' })
  const notice = make('p', { class: 'notice', role: 'alert', hidden: true })
  const here = placeHere()
  const onlyHere = make('input', { type: 'checkbox', change: () => { place.hidden = !onlyHere.checked; count() } }) // prettier-ignore
  const how = make('select', { class: 'input', 'aria-label': 'How the path is compared', change: () => count() }, make('option', { value: 'is' }, 'is'), make('option', { value: 'starts_with' }, 'starts with'))
  const where = make('input', { class: 'input', 'aria-label': here.key, value: here.value, spellcheck: 'false', change: () => count() })
  const place = make('div', { class: 'place', hidden: true }, how, where)
  const name = make('input', { class: 'input', name: 'name', required: true, maxlength: '200', autocomplete: 'off', input: () => (isNameOwn = true) })
  const category = make('input', { class: 'input', name: 'category', maxlength: '200', autocomplete: 'off', list: 'categories', placeholder: 'None' })
  const wrong = make('p', { class: 'error', role: 'alert', hidden: true })
  const save = make('button', { class: 'button', 'data-main': true, disabled: !standing.may_define }, 'Save event')

  const nodes = (): ElementNode[] => pickedOf(target, kind, config)?.nodes ?? []
  const placed = (): Test | undefined => (onlyHere.checked ? { ...here, operator: how.value, value: where.value } : undefined)

  const count = async (): Promise<void> => {
    asking.current.abort()
    const { signal } = (asking.current = new AbortController())
    ways.querySelectorAll('b').forEach((one) => one.replaceChildren(wait()))
    const parts = candidates.map(({ selector, text }) => partOf(kind, selector, text, placed()))
    try {
      const { counts, days } = await cairn.counts(parts, signal)
      if (!signal.aborted) show(counts, days)
    } catch (fault) {
      if (!signal.aborted) complain(fault)
    }
  }

  const show = (counts: Recent[], days: number): void => {
    notice.hidden = true
    ways.querySelectorAll('.way').forEach((way, at) => {
      const { events, users } = counts[at] ?? { events: 0, users: 0 }
      way.querySelector('b')!.replaceChildren(amount(events, 'event'))
      way.querySelector('i')!.replaceChildren(amount(users, 'user'))
    })
    const { events } = counts[chosen] ?? { events: 0 }
    status.textContent = `${amount(events, 'event')} in the last ${days} days.`
  }

  const complain = (fault: unknown): void => {
    const { message, field } = fault instanceof Refusal ? fault : { message: 'Something went wrong; try again.', field: '' }
    const isAtField = field === 'name' || field === 'category'
    ways.querySelectorAll('.wait').forEach((one) => one.remove())
    wrong.hidden = !isAtField
    notice.hidden = isAtField
    ;(isAtField ? wrong : notice).textContent = message
    for (const input of [name, category]) input.setAttribute('aria-invalid', String(input.name === field))
    if (isAtField) (field === 'name' ? name : category).focus()
  }

  const way = ({ selector, text, why }: Candidate, at: number): HTMLElement => {
    const found = matchesHere(selector, text).length
    const radio = make('input', { type: 'radio', name: 'way', checked: at === chosen, change: () => { chosen = at; changed() } }) // prettier-ignore
    const [first] = selector.split(', ', 1)
    return make('label', { class: 'way' }, radio,
      make('code', { 'data-selector': selector, 'data-text': text }, first + (text && ` “${text}”`)), make('b', {}, wait()),
      make('small', {}, `${why[0]!.toUpperCase()}${why.slice(1)}${found > 1 ? ` · ${found} on this page` : ''}`), make('i', {})) // prettier-ignore
  }

  const draw = (): void => {
    const picked = pickedOf(target, kind, config)
    candidates = picked ? propose(picked) : []
    chosen = 0
    const node = picked?.nodes[0]
    heading.textContent = node ? readable(node, shownText(target)) : 'Not captured'
    ways.replaceChildren(...candidates.map(way))
    if (node && !isNameOwn) name.value = eventName(kind, node, shownText(target))
    const known: Known[] = countedAlready(standing.events, kind, target)
    already.hidden = !known.length
    already.replaceChildren('Counted already by ', ...known.flatMap((one, at) => [at ? ', ' : '', make('a', { href: one.url, target: '_blank', rel: 'noopener' }, one.name)]), '.')
    if (picked) void count()
    changed()
  }

  const choose = (at: number): void => {
    ;[kind, target] = kinds[at]!
    kindTabs.querySelectorAll('button').forEach((button, place) => button.setAttribute('aria-pressed', String(place === at)))
    draw()
  }
  const kindTabs = make('div', { class: 'tabs', role: 'group', 'aria-label': 'What happens' },
    ...kinds.map(([one, of], at) => make('button', { type: 'button', 'aria-pressed': String(!at), click: () => choose(at) }, KINDS[one] + (of === element ? '' : ' of the form')))) // prettier-ignore

  const send = async (event: Event): Promise<void> => {
    event.preventDefault()
    const { selector, text } = candidates[chosen]!
    save.disabled = true
    try {
      const { event: saved, recent, days } = await cairn.define(name.value, category.value, partOf(kind, selector, text, placed()))
      standing.events.push(saved)
      if (saved.category && !standing.categories.includes(saved.category)) standing.categories.push(saved.category)
      root.replaceChildren(...done(saved, recent, days, leave))
      root.querySelector('a')?.focus({ preventScroll: true })
      changed()
    } catch (fault) {
      complain(fault)
      save.disabled = false
    }
  }

  const close = make('button', { class: 'close', type: 'button', 'aria-label': 'Close', click: () => leave() }, '×')
  const header = make('header', {}, make('div', {}, heading, pathOf(element, leave)), close)
  const body = make('div', { class: 'body' }, notice, already, kinds.length > 1 && kindTabs,
    make('fieldset', {}, make('legend', { id: 'ways' }, `Recognised by · counts of ${standing.days} days`), ways),
    make('div', {}, make('label', { class: 'row' }, onlyHere, here.key === 'path' ? 'Only on pages whose path' : 'Only on pages whose hash'), place),
    make('div', {}, make('div', { class: 'pair' }, field('Name', name), field('Category', category)), wrong),
    make('datalist', { id: 'categories' }, ...standing.categories.map((value) => make('option', { value }))), status) // prettier-ignore
  const footer = make('footer', {}, save, make('button', { class: 'button', 'data-quiet': true, type: 'button', click: () => leave() }, 'Cancel'),
    !standing.may_define && make('span', { class: 'note' }, 'Your role may look, not define.')) // prettier-ignore
  const root = make('form', { class: 'panel', role: 'dialog', 'aria-labelledby': 'heading', submit: send, novalidate: true }, header, body, footer)
  if (!nodes().length) {
    body.replaceChildren(make('p', { class: 'note' }, 'Capture leaves this element out: it holds a secret, or the page marks it with heap-ignore. So there is nothing to count.'))
    save.remove()
  }
  draw()
  return {
    root,
    outlines: () => outlinesOf(target, candidates[chosen], root.contains(footer)),
    close: () => {
      asking.current.abort()
      root.remove()
    },
  }
}

const wait = (): HTMLElement => make('span', { class: 'wait' })

const field = (label: string, input: HTMLElement): HTMLElement => make('label', { class: 'field' }, make('span', {}, label), input)

/** The elements around the picked one, outermost first, to pick one of them instead. */
const pathOf = (element: Element, leave: (next?: Element) => void): HTMLElement => {
  const chain: Element[] = []
  for (let one: Element | null = element; one && chain.length <= AROUND; one = parentOf(one)) {
    if (!/^(html|body)$/.test(one.localName)) chain.unshift(one)
  }
  const steps = chain.flatMap((one, at) => [
    at ? '›' : '',
    make('button', { type: 'button', 'aria-current': one === element && 'true', click: () => leave(one) }, tagName(one)),
  ])
  return make('div', { class: 'path', role: 'group', 'aria-label': 'Elements around it' }, ...steps)
}

const outlinesOf = (target: Element, candidate: Candidate | undefined, isOpen: boolean): Outline[] => {
  const matches = candidate && isOpen ? matchesHere(candidate.selector, candidate.text) : []
  const others = matches.filter((one) => one !== target).slice(0, OUTLINED)
  return [...others.map((element): Outline => ({ element, as: 'match' })), { element: target, as: 'picked' }]
}

const done = (event: Known, { events, users }: Recent, days: number, leave: () => void): HTMLElement[] => [
  make('header', {}, make('div', {}, make('h2', { id: 'heading' }, `Saved “${event.name}”`))),
  make('div', { class: 'body' },
    make('p', { role: 'status' }, `${amount(events, 'event')} in the last ${days} days, by ${amount(users, 'user')}.`),
    make('p', { class: 'note' }, 'It counts from the first captured event on, and can be used in segments at once.')), // prettier-ignore
  make('footer', {},
    make('a', { class: 'button', 'data-main': true, href: event.url, target: '_blank', rel: 'noopener' }, 'Open it in Cairn'),
    make('button', { class: 'button', type: 'button', click: () => leave() }, 'Label another')), // prettier-ignore
]
