// Adapters, which may hold the sending until they know something, and transformers, which edit messages before it.

import { say } from './guard'

type Body = Record<string, any> // any: transformers may change messages as they like

const HOLD_MS = 5000 // longest an adapter may hold events
const TYPES = ['user', 'session', 'pageview'] // kinds that transformers know as metadata

interface Transformer {
  run_: (messages: Body[]) => Body[]
  phase?: string
}

export interface Pipeline {
  addAdapter_(adapter: any, options: any): void
  resolve_(name: string): void
  isHeld_(): boolean
  addTransformer_(run: any, phase?: string): void
  transform_(path: string, body: Body): Body | null
}

/** `resumed` is called when the last holding adapter is done. */
export const openPipeline = (api: object, resumed: () => void): Pipeline => {
  const holding = new Set<string>()
  const transformers: Transformer[] = []
  const resolve = (name: string): void => {
    if (holding.delete(name) && !holding.size) resumed()
  }
  return {
    resolve_: resolve,
    isHeld_: () => holding.size > 0,
    addAdapter_: (adapter, options) => {
      const { name, fn } = adapter
      if (options?.isBlocking) {
        holding.add(name)
        setTimeout(resolve, Math.min(options.blockDurationInMs ?? HOLD_MS, HOLD_MS), name)
      }
      fn(api)
    },
    addTransformer_: (run, phase) => {
      if (typeof run === 'function') transformers.push({ run_: run, phase })
    },
    transform_: (path, body) => {
      if (path !== 'track') return body
      const kind = TYPES.find((one) => one in body)
      let data: Body | null = body
      for (const { run_: run, phase } of transformers) {
        if (phase && (phase === 'metadata') !== !!kind) continue
        try {
          const type = kind ? 'meta_' + kind : 'core_track'
          data = run([{ id: body.id, type, info: {}, data }])[0]?.data ?? null
        } catch (fault) {
          // It may have been about to redact: without its answer the message stays here.
          say('transformer failed', fault)
          data = null
        }
        if (!data) return null
      }
      return data
    },
  }
}
