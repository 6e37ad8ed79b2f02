// Where this file came from is where its sisters are: whatever host, port or folder the page's script address names.

/** The part of our own address before `/next-integrations/`; a script that runs later cannot ask for it any more. */
const ownBase = ((document.currentScript as HTMLScriptElement | null)?.src ?? '').split('/next-integrations/')[0]!

/** The address of a file of ours. Without an address of our own: of the page's host. */
export const addressOf = (path: string): string => ownBase + path

/** Another snippet has brought Heap, or is about to: it goes on alone, and members see that there are two. */
export const warnOfSecond = (): void => {
  if (!ownState()?.hasWarned) console.warn('[cairn] Heap must load only once: this page loads it by analytics.js too.')
  mark(MOST_LOOKS)
}

const LOOK_MS = 300
const MOST_LOOKS = 100 // the library that is to tell Cairn may still be on its way

const ownState = (): { hasWarned?: boolean } | undefined => (window as any).cairn?.boot // any: our library's global

const mark = (looks: number): void => {
  const state = ownState()
  if (state) state.hasWarned = true
  else if (looks) setTimeout(() => mark(looks - 1), LOOK_MS)
}

/** Load a script; `done` hears whether it came. */
export const loadScript = (url: string, done: (isLoaded: boolean) => void): void => {
  const element = document.createElement('script')
  element.async = true
  element.src = url
  element.onload = () => done(true)
  element.onerror = () => {
    console.warn(`[cairn] could not load ${url}`)
    done(false)
  }
  ;(document.head || document.documentElement).appendChild(element)
}
