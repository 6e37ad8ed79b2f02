/** A form with a file says how far it is; without scripts it is an ordinary form. */

document.addEventListener('submit', (event) => {
  const form = event.target
  if (!(form instanceof HTMLFormElement) || form.dataset.upload === undefined) return
  event.preventDefault()
  send(form)
})

const send = (form: HTMLFormElement): void => {
  const bar = form.querySelector('progress')
  const status = form.querySelector('[role=status]')
  const button = form.querySelector('button')
  const say = (text: string): void => {
    if (status) status.textContent = text
  }
  const request = new XMLHttpRequest()
  request.open('POST', form.action)
  request.setRequestHeader('HX-Request', 'true') // the answer names the next page instead of leading there
  if (bar) bar.hidden = false
  if (button) button.disabled = true
  request.upload.addEventListener('progress', ({ loaded, total }) => {
    if (bar) bar.value = total ? loaded / total : 0
    say(loaded < total ? `${Math.floor((100 * loaded) / total)} %` : 'Reading the values…')
  })
  request.addEventListener('load', () => {
    const next = request.getResponseHeader('HX-Redirect')
    if (next) return location.assign(next)
    const answer = new DOMParser().parseFromString(request.responseText, 'text/html').querySelector('#main')
    if (answer) document.querySelector('#main')?.replaceWith(answer)
    document.querySelector<HTMLElement>('[data-refused]')?.focus()
  })
  request.addEventListener('error', () => {
    if (bar) bar.hidden = true
    if (button) button.disabled = false
    say('The server does not answer. Nothing was changed; send it again in a moment.')
  })
  request.send(new FormData(form))
}

export {}
