// The Node SDK through everything it says to a gateway. Standard input: {url, values, isAliasingEnabled}.
// Prints {enabled: [per value], tracked, aliased}.
const { init } = require('../clients/node_modules/vwo-fme-node-sdk')

async function main() {
  const { account = 12345, url, key, values, withAlias, agent, address, event = 'purchase' } = JSON.parse(require('fs').readFileSync(0, 'utf8'))
  const client = await init({
    accountId: account, sdkKey: key, gatewayService: { url }, isAliasingEnabled: withAlias,
    shouldWaitForTrackingCalls: true,
    logger: { level: 'ERROR', transport: { log: (level, message) => process.stderr.write(`${message}\n`) } },
  })
  const enabled = []
  for (const value of values) {
    const asked = { id: 'u1', customVariables: { who: value }, userAgent: agent, ipAddress: address }
    enabled.push((await client.getFlag('f', asked)).isEnabled())
  }
  const context = { id: 'u1', userAgent: 'Firefox', ipAddress: '203.0.113.7' }
  const tracked = (await client.trackEvent(event, context, { amount: 12.5 }))[event]
  await client.setAttribute({ plan: 'pro', seats: 3 }, context)
  const aliased = withAlias ? await client.setAlias({ id: 'u1' }, 'visitor-1') : null
  if (withAlias) await client.getFlag('f', { id: 'visitor-1', customVariables: { who: values[0] } })
  process.stdout.write(JSON.stringify({ enabled, tracked, aliased }), () => process.exit(0))
}

main().catch((error) => { console.error(error); process.exit(1) })
