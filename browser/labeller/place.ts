// Whether it counts on some pages only: the page's path, or its hash where that routes.

import { maskUrl } from '../capture/privacy'
import type { Test } from './cairn'
import { make } from './stage'

export interface Place {
  root: HTMLElement
  /** Undefined: everywhere. */
  test(): Test | undefined
}

/** Where the page is, as captured. */
const placeHere = (): Test =>
  /^#!?\//.test(location.hash)
    ? { key: 'hash', operator: 'is', value: maskUrl(location.hash) }
    : { key: 'path', operator: 'is', value: maskUrl(location.pathname) }

export const openPlace = (changed: () => void): Place => {
  const here = placeHere()
  const only = make('input', {
    type: 'checkbox',
    change: () => {
      more.hidden = !only.checked
      changed()
    },
  })
  const how = make(
    'select',
    { class: 'input', 'aria-label': 'How it is compared', change: changed },
    make('option', { value: 'is' }, 'is'),
    make('option', { value: 'starts_with' }, 'starts with'),
  ) // prettier-ignore
  const value = make('input', {
    class: 'input',
    'aria-label': here.key,
    value: here.value,
    spellcheck: 'false',
    change: changed,
  })
  const more = make('div', { class: 'place', hidden: true }, how, value)
  return {
    root: make('div', {}, make('label', { class: 'row' }, only, `Only on pages whose ${here.key}`), more),
    test: () => (only.checked ? { key: here.key, operator: how.value, value: value.value } : undefined),
  }
}
