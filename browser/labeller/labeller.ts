// The labeller: picking elements on a page that goes on living under it.

import { parentOf } from '../capture/dom'
import type { Config } from '../capture/types'
import { openBar } from './bar'
import type { Cairn, Standing } from './cairn'
import { elementAt, meantBy, pickedOf, shownText } from './element'
import { knownHere } from './known'
import { openPanel, type Panel } from './panel'
import { listen, type Outline, openStage } from './stage'
import { readable } from './words'

const KNOWN_FOR_MS = 1000 // how long found events are drawn where they were found

export const openLabeller = (cairn: Cairn, standing: Standing, config: Config, end: () => void): void => {
  let panel: Panel | undefined
  let hovered: Element | null = null
  let below: Element[] = [] // where arrow down leads back to
  let isLabelling = false
  let known: { at: number; outlines: Outline[] } = { at: 0, outlines: [] }

  const knownNow = (): Outline[] => {
    if (performance.now() - known.at > KNOWN_FOR_MS || !known.at) {
      known = { at: performance.now(), outlines: knownHere(standing.events) }
    }
    return known.outlines
  }
  const wordsOf = (element: Element): string => {
    const node = pickedOf(element, 'click', config)?.nodes[0]
    return node ? readable(node, shownText(element)) : 'not captured'
  }
  const draw = (): void => {
    if (!isLabelling) return stage.outline([])
    const shown: Outline[] = panel ? panel.outlines() : knownNow()
    stage.outline(hovered && !panel ? [...shown, { element: hovered, as: 'picked', text: wordsOf(hovered) }] : shown)
  }
  const hover = (element: Element | null): void => {
    if (element === hovered) return
    hovered = element
    below = []
    draw()
  }

  const close = (): void => {
    panel?.close()
    panel = undefined
    hovered = null
    known.at = 0
    draw()
  }
  const pick = (element: Element): void => {
    close()
    // While it is made it asks for outlines, and there is no panel yet to say which.
    const opened = openPanel(
      { cairn, standing, config, leave: (next) => (next ? pick(next) : close()), changed: () => panel && draw() },
      element,
    )
    panel = opened
    const { left, width } = element.getBoundingClientRect()
    if (left + width / 2 > innerWidth / 2) panel.root.setAttribute('data-side', 'left')
    stage.all.append(panel.root)
    const first =
      panel.root.querySelector<HTMLElement>('input:checked') ?? panel.root.querySelector<HTMLElement>('.close')
    first?.focus({ preventScroll: true })
    draw()
  }

  const setLabelling = (wanted: boolean): void => {
    isLabelling = wanted
    stage.pane.hidden = !wanted
    bar.show(wanted)
    close()
  }
  const leave = (): void => {
    close()
    stopHearing()
    stage.close()
    end()
  }

  const onKey = (event: KeyboardEvent, isOurs: boolean): void => {
    if (!isLabelling) return
    const { key, type } = event
    const isDown = type === 'keydown'
    if (key === 'Escape') {
      swallow(event)
      if (isDown) panel ? close() : setLabelling(false)
    } else if (!isOurs && !panel && hovered && /^(Enter| |ArrowUp|ArrowDown)$/.test(key)) {
      swallow(event)
      if (isDown) act(key, hovered)
    }
  }
  /** Keys on the page: the arrows go out and back in, Enter picks. */
  const act = (key: string, element: Element): void => {
    if (key === 'ArrowUp') {
      const parent = parentOf(element)
      if (!parent || parent === document.documentElement) return
      hovered = parent
      below.push(element)
      draw()
    } else if (key === 'ArrowDown') {
      hovered = below.pop() ?? element
      draw()
    } else pick(element)
  }

  const stage = openStage(onKey)
  const bar = openBar(standing.environment, setLabelling, leave)
  stage.all.append(bar.root)
  listen(stage.pane, 'pointermove', (event: PointerEvent) => {
    if (panel) return
    const found = elementAt(event.clientX, event.clientY, stage.host)
    hover(found && meantBy(found))
  })
  listen(stage.pane, 'pointerleave', () => !panel && hover(null))
  listen(stage.pane, 'click', (event: MouseEvent) => {
    event.preventDefault()
    const found = elementAt(event.clientX, event.clientY, stage.host)
    if (found) pick(hovered && !panel && below.length ? hovered : meantBy(found))
  })
  const stopHearing = listen(window, 'focusin', (event: Event) => {
    const [focused] = event.composedPath()
    if (isLabelling && !panel && focused instanceof Element && focused !== stage.host) hover(focused)
  })
  setLabelling(true)
}

const swallow = (event: Event): void => {
  event.preventDefault()
  event.stopImmediatePropagation()
}
