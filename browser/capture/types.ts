// The words the files of the capture script share. Message types follow the wire (contract: v2 capture as JSON).

import type { Root } from './roots'
import type { Session } from './session'

export type Scalar = string | number | boolean
export type Properties = Record<string, Scalar>
export type Stop = () => void
export type Interaction = 'click' | 'touch' | 'change' | 'submit'

/** What an observer saw. The sink decides whether and how it is sent. */
export type Captured =
  | { kind_: Interaction; target: Element }
  | { kind_: 'pageview' }
  | { kind_: 'custom'; name: string; properties: Properties; target?: Element }

export type Sink = (captured: Captured) => void

/** What observers share of the page, so that those that load late hear the same as those that were there first. */
export interface Page {
  hear_(type: string, run: (event: Event) => void, inShadow?: boolean): Stop
  /** What the person really hit; the late script also knows what was pressed. */
  targetOf_(event: Event): Element | null
  onLeave_(leave: (isForGood: boolean) => void): Stop
  /** Fetch the late script. */
  load(): void
  roots_: Set<Root>
  wants_: Set<(root: Root) => void>
  /** JavaScript errors from before the late observers arrived. */
  early_: Event[]
  /** What every message says of the device; filled as the browser tells. */
  device: Record<string, unknown>
  session: Session
}
export type Observer = (sink: Sink, config: Config, page: Page) => Stop

export interface PageRules {
  mode: 'all' | 'allow' | 'block'
  pages?: string[]
}

export type SnapshotRule = {
  a?: Record<string, { target: string; attribute: string }>
  s?: Record<string, string>
  t?: Record<string, string>
  f?: Record<string, string>
  j?: Record<string, string> // ids of functions
}
export type Snapshots = Record<string, Record<string, SnapshotRule>>

/** The options of heap.load and heap_config.js that we know; section 4.4 of the contract and our own. */
export interface Config {
  ingestServer: string
  paths?: Record<string, string>
  disableTextCapture?: boolean
  disableInteractionTextCapture?: boolean
  disableInteractionEvents: string[]
  disablePageviewAutocapture?: boolean
  secureCookie?: boolean
  compressCookies?: boolean
  metadataStorage?: string
  eventPropertiesStorage?: string
  clearEventPropertiesOnNewUser?: boolean
  logLevel?: string
  disableTracking?: boolean
  respectDoNotTrack?: boolean
  cookieless?: boolean
  captureRageClicks?: boolean
  captureDeadClicks?: boolean
  captureScrollDepth?: boolean
  captureWebVitals?: boolean
  captureErrors?: boolean
  captureAttributes: string[]
  capture: PageRules
  snapshots?: Snapshots
}

export interface Url {
  domain: string
  path: string
  query: string
  hash: string
}

export interface PageInfo {
  id?: string // a classic session does not tell that of its first page
  time: number
  title?: string
  url: Url
  source_properties?: Properties
  previous_page?: string
  properties?: Properties
}

export interface SessionInfo {
  id: string
  time: number
  referrer: string
  search_keyword: string
  utm: Record<string, string>
  initial_pageview_info?: PageInfo
}

export interface ElementNode {
  node_name: string
  node_html_class?: string
  node_id?: string
  node_text?: string
  href?: string
  accessibility_label?: string
  attributes: Record<string, string>
}
