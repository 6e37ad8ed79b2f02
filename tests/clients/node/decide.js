// The Node SDK, unmodified, asked as an application asks it. Standard input, one JSON object:
// {url, accountId, sdkKey, withStorage, questions: [{key, context, track}]}. Prints one JSON array of answers.
// `esm` as an argument asks the package's ES modules instead of its CommonJS build.
const sdk = process.argv[2] === 'esm' ? import('vwo-fme-node-sdk') : require('vwo-fme-node-sdk')

class Storage {
  constructor() { this.records = new Map() }
  async get(featureKey, userId) { return this.records.get(`${featureKey}/${userId}`) || null }
  async set(data) { this.records.set(`${data.featureKey}/${data.userId || data.user}`, data) }
}

async function answer(client, storage, { key, context, track }) {
  if (track) return { tracked: (await client.trackEvent(track, context))[track] }
  const flag = await client.getFlag(key, context)
  const variables = Object.fromEntries(flag.getVariables().map((each) => [each.key, each.value]))
  const stored = storage ? await storage.get(key, context.id) : null
  return { enabled: flag.isEnabled(), variables, stored }
}

async function main() {
  const input = JSON.parse(require('fs').readFileSync(0, 'utf8'))
  const storage = input.withStorage ? new Storage() : undefined
  const { init } = await sdk
  const client = await init({
    accountId: input.accountId, sdkKey: input.sdkKey, gatewayService: { url: input.url },
    logger: { level: 'ERROR', transport: { log: (level, message) => process.stderr.write(`${message}\n`) } },
    ...(storage ? { storage } : {}),
  })
  const answers = []
  for (const question of input.questions) answers.push(await answer(client, storage, question))
  process.stdout.write(JSON.stringify(answers), () => process.exit(0))
}

main().catch((error) => { console.error(error); process.exit(1) })
