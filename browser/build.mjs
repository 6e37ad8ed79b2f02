// Build what the collector serves: cairn/collect/static/ with gzip and brotli twins and a manifest of hashes and sizes.
// Fails when the capture script outgrows its budget.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { minify } from 'terser'

const BUDGET_BYTES = 8000 // gzip, for the script every page loads
const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const folder = process.env.CAIRN_SCRIPT_FOLDER ?? here('../cairn/collect/static')
const { version } = JSON.parse(readFileSync(here('package.json'), 'utf8'))

/** Each file with its entry. The runtime comes without and with snapshots, which few environments have. */
const FILES = {
  'core.js': { entry: 'main.ts' },
  'core-snapshots.js': { entry: 'main.ts', snapshots: true },
  'later.js': { entry: 'later.ts' },
  'loader.js': { entry: 'loader.ts' },
}

const bundle = async ({ entry, snapshots = false }) => {
  const { outputFiles } = await build({
    entryPoints: [here(`capture/${entry}`)],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2020',
    charset: 'utf8',
    legalComments: 'none',
    define: { __VERSION__: JSON.stringify(version), __SNAPSHOTS__: JSON.stringify(snapshots) },
  })
  const { code } = await minify(outputFiles[0].text, { ecma: 2020, compress: { passes: 3 }, mangle: { toplevel: true } })
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
  for (const [end, bytes] of [['', body], ['.gz', gzip], ['.br', brotli]]) writeFileSync(`${folder}/${name}${end}`, bytes)
  const sha256 = createHash('sha256').update(body).digest('hex')
  all.update(sha256)
  files[name] = { sha256, bytes: body.length, gzip: gzip.length, brotli: brotli.length }
}
// Named after its content: an address with this version may be cached for ever.
const release = `${version}-${all.digest('hex').slice(0, 12)}`
writeFileSync(`${folder}/manifest.json`, JSON.stringify({ version: release, budget: BUDGET_BYTES, files }, null, 1) + '\n')

console.table(files, ['bytes', 'gzip', 'brotli'])
const over = files['core.js'].gzip - BUDGET_BYTES
console.log(`heap.js ${files['core.js'].gzip} of ${BUDGET_BYTES} bytes gzip: ${over > 0 ? over + ' over' : -over + ' left'}`)
if (over > 0) process.exit(1)
