// The labeller's look: Cairn's tokens and the few components it is made of, for a shadow root of its own.

export const LOOK = `
* { box-sizing: border-box; margin: 0; }
.all { color-scheme: light dark;
  --sheet: light-dark(#fff, #1e1e1b); --well: light-dark(#f1efea, #262622); --line: light-dark(#e3dfd7, #34332e);
  --line-strong: light-dark(#8a8377, #7d786d); --ink: light-dark(#23211d, #ece9e2); --ink-soft: light-dark(#5f5a51, #b3ada1);
  --ink-faint: light-dark(#716b61, #9a9488); --moss: light-dark(#2f6b52, #6fbf98); --moss-strong: light-dark(#235340, #8dd3b0);
  --moss-wash: light-dark(#e6f0eb, #22332b); --on-moss: light-dark(#fff, #10221a); --warn: light-dark(#8a5a00, #e5b45c);
  --bad: light-dark(#a8362a, #f0897c); --bad-wash: light-dark(#fbe9e6, #3b221e);
  --shadow: 0 1px 2px rgb(40 34 20 / .1), 0 6px 28px rgb(40 34 20 / .18);
  color: var(--ink); font: 400 15px/1.5 Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; text-align: left; }
button, input, select { font: inherit; color: inherit; }
[hidden] { display: none !important; }
:focus-visible { outline: 2px solid var(--moss); outline-offset: 2px; }
.pane { position: fixed; inset: 0; pointer-events: auto; cursor: crosshair; touch-action: manipulation; }
.layer { position: fixed; inset: 0; pointer-events: none; overflow: hidden; }
.box { position: absolute; border: 2px solid #2f6b52; border-radius: 4px; background: rgb(47 107 82 / .14); box-shadow: 0 0 0 1.5px rgb(255 255 255 / .85); }
.box[data-as=match] { border-width: 1.5px; background: rgb(47 107 82 / .08); }
.box[data-as=known] { border: 1.5px dashed #94507f; background: none; }
.box > span { position: absolute; left: -2px; bottom: calc(100% + 4px); max-width: 340px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  padding: 1px 8px; border-radius: 5px; background: #23211d; color: #f6f5f2; font-size: 13px; }
.box[data-low] > span { bottom: auto; top: calc(100% + 4px); }
.box[data-as=known] > span { background: #6d3a5d; }
.bar, .panel { position: fixed; pointer-events: auto; background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; box-shadow: var(--shadow); }
.bar { left: 50%; translate: -50% 0; bottom: 16px; display: flex; align-items: center; gap: 12px; padding: 8px 8px 8px 14px; max-width: calc(100vw - 32px); }
.bar p { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 13px; color: var(--ink-soft); }
.bar p b { color: var(--ink); }
.mark { width: 20px; height: 20px; fill: var(--moss); flex: none; }
.tabs { display: flex; justify-self: start; padding: 2px; gap: 2px; background: var(--well); border-radius: 7px; }
.tabs button { border: 0; background: none; padding: 3px 11px; border-radius: 5px; font-size: 13px; font-weight: 540; color: var(--ink-soft); cursor: pointer; }
.tabs [aria-pressed=true] { background: var(--moss-wash); color: var(--moss-strong); }
.button { border: 1px solid var(--line-strong); background: var(--sheet); border-radius: 5px; padding: 5px 12px; font-weight: 540; cursor: pointer; text-decoration: none; color: var(--ink); white-space: nowrap; }
.button:hover { border-color: var(--ink-faint); }
.button[data-main] { background: var(--moss); border-color: var(--moss); color: var(--on-moss); }
.button[data-main]:hover { background: var(--moss-strong); }
.button[data-quiet] { border-color: transparent; background: none; color: var(--ink-soft); padding-inline: 8px; }
.button[data-quiet]:hover { background: var(--well); color: var(--ink); }
.button:disabled { opacity: .55; cursor: default; }
.panel { top: 16px; right: 16px; width: 404px; max-width: calc(100vw - 32px); max-height: calc(100vh - 96px); display: flex; flex-direction: column; }
.panel[data-side=left] { right: auto; left: 16px; }
.panel > * { padding: 0 16px; }
.panel > header { padding-top: 14px; padding-bottom: 10px; border-bottom: 1px solid var(--line); display: flex; gap: 8px; align-items: flex-start; }
.panel header div { flex: 1; min-width: 0; }
h2 { font-size: 17px; font-weight: 620; letter-spacing: -.006em; line-height: 1.3; overflow-wrap: anywhere; }
.close { border: 0; background: none; border-radius: 5px; width: 28px; height: 28px; font-size: 18px; line-height: 1; color: var(--ink-soft); cursor: pointer; flex: none; }
.close:hover { background: var(--well); color: var(--ink); }
.path { display: flex; flex-wrap: wrap; align-items: center; gap: 0 4px; margin-top: 3px; font-size: 13px; color: var(--ink-faint); }
.path button { border: 0; background: none; padding: 0 3px; border-radius: 4px; font: 12px/1.6 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace; color: var(--ink-soft); cursor: pointer; max-width: 150px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.path button:hover { background: var(--well); } .path [aria-current] { color: var(--moss); font-weight: 600; }
.body { overflow: auto; padding-top: 12px; padding-bottom: 14px; display: grid; gap: 14px; min-height: 0; }
.panel > footer { padding-top: 12px; padding-bottom: 14px; border-top: 1px solid var(--line); display: flex; gap: 8px; align-items: center; }
.note { font-size: 13px; color: var(--ink-soft); } .note a { color: var(--moss); }
.error { font-size: 13px; color: var(--bad); }
fieldset { border: 0; padding: 0; min-width: 0; } legend, .label { padding: 0; font-size: 13px; font-weight: 540; margin-bottom: 4px; display: block; }
.ways { border: 1px solid var(--line); border-radius: 7px; overflow: hidden; }
.way { display: grid; grid-template-columns: 16px minmax(0, 1fr) auto; gap: 1px 9px; padding: 7px 10px; border-bottom: 1px solid var(--line); cursor: pointer; align-items: baseline; }
.way:last-child { border-bottom: 0; } .way:hover { background: color-mix(in srgb, var(--well) 55%, transparent); }
.way:has(:checked) { background: var(--moss-wash); }
.way:has(:focus-visible) { outline: 2px solid var(--moss); outline-offset: -2px; } .way input { outline: none; }
.way input { accent-color: var(--moss); margin: 0; translate: 0 2px; }
.way code { font: 13px/1.45 ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.way small { grid-column: 2; font-size: 12.5px; line-height: 1.4; color: var(--ink-faint); }
.way b { font-weight: 600; text-align: right; min-width: 4.5em; } .way i { grid-column: 3; font-style: normal; font-size: 12.5px; line-height: 1.4; color: var(--ink-faint); text-align: right; }
.way:has(:checked) small, .way:has(:checked) i { color: var(--ink-soft); }
.wait { display: inline-block; width: 3.2em; height: .8em; border-radius: 4px; background: var(--well); }
.pair { display: grid; grid-template-columns: 1.6fr 1fr; gap: 10px; }
.field { display: grid; min-width: 0; } .field > span { font-size: 13px; font-weight: 540; margin-bottom: 3px; }
.input { width: 100%; min-width: 0; padding: 5px 9px; border: 1px solid var(--line-strong); border-radius: 5px; background: var(--sheet); }
.input[aria-invalid=true] { border-color: var(--bad); }
.row { display: flex; align-items: center; gap: 8px; font-size: 14px; } .row input[type=checkbox] { accent-color: var(--moss); margin: 0; }
.place { display: grid; grid-template-columns: auto 1fr; gap: 6px; margin-top: 6px; }
.notice { background: var(--bad-wash); color: var(--bad); border-radius: 6px; padding: 7px 10px; font-size: 13px; }
.done { font-size: 17px; font-weight: 620; } .hush { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) { .wait { animation: wait 1.2s ease-in-out infinite alternate; } @keyframes wait { to { opacity: .45; } } }
`
