"""How the bench's page looks, and the few lines that sort its tables."""

from __future__ import annotations

STYLE = """
:root{--paper:#fbfaf7;--sheet:#fff;--ink:#1d2025;--soft:#636973;--line:#e2dfd8;--accent:#b4431e;--mark:#2f5d8a;
--warn:#fff5e2;--warn-line:#e0a63c;--row:#f6f3ec;--worse:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#15171b;--sheet:#1d2026;--ink:#e8e6e1;--soft:#9aa1ac;--line:#333841;
--accent:#ff9166;--mark:#8bb8e8;--warn:#2c2414;--warn-line:#a97c2a;--row:#23272e;--worse:#ff8a80}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:clamp(1.5rem,4.5vw,2.4rem);line-height:1.15;margin:0 0 12px;letter-spacing:-.02em;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:0 0 6px;letter-spacing:-.01em}
h3{font-size:1rem;margin:0 0 10px}
section{margin-top:48px}
.kicker{margin:0 0 6px;color:var(--accent);font-weight:600;font-size:.85rem;letter-spacing:.04em}
.lead{color:var(--soft);max-width:76ch;margin:0 0 16px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(46%,230px),1fr));gap:12px;margin-top:22px}
.card{background:var(--sheet);border:1px solid var(--line);border-radius:10px;padding:14px 16px;display:flex;
flex-direction:column;gap:2px;min-width:0}
.card span,.card em{font-size:.82rem;color:var(--soft);font-style:normal}
.card strong{font-size:1.05rem;overflow-wrap:anywhere}
.warning{margin-top:28px;background:var(--warn);border:1px solid var(--warn-line);border-radius:10px;padding:16px 20px}
.warning h2{font-size:1rem}
.warning ul{margin:0;padding-left:1.1em}
.warning li{margin:4px 0;max-width:100ch;overflow-wrap:anywhere}
.scroll{overflow:auto;max-height:min(78vh,820px);border:1px solid var(--line);border-radius:10px;
background:var(--sheet)}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.8rem;font-variant-numeric:tabular-nums}
th,td{padding:6px 5px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
tbody tr:last-child th,tbody tr:last-child td{border-bottom:0}
th:first-child{padding-left:12px}
td:last-child{padding-right:12px}
#bands table,.models table{font-size:.86rem}
tbody tr:hover>*{background:var(--row)}
thead th{white-space:normal;vertical-align:bottom;font-size:.74rem;line-height:1.25;position:sticky;top:0;
background:var(--sheet);z-index:2;font-weight:600;color:var(--soft);
border-bottom:1px solid var(--line)}
th:first-child{position:sticky;left:0;text-align:left;background:var(--sheet);z-index:1;font-weight:500}
thead th:first-child{z-index:3}
tr.auto>*{background:var(--row)}
tr.auto th{font-weight:700}
td b{color:var(--accent);font-weight:700}
td.worse{color:var(--worse)}
th button{all:unset;cursor:pointer;font:inherit;color:inherit}
th button:focus-visible{outline:2px solid var(--mark);outline-offset:3px}
th i{display:block;font-style:normal;opacity:.55}
th[aria-sort] button{color:var(--ink);text-decoration:underline;text-underline-offset:4px}
figure{margin:0}
#chart figure{overflow-x:auto;background:var(--sheet);border:1px solid var(--line);border-radius:10px;padding:12px}
.chart{display:block;width:100%;height:auto;max-width:980px;margin:0 auto}
.chart text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--ink)}
.chart .tick,.chart .axis{fill:var(--soft)}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .joint{stroke:var(--mark);stroke-width:1;opacity:.35}
.chart .filled{fill:var(--mark);stroke:var(--sheet)}
.chart .hollow{fill:var(--sheet);stroke:var(--mark);stroke-width:1.6}
.chart .auto{fill:var(--accent);stroke:var(--sheet);stroke-width:1.5}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(30%,150px),1fr));gap:14px 12px}
.gallery img{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:6px;background:var(--line)}
.gallery figcaption{font-size:.8rem;color:var(--soft);margin-top:4px;overflow-wrap:anywhere}
.gallery .input img{outline:3px solid var(--accent);outline-offset:-3px}
.gallery .input figcaption{color:var(--accent);font-weight:600}
.gallery figcaption span{color:var(--ink);font-variant-numeric:tabular-nums}
.scale{display:flex;align-items:center;gap:10px;font-size:.85rem;color:var(--soft);margin:0 0 14px}
.scale img{height:12px;width:min(256px,50vw);border-radius:3px}
.models{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:24px}
dl{display:grid;grid-template-columns:auto 1fr;gap:2px 16px;margin:0 0 12px;font-size:.88rem}
dt{color:var(--soft)}
dd{margin:0;text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
pre{background:var(--sheet);border:1px solid var(--line);border-radius:10px;padding:14px 16px;overflow-x:auto;
font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:0}
.foot{color:var(--soft);font-size:.85rem;margin-top:18px;overflow-wrap:anywhere}
@media (max-width:640px){main{padding:24px 14px 48px}section{margin-top:36px}th,td{padding:6px 9px}
.scroll{max-height:70vh}.chart{width:640px;max-width:none}.gallery{gap:10px 8px}}
@media print{.scroll{max-height:none;overflow:visible}}
"""

SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, at) => head.querySelector('button').addEventListener('click', () => {
    const text = head.dataset.kind === 'text', was = head.getAttribute('aria-sort');
    const first = head.dataset.grows === '1' ? 'descending' : 'ascending';
    const order = was ? (was === 'ascending' ? 'descending' : 'ascending') : first;
    const sign = order === 'ascending' ? 1 : -1;
    heads.forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', order);
    const value = row => text ? row.cells[at].textContent : row.cells[at].dataset.v;
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (text) return sign * x.localeCompare(y);
      if (x === '' || y === '') return (x === '') - (y === '');
      return sign * (x - y);
    });
    body.append(...rows);
  }));
}
"""
