// Defined events on this page: which of them count an element already, and where they are.

import type { Interaction } from '../capture/types'
import type { Known, Part, Test } from './cairn'
import { matchesHere, shownText } from './element'
import type { Outline } from './stage'

const MOST = 60 // outlines at once; a page full of them shows nothing

const passes = ({ operator, value }: Test, found: string): boolean =>
  operator === 'is'
    ? found === value
    : operator === 'starts_with'
      ? found.startsWith(value)
      : operator === 'contains'
        ? found.includes(value)
        : false // prettier-ignore

/** Whether this page is where it counts; a test of anything but the place is taken as not passed. */
const isHere = (tests: Test[]): boolean => {
  const facts: Record<string, string> = { path: location.pathname, domain: location.hostname, hash: location.hash }
  return tests.every((test) => test.key === 'text' || passes(test, facts[test.key] ?? ''))
}

const isAbout = ({ selector, tests }: Part, element: Element): boolean => {
  try {
    if (!selector || !element.matches(selector)) return false
  } catch {
    return false
  }
  const texts = tests.filter((test) => test.key === 'text')
  return isHere(tests) && texts.every((test) => passes(test, shownText(element)))
}

export const countedAlready = (events: Known[], kind: Interaction, element: Element): Known[] =>
  events.filter(({ parts }) =>
    parts.some((part) => (part.kind === kind || part.kind === 'any') && isAbout(part, element)),
  )

export const knownHere = (events: Known[]): Outline[] => {
  const outlines: Outline[] = []
  for (const { name, parts } of events) {
    for (const part of parts.filter(({ selector, tests }) => selector && isHere(tests))) {
      for (const element of matchesHere(part.selector, '')) {
        if (outlines.length < MOST && isAbout(part, element)) outlines.push({ element, as: 'known', text: name })
      }
    }
  }
  return outlines
}
