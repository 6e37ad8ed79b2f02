// Measures the loop: the sender's 200 for a property that makes a user a member, until the flag SDK says enabled.
// Input: one JSON argument {url, flagsUrl, flag, appId, accountId, sdkKey, users, modules}; flagsUrl: where flags are asked. Output: JSON lines.
const http = require('node:http')
const input = JSON.parse(process.argv[2])
const { init } = require(`${input.modules}/vwo-fme-node-sdk`)

const agent = new http.Agent({ keepAlive: true })

function post(path, body) {
  const payload = JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const request = http.request(input.url + path, {
      method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
    }, (response) => { response.resume(); response.on('end', () => resolve(response.statusCode)) })
    request.on('error', reject)
    request.end(payload)
  })
}

async function main() {
  const client = await init({
    accountId: input.accountId, sdkKey: input.sdkKey, gatewayService: { url: input.flagsUrl }, logger: { level: 'ERROR' },
  })
  for (let number = 0; number < input.users; number++) {
    const identity = `bench-${input.run}-${number}@shop.test`
    const context = { id: identity, customVariables: { your_custom_variable: identity } }
    const before = await client.getFlag(input.flag, context)
    if (before.isEnabled()) throw new Error(`${identity} is a member before it did anything`)
    const status = await post('/api/add_user_properties', {
      app_id: input.appId, identity, properties: { plan: 'premium' },
    })
    if (status !== 200) throw new Error(`the sender got ${status}`)
    const acknowledged = process.hrtime.bigint()
    let asked = 0
    for (;;) {
      asked++
      const flag = await client.getFlag(input.flag, context)
      const waited = Number(process.hrtime.bigint() - acknowledged) / 1e6
      if (flag.isEnabled()) { console.log(JSON.stringify({ ms: waited, asked })); break }
      if (waited > 30000) { console.log(JSON.stringify({ ms: waited, asked, failed: true })); break }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    // not in step with any timer of ours
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 100))
  }
  process.exit(0)
}

main().catch((error) => { console.error(error); process.exit(1) })
