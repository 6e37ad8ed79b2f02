// Build what the collector serves: cairn/collect/static/ with gzip and brotli twins and a manifest of hashes and sizes.
// Fails when a file outgrows its budget.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { minify } from 'terser'
import { buildSegment } from './build-segment.mjs'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const folder = process.env.CAIRN_SCRIPT_FOLDER ?? here('../cairn/collect/static')
const { version } = JSON.parse(readFileSync(here('package.json'), 'utf8'))

/**
 * Each file with its entry and its budget in bytes of gzip. The runtime comes without and with what rules of an
 * environment need, which few have: lists of pages, and snapshots. Only members who label load the labeller.
 */
const FILES = {
  'core.js': { entry: 'capture/main.ts', budget: 8192 },
  'core-rules.js': { entry: 'capture/main.ts', rules: true, budget: 9216 },
  'later.js': { entry: 'capture/later.ts', budget: 4096 },
  'loader.js': { entry: 'capture/loader.ts', budget: 768 },
  'labeller.js': { entry: 'labeller/main.ts', budget: 14_336 },
}

/**
 * Members that only our own files use end in an underscore and get short names. No page, no wire format, no cookie and
 * no browser interface has such names, so a new member needs no entry anywhere.
 */
const INTERNAL = /_$/
const nameCache = {}

const bundle = async ({ entry, rules = false }) => {
  const { outputFiles } = await build({
    entryPoints: [here(entry)],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2020',
    charset: 'utf8',
    legalComments: 'none',
    tsconfigRaw: { compilerOptions: { alwaysStrict: false } }, // spares the prologue
    define: { __VERSION__: JSON.stringify(version), __RULES__: JSON.stringify(rules) },
  })
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2020,
    // Without sequences: gzip packs statements better than commas.
    compress: { passes: 3, sequences: false, pure_getters: true, unsafe: true },
    mangle: { toplevel: true, properties: { regex: INTERNAL } },
    nameCache, // the late script speaks with the runtime by these names
  })
  return Buffer.from(code)
}

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const files = {}
const all = createHash('sha256')
for (const [name, file] of Object.entries(FILES)) {
  const body = await bundle(file)
  const gzip = gzipSync(body, { level: 9 })
  const brotli = brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } })
  for (const [end, bytes] of [
    ['', body],
    ['.gz', gzip],
    ['.br', brotli],
  ])
    writeFileSync(`${folder}/${name}${end}`, bytes)
  const sha256 = createHash('sha256').update(body).digest('hex')
  all.update(sha256)
  files[name] = { sha256, bytes: body.length, gzip: gzip.length, brotli: brotli.length, budget: file.budget }
}
// Named after its content: an address with this version may be cached for ever.
const release = `${version}-${all.digest('hex').slice(0, 12)}`
writeFileSync(`${folder}/manifest.json`, JSON.stringify({ version: release, files }, null, 1) + '\n')

await buildSegment(folder)

console.table(files, ['bytes', 'gzip', 'brotli', 'budget'])
for (const [name, { gzip, budget }] of Object.entries(files)) {
  if (gzip <= budget) continue
  console.error(`${name} has ${gzip} bytes gzip, ${gzip - budget} over its budget of ${budget}`)
  process.exitCode = 1
}
