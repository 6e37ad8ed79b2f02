// The filter engine inside the browser client that Cairn serves, unmodified. Reads from standard input an array of [ir, event] pairs and prints an
// array of what it decides; or, with the argument "rules", pairs of [routing rules, event], and what is left of each event.
globalThis.self = globalThis // what a page has
const { matches, transform } = require('../../../browser/node_modules/@segment/analytics-next/dist/cjs/vendor/tsub/tsub.js')
const fs = require('fs')

const pairs = JSON.parse(fs.readFileSync(0, 'utf8'))
const decide = (ir, event) => matches(event, { type: 'fql', ir: JSON.stringify(ir) })

// As the client's middleware applies the rules of a destination.
function applied(rules, event) {
  let left = event
  for (const rule of rules) {
    rule.matchers.forEach((matcher, at) => {
      if (left !== null && matches(left, matcher)) left = transform(left, rule.transformers[at])
    })
  }
  return left
}

const work = process.argv[2] === 'rules' ? applied : decide
process.stdout.write(JSON.stringify(pairs.map(([what, event]) => work(what, event))))
