// The bar at the foot of the page: which environment, whether clicks label or go to the page, and the way out.

import { make, mark, openStage } from './stage'

export interface Bar {
  root: HTMLElement
  show(isLabelling: boolean): void
}

export const openBar = (environment: string, set: (isLabelling: boolean) => void, leave: () => void): Bar => {
  const says = make('p', { role: 'status' })
  const label = make('button', { type: 'button', click: () => set(true) }, 'Label')
  const browse = make('button', { type: 'button', click: () => set(false) }, 'Browse')
  const done = make('button', { class: 'button', type: 'button', click: leave }, 'Done')
  const tabs = make('div', { class: 'tabs', role: 'group', 'aria-label': 'What clicks do' }, label, browse)
  return {
    root: make('section', { class: 'bar', 'aria-label': 'Cairn labeller' }, mark(), says, tabs, done),
    show: (isLabelling) => {
      label.setAttribute('aria-pressed', String(isLabelling))
      browse.setAttribute('aria-pressed', String(!isLabelling))
      says.replaceChildren(isLabelling ? 'Pick an element of ' : 'Use the page as usual · ', make('b', {}, environment))
    },
  }
}

/** Why it does not start: said in the page, because it was asked for there. */
export const showNotice = (text: string): void => {
  const stage = openStage(() => undefined)
  const close = make('button', { class: 'button', type: 'button', click: () => stage.close() }, 'Close')
  stage.all.append(make('section', { class: 'bar', role: 'alert' }, mark(), make('p', {}, text), close))
}
