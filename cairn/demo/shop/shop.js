// The shop: pages drawn by their path, a cart in this tab, and the few calls a shop's developer would make.

const base = document.body.dataset.base
const main = document.getElementById('main')

const PRODUCTS = [
  ['walking-boots', 'Walking boots', 129.5, 'Broken in before you are. Waxed leather, resoled for free.', 'M18 14v24h6l6 6h14v-8L32 30V14z M18 44h26'],
  ['rain-jacket', 'Rain jacket', 89, 'Three layers, two pockets, one cord. Packs into its own hood.', 'M26 12h12l10 8-4 8-4-2v22H24V26l-4 2-4-8z M32 12v36'],
  ['map-case', 'Map case', 24.9, 'Clear on both sides, and it floats when you drop it in the lake.', 'M14 18l12-4 12 4 12-4v28l-12 4-12-4-12 4z M26 14v28 M38 18v28'],
  ['head-torch', 'Head torch', 39.9, 'Eighty metres of light, forty hours long, and no app.', 'M32 22a8 8 0 1 1 0 16 8 8 0 1 1 0-16 M12 30h12 M40 30h12 M32 8v6 M32 46v6'],
  ['tent', 'Tent', 319, 'For two people, or one person and every drop of rain in Norway.', 'M8 46 32 12l24 34z M32 12v34 M24 46l8-14 8 14'],
].map(([key, name, price, text, picture]) => ({ key, name, price, text, picture }))

// What people typed never becomes markup: elements are made one by one.
const make = (tag, given = {}, ...inside) => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value !== false) element.setAttribute(name, value === true ? '' : value)
  }
  element.append(...inside)
  return element
}

const picture = (product) => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('viewBox', '0 0 64 60')
  svg.setAttribute('class', 'picture')
  svg.setAttribute('aria-hidden', 'true')
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path')
  path.setAttribute('d', product.picture)
  svg.append(path)
  return svg
}

const money = (amount) => amount.toFixed(2) + ' €'
const link = (path, given, ...inside) => make('a', { href: base + path, 'data-link': true, ...given }, ...inside)
const field = (label, given) => make('label', {}, label, make('input', { required: true, ...given }))

const read = (name, otherwise) => JSON.parse(sessionStorage.getItem('shop-' + name) ?? 'null') ?? otherwise
const write = (name, value) => sessionStorage.setItem('shop-' + name, JSON.stringify(value))
const cart = () => read('cart', [])
const inCart = () => cart().map((key) => PRODUCTS.find((product) => product.key === key)).filter(Boolean)
const total = () => Math.round(inCart().reduce((sum, product) => sum + product.price, 0) * 100) / 100

const home = () => [
  make('h1', {}, 'Everything for the trail'),
  make('p', { class: 'lead' }, 'Five things we would carry ourselves. Look around: every click shows in Live.'),
  make('div', { class: 'grid' }, ...PRODUCTS.map((product) =>
    link('/product/' + product.key, { class: 'product', 'data-product': product.key },
      picture(product), make('b', {}, product.name), make('span', { class: 'price' }, money(product.price))))),
]

const productPage = (key) => {
  const product = PRODUCTS.find((one) => one.key === key)
  if (!product) return missing()
  heap.track('Product Viewed', { product: product.name, price: product.price })
  const add = () => {
    write('cart', [...cart(), product.key])
    heap.track('Added to Cart', { product: product.name, price: product.price })
    show()
    said.textContent = product.name + ' is in your cart.'
  }
  const said = make('p', { role: 'status' })
  return [make('div', { class: 'split' }, picture(product), make('div', {},
    make('h1', {}, product.name),
    make('p', { class: 'price' }, money(product.price)),
    make('p', {}, product.text),
    make('button', { class: 'add', type: 'button', 'data-product': product.key, onclick: add }, 'Add to cart'),
    said))]
}

const cartPage = () => {
  const products = inCart()
  if (!products.length) {
    return [make('h1', {}, 'Your cart is empty'), make('p', { class: 'lead' }, 'The trail is long.'), link('/', { class: 'button' }, 'Look around')]
  }
  const remove = (place) => {
    write('cart', cart().filter((_, index) => index !== place))
    draw()
  }
  return [
    make('h1', {}, 'Your cart'),
    make('table', {}, make('tbody', {}, ...products.map((product, place) => make('tr', {},
      make('td', {}, link('/product/' + product.key, {}, product.name)),
      make('td', { class: 'number' }, money(product.price)),
      make('td', { class: 'number' }, make('button', { class: 'quiet', type: 'button', onclick: () => remove(place) }, 'Remove')))),
    make('tr', {}, make('th', {}, 'Together'), make('td', { class: 'number' }, money(total())), make('td')))),
    link('/checkout', { class: 'button checkout' }, 'Check out'),
  ]
}

