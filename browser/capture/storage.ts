// Small values kept in this browser: cookies on the registrable domain so that sub-domains share the user, or
// localStorage where asked. Cookieless: nothing is kept, nothing is read.

import { encode, parse } from './encode'
import { attempt } from './guard'
import type { Config } from './types'

const AGE_S = 34_127_999 // 13 months minus a day, as the cookies it continues
const COOKIE_LIMIT = 3800 // bytes; browsers refuse cookies of 4 kB without a word

export interface Storage {
  /** Look at the cookies as they are now: reading them asks another process, so once for many reads. */
  refresh_(): void
  /** The object kept under a name; null when there is none. */
  read_(name: string): any // any: written by earlier versions and other scripts
  /** False when it does not fit. `medium` is 'localstorage' or anything else for a cookie; null removes. It is kept
   * in one of them: a copy left in the other would come back when it is long out of date. */
  write_(name: string, value: unknown, medium?: string): boolean
}

export const openStorage = (environment: string, config: Config): Storage => {
  let jar: string[] = []
  const refresh = (): void => {
    jar = attempt(() => document.cookie.split('; ')) ?? []
  }
  const readCookie = (name: string): string | undefined =>
    jar.find((one) => one.startsWith(name + '='))?.slice(name.length + 1)

  const setCookie = (name: string, value: string, age: number): unknown =>
    attempt(
      () =>
        (document.cookie =
          `${name}=${value};path=/;max-age=${age}${domain && ';domain=' + domain};samesite=` +
          (config.secureCookie ? 'none;secure' : 'lax')),
    )

  let domain = ''
  let holdsCookies: unknown
  if (config.cookieless) return { refresh_: refresh, read_: () => null, write_: () => true }
  // The shortest domain the browser lets us set a cookie on; none for single hosts and addresses. Pages of files, of
  // applications with a scheme of their own, and in frames of other sites may hold no cookie at all.
  const labels = location.hostname.split('.')
  const probe = `_hp2_hld${Math.random()}.${environment}`
  for (let from = labels.length; from-- && !holdsCookies; ) {
    domain = from ? labels.slice(from - 1).join('.') : ''
    setCookie(probe, '1', 9)
    refresh()
    holdsCookies = readCookie(probe)
    setCookie(probe, '', 0)
  }

  return {
    refresh_: refresh,
    read_: (name) => {
      const key = name + '.' + environment
      const cookie = readCookie(key)
      const text = cookie
        ? (attempt(() => decodeURIComponent(cookie)) ?? cookie)
        : attempt(() => localStorage.getItem(key))
      return text && (attempt(() => parse(text)) ?? text)
    },
    write_: (name, value, medium) => {
      const key = name + '.' + environment
      const text = encode(value)
      // Compressed: only what a cookie cannot hold is escaped.
      const cookie = config.compressCookies ? text.replace(/[^\w{}:]/gu, encodeURIComponent) : encodeURIComponent(text)
      const isLocal = !holdsCookies || /^local/i.test(medium!)
      const isKept = attempt(() => {
        if (isLocal && value) localStorage.setItem(key, text)
        else localStorage.removeItem(key)
        return true
      })
      if (isLocal && isKept) {
        refresh()
        if (readCookie(key)) setCookie(key, '', 0)
      } else if (cookie.length > COOKIE_LIMIT) return false
      else if (!jar.includes(key + '=' + cookie)) {
        setCookie(key, cookie, value ? AGE_S : 0)
        jar = [] // no longer what the browser has
      }
      return true
    },
  }
}
