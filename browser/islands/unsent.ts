/** An answer that is not the form again (403, 404, 5xx, signed out) leaves the form as it is, with the reason above it. */

/** Of htmx's events, what is used here. */
interface Context {
  response: Response
  select?: string
  sourceElement: Element
  text: string
}

const RESTARTING =
  'Cairn’s pages are restarting. Nothing was saved, and what you typed is kept: send it again in a moment.'
const UNANSWERED = 'The server does not answer. Nothing was saved, and what you typed is kept.'

const contextOf = (event: Event): Context | undefined => (event as CustomEvent<{ ctx?: Context }>).detail.ctx

document.addEventListener('htmx:after:request', (event) => {
  const { response, select, sourceElement, text } = contextOf(event) as Context
  if (response.status < 400 || !select) return
  const answer = new DOMParser().parseFromString(text, 'text/html')
  if (answer.querySelector(select)) return
  event.preventDefault()
  if (!(sourceElement instanceof HTMLFormElement)) return
  if (response.headers.get('X-Send-Whole')) return HTMLFormElement.prototype.submit.call(sourceElement)
  const main = answer.querySelector('#main')
  if (sourceElement.id !== 'editor' && main) return document.querySelector('#main')?.replaceWith(main)
  say(sourceElement, answer.querySelector('[data-error]')?.textContent?.trim() || reasonOf(response.status))
})

document.addEventListener('htmx:error', (event) => {
  const form = contextOf(event)?.sourceElement
  if (form instanceof HTMLFormElement) say(form, UNANSWERED)
})

const reasonOf = (status: number): string =>
  status === 503 ? RESTARTING : `It was not saved (status ${status}); send it again in a moment.`

const say = (form: HTMLFormElement, reason: string): void => {
  const message = form.querySelector<HTMLElement>('[data-unsent]') ?? document.createElement('p')
  Object.assign(message, { className: 'alert', tabIndex: -1, textContent: reason })
  Object.assign(message.dataset, { state: 'bad', unsent: '' })
  message.setAttribute('role', 'alert')
  form.prepend(message)
  message.focus()
}
