// The labeller's way in: loaded by a page that was opened by a link from Cairn, and only as long as its grant holds.

import { setSecretNames } from '../capture/privacy'
import { showNotice } from './bar'
import { exchange, openCairn, Refusal } from './cairn'
import { configOf } from './element'
import { openLabeller } from './labeller'

const KEPT = 'cairn-label' // where this tab keeps the grant from page to page
const ELSEWHERE =
  'This page sends its events to another environment than the link is for. Choose that environment in Cairn, and label from there.'

const remember = (grant: string): void => {
  try {
    if (grant) sessionStorage.setItem(KEPT, grant)
    else sessionStorage.removeItem(KEPT)
  } catch {
    // then it holds for this page only
  }
}

const start = async (): Promise<void> => {
  const { cairn: ours, heap } = window as any // any: the page's globals
  const { boot } = ours
  setSecretNames(boot.server.secrets)
  const kept: string = boot.label
  boot.label = ''
  // Frames of the same site share the tab's storage; one labeller for all of them is enough.
  if (!kept || window.top !== window) return
  try {
    // A link carries a code that works once; what it is exchanged for lasts from page to page.
    const grant = kept.startsWith('lc_') ? await exchange(boot.origin, kept) : kept
    remember(grant)
    const cairn = openCairn(boot.origin, grant)
    const standing = await cairn.standing()
    // Its counts would be of other pages; and nobody's link opens anything over the pages of others.
    if (standing.app_id !== boot.envId) throw new Refusal(0, 'elsewhere', ELSEWHERE)
    openLabeller(cairn, standing, configOf(boot, ours.clientConfig ?? heap?.clientConfig), () => remember(''))
  } catch (fault) {
    // On a page that broke what we need, rather nothing than half of it.
    document.querySelector('cairn-labeller')?.remove()
    const refusal = fault instanceof Refusal ? fault : undefined
    if (refusal && (/^40[14]$/.test('' + refusal.status) || refusal.code === 'elsewhere')) remember('')
    // A link that was never ours is not worth a word on somebody's page.
    if (refusal && refusal.code !== 'not_signed_in') showNotice(refusal.message)
    else console.warn('[cairn] the labeller did not start:', fault instanceof Error ? fault.message : fault)
  }
}

start().catch(() => undefined)
