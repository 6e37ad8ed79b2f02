// npm @segment/analytics-node, unmodified.
const { Analytics } = require('@segment/analytics-node')
const analytics = new Analytics({ writeKey: process.argv[3], host: process.argv[2] })

async function main() {
  analytics.on('error', (error) => { console.error(error); process.exitCode = 1 })
  for (const [method, body] of JSON.parse(process.argv[4])) analytics[method](body)
  await analytics.closeAndFlush({ timeout: 10000 })
}

main().catch((error) => { console.error(error); process.exit(1) })
