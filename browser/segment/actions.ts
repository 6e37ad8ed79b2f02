// "Heap Web (Actions)" for analytics.js: the plugin that settings name in `remotePlugins`. Contract: segment.md 5.4.

import { addressOf, loadScript, warnOfSecond } from './base'
import { flat, isDefined } from './flat'
import { mapped } from './mapping'
import { subscription } from './subscription'

type Global = any // any: the page's globals, as others left them
type Values = Record<string, any> // any: foreign JSON
interface Context {
  event: Values
}

const page = window as Global

const NAME = 'Heap Web (Actions)'
const LIBRARY = 'browser-destination'
const LOOK_MS = 300 // between two looks whether the library runs
const METHODS = (
  'init startTracking stopTracking track resetIdentity identify identifyHashed getSessionId getUserId getIdentity ' +
  'addUserProperties addEventProperties removeEventProperty clearEventProperties addAccountProperties addAdapter ' +
  'addTransformer addTransformerFn onReady addPageviewProperties removePageviewProperty clearPageviewProperties ' +
  'trackPageview'
).split(' ')

const installProxies = (appId: string, config: Values): void => {
  page.heapReadyCb = page.heapReadyCb || []
  page.heap = {}
  page.heap.load = (envId: string, clientConfig: Values): void => {
    page.heap.envId = envId
    page.heap.clientConfig = clientConfig
    clientConfig.shouldFetchServerConfig = false
    for (const name of METHODS) {
      page.heap[name] = (...given: unknown[]) => page.heapReadyCb.push({ name, fn: () => page.heap[name]?.(...given) })
    }
  }
  page.heap.load(appId, config)
}

const scriptOf = ({ appId, hostname, trackingServer }: Values): string => {
  if (hostname && trackingServer) return `https://${hostname}/js/heap-${appId}.js`
  const path = `/config/${appId}/heap_config.js`
  return hostname ? `https://${hostname}${path}` : addressOf(path)
}

/** What is there already is used as it is, and nothing is loaded. */
const initialize = async (settings: Values): Promise<void> => {
  if (page.heap) return warnOfSecond()
  const config: Values = {
    disableTextCapture: settings.disableTextCapture || false,
    secureCookie: settings.secureCookie || false,
  }
  for (const name of ['ingestServer', 'trackingServer']) if (settings[name]) config[name] = settings[name]
  installProxies(settings.appId, config)
  await new Promise<void>((resolve, reject) =>
    loadScript(scriptOf(settings), (isLoaded) =>
      isLoaded ? resolve() : reject(new Error('the Heap library could not be loaded')),
    ),
  )
  await new Promise<void>((resolve) => {
    const look = (): void => (page.heap.loaded === true ? resolve() : void setTimeout(look, LOOK_MS))
    look()
  })
}

const identifyUser = ({ traits, userId }: Values): void => {
  if (traits) page.heap.addUserProperties(traits)
  if (userId) page.heap.identify(userId)
}

const trackEvent = ({ name, properties = {}, identity, anonymousId, traits }: Values, settings: Values): void => {
  if (anonymousId || isDefined(traits)) {
    page.heap.addUserProperties({
      ...(isDefined(anonymousId) && { anonymous_id: anonymousId }),
      ...(isDefined(traits) && flat(traits)),
    })
  }
  if (identity && isDefined(identity)) page.heap.identify(identity)
  let left = settings.browserArrayLimit || 0 // of elements that become events of their own
  for (const [key, value] of Object.entries<unknown>(properties)) {
    if (left <= 0 || !Array.isArray(value)) continue
    for (const element of value.slice(0, left)) track(`${name} ${key} item`, flat(Object(element)))
    left -= value.length
  }
  track(name, flat(properties))
}

const track = (name: string, properties: Values): void =>
  page.heap.track(name, { ...properties, segment_library: LIBRARY })

const ACTIONS: Record<string, (payload: Values, settings: Values) => void> = { trackEvent, identifyUser }

/** One plugin for each action that is subscribed to, as analytics.js expects of an Actions destination. */
const factory = (settings: Values): object[] => {
  let isLoaded = false
  let loading: Promise<void> | undefined
  const load = (): Promise<void> => {
    loading ??= initialize(settings).then(() => {
      isLoaded = true
    })
    return loading
  }
  return Object.entries(ACTIONS).flatMap(([key, perform]) => {
    const wanted = (settings.subscriptions ?? [])
      .filter((one: Values) => one.enabled && one.partnerAction === key)
      .map((one: Values) => ({ is: subscription(one.subscribe), mapping: one.mapping ?? {} }))
    if (!wanted.length) return []
    const evaluate = async (context: Context): Promise<Context> => {
      for (const { is, mapping } of wanted) if (is(context.event)) perform(mapped(mapping, context.event), settings)
      return context
    }
    return {
      name: `${NAME} ${key}`,
      type: 'destination',
      version: '0.1.0',
      ready: load,
      isLoaded: () => isLoaded,
      load,
      ...Object.fromEntries(['track', 'page', 'alias', 'identify', 'group'].map((name) => [name, evaluate])),
    }
  })
}
factory.pluginName = NAME

page['heap-webDestination'] = factory
