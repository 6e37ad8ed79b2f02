// The shared cases of contract/: what the browser decides, the server decides the same.

import { describe, expect, test } from 'vitest'
import hierarchyCases from '../../contract/hierarchy.json'
import cases from '../../contract/privacy.json'
import proposals from '../../contract/proposals.json'
import { type Facts, hierarchy } from '../capture/hierarchy'
import {
  hidesText,
  isIgnored,
  isPageAllowed,
  maskText,
  maskUrl,
  redactedAttributes,
  type Seen,
  setSecretNames,
} from '../capture/privacy'
import { propose } from '../labeller/selectors'
import { isMade, isSteadyClass } from '../labeller/steady'
import { eventName, readable } from '../labeller/words'

type Case = Record<string, any> // any: each list has its own shape
const named = (list: Case[]): [string, Case][] => list.map((one) => [one.name, one])

const seen = ({ tag = 'div', attributes = {} }: Case): Seen => ({
  tag_: tag,
  attr_: (name) => attributes[name] ?? null,
})
const facts = ({ tag, classes, ...others }: Case): Facts => ({ ...others, tag_: tag, classes_: classes })
const chain = (one: Case): Seen[] => one.chain.map(seen)

describe('hierarchy', () => {
  test.each(named(hierarchyCases.cases))('%s', (_name, { chain, repeat, expect: expected, expect_repeat }) => {
    const nodes = chain ?? Array.from({ length: repeat.times }, () => repeat.node)
    expect(hierarchy(nodes.map(facts))).toBe(expected ?? expect_repeat.text.repeat(expect_repeat.times))
  })
})

describe('masking', () => {
  test.each(named(cases.mask_text))('%s', (_name, { text, text_repeat, expect: expected, expect_length }) => {
    const masked = maskText(text ?? text_repeat[0].repeat(text_repeat[1]))
    if (expect_length) expect(masked.length).toBe(expect_length)
    else expect(masked).toBe(expected)
  })
  test.each(named(cases.mask_url))('%s', (_name, { text, expect: expected }) => expect(maskUrl(text)).toBe(expected))
})

setSecretNames(cases.secret_names)

describe('elements', () => {
  test.each(named(cases.ignored))('ignored: %s', (_name, one) => expect(isIgnored(chain(one))).toBe(one.expect))
  test.each(named(cases.hides_text))('text: %s', (_name, one) => expect(hidesText(chain(one))).toBe(one.expect))
  test.each(named(cases.redacted_attributes))('attributes: %s', (_name, one) =>
    expect(redactedAttributes(seen(one)).filter(Boolean)).toEqual(one.expect),
  )
})

describe('pages', () => {
  test.each(named(cases.page_captured))('%s', (_name, { rules, domain, path, expect: expected }) =>
    expect(isPageAllowed(rules, { hostname: domain, pathname: path })).toBe(expected),
  )
})

describe('what the labeller proposes', () => {
  test.each(named(proposals.cases))('%s', (_name, { nodes, inside, expect: expected }) => {
    const found = propose({ nodes, hasInside: inside })
    expect(found.map(({ selector, text }) => [selector, text])).toEqual(expected)
  })
  test.each(proposals.names as Case[])('named $name', ({ kind, node, readable: shown, name }) => {
    expect(readable(node)).toBe(shown)
    expect(eventName(kind, node)).toBe(name)
  })
  test.each(proposals.made)('%s is made', (name) => expect(isMade(name)).toBe(true))
  test.each(proposals.given)('%s is given', (name) => expect(isMade(name)).toBe(false))
  test.each(proposals.passing_classes)('the class %s passes', (name) => expect(isSteadyClass(name)).toBe(false))
})

test('a hostile text is masked without backtracking over its own length', () => {
  // Each would run into the time limit of a test if the work grew with the square of the length.
  for (const text of ['a', 'a.', '1 ', 'a@', '?token', '4111-']) {
    const long = text.repeat(200_000)
    expect(maskText(long).length).toBeLessThanOrEqual(1024)
    expect(maskUrl(long).length).toBeLessThanOrEqual(1024)
  }
})
