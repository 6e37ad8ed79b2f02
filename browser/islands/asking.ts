/** Confirmations are `details.ask`: one is open at a time; Escape, its own buttons and a click elsewhere close it. */

import { targetOf } from './event_target'

const OPEN = 'details.ask[open]'

document.addEventListener('click', (event) => {
  const target = targetOf(event)
  if (target?.closest('[data-close]')) return close(target)
  const clicked = target?.closest('details.ask')
  for (const open of document.querySelectorAll<HTMLDetailsElement>(OPEN)) if (open !== clicked) open.open = false
})

/** Whether there was one to close. */
export const closeOpen = (): boolean => {
  const open = document.querySelector(OPEN)
  if (open) close(open)
  return Boolean(open)
}

const close = (element: Element): void => {
  const ask = element.closest<HTMLDetailsElement>('details.ask')
  if (!ask) return
  ask.open = false
  ask.querySelector('summary')?.focus()
}
