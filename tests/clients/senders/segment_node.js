// Sends through the unmodified npm client @segment/analytics-node. Arguments: host, write key.
// Prints what the client said about each event.
const [host, writeKey] = process.argv.slice(2)
const { Analytics } = require('@segment/analytics-node')

async function main() {
  const analytics = new Analytics({ writeKey, host, maxRetries: 2 })
  const said = (context, what) => console.log(JSON.stringify({ event: context.event.event || context.event.type, what }))
  const done = (error, context) => said(context, error ? 'failed' : 'delivered')
  analytics.on('error', (error) => console.log(JSON.stringify({ error: error.code, reason: String(error.reason) })))

  analytics.identify({ userId: 'u1', anonymousId: 'an1', traits: { email: 'u1@x.test', plan: 'pro' } }, done)
  analytics.track(
    {
      userId: 'u1',
      event: 'Order Completed',
      properties: { revenue: 9.5, items: [{ sku: 'a' }], none: null, ship: { city: 'Oslo' } },
      integrations: { All: false, Heap: true }
    },
    done
  )
  analytics.track({ anonymousId: 'an2', event: 'Looked' }, done)
  analytics.track({ userId: 'u1', event: 'Too large', properties: { text: 'x'.repeat(40000) } }, done)
  analytics.page({ userId: 'u1', name: 'Home' }, done)
  analytics.track({ userId: 'u1', event: 'Not for Heap', integrations: { Heap: false } }, done)
  for (let n = 0; n < 40; n++) analytics.track({ userId: 'u1', event: 'Many', properties: { n } }, done)
  await analytics.closeAndFlush()
}

main()
