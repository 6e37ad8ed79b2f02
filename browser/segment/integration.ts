// The part of Segment's classic integrations that analytics.js needs: listeners, and calls that wait until it is ready.

type Listener = (...given: unknown[]) => void
type Method = (facade: any) => void // any: the facade that analytics.js hands over

export abstract class Integration {
  private listeners: Record<string, Listener[]> = {}
  private waiting: [Method, unknown][] = []
  private isReady = false

  constructor(readonly options: Record<string, any>) {} // any: the source's settings

  /** What analytics.js may invoke, by name. */
  abstract readonly methods: Record<string, Method>

  protected abstract start(): void

  initialize(): void {
    this.start()
    this.emit('initialize')
  }

  on(name: string, listener: Listener): this {
    ;(this.listeners[name] ??= []).push(listener)
    return this
  }

  once(name: string, listener: Listener): this {
    const heard: Listener = (...given) => {
      this.off(name, heard)
      listener(...given)
    }
    return this.on(name, heard)
  }

  off(name: string, listener: Listener): this {
    this.listeners[name] = (this.listeners[name] ?? []).filter((known) => known !== listener)
    return this
  }

  emit(name: string, ...given: unknown[]): this {
    for (const listener of [...(this.listeners[name] ?? [])]) listener(...given)
    return this
  }

  invoke(name: string, facade: unknown): void {
    const method = this.methods[name]
    if (!method) return
    if (this.isReady) method(facade)
    else this.waiting.push([method, facade])
  }

  protected ready(): void {
    this.isReady = true
    this.emit('ready')
    for (const [method, facade] of this.waiting.splice(0)) method(facade)
  }
}
