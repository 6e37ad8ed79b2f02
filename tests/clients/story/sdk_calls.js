// The Node SDK, unmodified, through some calls in order. One JSON argument: {url, accountId, sdkKey, calls},
// each call ["flag", key, user], ["set", user, properties] or ["track", event, user]. Prints one JSON line of answers.
const { init } = require('vwo-fme-node-sdk')
const input = JSON.parse(process.argv[2])

async function main() {
  const client = await init({
    accountId: input.accountId, sdkKey: input.sdkKey, gatewayService: { url: input.url }, logger: { level: 'ERROR' },
    shouldWaitForTrackingCalls: true,
  })
  const does = {
    flag: async (key, id) => (await client.getFlag(key, { id })).isEnabled(),
    set: async (id, properties) => { await client.setAttribute(properties, { id }); return true },
    track: async (event, id) => (await client.trackEvent(event, { id }))[event],
  }
  const answers = []
  for (const [name, ...rest] of input.calls) answers.push(await does[name](...rest))
  console.log(JSON.stringify({ answers }))
  process.exit(0)
}

main().catch((error) => { console.error(error); process.exit(1) })
