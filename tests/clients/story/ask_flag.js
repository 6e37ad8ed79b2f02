// The Node SDK, unmodified, asked as an application asks it. One JSON argument:
// {url, accountId, sdkKey, key, contexts: [...], until: null | {index, enabled, timeoutMs}}. Prints one JSON line.
const { init } = require('vwo-fme-node-sdk')
const input = JSON.parse(process.argv[2])

async function ask(client, context) {
  const flag = await client.getFlag(input.key, context)
  const variables = Object.fromEntries(flag.getVariables().map((variable) => [variable.key, variable.value]))
  return { enabled: flag.isEnabled(), variables }
}

async function main() {
  const client = await init({
    accountId: input.accountId, sdkKey: input.sdkKey, gatewayService: { url: input.url }, logger: { level: 'ERROR' },
  })
  if (input.until) {
    const started = Date.now()
    while (Date.now() - started < input.until.timeoutMs) {
      const answer = await ask(client, input.contexts[input.until.index])
      if (answer.enabled === input.until.enabled) break
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }
  const answers = []
  for (const context of input.contexts) answers.push(await ask(client, context))
  console.log(JSON.stringify({ answers }))
  process.exit(0)
}

main().catch((error) => { console.error(error); process.exit(1) })
