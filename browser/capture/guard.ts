// The one way into our code from the page. Nothing we do may throw into the page.

const console_ = window.console

let reported = false
let isSilent = false

export const silence = (): void => {
  isSilent = true
}

export const say = (text: string, fault?: unknown): void => {
  try {
    if (!isSilent) console_.warn('[cairn] ' + text, fault ?? '')
  } catch {
    // a page may have replaced the console; then nobody hears
  }
}

/** Wrap an entry: a fault inside is reported once per page and never reaches the page. */
export const guard =
  <A extends unknown[], R>(run: (...args: A) => R): ((...args: A) => R | undefined) =>
  (...args) => {
    try {
      return run(...args)
    } catch (fault) {
      if (!reported) say('capture failed', fault)
      reported = true
      return undefined
    }
  }

/** For what the browser or the page may refuse: storage that is switched off, full, or out of reach in a frame. */
export const attempt = <T>(run: () => T): T | null => {
  try {
    return run()
  } catch {
    return null
  }
}
