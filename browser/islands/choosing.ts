/** Forms that are sent, or drawn again, as soon as something is chosen. Without this there is a button. */

import { targetOf } from './event_target'

document.addEventListener('change', (event) => {
  const target = targetOf(event)
  const form = target?.closest('form')
  if (!target || !form) return
  if (form.matches('[data-switch]') || (form.matches('[data-auto]') && target.matches('select'))) {
    return form.requestSubmit()
  }
  // What a row consists of depends on some of its choices: the server draws it again.
  const again = target.matches('select.refresh') && form.querySelector<HTMLElement>('[data-refresh]')
  if (again) form.requestSubmit(again)
})
