// Heap's v5 snippet, to the contract: an array, stubs that queue on heapReadyCb, and one script tag.
window.heapReadyCb = window.heapReadyCb || []
window.heap = window.heap || []
heap.load = function (envId, clientConfig) {
  heap.envId = envId
  heap.clientConfig = clientConfig = clientConfig || {}
  heap.clientConfig.shouldFetchServerConfig = false
  const script = document.createElement('script')
  script.async = true
  script.nonce = document.currentScript.nonce
  // This shop stands where people are signed in to Cairn, so the functions that customers write stay out.
  script.src = '/config/' + envId + '/heap_config.js?functions=none'
  const first = document.getElementsByTagName('script')[0]
  first.parentNode.insertBefore(script, first)
  for (const name of METHODS) {
    heap[name] = function (...given) {
      heapReadyCb.push({ name, fn: () => heap[name] && heap[name](...given) })
    }
  }
}
heap.load(APP_ID)
