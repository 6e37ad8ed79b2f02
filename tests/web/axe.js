// What the tests ask of a page, beside axe: every function answers with a list of findings as text.
'use strict'

window.cairnChecks = {
  async axe(rules) {
    const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ['violations'] })
    const text = (id, node) => `${id} ${node.target.flat().join(' ')}: ${node.html.slice(0, 160)} ${node.failureSummary}`
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => text(id, node)))
  },

  /** Everything that can be opened in place. Of a feed one entry: the others are the same. */
  open() {
    for (const each of document.querySelectorAll('details:not(.ask)')) {
      each.open = !each.closest('.feed') || each.matches('.feed > li:first-child > details')
    }
  },

  /** What lies beyond the right edge though no region of its own scrolls it. */
  tooWide() {
    const { scrollWidth } = document.documentElement
    if (scrollWidth <= innerWidth) return []
    const beyond = (each) => each.getBoundingClientRect().right > innerWidth + 1
    const all = [...document.querySelectorAll('body *')].filter(beyond)
    return [`${scrollWidth} px`, ...all.slice(0, 4).map((each) => each.outerHTML.slice(0, 120))]
  },

  /** Targets below 24 px. Links within a sentence are as high as its lines. */
  tooSmall() {
    const targets = 'a[href], button, summary, select, textarea, input:not([type=hidden])'
    const inText = (each) => each.matches('a, .link') && getComputedStyle(each).display === 'inline'
    return [...document.querySelectorAll(targets)].flatMap((each) => {
      const label = each.matches('[type=checkbox], [type=radio]') && each.closest('label')
      const { width, height } = (label || each).getBoundingClientRect()
      const shown = each.checkVisibility({ visibilityProperty: true }) && !each.closest('.skip, .visually-hidden')
      if (!shown || inText(each) || (height >= 24 && width >= 24)) return []
      return [`${Math.round(width)} × ${Math.round(height)} px: ${each.outerHTML.slice(0, 120)}`]
    })
  },
}
