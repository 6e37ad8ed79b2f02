// What may leave the browser. Pure functions over values; the same cases (contract/privacy.json) hold in every language.

import type { PageRules } from './types'

/** One element as the rules see it. A chain is a list of them, the target first. */
export interface Seen {
  tag_: string
  attr_: (name: string) => string | null
}

const TEXT_LIMIT = 1024 // UTF-16 units, as published for target text, titles and property values
export const TEXT_READ = 1280 // characters: the limit and some more, so that masking sees whole words
const EMAIL = /[\w.+-]{1,64}(@|%40)[\w-]{1,63}(\.[\w-]{1,63})+/gi
const CARD_GROUPED = /\b(\d{4}[ -]){3}\d{1,7}\b|\b3\d{3}[ -]\d{6}[ -]\d{5}\b/g
const CARD_PLAIN = /\b[3-6]\d{13,18}\b/g
const KEY = /\b([a-z]+_(live|test)_\w{8,}|AKIA\w{16}|eyJ[\w-]{8,}(\.[\w-]+)+)/g
const LONG = /[\w-]{32,}(\.[\w-]+)*/g
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i
const PARAMETER = /([?&#;]([^=&#;]{1,80})=)[^&#]*/g
/** Names of parameters that hold credentials; the environment's configuration has them. Before it came: all. */
let secretName = /^/

export const setSecretNames = (source: string): void => {
  secretName = RegExp(source, 'i')
}

const DOUBLED = '0246813579' // each digit twice, its digits added

const PASSES_LUHN = (digits: string): boolean => {
  let sum = 0
  let left = digits.length
  for (const digit of digits) sum += +(left-- % 2 ? digit : DOUBLED[+digit]!)
  return !(sum % 10)
}

/** Nearly every text has none of these characters, and then there is nothing to look for. */
const HINT = /[@\d_%]|eyJ/

const maskKnown = (text: string): string =>
  !HINT.test(text)
    ? text
    : text
        .replace(EMAIL, '{email}')
        .replace(CARD_GROUPED, '{card}')
        .replace(CARD_PLAIN, (digits) => (PASSES_LUHN(digits) ? '{card}' : digits))
        .replace(KEY, '{token}')

/** Cut without splitting a surrogate pair. */
export const cut = (text: string, limit = TEXT_LIMIT): string => text.slice(0, limit).replace(/[\uD800-\uDBFF]$/, '')

/** What is read of an endless text. Its cut end may be half an address, so the last word goes. */
const read = (text: string): string =>
  text.length > TEXT_READ ? text.slice(0, TEXT_READ).replace(/[\w.+@%-]{0,200}$/, '') : text

/** Put {email}, {card} and {token} in place of what looks like one. */
export const maskText = (text: string): string =>
  cut(
    maskKnown(read(text)).replace(LONG, (word) =>
      !UUID.test(word) && /\d/.test(word) && /[a-z]/i.test(word) ? '{token}' : word,
    ),
  )

/** `accessToken` and `user%5Bpassword%5D` as words between underscores. */
const wordsOf = (name: string): string => name.replace(/%..|[^a-z]/gi, '_').replace(/[A-Z][a-z]/g, '_$&')

/** As maskText for the path; in query and hash long values stay (click ids), credentials go by their name. */
export const maskUrl = (given: string): string => {
  const [path, rest] = read(given)
    .split(/(?=[?#])(.*)/s, 2)
    .map((part) =>
      part.replace(PARAMETER, (all, before, name) => (secretName.test(wordsOf(name)) ? before + '{token}' : all)),
    )
  return cut(maskText(path!) + maskKnown(rest ?? ''))
}

const isOn = (value: string | null): boolean => value !== null && value !== 'false'

/** Password and card fields, and other fields that hold a secret: nothing is captured on them, not even the fact. */
export const isSecretField = (target: Seen): boolean =>
  /^(input|textarea|select)$/.test(target.tag_) &&
  (/^(password|hidden)$/i.test(target.attr_('type') ?? '') ||
    /\bcc-|password|one-time-code/i.test(target.attr_('autocomplete') ?? '') ||
    /passw|card.?(n|c[vs]|ex|se)|cv[vc]|cc.?(num|exp)|(^|[^a-z])(cc|csc|ssn|iban)([^a-z]|$)/i.test(
      target.attr_('name') + ' ' + target.attr_('id'),
    ))

/** heap-ignore as attribute or class, on the target or around it. */
export const isIgnored = (chain: Seen[]): boolean =>
  isSecretField(chain[0]!) ||
  chain.some((seen) => isOn(seen.attr_('heap-ignore')) || /(^|\s)heap-ignore(\s|$)/.test(seen.attr_('class') ?? ''))

/** data-heap-redact-text on the element or around it. */
export const hidesText = (chain: Seen[]): boolean => chain.some((seen) => isOn(seen.attr_('data-heap-redact-text')))

/** Elements whose text is what the person typed or chose, or is not text for people. */
export const holdsValue = (seen: Seen): boolean =>
  /^(input|textarea|select|option|output|script|style|noscript)$/.test(seen.tag_) || isOn(seen.attr_('contenteditable'))

/** The names in data-heap-redact-attributes. */
export const redactedAttributes = (seen: Seen): string[] =>
  (seen.attr_('data-heap-redact-attributes') ?? '').toLowerCase().split(/[\s,]+/)

/**
 * `*` stands for anything; a pattern that begins with / is a path on every domain, else domain and path.
 * The earliest place of each piece is as good as a later one, so nothing is tried twice; line breaks, which no address
 * has, hold the first piece to the start and the last to the end.
 */
export const matchesPage = (pattern: string, domain: string, path: string): boolean => {
  const lines = (text: string): string => `\n${text}\n`.toLowerCase()
  const page = lines(pattern[0] === '/' ? path : domain + path)
  const fits = (rule: string): boolean => {
    let at = 0
    return lines(rule)
      .split('*')
      .every((piece) => (at = page.indexOf(piece, at) + piece.length) >= piece.length)
  }
  return fits(pattern) || (!pattern.includes('/') && fits(pattern + '/*'))
}

/** A pattern that begins with / is a path on every domain; with another / domain and path; else a whole domain. */

type Address = Pick<Location, 'hostname' | 'pathname'>

/** Whether anything may be captured on this page: the environment's allow or block list. */
export const isPageAllowed = ({ mode, pages = [] }: PageRules, page: Address): boolean => {
  const isListed = pages.some((pattern) => matchesPage(pattern, page.hostname, page.pathname))
  return mode === 'allow' ? isListed : mode !== 'block' || !isListed
}