const checkout = () => {
  if (!inCart().length) return cartPage()
  heap.track('Checkout Started', { total: total() })
  const order = (event) => {
    event.preventDefault()
    heap.track('Order Completed', { total: total(), items: cart().length })
    write('cart', [])
    go('/thanks')
  }
  return [
    make('h1', {}, 'Check out'),
    make('p', { class: 'note' }, 'Type what you like. That a field changed is captured, what you typed is not, and on the card field nothing is.'),
    make('form', { class: 'checkout', onsubmit: order },
      field('Name', { name: 'name', autocomplete: 'off' }),
      field('Address', { name: 'address', autocomplete: 'off' }),
      make('label', {}, 'Delivery', make('select', { name: 'delivery' },
        make('option', {}, 'Standard'), make('option', {}, 'Express'), make('option', {}, 'Carrier pigeon'))),
      field('Card number', { name: 'card-number', autocomplete: 'cc-number', inputmode: 'numeric', required: false }),
      make('label', { class: 'row' }, make('input', { type: 'checkbox', name: 'gift' }), 'It is a gift'),
      make('button', {}, 'Order for ' + money(total()))),
  ]
}

const signIn = () => {
  const known = read('who', null)
  const enter = (event) => {
    event.preventDefault()
    const { email, plan } = Object.fromEntries(new FormData(event.target))
    heap.identify(email)
    heap.addUserProperties({ email, plan })
    write('who', email)
    go('/')
  }
  const leave = () => {
    heap.resetIdentity()
    sessionStorage.removeItem('shop-who')
    draw()
  }
  if (known) return [make('h1', {}, 'You are ' + known), make('button', { type: 'button', onclick: leave }, 'Sign out')]
  return [
    make('h1', {}, 'Sign in'),
    make('p', { class: 'lead' }, 'Any address will do. What you did so far becomes this user’s, and premium switches the flag.'),
    make('form', { class: 'sign-in', onsubmit: enter },
      field('E-mail', { name: 'email', type: 'email', placeholder: 'you@shop.test', autocomplete: 'off' }),
      field('Password', { name: 'password', type: 'password', required: false, autocomplete: 'off' }),
      make('label', {}, 'Plan', make('select', { name: 'plan' },
        make('option', {}, 'free'), make('option', {}, 'pro'), make('option', {}, 'premium'))),
      make('button', {}, 'Sign in')),
  ]
}

const thanks = () => [
  make('h1', {}, 'Thank you'),
  make('p', { class: 'lead' }, 'Two orders in a month, and you are an active buyer. Watch the segment.'),
  link('/', { class: 'button' }, 'Once more'),
]
const about = () => [
  make('h1', {}, 'About us'),
  make('p', { class: 'lead' }, 'Trailhead does not exist. This page was loaded whole; the others only change what you see. Cairn captures both as page views.'),
]
const missing = () => [make('h1', {}, 'No such page'), link('/', { class: 'button' }, 'Back to the shop')]

const PAGES = { '': home, cart: cartPage, checkout, 'sign-in': signIn, thanks, about }

const show = () => {
  document.getElementById('count').textContent = cart().length
  document.getElementById('who').textContent = read('who', null) ?? 'Sign in'
}

const draw = () => {
  const [name, key] = location.pathname.slice(base.length + 1).split('/')
  const page = name === 'product' ? () => productPage(key) : PAGES[name] ?? missing
  main.replaceChildren(...page())
  document.title = (main.querySelector('h1')?.textContent ?? 'Shop') + ' · Trailhead'
  for (const each of document.querySelectorAll('nav a')) {
    each.toggleAttribute('aria-current', each.getAttribute('href') === location.pathname)
  }
  show()
}

const go = (path) => {
  history.pushState(null, '', base + path)
  draw()
  scrollTo(0, 0)
}

document.addEventListener('click', (event) => {
  const clicked = event.target.closest('a[data-link]')
  if (!clicked || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return
  event.preventDefault()
  go(clicked.getAttribute('href').slice(base.length))
})
addEventListener('popstate', draw)
draw()
