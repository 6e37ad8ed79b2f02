// npm heap-api, unmodified. Its address is fixed, so the application passes `_request` (contracts/heap.md section 3, way 1).
const request = require('request')
const heap = require('heap-api')(process.argv[3], {
  _request: (options, callback) => request({ ...options, url: options.url || options.uri, baseUrl: undefined, ...rewritten(options) }, callback),
})
const input = JSON.parse(process.argv[4])

function rewritten(options) {
  const url = new URL(options.url || options.uri)
  return { url: process.argv[2] + url.pathname, uri: undefined }
}

async function main() {
  for (const [method, ...args] of input) await heap[method](...args)
}

main().catch((error) => { console.error(error); process.exit(1) })
