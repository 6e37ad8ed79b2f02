// Name and category of the event to be.

import { make } from './stage'

const LONGEST = '100' // characters, as Cairn keeps

export interface Naming {
  root: HTMLElement
  name(): string
  category(): string
  /** A name to start from; whatever the person typed stays. */
  offer(name: string): void
  /** Says at its field what is wrong; false when it has no such field. Without a field: all is well. */
  complain(field?: string, message?: string): boolean
}

export const openNaming = (categories: string[]): Naming => {
  let isOwn = false
  const name = make('input', {
    class: 'input',
    name: 'name',
    maxlength: LONGEST,
    autocomplete: 'off',
    input: () => (isOwn = true),
  })
  const category = make('input', {
    class: 'input',
    name: 'category',
    maxlength: LONGEST,
    autocomplete: 'off',
    list: 'categories',
    placeholder: 'None',
  })
  const wrong = make('p', { class: 'error', role: 'alert', hidden: true })
  const known = make('datalist', { id: 'categories' }, ...categories.map((value) => make('option', { value })))
  const field = (label: string, input: HTMLElement): HTMLElement =>
    make('label', { class: 'field' }, make('span', {}, label), input)
  return {
    root: make(
      'div',
      {},
      make('div', { class: 'pair' }, field('Name', name), field('Category', category)),
      wrong,
      known,
    ),
    name: () => name.value,
    category: () => category.value,
    offer: (text) => {
      if (!isOwn) name.value = text
    },
    complain: (at = '', message = '') => {
      const input = [name, category].find((one) => one.name === at)
      for (const one of [name, category]) one.setAttribute('aria-invalid', String(one === input))
      wrong.hidden = !input
      wrong.textContent = message
      input?.focus()
      return !!input
    },
  }
}
