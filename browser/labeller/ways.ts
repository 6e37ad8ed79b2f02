// The list of proposals in the panel: each with its counts, one chosen.

import type { Recent } from './cairn'
import { matchesHere } from './element'
import type { Candidate } from './selectors'
import { make } from './stage'

export interface Ways {
  root: HTMLElement
  chosen(): Candidate | undefined
  all(): Candidate[]
  put(candidates: Candidate[]): void
  /** Counts are on their way; the ones shown no longer hold. */
  wait(): void
  show(counts: Recent[]): void
  /** None will come. */
  fail(): void
}

export const amount = (number: number, word: string): string =>
  `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`

const waiting = (): HTMLElement => make('span', { class: 'wait' })

export const openWays = (changed: () => void): Ways => {
  let candidates: Candidate[] = []
  let chosen = 0
  const root = make('div', { class: 'ways', role: 'radiogroup', 'aria-labelledby': 'ways' })
  const eachWay = (run: (events: Element, users: Element, at: number) => void): void =>
    root.querySelectorAll('.way').forEach((way, at) => run(way.querySelector('b')!, way.querySelector('i')!, at))

  const wayOf = ({ selector, text, why }: Candidate, at: number): HTMLElement => {
    const found = matchesHere(selector, text).length
    const choose = (): void => {
      chosen = at
      changed()
    }
    const [first] = selector.split(', ', 1) // the second half says the same of what is inside
    return make(
      'label',
      { class: 'way' },
      make('input', { type: 'radio', name: 'way', checked: at === chosen, change: choose }),
      make('code', { 'data-selector': selector, 'data-text': text }, first + (text && ` “${text}”`)),
      make('b', {}, waiting()),
      make('small', {}, `${why[0]!.toUpperCase()}${why.slice(1)}${found > 1 ? ` · ${found} on this page` : ''}`),
      make('i', {}),
    ) // prettier-ignore
  }
  return {
    root,
    chosen: () => candidates[chosen],
    all: () => candidates,
    put: (given) => {
      candidates = given
      chosen = 0
      root.replaceChildren(...candidates.map(wayOf))
    },
    wait: () => eachWay((events) => events.replaceChildren(waiting())),
    show: (counts) =>
      eachWay((events, users, at) => {
        const recent = counts[at] ?? { events: 0, users: 0 }
        events.replaceChildren(amount(recent.events, 'event'))
        users.replaceChildren(amount(recent.users, 'user'))
      }),
    fail: () => eachWay((events) => events.replaceChildren()),
  }
}
