import { describe, expect, test } from 'vitest'
import { resolveConfig } from '../capture/config'
import { encode } from '../capture/encode'
import { cleanIdentity, cleanProperties, isReservedForUsers } from '../capture/properties'

const cycle: Record<string, unknown> = { name: 'loop' }
cycle.self = cycle

describe('properties', () => {
  test.each<[string, unknown, unknown]>([
    ['scalars stay what they are', { a: 'x', b: 1.5, c: false }, { a: 'x', b: 1.5, c: false }],
    ['nested objects get dotted keys', { o: { x: { y: 1 } } }, { 'o.x.y': 1 }],
    ['arrays are joined', { tags: ['annual', 'promo', 3] }, { tags: 'annual||promo||3' }],
    ['dates become ISO text', { at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }],
    ['nothing to say is left out', { a: null, b: undefined, c: '', d: '  ', e: NaN, f: () => 1, g: Symbol('s') }, {}],
    ['empty keys are left out', { '': 1, ' ': 2 }, {}],
    ['keys over 512 characters are left out', { ['k'.repeat(513)]: 1, ['k'.repeat(512)]: 2 }, { ['k'.repeat(512)]: 2 }],
    ['values are cut at 1,024', { a: 'x'.repeat(2000) }, { a: 'x'.repeat(1024) }],
    ['a pair of surrogates is not split', { a: 'x'.repeat(1023) + '😀' }, { a: 'x'.repeat(1023) }],
    ['big integers become text', { a: 12345678901234567890n }, { a: '12345678901234567890' }],
    ['something else than an object', 'text', {}],
    ['an array', ['a'], {}],
    ['null', null, {}],
  ])('%s', (_name, given, expected) => expect(cleanProperties(given)).toEqual(expected))

  test('a cycle ends', () => expect(cleanProperties(cycle).name).toBe('loop'))
  test('id is left out for users, in any casing', () =>
    expect(cleanProperties({ id: 1, ID: 2, user_id: 3, paid: 4 }, isReservedForUsers)).toEqual({ paid: 4 }))
})

test.each<[unknown, string]>([
  ['ann@shop.test', 'ann@shop.test'],
  [' ann ', 'ann'],
  [42, '42'],
  ['0', '0'],
  ['', ''],
  ['   ', ''],
  [null, ''],
  [undefined, ''],
  [{}, ''],
  ['undefined', ''],
  ['NULL', ''],
  ['[object Object]', ''],
  ['x'.repeat(255), 'x'.repeat(255)],
  ['x'.repeat(256), ''],
])('identity %j is %j', (given, expected) => expect(cleanIdentity(given)).toBe(expected))

describe('encoding', () => {
  test('is JSON', () => {
    const value = { a: [1, 'ä"\n\u2028', null, true, { b: {} }], c: -0.5 }
    expect(JSON.parse(encode(value))).toEqual(value)
  })
  test('leaves out what has no value', () => expect(encode({ a: undefined, b: () => 1, c: 0 })).toBe('{"c":0}'))
  test('ends a cycle', () => expect(JSON.parse(encode(cycle)).self.name).toBe('loop'))
  test("does not listen to the page's toJSON", () => {
    const poisoned = Array.prototype as any // any: what a hostile page does
    poisoned.toJSON = () => 'gone'
    try {
      expect(encode({ list: [1] })).toBe('{"list":[1]}')
    } finally {
      delete poisoned.toJSON
    }
  })
})

describe('configuration', () => {
  const resolve = (server: object, client: object) => resolveConfig(server, client, 'https://here.test')
  test('sends to where the script came from', () => expect(resolve({}, {}).ingestServer).toBe('https://here.test'))
  test.each([
    [{ ingestServer: 'https://env.test/' }, {}, 'https://env.test'],
    [{ ingestServer: 'https://env.test' }, { ingestServer: 'https://page.test/p/' }, 'https://page.test/p'],
    [{}, { trackingServer: 'https://old.test' }, 'https://old.test'],
  ])('%j under %j sends to %s', (server, client, expected) =>
    expect(resolve(server, client).ingestServer).toBe(expected),
  )
  test.each([
    [{ privacy: { disableTextCapture: true } }, { disableTextCapture: false }, 'disableTextCapture'],
    [{}, { disableTextCapture: true }, 'disableTextCapture'],
    [{}, { disableTargetText: true }, 'disableTextCapture'],
    [{ privacy: { enableSecureCookies: true } }, {}, 'secureCookie'],
    [{ cookieless: true }, { cookieless: false }, 'cookieless'],
  ] as const)('%j under %j switches on %s', (server, client, name) => expect(resolve(server, client)[name]).toBe(true))
  test('the page cannot widen what is captured', () =>
    expect(resolve({ capture: { mode: 'block', pages: ['/x'] } }, { capture: { mode: 'all' } }).capture.mode).toBe(
      'block',
    ))
  test('a list that is none does no harm', () =>
    expect(resolve({}, { disableInteractionEvents: 'click' }).disableInteractionEvents).toEqual([]))
})
