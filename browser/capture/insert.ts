// Load one more script from where we came from, under strict content-security policies too.

/** A nonce admits it where scripts are admitted by nonce; the policy, where only trusted URLs may become scripts. */
export const insertScript = (url: string, nonce: string): void => {
  const script = document.createElement('script')
  let trusted: string = url
  try {
    trusted = (window as any).trustedTypes.createPolicy('cairn', { createScriptURL: (given: string) => given }).createScriptURL(url)
  } catch {
    // No such thing in this browser, or the page allows no policy of this name: then the plain URL must do.
  }
  script.async = true
  if (nonce) script.nonce = nonce
  script.src = trusted
  ;(document.head ?? document.documentElement).appendChild(script)
}

export const ownScript = document.currentScript as HTMLScriptElement | null
