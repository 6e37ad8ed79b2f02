// Heap in device mode for analytics.js: heap.dynamic.js.gz. It calls on `heap` what Segment's own bundle calls, and
// loads this server's library instead of the vendor's. Contract: segment.md 3.6 and 5.2.

import { addressOf, loadScript, warnOfSecond } from './base'
import { clean } from './clean'
import { Integration } from './integration'

type Global = any // any: the page's globals, as others left them

const page = window as Global

const METHODS = [
  'addEventProperties',
  'addUserProperties',
  'clearEventProperties',
  'identify',
  'removeEventProperty',
  'setEventProperties',
  'track',
  'unsetEventProperty',
  'resetIdentity',
]
const PRIVATE = ['disableTextCapture', 'disableTargetText']

/** An array that keeps calls until the library takes it over. */
const installStubs = (): void => {
  page.heap = page.heap || []
  page.heap.load = (appid: string, config?: object): void => {
    page.heap.appid = appid
    page.heap.config = config
    for (const name of METHODS) page.heap[name] = (...given: unknown[]) => page.heap.push([name, ...given])
  }
}

class Heap extends Integration {
  readonly name = 'Heap'

  readonly methods = {
    identify: (call: Global): void => {
      const traits = call.traits({ email: '_email' })
      const id = call.userId()
      if (id) page.heap.identify(id)
      page.heap.addUserProperties(clean(traits))
    },
    track: (call: Global): void => page.heap.track(call.event(), clean(call.properties())),
  }

  loaded(): boolean {
    return !!page.heap?.appid
  }

  protected start(): void {
    const { appId } = this.options
    const isThere = page.heap && (page.heap.loaded || page.heap.appid || page.heap.envId)
    if (isThere) {
      warnOfSecond()
      return this.ready() // it keeps calls until its library runs
    }
    installStubs()
    const chosen = PRIVATE.filter((name) => this.options[name] === true)
    // Without a choice the second argument stays away, as upstream has it.
    if (chosen.length) page.heap.load(appId, Object.fromEntries(chosen.map((name) => [name, true])))
    else page.heap.load(appId)
    loadScript(addressOf(`/js/heap-${appId}.js`), (isLoaded) => isLoaded && this.ready())
  }
}
// By which analytics.js knows an integration that a page hands over itself.
;(Heap.prototype as Global).name = 'Heap'

page.heapDeps = []
page.heapLoader = () => undefined
page.heapIntegration = Heap
