// Sends through the unmodified npm client heap-api. Arguments: base URL, app id. Prints one JSON line a call.
const [base, appId] = process.argv.slice(2)
const heapApi = require('heap-api')

// The client's base URL is fixed; a `_request` in the options is its one supported way to another server.
const own = heapApi.Client.prototype._request
const _request = function (options, callback) {
  return own.call(this, { ...options, url: options.url.replace('https://heapanalytics.com', base) }, callback)
}

async function main() {
  const heap = heapApi(appId, { _request })
  const calls = [
    ['track', 'order-shipped', 'a@x.test'],
    ['track', 'Purchase', 'a@x.test', { plan: 'pro', amount: 19.5, items: 3 }],
    ['track', 'login', 42],
    ['addUserProperties', 'a@x.test', { plan: 'pro', email: 'a@x.test' }],
    ['addUserProperties', 'a@x.test', {}],
    ['track', 'refused', 'undefined']
  ]
  for (const [method, ...rest] of calls) {
    try {
      console.log(JSON.stringify({ result: await heap[method](...rest) }))
    } catch (error) {
      console.log(JSON.stringify({ error: String(error.message) }))
    }
  }
  try {
    await heapApi('99', { _request }).track('unknown app', 'a@x.test')
    console.log(JSON.stringify({ result: true }))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message) }))
  }
}

main()
