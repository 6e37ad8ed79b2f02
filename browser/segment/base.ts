// Where this file came from is where its sisters are: whatever host, port or folder the page's script address names.

/** The part of our own address before `/next-integrations/`; a script that runs later cannot ask for it any more. */
const ownBase = ((document.currentScript as HTMLScriptElement | null)?.src ?? '').split('/next-integrations/')[0]!

/** The address of a file of ours. Without an address of our own: of the page's host. */
export const addressOf = (path: string): string => ownBase + path

/** Another snippet has brought Heap, or is about to: it goes on alone, and members see that there are two. */
export const warnOfSecond = (): void => {
  const state = (window as any).cairn?.boot // any: our library's own state, where it runs
  if (!state?.hasWarned)
    console.warn('[cairn] Heap must load only once: this page has its snippet and loads it by analytics.js too.')
  if (state) state.hasWarned = true
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
