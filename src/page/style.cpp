#include "page/style.hpp"

namespace tercet::page {

// Child and sibling selectors are avoided: the sheet stands in XML, where a less-than sign would need escaping.
// The series colours are told apart with the common kinds of colour blindness, and have the contrast that graphics need
// on either background.
const char* const kStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --ink: #1c1c1a; --soft: #5c5b57; --line: #e2e1dc; --grid: #ecebe6;
  --good: #0a7a3d; --good-back: #e3f4e9; --bad: #b3261e; --bad-back: #fbe6e4; --warn: #8a5a00; --warn-back: #fcf0d8;
  --idle: #5c5b57; --idle-back: #ecebe6; --link: #1f5fb0;
  --c0: #2a78d6; --c1: #e0662b; --c2: #12936a; --c3: #b98400; --c4: #7a5cc9; --c5: #d64a4a; --c6: #c45c94; --c7: #6f7276;
  --minus: #2a78d6; --zero: #c9c8c2; --plus: #e0662b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141413; --card: #1d1d1b; --ink: #ecebe6; --soft: #a5a39b; --line: #343431; --grid: #2b2b28;
    --good: #6fd39a; --good-back: #14301f; --bad: #ff9a92; --bad-back: #3d1715; --warn: #f0bf62; --warn-back: #362709;
    --idle: #a5a39b; --idle-back: #2b2b28; --link: #86b6ef;
    --c0: #5b9dea; --c1: #ee8a55; --c2: #36b98c; --c3: #d6a52c; --c4: #a48ce6; --c5: #ee7a7a; --c6: #df8ab8; --c7: #a2a5a8;
    --minus: #5b9dea; --zero: #4a4a46; --plus: #ee8a55;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
header, main, footer { max-width: 1320px; margin: 0 auto; padding: 0 clamp(12px, 3vw, 32px); }
header { padding-top: 28px; }
footer { padding-top: 8px; padding-bottom: 40px; color: var(--soft); font-size: 13px; }
h1 { font-size: clamp(22px, 3.4vw, 32px); line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; line-height: 1.3; margin: 0 0 12px; }
h3 { font-size: 14px; line-height: 1.35; font-weight: 600; margin: 0 0 8px; }
p { margin: 0 0 10px; overflow-wrap: anywhere; }
a { color: var(--link); }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; margin: 8px 0 0; padding: 12px; background: var(--page); border: 1px solid var(--line); border-radius: 8px; }
.soft, .note { color: var(--soft); }
.note { font-size: 13px; max-width: 86ch; }
.badge { display: inline-block; padding: 1px 10px; border-radius: 999px; font-size: 13px; font-weight: 600; line-height: 1.6;
  white-space: nowrap; color: var(--idle); background: var(--idle-back); }
.good { color: var(--good); background: var(--good-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.warn { color: var(--warn); background: var(--warn-back); }
.verdict { display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: center; margin: 10px 0 16px; }
nav { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 14px 0 18px; font-size: 14px; }
nav a { text-decoration: none; padding: 2px 0; }
nav a:hover { text-decoration: underline; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(150px, 100%), 1fr)); gap: 10px; margin: 0 0 18px; }
.tiles div { max-width: 320px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; min-width: 0; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 0; color: var(--soft); font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.tiles dd.big { color: var(--ink); font-size: 21px; font-weight: 650; line-height: 1.4; font-variant-numeric: tabular-nums; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px clamp(12px, 2vw, 22px);
  margin: 0 0 16px; scroll-margin-top: 8px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(330px, 100%), 1fr)); gap: 22px 28px; margin: 4px 0 14px; }
@media (min-width: 860px) { .wide { grid-column: span 2; } }
figure { margin: 0 0 8px; min-width: 0; max-width: 560px; }
figcaption { color: var(--soft); font-size: 12.5px; line-height: 1.45; margin-top: 4px; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg text.name { fill: var(--ink); }
.axis { stroke: var(--line); stroke-width: 1; fill: none; }
.rule { stroke: var(--grid); stroke-width: 1; fill: none; }
.track { fill: var(--grid); }
.stroke { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.span { stroke: var(--c); stroke-width: 1.6; stroke-opacity: 0.45; }
.spread { stroke: var(--c); stroke-width: 5; stroke-opacity: 0.3; stroke-linecap: round; }
.mark { stroke: var(--soft); stroke-width: 1.2; fill: none; }
.dot { fill: var(--c); }
.faint { fill: var(--c); fill-opacity: 0.45; }
.fill { fill: var(--c); }
.k0 { --c: var(--c0); } .k1 { --c: var(--c1); } .k2 { --c: var(--c2); } .k3 { --c: var(--c3); }
.k4 { --c: var(--c4); } .k5 { --c: var(--c5); } .k6 { --c: var(--c6); } .k7 { --c: var(--c7); }
.k8 { --c: var(--minus); } .k9 { --c: var(--zero); } .k10 { --c: var(--plus); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; list-style: none; margin: 6px 0 0; padding: 0; font-size: 12.5px; line-height: 1.5; }
.legend li { display: flex; align-items: baseline; gap: 6px; min-width: 0; overflow-wrap: anywhere; }
.legend i { flex: none; width: 10px; height: 10px; border-radius: 3px; background: var(--c); align-self: center; }
.legend b { font-weight: 500; }
.legend span { color: var(--soft); }
.scroll { overflow-x: auto; margin: 0 0 12px; }
table { border-collapse: collapse; font-size: 14px; line-height: 1.4; font-variant-numeric: tabular-nums; min-width: min(100%, 480px); }
th, td { padding: 5px 14px 5px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
thead th { color: var(--soft); font-size: 13px; border-bottom-color: var(--soft); white-space: nowrap; }
tbody th { overflow-wrap: anywhere; min-width: 120px; }
td:not(.n) { min-width: 84px; }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; }
.n { text-align: right; white-space: nowrap; }
th.n:last-child, td.n:last-child { padding-right: 2px; }
.gates { list-style: none; margin: 0; padding: 0; }
.gates li { display: grid; grid-template-columns: 84px minmax(0, 200px) minmax(0, 1fr); gap: 2px 14px; padding: 8px 0;
  border-bottom: 1px solid var(--line); }
.gates li:last-child { border-bottom: 0; }
.gates .what { overflow-wrap: anywhere; }
.gates .what b { display: block; font-weight: 600; }
.gates .what span { color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
.gates p { margin: 0; font-size: 14px; }
details { margin: 6px 0 10px; }
summary { cursor: pointer; color: var(--link); font-size: 14px; padding: 4px 0; }
@media (max-width: 620px) {
  body { font-size: 14.5px; }
  header { padding-top: 18px; }
  section { border-radius: 10px; padding: 14px 12px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .tiles div { padding: 8px 10px; }
  .tiles dd.big { font-size: 20px; }
  .gates li { grid-template-columns: auto minmax(0, 1fr); }
  svg text { font-size: 13px; }
  .gates p { grid-column: 1 / -1; font-size: 13.5px; }
  table { font-size: 13px; min-width: 0; }
  th, td { padding-right: 9px; }
  thead th, thead th.n { white-space: normal; font-size: 12.5px; vertical-align: bottom; }
  tbody th { min-width: 84px; }
}
@media print {
  :root { --page: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb; --grid: #dddddd; }
  body { font-size: 11pt; }
  nav { display: none; }
  section { border: 0; padding: 0; margin: 0 0 18pt; }
  .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .wide { grid-column: 1 / -1; }
  figure, li, tr, .tiles div { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 9pt; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
)css";

}  // namespace tercet::page
