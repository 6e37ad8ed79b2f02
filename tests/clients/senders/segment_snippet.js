// The official snippet, rendered: `node segment_snippet.js <JSON of its options>`.
const snippet = require('@segment/snippet')
process.stdout.write(snippet.max(JSON.parse(process.argv[2])))
