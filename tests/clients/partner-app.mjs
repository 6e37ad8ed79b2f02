// A partner app as a third party would write it, from the public contract alone: OAuth with state and PKCE, the metadata
// call, and a receiver of signed segment webhooks that keeps each segment's members from deltas. No dependencies.
//
// Prints {"port": …} and reads its configuration as one line of JSON: {heap, clientId, clientSecret, webhookSecret}.

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'

const OLDEST_MS = 60_000
const FUTURE_MS = 1_000

let config = null
const windows = new Map() // state -> code verifier, of windows that are open
const customers = new Map() // id token -> what the metadata call said, and the segments received

const base64url = (bytes) => bytes.toString('base64url')
const here = (request) => `http://${request.headers.host}`

const json = (response, status, body) => {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

const page = (response, status, text) => {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' })
  response.end(`<!doctype html><title>Partner</title><h1>${text}</h1>`)
}

const bodyOf = async (request) => {
  const parts = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts)
}

function authorizeAddress(request) {
  const state = base64url(randomBytes(24))
  const verifier = base64url(randomBytes(48))
  windows.set(state, verifier)
  const challenge = base64url(createHash('sha256').update(verifier).digest())
  const query = new URLSearchParams({
    client_id: config.clientId,
    state,
    response_type: 'code',
    redirect_uri: `${here(request)}/callback`,
    scope: 'segment',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })
  return `${config.heap}/api/partner/oauth/authorize?${query}`
}

async function callback(request, response, url) {
  const state = url.searchParams.get('state')
  const verifier = windows.get(state)
  if (!verifier) return page(response, 400, 'This window was not opened here')
  windows.delete(state)
  const error = url.searchParams.get('error')
  if (error) return page(response, 200, `Not connected: ${error}`)
  const exchanged = await fetch(`${config.heap}/api/partner/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      grant_type: 'authorization_code',
      code: url.searchParams.get('code'),
      redirect_uri: `${here(request)}/callback`,
      client_id: config.clientId,
      client_secret: config.clientSecret,
      code_verifier: verifier,
    }),
  })
  const token = await exchanged.json()
  if (!exchanged.ok) return page(response, 502, `No token: ${token.error}`)
  const metadata = await fetch(`${config.heap}/api/partner/v1/metadata/${token.id_token}`, {
    headers: { authorization: `Bearer ${token.access_token}` },
  })
  const known = customers.get(token.id_token)
  customers.set(token.id_token, {
    tokenType: token.token_type,
    accessToken: token.access_token,
    metadata: await metadata.json(),
    segments: known?.segments ?? new Map(),
  })
  page(response, 200, 'Connected')
}

function isSigned(header, body, now) {
  const match = /^ts:(\d+),hmac:([A-Za-z0-9+/=]+)$/.exec(header ?? '')
  if (!match) return false
  const [, ts, given] = match
  const expected = createHmac('sha256', config.webhookSecret).update(ts).update(body).digest()
  const sent = Buffer.from(given, 'base64')
  if (sent.length !== expected.length || !timingSafeEqual(sent, expected)) return false
  return now - Number(ts) <= OLDEST_MS && Number(ts) - now <= FUTURE_MS
}

async function webhook(request, response) {
  const body = await bodyOf(request)
  if (!isSigned(request.headers['heap-hash'], body, Date.now())) return json(response, 403, { error: 'Invalid signature' })
  const { id_token, action_type, data } = JSON.parse(body)
  const customer = customers.get(id_token)
  if (!customer) return json(response, 403, { error: 'Unknown id_token' })
  if (action_type !== 'segment.users.sync') return json(response, 400, { error: 'Unknown action_type' })
  const { segment, sync_info: sync, add, remove } = data
  const kept = customer.segments.get(segment.id) ?? { members: new Set(), pages: new Set(), tasks: new Set() }
  const seen = `${sync.sync_task_id}/${sync.page_number}`
  if (!kept.pages.has(seen)) {
    for (const { id } of remove) kept.members.delete(id)
    for (const { id } of add) kept.members.add(id)
    kept.pages.add(seen)
  }
  kept.tasks.add(sync.sync_task_id)
  kept.name = segment.name
  customer.segments.set(segment.id, kept)
  json(response, 200, { ok: true })
}

const state = () =>
  [...customers].map(([idToken, { segments, ...customer }]) => ({
    idToken,
    ...customer,
    segments: Object.fromEntries(
      [...segments].map(([id, { name, members, pages, tasks }]) => [
        id,
        { name, members: [...members].sort(), pages: pages.size, tasks: tasks.size },
      ]),
    ),
  }))

const server = createServer(async (request, response) => {
  try {
    const url = new URL(request.url, here(request))
    if (url.pathname === '/state') return json(response, 200, state())
    if (url.pathname === '/connect') {
      response.writeHead(302, { location: authorizeAddress(request) })
      return response.end()
    }
    if (url.pathname === '/framed') {
      response.writeHead(200, { 'content-type': 'text/html' })
      return response.end(`<!doctype html><title>Frame</title><iframe name="inner" src="/connect"></iframe>`)
    }
    if (url.pathname === '/callback') return await callback(request, response, url)
    if (url.pathname === '/webhook' && request.method === 'POST') return await webhook(request, response)
    json(response, 404, { error: 'Nothing here' })
  } catch (error) {
    json(response, 500, { error: String(error) })
  }
})

server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
createInterface({ input: process.stdin }).on('line', (line) => {
  config = JSON.parse(line)
  console.log('{"configured": true}')
})
