/** A button with `data-copy` copies that text, and says so for a moment. */

import { targetOf } from './event_target'

const SAID_MS = 1600

document.addEventListener('click', (event) => {
  const button = targetOf(event)?.closest<HTMLElement>('[data-copy]')
  if (button) void copy(button)
})

const copy = async (button: HTMLElement): Promise<void> => {
  const text = button.dataset.copy ?? ''
  let isDone = true
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    isDone = copyBySelection(text) // pages served without TLS have no clipboard
  }
  const label = (button.dataset.label ??= button.textContent ?? '')
  button.style.minWidth = `${button.offsetWidth}px`
  button.textContent = isDone ? 'Copied' : 'Select it'
  setTimeout(() => {
    button.textContent = label
  }, SAID_MS)
}

const copyBySelection = (text: string): boolean => {
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'visually-hidden'
  document.body.append(area)
  area.select()
  const isDone = document.execCommand('copy')
  area.remove()
  return isDone
}
