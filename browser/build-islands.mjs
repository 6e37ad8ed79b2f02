// Build the scripts of our own pages: one that every page loads, and one for each custom element, loaded where it is used.

import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

await build({
  entryPoints: ['app', 'live'].map((name) => here(`islands/${name}.ts`)),
  outdir: here('../cairn/web/static/built'),
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
})
