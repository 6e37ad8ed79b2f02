// What /js/heap-<env>.js, /config/<env>/heap_config.js and the neutral path answer: the environment's configuration,
// and then the runtime by its versioned name. The server puts the configuration in front as `C`.

/** `origin` is Cairn's own, as the server knows it; empty where it does not. */
declare const C: { envId: string; server: Record<string, any>; isNeutral: boolean; origin: string }

const load = (): void => {
  const page = window as any // any: globals of the page
  const script = document.currentScript as HTMLScriptElement | null
  const cairn = (page.cairn = page.cairn || [])
  const heap = C.isNeutral ? cairn : (page.heap = page.heap || [])

  /** Where only trusted URLs may become scripts; absent in other browsers, or where the page allows no such policy. */
  let policy: { createScriptURL(url: string): string } | undefined
  try {
    policy = page.trustedTypes.createPolicy('cairn', { createScriptURL: (url: string) => url })
  } catch {
    // then the plain URL must do
  }

  // A module, an inline script and code that a page fetched have no address, and a copy inside a page's own files has
  // the page's: then Cairn's own, which the server put in, is the one that has the rest.
  let origin = /^http/.test(script?.src!) ? new URL(script!.src).origin : C.origin

  /** Load a file of ours, under strict content-security policies too. */
  const insert = (path: string): void => {
    const from = origin
    const url = /^http/.test(path) ? path : from + path
    const element = document.createElement('script')
    // Functions of JavaScript snapshots, where there are some, come before the runtime: it opens the first pageview.
    element.async = !C.server.functions
    // Where scripts are admitted by nonce, ours admits what it loads.
    if (script?.nonce) element.nonce = script.nonce
    element.onerror = () => {
      if (from === C.origin || !C.origin) return console.warn(`[cairn] could not load ${url}`)
      origin = cairn.boot.origin = C.origin
      insert(path)
    }
    element.src = policy ? policy.createScriptURL(url) : url
    ;(document.head || document.documentElement).appendChild(element)
  }

  if (cairn.boot || cairn.loaded || heap.loaded) {
    const state = cairn.boot || cairn
    if (!state.hasWarned) console.warn(`[cairn] Heap must load only once; this copy (${C.envId}) does nothing.`)
    state.hasWarned = true
    // Whoever came first, a page that loads us by Heap's paths expects us under Heap's name.
    if (cairn.boot && !C.isNeutral) cairn.boot.isNeutral = false
    if (cairn.adopt) cairn.adopt()
  } else {
    const { server, isNeutral, envId } = C
    const sdk = { ...server.sdk, ...heap.clientConfig?.sdk }
    const core = server.sdk.plugins.join('-')
    const folder =
      (sdk.domain || '') +
      (isNeutral ? '/k/' : '/v5/heapjs-static/') +
      sdk.version +
      '/' +
      (isNeutral ? '' : core + '/')
    heap.serverConfig = server
    cairn.boot = { envId, server, isNeutral, origin, late: () => insert(folder + 'later.js') }
    server.functions?.map(insert)
    insert(folder + (isNeutral ? core : 'heap') + '.js')
    // A link from Cairn opens the labeller; it stays open in this tab. Nobody but the labeller sees its grant: it is
    // out of the address before the runtime, or whatever else the page runs, has looked.
    const label = /[?&#]?cairn-label=([\w.-]+)/.exec(location.hash)
    if (label) history.replaceState(history.state, '', location.href.replace(label[0], ''))
    if ((cairn.boot.label = label ? label[1] : sessionStorage['cairn-label'])) insert(folder + 'labeller.js')
  }
}

try {
  load()
} catch {
  // The page uses one of our names for something else: then this is no place for us.
}
