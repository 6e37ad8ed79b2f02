// Where this file came from is where its sisters are: whatever host, port or folder the page's script address names.

/** The part of our own address before `/next-integrations/`; a script that runs later cannot ask for it any more. */
const ownBase = ((document.currentScript as HTMLScriptElement | null)?.src ?? '').split('/next-integrations/')[0]!

/** The address of a file of ours. Without an address of our own: of the page's host. */
export const addressOf = (path: string): string => ownBase + path

/** Load a script once more or for the first time; `done` hears whether it came. */
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
