"""The looks and the little behaviour of the assessment's page: system fonts, both themes, from 320 px up."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1b1e23;--soft:#5c636d;--rule:#e2dfd8;
--accent:#0f6b6f;--accent2:#c2572b;--fill:#cfd8d8;--warn:#fff4df;--warnrule:#e0a94a;--good:#2c7a4b;
--shadow:0 1px 2px rgba(30,30,20,.05),0 6px 20px rgba(30,30,20,.05)}
@media (prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1c2026;--ink:#e9e7e1;--soft:#9aa2ac;
--rule:#2d333b;--accent:#5cc2c0;--accent2:#f0966a;--fill:#3a464b;--warn:#2b2416;--warnrule:#8d6a2a;
--good:#71c793;--shadow:none}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-feature-settings:"tnum","kern";overflow-wrap:anywhere}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 30px}
header{padding-top:52px}
.kicker{font-size:13px;letter-spacing:.09em;text-transform:uppercase;color:var(--accent);font-weight:600;margin:0}
h1{font-size:clamp(28px,4.4vw,46px);line-height:1.1;letter-spacing:-.022em;margin:6px 0 12px;font-weight:680}
h2{font-size:25px;letter-spacing:-.014em;line-height:1.2;margin:72px 0 6px;font-weight:660}
h3{font-size:16px;margin:0 0 4px;font-weight:640}
.lead{color:var(--soft);margin:0 0 22px;max-width:70ch}
.facts{display:flex;flex-wrap:wrap;gap:6px 26px;margin:0;color:var(--soft);font-size:15px}
.facts div{display:flex;gap:7px}.facts dt{color:var(--soft)}.facts dd{margin:0;color:var(--ink);font-weight:560}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin:34px 0 30px}
.tile,.card{background:var(--card);border:1px solid var(--rule);border-radius:14px;box-shadow:var(--shadow)}
.tile{padding:16px 18px 15px}
.tile b{display:block;font-size:31px;line-height:1.15;letter-spacing:-.02em;font-weight:640;margin:2px 0 3px}
.tile b small{font-size:16px;font-weight:500;color:var(--soft);letter-spacing:0}
.tile .name{font-size:13.5px;font-weight:600;color:var(--accent)}
.tile p{margin:0;color:var(--soft);font-size:13.5px;line-height:1.4}
.card{padding:20px 22px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:18px}
.notice{background:var(--warn);border:1px solid var(--warnrule);border-radius:14px;padding:17px 22px;margin:22px 0}
.notice p{margin:0 0 6px}.notice p:last-child,.notice ul{margin-bottom:0}.notice ul{margin-top:4px;padding-left:20px}
table{border-collapse:collapse;width:100%;font-size:15px}
th{font-weight:600;text-align:left;color:var(--soft);font-size:13px;padding:8px 12px 7px 0;
border-bottom:1px solid var(--rule);vertical-align:bottom}
td{padding:9px 12px 9px 0;border-bottom:1px solid var(--rule);vertical-align:top}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.n{font-weight:500}.metrics td.n{font-weight:600}.metrics td.n.quiet,td.quiet{font-weight:400;color:var(--soft)}
td.key{font-weight:600;white-space:nowrap}
.what{color:var(--soft)}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.cards.four{grid-template-columns:repeat(auto-fit,minmax(min(100%,250px),1fr))}
.metrics{display:grid;gap:18px}
.metrics col.k{width:150px}.metrics col.v{width:110px}.metrics col.b{width:150px}
.meter{display:block;height:4px;border-radius:2px;background:var(--rule);margin-top:6px;overflow:hidden}
.meter i{display:block;height:100%;background:var(--accent)}.meter.down i{background:var(--accent2)}
sup,sub{line-height:0;font-size:.72em}figure{margin:0}figcaption{color:var(--soft);font-size:13.5px;line-height:1.45;margin-top:8px}
img{display:block;max-width:100%;height:auto}
.swipe{position:relative;border-radius:14px;overflow:hidden;background:var(--fill);--at:50%;
box-shadow:var(--shadow)}
.swipe img{width:100%;height:auto;image-rendering:auto}
.swipe .top{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.swipe .bar{position:absolute;top:0;bottom:0;left:var(--at);width:2px;margin-left:-1px;background:#fff;
box-shadow:0 0 0 1px rgba(0,0,0,.35);pointer-events:none}
.swipe .bar::after{content:"\\2194";position:absolute;top:50%;left:50%;width:38px;height:38px;margin:-19px;
border-radius:50%;background:#fff;color:#1b1e23;display:grid;place-items:center;font-size:19px;
box-shadow:0 1px 6px rgba(0,0,0,.4)}
.swipe input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize;
touch-action:pan-y}
.swipe:focus-within{outline:3px solid var(--accent);outline-offset:2px}
.tag{position:absolute;bottom:12px;padding:3px 10px;border-radius:99px;background:rgba(15,18,22,.72);color:#fff;
font-size:12.5px;font-weight:560;pointer-events:none}
.tag.l{left:12px}.tag.r{right:12px}
.place{margin:0 0 26px}
.place h3{display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline;margin-bottom:8px}
.place h3 span{font-weight:400;color:var(--soft);font-size:13.5px}
.pin{display:inline-grid;place-items:center;width:24px;height:24px;border-radius:50%;background:var(--accent);
color:var(--paper)!important;font-size:13px!important;font-weight:660!important;align-self:center}
.pin.bad{background:var(--accent2)}
.trio{display:grid;grid-template-columns:repeat(3,1fr);gap:12px}
.trio img{width:100%;image-rendering:pixelated;border-radius:10px;background:var(--fill)}
.whole{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:26px;align-items:start}
.whole.wide{grid-template-columns:minmax(0,1fr)}
.frame{position:relative;border-radius:12px;overflow:hidden;background:var(--fill)}
.frame img{width:100%}
.frame svg{position:absolute;inset:0;width:100%;height:100%}
.frame rect{fill:none;stroke:#fff;stroke-width:2;vector-effect:non-scaling-stroke;paint-order:stroke}
.frame rect.under{stroke:#000;stroke-width:4;stroke-opacity:.45}
.frame i{position:absolute;transform:translate(-50%,-50%);width:22px;height:22px;border-radius:50%;
background:#fff;color:#14171b;display:grid;place-items:center;font:660 12px/1 system-ui,sans-serif;
box-shadow:0 0 0 1.5px rgba(0,0,0,.5)}
.canvas{position:relative;background:repeating-linear-gradient(45deg,var(--rule) 0 3px,transparent 3px 7px);
border-radius:10px;
overflow:hidden}
.canvas img{position:absolute;max-width:none;image-rendering:pixelated}
.legend{display:grid;grid-template-columns:auto 1fr auto;gap:10px;align-items:center;margin-top:10px;
font-size:13px;font-variant-numeric:tabular-nums;color:var(--soft)}
.legend i{height:10px;border-radius:5px;display:block}
svg{display:block;width:100%;height:auto}.card svg{max-width:430px;margin:0 auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--ink)}
svg .tick{fill:var(--soft);text-anchor:middle;font-size:11px}
.four svg .tick{font-size:14.5px}
svg .area{fill:var(--fill)}svg .line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round}
svg .base{stroke:var(--soft);stroke-width:1;opacity:.6}
svg .bar{fill:var(--accent)}svg .bar.far{fill:var(--accent2)}
svg .bond{stroke:var(--fill);stroke-width:4}
svg .before{fill:var(--soft)}svg .after{fill:var(--accent)}
svg .mark{stroke:var(--accent2);stroke-width:2;stroke-dasharray:4 4}
.key{white-space:nowrap}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin:0 5px 0 0;vertical-align:-1px}
.swatch.a{background:var(--fill)}.swatch.b{background:var(--accent)}.swatch.c{background:var(--accent2)}
.swatch.d{background:var(--soft)}
details{margin-top:16px}summary{cursor:pointer;color:var(--accent);font-weight:560}
pre{overflow:auto;max-height:460px;background:var(--card);border:1px solid var(--rule);border-radius:12px;
padding:16px;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{color:var(--soft);font-size:13.5px;padding-top:34px;padding-bottom:54px;margin-top:64px;
border-top:1px solid var(--rule)}
@media (max-width:760px){
main,header,footer{padding-left:18px;padding-right:18px}
header{padding-top:30px}h2{margin-top:52px;font-size:22px}
.tiles{grid-template-columns:1fr 1fr;gap:10px;margin:24px 0}.tile{padding:13px 14px}.tile b{font-size:25px}
.whole{grid-template-columns:minmax(0,1fr)}
.swipe>img{height:300px;object-fit:cover}
.card{padding:16px 16px}
.trio{display:flex;overflow-x:auto;scroll-snap-type:x mandatory;margin:0 -18px;padding:0 18px 6px;
scroll-padding:0 18px}
.trio figure{flex:0 0 74%;scroll-snap-align:start}
.metrics table,.metrics tbody{display:block}.metrics thead,.metrics colgroup{display:none}
.metrics tr{display:grid;grid-template-columns:1fr auto;padding:11px 0;border-bottom:1px solid var(--rule)}
.metrics tr:last-child{border-bottom:0}
.metrics td{border:0;padding:0}
.metrics td.n{font-size:17px;text-align:right}
.metrics td.n.quiet{grid-column:2;grid-row:2;font-size:13px}
.metrics td.best{grid-column:1;grid-row:2;font-size:13.5px;color:var(--soft)}
.metrics td.what{grid-column:1/-1;font-size:14px}
}
@media print{.swipe input,.swipe .bar{display:none}.card,.tile,.place{break-inside:avoid}}
"""

SCRIPT = """
for (const input of document.querySelectorAll('.swipe input'))
  input.addEventListener('input', () => input.parentElement.style.setProperty('--at', input.value + '%'));
"""
