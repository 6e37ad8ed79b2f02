// npm heap-api, unmodified. Its address is fixed; `_request` in the options is its one way to another server
// (contracts/heap.md section 3, way 1). Arguments: base URL, app id, calls as JSON.
const heapApi = require('heap-api')
const [base, appId, calls] = process.argv.slice(2)
const own = heapApi.Client.prototype._request
const heap = heapApi(appId, {
  _request(options, callback) {
    return own.call(this, { ...options, url: options.url.replace('https://heapanalytics.com', base) }, callback)
  },
})

async function main() {
  for (const [method, ...rest] of JSON.parse(calls)) await heap[method](...rest)
}

main().catch((error) => { console.error(error); process.exit(1) })
