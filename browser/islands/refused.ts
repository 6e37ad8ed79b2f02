/** A form that was refused: its first wrong control takes the focus, and with it the message that describes it is read out. */

// A row that is wrong as a whole has no control of its own: then its first one.
const WRONG = ['[aria-invalid=true]', '[data-wrong] :is(input, select, textarea):not([type=hidden])', '[data-refused]']

let isSent = false // what htmx fetches by itself, such as a count, moves nobody's cursor

const focusWrong = (): void => {
  for (const selector of WRONG) {
    const wrong = document.querySelector<HTMLElement>(selector)
    if (wrong) return wrong.focus()
  }
}

document.addEventListener('submit', () => {
  isSent = true
})
document.addEventListener('htmx:after:swap', () => {
  if (isSent) focusWrong()
  isSent = false
})
focusWrong()

export {}
