// Which names on a page were written by people and stay, and which are made anew by every build or visit. Pure.

const VALUE_LIMIT = 80 // characters; longer ones are texts, and texts change

const STATE =
  /^((is|has|was)-.*|active|selected|open(ed)?|closed?|show(n|ing)?|hid(e|den)|(in)?visible|(dis|en)abled|load(ing|ed)|focus(ed|-visible)?|hover(ed)?|current|(un)?checked|collaps(e|ed|ing)|expanded|pressed|dragging|error|(in)?valid|dirty|(un)?touched|pristine|fade|in|out|first|last|odd|even|anim(at(e|ed|ing))?.*|ng-.*|v-(enter|leave).*|router-link-.*)$/i

/** Classes that say how something looks: they change with every restyling. */
const UTILITY =
  /^-?((p|m)[xytrblse]?|[wh]|gap|text|bg|border|rounded|shadow|flex|grid|col|row|justify|items|self|content|font|leading|tracking|z|top|left|right|bottom|inset|space|min|max|opacity|overflow|d|float|order|transition|duration|ease|scale|rotate|translate|ring|outline|cursor|select|align|place|object|fill|stroke|size|basis|grow|shrink|line-clamp)-[\w.-]+$|^(flex|grid|block|inline(-\w+)*|table|contents|relative|absolute|fixed|sticky|static|container(-fluid)?|row|col|clearfix|truncate|uppercase|lowercase|capitalize|underline|italic|antialiased|grow|shrink|border|rounded|shadow|transition|sr-only|group|peer)$/

/** What tools put in front of the names they make. */
const MADE =
  /^(css|sc|jsx|svelte|astro|emotion|tss|jss|makestyles|mui|radix|headlessui|react-aria|react-select|downshift|ember|ext-gen|gwt-uid|yui|ng-tns|cdk|mat-\w+|rc[-_]\w+|_ng\w+|data-v)[-_:]?(.*-)?[\w:]*\d[\w:]*$|^(css|sc|jsx|svelte|astro|emotion)-\w+|^_ng/i

const VOWELLESS = /[bcdfghjklmnpqrstvwxz]{5,}/i
const MIXED = /[a-z]\d+[a-z]|\d[a-z]+\d/i

/** `bdVaJa`: a word of humps, three of which are too short to be words. */
const isJumbled = (word: string): boolean =>
  /[a-z]/.test(word) &&
  /[A-Z]/.test(word.slice(1)) &&
  word.split(/(?=[A-Z])/).filter((hump) => hump.length <= 2).length > 2

const isHash = (word: string): boolean =>
  word.length >= 5 && (MIXED.test(word) || VOWELLESS.test(word) || isJumbled(word) || /\d{4,}/.test(word))

/** `card__title` is a name, `card__a1B2c` is not. */
const hasHashEnd = (name: string): boolean => {
  const end = /_{2,}([A-Za-z\d+]{5,8})$/.exec(name)?.[1] ?? ''
  return /[A-Z\d]/.test(end)
}

/** Whether a name is likely made by a machine. */
export const isMade = (name: string): boolean =>
  MADE.test(name) || /[:«]r?\w+[:»]/.test(name) || hasHashEnd(name) || name.split(/[^A-Za-z\d]+/).some(isHash)

/** Whether a value can stand in a selector for long: short, plain, nothing masked in it, not made by a machine. */
export const isSteadyValue = (value: string): boolean => isPlainValue(value) && !isMade(value)

/** The same for words people read, which no machine makes. */
export const isPlainValue = (value: string): boolean =>
  value.length > 0 && value.length <= VALUE_LIMIT && !/[\u0000-\u001f;|]|\{(email|card|token)\}/.test(value)

export const isSteadyClass = (name: string): boolean =>
  isIdentifier(name) && name.length > 1 && isSteadyValue(name) && !STATE.test(name) && !UTILITY.test(name)

/** Names that stand in a selector as they are. */
export const isIdentifier = (name: string): boolean => /^-?[_a-z][\w-]*$/i.test(name)
