// The engine that decides in Segment's Actions which mappings take an event, unmodified. Reads an array of
// [subscription, event] pairs from standard input and prints an array of what it decides; null: it cannot read it.
const { parseFql, validate } = require('@segment/destination-subscriptions')

const pairs = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const decide = (text, event) => {
  const parsed = parseFql(text)
  return parsed.error ? null : validate(parsed, event)
}
process.stdout.write(JSON.stringify(pairs.map(([text, event]) => decide(text, event))))
