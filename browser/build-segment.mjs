// What analytics.js loads from us: its own files as their package has them, and our two Heap destinations for it.

import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
// Tests serve the files of older releases too.
const PACKAGE = process.env.CAIRN_ANALYTICS_NEXT ?? here('node_modules/@segment/analytics-next')
const OURS = { 'heap.js': 'segment/classic.ts', 'heap-web.js': 'segment/actions.ts' }

const bundle = async (entry) => {
  const { outputFiles } = await build({
    entryPoints: [here(entry)],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2020',
    charset: 'utf8',
    legalComments: 'none',
  })
  return Buffer.from(outputFiles[0].text)
}

/** Write `segment/` into the folder of what the collector serves, with twins and a manifest of hashes. */
export const buildSegment = async (folder) => {
  const target = `${folder}/segment`
  const umd = `${PACKAGE}/dist/umd`
  mkdirSync(`${target}/bundles`, { recursive: true })
  const bodies = {}
  for (const [name, entry] of Object.entries(OURS)) bodies[name] = await bundle(entry)
  for (const name of readdirSync(umd))
    if (name.endsWith('.js')) bodies[`bundles/${name}`] = readFileSync(`${umd}/${name}`)
  const files = {}
  for (const [name, body] of Object.entries(bodies)) {
    writeFileSync(`${target}/${name}`, body)
    writeFileSync(`${target}/${name}.gz`, gzipSync(body, { level: 9 }))
    writeFileSync(
      `${target}/${name}.br`,
      brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
    )
    files[name] = { sha256: createHash('sha256').update(body).digest('hex') }
  }
  const { version } = JSON.parse(readFileSync(`${PACKAGE}/package.json`, 'utf8'))
  writeFileSync(`${target}/LICENSE`, readFileSync(`${PACKAGE}/LICENSE.MD`))
  writeFileSync(`${target}/manifest.json`, JSON.stringify({ version, files }, null, 1) + '\n')
}
