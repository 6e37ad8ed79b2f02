/** `/` leads to the search field, `g` and a letter to a page; Escape closes, and leaves a field. */

import { closeOpen } from './asking'
import { targetOf } from './event_target'

const GO_MS = 1500 // for the letter after `g`
const FIELDS = 'input:not([type=checkbox]), textarea, select, [contenteditable]'

let goingSince = 0

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') return leave()
  if (targetOf(event)?.matches(FIELDS) || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === '/') {
    const search = document.querySelector<HTMLInputElement>('input[type=search]')
    if (!search) return
    event.preventDefault()
    search.focus()
    search.select()
  } else if (event.key === 'g') {
    goingSince = Date.now()
  } else if (Date.now() - goingSince < GO_MS) {
    goingSince = 0
    document.querySelector<HTMLElement>(`a[data-go="${CSS.escape(event.key)}"]`)?.click()
  }
})

const leave = (): void => {
  const focused = document.activeElement
  if (!closeOpen() && focused instanceof HTMLElement && focused.matches('input, textarea')) focused.blur()
}
